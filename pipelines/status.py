"""`pickups status`: when the last run was, how it went, and what is in the tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.accounts import account_names, has_keys
from pipelines.errors import NothingYet, Stale
from pipelines.project import inside
from pipelines.screen import console
from pipelines.settings import setting
from pipelines.warehouse import reading
from pipelines.which_store import store_of

NOT_CONFIGURED = (
    "no longer, or by another name. Its rows stay, and count in every view, as they were after its last good run. "
    "How to delete them, or give them the new name: pipelines/README.md, Accounts"
)
NEVER = "never (pickups run loads some; without keys: pickups demo)"
_GOOD = "filter (where outcome = 'succeeded')"
# of each account. A receipt from the future (this machine's clock was wrong) would make it look fresh for as long
_FACTS = {
    "last_outcome": "arg_max(outcome, started_at)",
    "last_error": "arg_max_null(error, started_at)",
    "last_run_at": "max(started_at)",
    "last_success_at": "max(finished_at) filter (where outcome = 'succeeded' and finished_at <= now())",
    "open_pickups": f"arg_max(open_pickups, started_at) {_GOOD}",
    "frontier": f"arg_max_null(frontier, started_at) {_GOOD}",
    "newest_created_at": f"arg_max(watermark, started_at) {_GOOD}",
    "history_complete": "arg_max(history_complete, started_at) filter (where history_complete is not null)",
    "last_sweep_at": "max(observed_at) filter (where sweep = 'complete')",
    "is_sweep_under_way": "arg_max(sweep, started_at) = 'incomplete'",
    "checks_failed": f"arg_max(checks_failed, started_at) {_GOOD}",
}
_SELECTED = ", ".join(f"{expression} as {name}" for name, expression in _FACTS.items())
_STATUS = f"select account, {_SELECTED} from sendcloud.pickup_runs group by account"  # noqa: S608  # as written above
_OLDEST = "select account, min(created_at) from sendcloud.pickups group by account"
_COUNTS = {
    "pickups": "select account, count(*) as rows from sendcloud.pickups group by account",
    "quarantined": "select account, count(*) as rows from sendcloud.pickups_quarantine group by account",
}


def status(*, as_json: bool = False, max_age_hours: float | None = None) -> None:
    """Prints one block (or one JSON object of a list) for each account.

    Raises Stale, when all is printed, if the last good run of a configured one is older than `max_age_hours` (default
    `[status] max_age_hours`), or there never was one.
    """
    with inside():
        limit: float = setting("status.max_age_hours") if max_age_hours is None else max_age_hours
    accounts = read_status(limit)
    if as_json:
        print(json.dumps(accounts, default=str, ensure_ascii=False))  # noqa: T201  # what was asked for
    else:
        for account in accounts:
            console().print(f"[bold]account {account['account']}[/bold]")
            for what, value in _lines(account):
                console().print(f"  {what:<14} {value}", markup=False)
    if stale := {one["account"]: _ago(one["last_success_at"]) for one in accounts if one["is_stale"]}:
        raise Stale(limit, stale)


def read_status(max_age_hours: float) -> list[dict[str, Any]]:
    """What the published file knows of each account, `is_configured` or not, and those configured of which it knows
    nothing; instants are UTC. `is_stale` where the last good run of a configured one is older, by this machine's clock.
    """
    with inside() as project:
        is_demo = store_of(project).is_demo()  # its account is nobody's to configure
        names = account_names() if has_keys() or not is_demo else []  # who only tried the demo has none that could run
    accounts = {one["account"]: one for one in _published()}
    for name in {*names} - accounts.keys():
        accounts[name] = {"account": name, **dict.fromkeys([*_FACTS, "oldest"]), **dict.fromkeys(_COUNTS, 0)}
    for name, account in accounts.items():
        account["is_configured"] = is_demo or name in names
        account["age_hours"] = age = _age_hours(account["last_success_at"])
        account["is_stale"] = name in names and not (age is not None and age <= max_age_hours)
    return [accounts[name] for name in sorted(accounts)]


def _published() -> list[dict[str, Any]]:
    try:
        with reading() as connection:
            accounts: list[dict[str, Any]] = connection.sql(_STATUS).to_arrow_table().to_pylist()
            oldest = dict(connection.execute(_OLDEST).fetchall())
            for account in accounts:
                account["oldest"] = oldest.get(account["account"])
            for name, query in _COUNTS.items():
                there = connection.columns("pickups" if name == "pickups" else "pickups_quarantine")  # in a lake: views
                rows = dict(connection.execute(query).fetchall()) if there else {}
                for account in accounts:
                    account[name] = rows.get(account["account"], 0)
            return accounts
    except NothingYet:
        return []


def _age_hours(instant: datetime | None) -> float | None:
    return None if instant is None else round((datetime.now(UTC) - instant) / timedelta(hours=1), 3)


def _lines(account: dict[str, Any]) -> list[tuple[str, str]]:
    failed = json.loads(account["checks_failed"] or "{}")
    return [
        *([] if account["is_configured"] else [("configured", NOT_CONFIGURED)]),
        ("last run", f"{account['last_outcome']}, {_ago(account['last_run_at'])}" if account["last_run_at"] else NEVER),
        *([("error", account["last_error"])] if account["last_error"] else []),
        ("last good run", f"{_ago(account['last_success_at'])}{', TOO OLD' if account['is_stale'] else ''}"),
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
