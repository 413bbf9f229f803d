"""Defines the receipt, which records what a run did with one account.

A run prints its receipts, returns them, and stores each one as a row in `sendcloud.pickup_runs`.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

from pipelines.errors import EXIT_CHECK_FAILED, exit_code_of
from pipelines.output import to_json
from sources.sendcloud.reading.clocks import MAX_CLOCK_DIFFERENCE
from sources.sendcloud.reading.progress import ReadFacts, ReadStats

READ_FACTS = ReadFacts.__struct_fields__
NOT_STORED = ("stats", "failure", "has_new_findings", "findings_due_at")


def program_version() -> str:
    """Returns this package's version, or `unknown` if the package is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # imports the parsers for e-mail and zip files

    try:
        return version("sendcloud-pickups")
    except PackageNotFoundError:
        return "unknown"


class Receipt(Struct):
    """The result of one run for one account.

    All timestamps are UTC. `stats` describes what was read, with timestamps from the API's clock; the other fields
    describe what was loaded, with timestamps from this machine's clock. The facts in `stats` are also attributes of the
    receipt because they are columns of the same row.

    `rows_new`, `rows_changed` and `rows_unchanged` compare the pickups with the table as it was before the run. Fields
    whose names begin with `seconds_` are durations in seconds.
    """

    stats: ReadStats = field(default_factory=lambda: ReadStats(account="default"))
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    run_number: int | None = None  # the receipt's number within its account; set when the receipt is first written
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None
    outcome: str = "failed"
    error: str | None = None
    rows_new: int = 0
    rows_changed: int = 0
    rows_unchanged: int = 0
    rows_cancelled: int = 0
    rows_expired: int = 0  # Listed, but older than `[retention] pickups_months` allows.
    rows_in_table: int | None = None  # Counted after the run; None if the table does not exist.
    history_complete: bool | None = None  # Like `sweep`, describes the state after the last loaded package.
    sweep: str | None = None
    rows_missed: int | None = None
    missed_ids: list[int] = field(default_factory=list)
    rows_unlisted: int | None = None
    warehouse_restored: str | None = None
    open_missing: int | None = None  # known open pickups that are missing from the list; None if not checked
    discarded_packages: int = 0
    discarded_dir: str | None = None
    seconds_read: float = 0.0
    seconds_loaded: float = 0.0
    seconds_published: float | None = None
    checks_failed: dict[str, int] = field(default_factory=dict)
    unexpected_values: dict[str, list[str]] = field(default_factory=dict)
    must_pass_failed: bool = False
    version: str = field(default_factory=program_version)
    is_quick: bool = False  # Whether the run only compared the pages with those of the run before.
    has_new_findings: bool = True  # Whether the last good run did not have one of the findings; not stored.
    findings_due_at: datetime | None = None  # When the time alone will next change a check's result; not stored.
    failure: Exception | None = None  # The exception that `error` describes; not stored in the table.

    def __getattr__(self, name: str) -> Any:
        """Returns a fact from `stats`. Python calls this method only for names that the receipt lacks."""
        if name in READ_FACTS:
            return getattr(self.stats, name)
        raise AttributeError(name)

    @property
    def exit_code(self) -> int:
        """The failure's exit code if the run failed, 1 if a must-pass check failed, and 0 otherwise."""
        if self.failure:
            return exit_code_of(self.failure)
        return EXIT_CHECK_FAILED if self.must_pass_failed else 0

    def is_remarkable(self) -> bool:
        """Returns whether the run failed or found something that the account's last good run did not find."""
        return bool(self.failure) or self.must_pass_failed or (bool(self.checks_failed) and self.has_new_findings)

    def numbers(self) -> dict[str, Any]:
        """Returns the numeric fields by name, plus the exit code, for a log event."""
        numbers = {name: value for name, value in self._facts().items() if isinstance(value, int | float)}
        return numbers | {"exit_code": self.exit_code}

    def as_row(self) -> dict[str, Any]:
        """Returns the fields by name as the database stores them, with mappings and lists as JSON text."""
        row = self._facts()
        return {k: json.dumps(v, sort_keys=True) if isinstance(v, dict | list) else v for k, v in row.items()}

    def as_json(self) -> str:
        """Returns the receipt as one JSON object, with timestamps in ISO 8601."""
        return to_json(self._facts(), default=datetime.isoformat)

    def _facts(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self.__struct_fields__ if name not in NOT_STORED}
        return {name: getattr(self.stats, name) for name in READ_FACTS} | own

    def __str__(self) -> str:
        seconds = self.seconds_read + self.seconds_loaded + (self.seconds_published or 0)
        counts = f"{self.rows_new:,} new, {self.rows_changed:,} changed, {self.rows_unchanged:,} unchanged"
        parts = [f"{counts} in {seconds:.1f} s"]
        if not self.is_first_read:
            parts.append(f"{self.rows_cancelled:,} cancelled since the last run")
        if self.watermark:
            parts.append(f"newest {self.watermark:%Y-%m-%d %H:%M} UTC")
        if self.open_pickups is not None:
            parts.append(f"{self.open_pickups:,} open")
        return " · ".join(parts)

    def remarks(self) -> list[str]:
        """Returns one remark for each unusual fact about the run. The list is empty for an ordinary run."""
        remarks = [self.warehouse_restored] if self.warehouse_restored else []
        if self.quarantined:
            kept = "kept in sendcloud.pickups_quarantine"
            records = _rows(self.quarantined, "record")
            remarks.append(f"{records} could not be loaded ({self.first_rejection}); {kept}")
        if self.rows_expired:
            remarks.append(f"{_rows(self.rows_expired)} not loaded because of age ([retention] pickups_months)")
        if self.unknown_fields:
            remarks.append(f"unknown fields, kept in extra: {', '.join(sorted(self.unknown_fields))}")
        if self.unreadable_fields:
            named = ", ".join(f"{name} ({count:,})" for name, count in sorted(self.unreadable_fields.items()))
            remarks.append(f"unreadable fields, stored as null and kept in extra: {named}")
        if self.api_version_before:
            # a run for a scheduler's time window reads only that window, so `history_complete` stays None
            all_of_it = "" if self.history_complete is None else "; everything is read again"
            remarks.append(f"API: {self.api_version}, was {self.api_version_before}{all_of_it}")
        if self.open_missing:
            missing = _rows(self.open_missing, "open pickup")
            remarks.append(f"{missing} missing from the list, which may have been cut short; the last state is kept")
        if abs(self.clock_difference_seconds or 0) > MAX_CLOCK_DIFFERENCE.total_seconds():
            remarks.append(self._clocks())
        if self.order == "unsorted":
            remarks.append("order: unsorted; the list was not sorted newest first, so it was read to the end")
        if self.links_by_https:
            links = _rows(self.links_by_https, "next link")
            remarks.append(f"{links} from Sendcloud began with http; the pages were requested over https")
        if self.open_beyond_lookback:
            remarks.append(f"{self.open_beyond_lookback:,} open pickups are older than max_lookback_days")
        if self.discarded_packages:
            packages = _rows(self.discarded_packages, "load package")
            remarks.append(f"set aside {packages} from a crashed run and read its pickups again")
            if self.discarded_dir:
                remarks.append(
                    f"to inspect the data, open the Parquet files in {self.discarded_dir}; "
                    "after another crash, the next run replaces them"
                )
        if self.sweep:
            remarks.append(self._sweep())
        if self.checks_failed and (self.must_pass_failed or self.has_new_findings):
            named = ", ".join(f"{name} ({self._wrong(name)})" for name in self.checks_failed)
            remarks.append(f"{'A MUST-PASS CHECK FAILED' if self.must_pass_failed else 'worth a look'}: {named}")
        return remarks

    def _wrong(self, check: str) -> str:
        values = ", ".join(self.unexpected_values.get(check, []))
        return _rows(self.checks_failed[check]) + (f": {values}" if values else "")

    def _clocks(self) -> str:
        seconds = self.clock_difference_seconds
        differs = f"{abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'}"
        used = self.observed_at and f"; the run used {self.observed_at:%Y-%m-%d %H:%M} UTC as the current time"
        return f"clocks: this machine's clock is {differs} the API's clock{used or ''}"

    def _sweep(self) -> str:
        if self.sweep == "not_begun":
            return "sweep: not started, because the run resumed an earlier read of the whole list; request a new sweep"
        rows_missed, ids = self.rows_missed or 0, ", ".join(map(str, self.missed_ids))
        more = " …" if rows_missed > len(self.missed_ids) else ""
        found = f"{_rows(rows_missed)} had changed outside the frontier" + (f" (ids {ids}{more})" if ids else "")
        if self.sweep == "incomplete":
            return f"sweep: incomplete, the next run resumes it; so far {found}"
        return f"sweep: everything was read again; {found}, {_rows(self.rows_unlisted or 0)} no longer listed"


def _rows(number: int, what: str = "row") -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
