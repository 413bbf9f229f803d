"""Implements `pickups status`, which prints each account's last run and the state of its tables.

Of several accounts, those with problems come first and in full, and each good account takes one line.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pipelines.analytics.checks import check_files, is_must_pass
from pipelines.destinations.file_lock import Holder
from pipelines.errors import StaleData, with_age
from pipelines.operations.prometheus import format_metrics
from pipelines.operations.status import find_last_command, max_age_setting, read_status
from pipelines.output import print_json, print_styled, print_text, visible
from pipelines.wording.numbers import count

NOT_CONFIGURED = (
    "no; the account was removed or renamed. Its rows have not changed since the last good run and are included in "
    "every view. To continue under the new name, run: pickups accounts rename {0} NEW. To delete the account's rows, "
    "run: pickups accounts remove {0}"
)
NEVER = "never (to load pickups: pickups run; without keys: pickups demo)"
GOOD = "good"
PROBLEMS = ("failed", "never loaded", "too old", "with a failed check", "not configured")  # the most urgent one first
StatusFormat = Literal["text", "json", "prometheus"]


def print_status(*, form: StatusFormat = "text", max_age_hours: float | None = None) -> None:
    """Prints a block or a line, one object in a JSON list, or one sample of each metric for each account.

    Args:
        form: how to print the status.
        max_age_hours: the maximum age of the last good run in hours; default `[status] max_age_hours`.

    Raises:
        StaleData: after printing, if the last good run of a configured account is too old or does not exist. Metrics
            say this themselves, and a collector would discard the output of a command that failed.
    """
    limit = max_age_setting() if max_age_hours is None else max_age_hours
    accounts = read_status(limit)
    if form == "prometheus":
        print_text(format_metrics(accounts))
        return
    if form == "json":
        print_json(accounts)
    else:
        if command := find_last_command():
            print_text(_command_words(command))
        _print_accounts(accounts)
    if stale := {one["account"]: _format_age(one["last_success_at"]) for one in accounts if one["is_stale"]}:
        raise StaleData(limit, stale)


def _command_words(command: Holder) -> str:
    process = visible(with_age(command.process))
    if not command.was_killed:
        return f"A command is under way ({process})."
    return (
        f"A command was killed while it held the lock ({process}). No data is lost. If it was a run, the next run "
        "continues its work. Otherwise, run the command again."
    )


def _print_accounts(accounts: list[dict[str, Any]]) -> None:
    if len(accounts) == 1:
        _print_block(accounts[0])
        return
    must_pass = {path.stem for path in check_files() if is_must_pass(path)}
    states = {account["account"]: _state(account, must_pass) for account in accounts}
    counted = Counter(states.values())
    told = [f"{counted[state]} {state}" for state in (GOOD, *PROBLEMS) if counted[state]]
    print_styled((f"{len(accounts)} accounts: {', '.join(told)}", "bold"))
    for state in PROBLEMS:
        for account in accounts:
            if states[account["account"]] == state:
                _print_block(account, f" ({state})")
    good = [account for account in accounts if states[account["account"]] == GOOD]
    width = max((len(visible(account["account"])) for account in good), default=0)
    for account in good:
        print_text(f"{visible(account['account']):<{width}}  {_good_words(account)}")


def _state(account: dict[str, Any], must_pass: set[str]) -> str:
    """Returns GOOD or the most important problem of the account. A removed account has no other problem."""
    if not account["is_configured"]:
        return "not configured"
    if account["last_outcome"] == "failed":
        return "failed"
    if account["is_stale"]:
        return "too old" if account["last_success_at"] else "never loaded"
    return "with a failed check" if must_pass & json.loads(account["checks_failed"] or "{}").keys() else GOOD


def _good_words(account: dict[str, Any]) -> str:
    ago = _format_ago(account["last_success_at"])
    return f"last good run {ago}, {count(account['pickups'], 'pickup')}, {account['open_pickups'] or 0:,} open"


def _print_block(account: dict[str, Any], state: str = "") -> None:
    print_styled((f"account {account['account']}{state}", "bold"))
    for what, value in _status_lines(account):
        print_text(f"  {what:<14} {visible(value)}")


def _status_lines(account: dict[str, Any]) -> list[tuple[str, str]]:
    failed = json.loads(account["checks_failed"] or "{}")
    last_at, good_at = account["last_run_at"], account["last_success_at"]
    last_run = f"{account['last_outcome']}, began {_format_age(last_at)}" if last_at else NEVER
    good_run = f"ended {_format_age(good_at)}" if good_at else "never"
    is_read, oldest = account["history_complete"], account["oldest"]
    history = "complete" if is_read else f"back to {oldest:%Y-%m-%d}, not complete" if oldest else "–"
    checked = "all passed" if account["checks_failed"] else "–"  # no run has checked an account that never loaded
    return [
        *([] if account["is_configured"] else [("configured", NOT_CONFIGURED.format(account["account"]))]),
        ("last run", last_run),
        *([("error", account["last_error"])] if account["last_error"] else []),
        ("last good run", f"{good_run}{', TOO OLD' if account['is_stale'] else ''}"),
        ("pickups", f"{account['pickups']:,}"),
        ("open", f"{account['open_pickups'] or 0:,}"),
        ("newest", _format_instant(account["newest_created_at"])),
        ("frontier", _format_instant(account["frontier"]) if account["frontier"] else "none yet; the next run sets it"),
        ("history", history),
        ("last sweep", _sweep_text(account)),
        ("quarantine", f"{account['quarantined']:,} records"),
        ("checks", ", ".join(f"{name} ({rows:,})" for name, rows in failed.items()) or checked),
    ]


def _sweep_text(account: dict[str, Any]) -> str:
    last_at = account["last_sweep_at"]
    last = _format_instant(last_at) if last_at else "never (pickups run --sweep, once a week)"
    return f"under way; previous sweep: {last}" if account["is_sweep_under_way"] else last


def _format_age(instant: datetime | None) -> str:
    return "never" if instant is None else f"{_format_instant(instant)} ({_format_ago(instant)})"


def _format_ago(instant: datetime | None) -> str:
    if instant is None:
        return "never"
    return f"{timedelta(seconds=round((datetime.now(UTC) - instant).total_seconds()))} ago"


def _format_instant(instant: datetime | None) -> str:
    return "–" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S} UTC"
