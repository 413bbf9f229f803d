"""`pickups status`: when the last run was, how it went, and what is in the tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.accounts import account_names
from pipelines.project import inside, published_path, readable_path
from pipelines.screen import console
from pipelines.warehouse import has_table, reading

NOT_CONFIGURED = (
    "no longer, or by another name. Its rows stay, and count in every view, as they were after its last good run. "
    "How to delete them, or give them the new name: pipelines/README.md, Accounts"
)
# per account: its newest run, its newest good run, and what the tables hold
_STATUS = """
    select
        runs.account,
        arg_max(runs.outcome, runs.started_at) as last_outcome,
        arg_max(runs.error, runs.started_at) as last_error,
        max(runs.started_at) as last_run_at,
        max(runs.finished_at) filter (where runs.outcome = 'succeeded') as last_success_at,
        arg_max(runs.open_pickups, runs.started_at) filter (where runs.outcome = 'succeeded') as open_pickups,
        arg_max(runs.frontier, runs.started_at) filter (where runs.outcome = 'succeeded') as frontier,
        arg_max(runs.watermark, runs.started_at) filter (where runs.outcome = 'succeeded') as newest_created_at,
        arg_max(runs.history_complete, runs.started_at) filter (where runs.history_complete is not null)
            as history_complete,
        max(runs.observed_at) filter (where runs.sweep = 'complete') as last_sweep_at,
        arg_max(runs.sweep, runs.started_at) = 'incomplete' as is_sweep_under_way,
        arg_max(runs.checks_failed, runs.started_at) filter (where runs.outcome = 'succeeded') as checks_failed
    from sendcloud.pickup_runs as runs
    group by runs.account
    order by runs.account
"""
_OLDEST = "select account, min(created_at) from sendcloud.pickups group by account"
_COUNTS = {
    "pickups": "select account, count(*) as rows from sendcloud.pickups group by account",
    "quarantined": "select account, count(*) as rows from sendcloud.pickups_quarantine group by account",
}


def status(*, as_json: bool = False) -> None:
    """Prints one block (or one JSON object of a list) for each account."""
    accounts = read_status()
    if as_json:
        print(json.dumps(accounts, default=str, ensure_ascii=False))  # noqa: T201  # what was asked for
        return
    for account in accounts:
        console().print(f"[bold]account {account['account']}[/bold]")
        for what, value in _lines(account):
            console().print(f"  {what:<14} {value}", markup=False)


def read_status() -> list[dict[str, Any]]:
    """What the published file knows of each account, `is_configured` or not; instants are UTC."""
    with inside() as project:
        is_demo = readable_path(project) != published_path(project)  # its account is nobody's to configure
        names = None if is_demo else account_names()
    with reading() as connection:
        accounts: list[dict[str, Any]] = connection.sql(_STATUS).to_arrow_table().to_pylist()
        oldest = dict(connection.execute(_OLDEST).fetchall())
        for account in accounts:
            account["oldest"] = oldest.get(account["account"])
            account["is_configured"] = names is None or account["account"] in names
        for name, query in _COUNTS.items():
            there = has_table(connection, "pickups" if name == "pickups" else "pickups_quarantine")
            rows = dict(connection.execute(query).fetchall()) if there else {}
            for account in accounts:
                account[name] = rows.get(account["account"], 0)
    return accounts


def _lines(account: dict[str, Any]) -> list[tuple[str, str]]:
    failed = json.loads(account["checks_failed"] or "{}")
    return [
        *([] if account["is_configured"] else [("configured", NOT_CONFIGURED)]),
        ("last run", f"{account['last_outcome']}, {_ago(account['last_run_at'])}"),
        *([("error", account["last_error"])] if account["last_error"] else []),
        ("last good run", _ago(account["last_success_at"])),
        ("pickups", f"{account['pickups']:,}"),
        ("open", f"{account['open_pickups'] or 0:,}"),
        ("newest", _utc(account["newest_created_at"])),
        ("frontier", _utc(account["frontier"]) if account["frontier"] else "none yet: the next run sets it"),
        ("history", "complete" if account["history_complete"] else f"back to {_day(account['oldest'])}, not complete"),
        ("last sweep", _sweep(account)),
        ("quarantine", f"{account['quarantined']:,} records"),
        ("checks", ", ".join(f"{name} ({rows:,})" for name, rows in failed.items()) or "all passed"),
    ]


def _sweep(account: dict[str, Any]) -> str:
    last = _utc(account["last_sweep_at"]) if account["last_sweep_at"] else "never (pickups run --sweep, once a week)"
    return f"under way; the one before: {last}" if account["is_sweep_under_way"] else last


def _ago(instant: datetime | None) -> str:
    if instant is None:
        return "never"
    age = timedelta(seconds=round((datetime.now(UTC) - instant).total_seconds()))
    return f"{_utc(instant)} ({age} ago)"


def _utc(instant: datetime | None) -> str:
    return "–" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def _day(instant: datetime | None) -> str:
    return "–" if instant is None else f"{instant:%Y-%m-%d}"
