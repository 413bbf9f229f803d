"""What a run did, as a value: printed, returned, and a row of `sendcloud.pickup_runs`."""

from __future__ import annotations

import dataclasses
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipelines.errors import EXIT_CHECK_FAILED, exit_code_of


def _version() -> str:
    try:
        return version("sendcloud-pickups")
    except PackageNotFoundError:
        return "unknown"


@dataclass
class Receipt:
    """One run over one account. Instants are UTC; `observed_at` is the API's clock, started and finished ours.

    `rows_new`, `rows_changed` and `rows_unchanged` count pickups against the table as it was before the run.
    """

    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    account: str = "default"
    api_version: str = "v2"
    api_version_before: str | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None
    observed_at: datetime | None = None
    outcome: str = "failed"
    error: str | None = None
    pages: int = 0
    requests: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    rows_read: int = 0
    rows_new: int = 0
    rows_changed: int = 0
    rows_unchanged: int = 0
    rows_cancelled: int = 0
    rows_in_table: int | None = None  # after the run; None before there is a table
    quarantined: int = 0
    first_rejection: str | None = None
    is_first_read: bool = False
    unknown_fields: dict[str, int] = field(default_factory=dict)
    order: str | None = None
    stopped_because: str | None = None
    watermark: datetime | None = None
    frontier: datetime | None = None
    open_pickups: int | None = None
    open_beyond_lookback: int | None = None
    history_complete: bool | None = None
    sweep: str | None = None
    rows_missed: int | None = None
    first_missed: list[int] = field(default_factory=list)
    rows_unlisted: int | None = None
    reached: datetime | None = None
    discarded_packages: int = 0
    discarded_to: str | None = None
    seconds_read: float = 0.0
    seconds_loaded: float = 0.0
    seconds_published: float | None = None
    checks_failed: dict[str, int] = field(default_factory=dict)
    check_values: dict[str, list[str]] = field(default_factory=dict)
    must_pass_failed: bool = False
    version: str = field(default_factory=_version)
    failure: Exception | None = None  # what `error` tells of; for who called the run, and in no table

    @property
    def exit_code(self) -> int:
        """0; 1 when the run is done but a check that must pass did not; that of the error when it failed."""
        if self.failure:
            return exit_code_of(self.failure)
        return EXIT_CHECK_FAILED if self.must_pass_failed else 0

    def numbers(self) -> dict[str, Any]:
        """How it ended, in numbers, for a log."""
        names = [name for name, value in vars(self).items() if isinstance(value, int | float)]
        return {name: getattr(self, name) for name in names} | {"exit_code": self.exit_code}

    def as_row(self) -> dict[str, Any]:
        """The fields by name, mappings and lists as JSON text: what the database holds."""
        row = self._facts()
        return {k: json.dumps(v, sort_keys=True) if isinstance(v, dict | list) else v for k, v in row.items()}

    def as_json(self) -> str:
        """The receipt as one JSON object, instants in ISO 8601."""
        return json.dumps(self._facts(), default=datetime.isoformat, ensure_ascii=False)

    def _facts(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "failure"}

    def __str__(self) -> str:
        return " · ".join([self._counts(), *self._state()])

    def _counts(self) -> str:
        seconds = self.seconds_read + self.seconds_loaded + (self.seconds_published or 0)
        return (
            f"{self.rows_new:,} new, {self.rows_changed:,} changed, {self.rows_unchanged:,} unchanged"
            f" in {seconds:.1f} s"
        )

    def _state(self) -> list[str]:
        parts = []
        if not self.is_first_read:
            parts.append(f"{self.rows_cancelled:,} cancelled since the last run")
        if self.watermark:
            parts.append(f"newest {self.watermark:%Y-%m-%d %H:%M} UTC")
        if self.open_pickups is not None:
            parts.append(f"{self.open_pickups:,} open")
        return parts

    def remarks(self) -> list[str]:
        """What a person should know beyond the numbers, a sentence each; empty on an ordinary run."""
        remarks = []
        if self.quarantined:
            kept = "kept in sendcloud.pickups_quarantine"
            records = _rows(self.quarantined, "record")
            remarks.append(f"{records} could not be loaded ({self.first_rejection}); {kept}")
        if self.unknown_fields:
            remarks.append(f"fields nobody told us of, kept in extra: {', '.join(sorted(self.unknown_fields))}")
        if self.api_version_before:
            # a window given by a scheduler reads no more than itself, and knows of no history
            all_of_it = "" if self.history_complete is None else "; everything is read again"
            remarks.append(f"API: {self.api_version}, was {self.api_version_before}{all_of_it}")
        if self.order == "unsorted":
            remarks.append("order: unsorted; the list was not newest first, so it was read to the end")
        if self.open_beyond_lookback:
            remarks.append(f"{self.open_beyond_lookback:,} open pickups are older than max_lookback_days")
        if self.discarded_packages:
            packages = _rows(self.discarded_packages, "load package")
            remarks.append(f"{packages} of a run that died: set aside, and what was in there read again")
            if self.discarded_to:
                remarks.append(f"to look at it: the Parquet files in {self.discarded_to}, kept until the next such run")
        if self.sweep:
            remarks.append(self._sweep())
        if self.checks_failed:
            named = ", ".join(f"{name} ({self._wrong(name)})" for name in self.checks_failed)
            remarks.append(f"{'A CHECK THAT MUST PASS DID NOT' if self.must_pass_failed else 'worth a look'}: {named}")
        return remarks

    def _wrong(self, check: str) -> str:
        values = ", ".join(self.check_values.get(check, []))
        return _rows(self.checks_failed[check]) + (f": {values}" if values else "")

    def _sweep(self) -> str:
        if self.sweep == "not_begun":
            return "sweep: not begun, for an earlier reading of the whole list was gone on with; ask for it once more"
        rows_missed, ids = self.rows_missed or 0, ", ".join(map(str, self.first_missed))
        more = " …" if rows_missed > len(self.first_missed) else ""
        found = f"{_rows(rows_missed)} had changed outside the frontier" + (f" (ids {ids}{more})" if ids else "")
        if self.sweep == "incomplete":
            return f"sweep: not complete yet, the next run goes on; so far {found}"
        return f"sweep: everything was read again; {found}, {_rows(self.rows_unlisted or 0)} no longer listed"


def _rows(number: int, what: str = "row") -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
