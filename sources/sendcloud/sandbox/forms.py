"""Defines the two formats in which the API returns pickups: version 2 and version 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from .timeline import Record

Links = tuple[str | None, str | None]
"""The next and previous links of a page."""
V3_NAMES: Final = {"carrier": "carrier_code", "pickup_status": "status", "contract": "contract_id"}
CODES: Final = {401: "authentication_failed", 403: "forbidden", 404: "not_found"}


class Form(NamedTuple):
    """The response format of one version."""

    root: str
    size: str
    """The query parameter for the number of rows on a page."""
    largest: int | None
    """The maximum number of rows on a page. If None, only the server's limit applies."""
    scope: str
    """The scope that a token needs."""
    record: Callable[[Record], Record]
    page: Callable[[list[Record], Links], tuple[Any, dict[str, str]]]
    """Returns the body and the headers."""
    error: Callable[[int, str, str], Any]
    """Returns the body of an error response for a status, a path and a message."""


def _v2_record(record: Record) -> Record:
    return {name: value for name, value in record.items() if name != "time_slots"}


def _v2_page(records: list[Record], links: Links) -> tuple[Any, dict[str, str]]:
    return {"next": links[0], "previous": links[1], "pickups": records}, {}


def _v2_error(status: int, path: str, message: str) -> Any:
    return {"error": {"code": status, "request": path.strip("/"), "message": message}}


def _v3_record(record: Record) -> Record:
    """Returns the pickup with v3 field names and an uppercase status. Invalid values are unchanged."""
    window = [name for name in ("pickup_from", "pickup_until") if name in record]
    renamed: Record = {"id": record["id"]} if "id" in record else {}
    if "time_slots" in record or window:
        renamed["time_slots"] = record.get("time_slots", _slots(record))
    for name, value in record.items():
        if name not in ("id", "time_slots", *window):
            renamed[V3_NAMES.get(name, name)] = value
    if isinstance(renamed.get("status"), str):
        renamed["status"] = renamed["status"].upper()
    return renamed


def _slots(record: Record) -> list[Record]:
    if record.get("pickup_from") is None:
        return []
    slot = {"start_at": record["pickup_from"]}
    return [slot | ({"end_at": record["pickup_until"]} if "pickup_until" in record else {})]


def _v3_page(records: list[Record], links: Links) -> tuple[Any, dict[str, str]]:
    """Returns the page with its links only in the header. As documented, the previous link comes first."""
    named = ((links[1], "prev"), (links[0], "next"))
    header = ", ".join(f'<{link}>; rel="{relation}"' for link, relation in named if link)
    return {"data": records}, {"Link": header} if header else {}


def _v3_error(status: int, _path: str, message: str) -> Any:
    return {"errors": [{"status": str(status), "code": CODES.get(status, "invalid"), "detail": message}]}


V2: Final = Form("/api/v2", "limit", None, "api", _v2_record, _v2_page, _v2_error)
V3: Final = Form("/api/v3", "page_size", 100, "read:pickup", _v3_record, _v3_page, _v3_error)
