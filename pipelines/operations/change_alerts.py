"""Sends a message after `pickups run` when a carrier's cancellation rate has changed (`[alerts] on_change`).

The view `cancellation_changes` decides what a change is. Its rows change once a week, so this module looks at them once
a week. A carrier is reported again only if its change was no alarm at a look in between, or if the direction differs.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from pipelines.atomic_file import replace_atomically
from pipelines.destinations.filter import PickupFilter
from pipelines.json_logs import log_event, print_or_log
from pipelines.operations.alerts import AlertSettings, heading, post_message
from pipelines.operations.incidents import is_in_own_folder, is_own_file
from pipelines.receipt import Receipt
from pipelines.warehouse import read_rows, reading

Row = Mapping[str, Any]
ENDING = ".changes.json"
REFUSED = "[runtime] slack_incoming_hook: {}. The next run sends the message about changed rates again."


class Look(msgspec.Struct):
    """The last look at the view.

    Attributes:
        until: the end of the period at which the program looked.
        alarms: the carriers whose change was an alarm, each with the direction of the change.
    """

    until: date
    alarms: dict[str, str]


def notify_changes(settings: AlertSettings, receipts: Sequence[Receipt], configured: Sequence[str]) -> None:
    """Reports the carriers whose cancellation rate has changed, over all configured accounts together.

    Args:
        settings: the project's alert settings.
        receipts: the receipts of the run. If no account succeeded, nothing is reported.
        configured: the names of all configured accounts.
    """
    files = [path.with_name(path.name.removesuffix(".incidents.json") + ENDING) for path in settings.incident_files]
    if not (settings.hook and settings.on_change):
        _write_look(files, None)
        return
    before = _read_look(files)
    if all(receipt.exit_code for receipt in receipts) or (before and before.until >= _last_monday()):
        return
    try:
        rows = _changes(configured)
    except Exception as error:  # an alert must never make the run fail
        print_or_log("alert_failed", f"[alerts] on_change: the rates can't be read ({type(error).__name__})")
        return
    if not rows or (before and before.until >= rows[0]["now_ends_utc"]):
        return
    found = Look(rows[0]["now_ends_utc"], {row["carrier"]: _direction(row) for row in rows if row["is_alarm"]})
    known = before.alarms if before else {}
    new = [row for row in rows if row["is_alarm"] and known.get(row["carrier"]) != _direction(row)]
    if not new or _send(settings, settings.hook, new):
        _write_look(files, found)


def _last_monday() -> date:
    today = datetime.now(UTC).date()
    return today - timedelta(days=today.weekday())


def _changes(configured: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the view's rows for the configured accounts together, by carrier.

    Accounts that were removed from the settings are left out. Otherwise, their last run would determine the period.
    """
    with reading() as connection:
        known = {
            name for (name,) in connection.execute("select distinct account from sendcloud.pickup_runs").fetchall()
        }
    only = PickupFilter(accounts=sorted(known.intersection(configured)))
    rows = [row for row in read_rows("cancellation_changes", only=only) if row["is_every_account"]]
    return sorted(rows, key=lambda row: row["carrier"])


def _direction(row: Row) -> str:
    return "higher" if row["difference"] > 0 else "lower"


def _send(settings: AlertSettings, hook: str, new: Sequence[Row]) -> bool:
    lines = [heading(settings), *(line for row in new for line in (_sentence(row), _command(row)))]
    if not post_message(hook, lines, REFUSED):
        return False
    log_event("alerted", changed=[row["carrier"] for row in new])
    return True


def _sentence(row: Row) -> str:
    now, before, change, low, high = (
        100 * row[name]
        for name in (
            "now_rate_at_one_mix", "before_rate_at_one_mix", "difference", "difference_low", "difference_high",
        )
    )  # fmt: skip
    return (
        f"{row['carrier']}: {now:.1f} % of pickups cancelled in the four weeks to {row['now_ends_utc']}, "
        f"{before:.1f} % before, at one mix: {change:+.1f} points (95 % interval {low:.1f} to {high:.1f})"
    )


def _command(row: Row) -> str:
    carrier = shlex.quote(row["carrier"])
    period = f"--since {row['now_starts_utc']} --until {row['now_ends_utc']}"
    return f"See: pickups list --carrier {carrier} --state cancelled {period}"


def _read_look(files: Sequence[Path]) -> Look | None:
    try:
        path = max((file for file in files if is_own_file(file)), key=lambda file: file.stat().st_mtime)
        return msgspec.json.decode(path.read_bytes(), type=Look)
    except (OSError, ValueError, msgspec.DecodeError):
        return None


def _write_look(files: Sequence[Path], look: Look | None) -> None:
    """Writes the look to the first of these files that can be written, and deletes the others."""
    for path in files:
        with suppress(OSError):
            if not is_in_own_folder(path, create=look is not None):
                continue
            if look is None:
                path.unlink(missing_ok=True)
                continue
            with replace_atomically(path) as fresh:
                fresh.write_bytes(msgspec.json.encode(look))
            look = None
