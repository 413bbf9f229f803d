"""Faults of a list that looks valid: it is cut short, it lacks rows, or its server has a wrong clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sources.sendcloud.sandbox.answer import Answer
from sources.sendcloud.sandbox.faults import Fault


def date(instant: datetime) -> Fault:
    """Sends the correct response with another time in its Date header."""
    return lambda due: replace(due, date=instant)


def without_next() -> Fault:
    """Sends a v2 page without the key `next`."""
    return lambda due: _edited(due, lambda page: page.pop("next", None))


def empty_next() -> Fault:
    """Sends a page whose link to the next page is empty."""

    def empty(page: dict[str, Any]) -> None:
        if "next" in page:
            page["next"] = " "

    return lambda due: replace(_edited(due, empty), headers={**due.headers, "Link": '< >; rel="next"'})


def ending() -> Fault:
    """Sends the page's rows as if they were the last ones of the list."""

    def end(page: dict[str, Any]) -> None:
        if "next" in page:
            page["next"] = None

    return lambda due: replace(_edited(due, end), headers={k: v for k, v in due.headers.items() if k != "Link"})


def nothing() -> Fault:
    """Sends a valid empty list."""
    end = ending()
    return lambda due: _edited(end(due), lambda page: page.update({_key(page): []}))


def without_rows() -> Fault:
    """Sends a page without its rows, and the correct link to the next page."""
    return lambda due: _edited(due, lambda page: page.update({_key(page): []}))


def without_last_rows(number: int) -> Fault:
    """Sends a page without its last rows, and the correct link to the next page."""
    return lambda due: _edited(due, lambda page: page.update({_key(page): page[_key(page)][:-number]}))


def _key(page: dict[str, Any]) -> str:
    return "data" if "data" in page else "pickups"


def _edited(due: Answer, change: Callable[[dict[str, Any]], object]) -> Answer:
    page = json.loads(due.body) if due.status == 200 else {}
    if not page.keys() & {"pickups", "data"}:
        return due
    change(page)
    return replace(due, body=json.dumps(page).encode())
