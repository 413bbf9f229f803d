"""Formats the status of every account as metrics in Prometheus' text format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipelines.receipt import program_version

PREFIX = "sendcloud_pickups"
# One gauge per entry: its name, its help text, and the fact of the status that it shows. A missing fact has no sample.
GAUGES = (
    ("last_success_age_seconds", "Seconds since the last good run ended.", "age_seconds"),
    ("last_success_timestamp_seconds", "When the last good run ended, in seconds since 1970.", "last_success_at"),
    ("last_run_timestamp_seconds", "When the last run started, in seconds since 1970.", "last_run_at"),
    ("last_run_succeeded", "Whether the last run succeeded.", "succeeded"),
    ("last_run_seconds", "How long the last run took.", "run_seconds"),
    ("stale", "Whether the last good run is older than [status] max_age_hours, or missing.", "is_stale"),
    ("configured", "Whether the account is configured.", "is_configured"),
    ("rows", "Pickups in the table.", "pickups"),
    ("open", "Pickups that may still change.", "open_pickups"),
    ("quarantined", "Records in the quarantine.", "quarantined"),
    ("refused_share", "Share of the records that the last good run refused.", "refused_share"),
    ("history_complete", "Whether the whole list has been read at least once.", "history_complete"),
    ("failed_checks", "Checks that found rows in the last good run.", "failed_checks"),
)


def format_metrics(accounts: Sequence[Mapping[str, Any]]) -> str:
    """Returns the metrics as text, with one sample per account.

    Args:
        accounts: the result of `read_status`.
    """
    return "\n".join([*_info(), *(line for gauge in GAUGES for line in _gauge(gauge, accounts)), *_checks(accounts)])


def _info() -> Iterator[str]:
    yield from _head("info", "The version of sendcloud-pickups.")
    yield _sample("info", {"version": program_version()}, 1)


def _gauge(gauge: tuple[str, str, str], accounts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    name, about, fact = gauge
    yield from _head(name, about)
    for account in accounts:
        if (value := _fact(account, fact)) is not None:
            yield _sample(name, {"account": account["account"]}, value)


def _checks(accounts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from _head("check_rows", "Rows that a check found in the last good run.")
    for account in accounts:
        for check, rows in sorted(_failed(account).items()):
            yield _sample("check_rows", {"account": account["account"], "check": check}, rows)


def _failed(account: Mapping[str, Any]) -> dict[str, int]:
    failed: dict[str, int] = json.loads(account["checks_failed"] or "{}")
    return failed


def _fact(account: Mapping[str, Any], fact: str) -> float | None:
    if fact == "age_seconds":
        hours: float | None = account["age_hours"]
        return None if hours is None else round(hours * 3600, 1)
    if fact == "succeeded":
        return None if account["last_outcome"] is None else account["last_outcome"] == "succeeded"
    if fact == "failed_checks":
        return None if account["checks_failed"] is None else len(_failed(account))
    value = account[fact]
    return value.timestamp() if isinstance(value, datetime) else value


def _head(name: str, about: str) -> Iterator[str]:
    yield f"# HELP {PREFIX}_{name} {about}"
    yield f"# TYPE {PREFIX}_{name} gauge"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    text = ",".join(f'{label}="{_escape(content)}"' for label, content in labels.items())
    return f"{PREFIX}_{name}{{{text}}} {float(value):.17g}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
