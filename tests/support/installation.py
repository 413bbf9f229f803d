"""Runs a user's installation in its own folder, and works out the expected rows from the records on the wire."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import pytest

from pipelines import Receipt, run
from pipelines.cli.main import main
from pipelines.loading.account_run import ProgressCallback
from sources.sendcloud.reading import clocks
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.by_hand import ZONES
from tests.support.destinations import DESTINATION, ELSEWHERE, copied, copy_place, made_place
from tests.support.processes import Begun

REPOSITORY = Path(__file__).parents[2]
API_VERSION = os.environ.get("TESTED_API_VERSION", "v2")  # `make test-v3` runs the suite with v3
# the path of the first page, without the page size
TOP = {"v2": "/api/v2/pickups?limit=", "v3": "/api/v3/pickups?page_size="}[API_VERSION]
CARRIER = {"v2": "carrier", "v3": "carrier_code"}[API_VERSION]  # the name on the wire
INSTANTS = ("pickup_from", "pickup_until", "created_at", "cancelled_at")
FIELDS = ("id", "carrier", "country", "tracking_number", "pickup_status", "contract", *INSTANTS)
# Retries do not wait, and dlt sends no telemetry about test runs.
AT_ONCE = {"RUNTIME__REQUEST_BACKOFF_FACTOR": "0", "RUNTIME__DLTHUB_TELEMETRY": "false"}
SECRET = "s3cret-that-must-not-show"


class Done(NamedTuple):
    """A command's exit code and output."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Installation:
    """A project folder. Runs are real: over a real socket, through dlt, into DuckDB files."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    templates: Any = field(default=None, kw_only=True)  # support/templates.py

    @property
    def warehouse(self) -> Path:
        if (path := self.published).name != "pickups.duckdb":
            return path
        return self.folder / "data" / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        """The file that users read. For other destinations, a DuckDB copy of the current rows."""
        return copied(self.folder) or self.folder / "data" / "pickups.duckdb"

    def as_in(self, project: Path) -> Installation:
        """Copies a project from `made_once` to this folder, and returns this installation. The project is unchanged."""
        shutil.copytree(project, self.folder, dirs_exist_ok=True)
        copy_place(project, self.folder)
        return self

    def loaded(self, api: Sandbox, **settings: Any) -> Installation:
        """Leaves this new project as its first run leaves it, and returns this installation.

        The first load of equal accounts is made once for all workers and then copied, for tests that check what comes
        after it. No request reaches `api`.
        """
        if self.templates is None or DESTINATION != "duckdb":
            self.run(api, **settings)
            return self
        assert [path.name for path in self.folder.rglob("*")] == [".dlt"], "a copied project has no files of its own"
        variables = {name: value for name, value in os.environ.items() if "__" in name}
        account = [api.world.records(), api.world.clock.isoformat(), API_VERSION, settings, variables]
        name = sha256(json.dumps(account, sort_keys=True).encode()).hexdigest()[:16]
        return self.as_in(self.templates.made(name, lambda folder: first_load(folder, api.world, **settings)))

    def run(
        self, api: Sandbox, *, sweep: bool = False, on_progress: ProgressCallback = lambda *_: None, **settings: Any
    ) -> Receipt:
        """Runs once in this process. `settings` are those of [sources.sendcloud]."""
        with self.monkeypatch.context() as patched, machine_clock_of(api):
            for name, value in environment(api, **settings).items():
                patched.setenv(name, value)
            return run(self.folder, sweep=sweep, on_progress=on_progress)

    def command(self, *words: str, api: Sandbox | None = None, **variables: str) -> Done:
        """Calls the entry point of `pickups …` in this process, which is a second faster than a new process."""
        out, err = io.StringIO(), io.StringIO()
        machine_clock = machine_clock_of(api) if api else nullcontext()
        with self.monkeypatch.context() as patched, machine_clock, redirect_stdout(out), redirect_stderr(err):
            for name, value in {**self._variables(api), **variables}.items():
                patched.setenv(name, value)
            patched.setattr(sys, "argv", ["pickups", *words])
            with pytest.raises(SystemExit) as ended:
                main()
        return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    def process(self, *words: str, api: Sandbox | None = None, **variables: str) -> Done:
        """Runs `pickups …` in a separate process, started from another folder."""
        following = ["tests.support.machine_clock", api.world.clock.isoformat()] if api else []
        done = subprocess.run(
            [sys.executable, "-m", *following, "pipelines", *words],
            env={**os.environ, **self._variables(api), **variables, "PYTHONPATH": str(REPOSITORY)},
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def begin(self, *words: str, api: Sandbox | None = None, module: str = "pipelines", **settings: Any) -> Begun:
        """Starts a process without waiting for it. If `api` is given, `settings` are those of [sources.sendcloud]."""
        variables = {**(environment(api, **settings) if api else {}), **self._variables(None)}
        return Begun(module, words, {**os.environ, **variables})

    def _variables(self, api: Sandbox | None) -> dict[str, str]:
        return {**(environment(api) if api else {}), "DLT_PROJECT_DIR": str(self.folder), "COLUMNS": "120"}

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Queries the published file."""
        return rows_of(self.published, query)

    def pickups(self) -> list[dict[str, Any]]:
        """Returns `sendcloud.pickups` as published, in key order: the columns that the API sent."""
        rows = self.rows("select * exclude (_dlt_load_id) from sendcloud.pickups order by account, id")
        return without_kept_columns(rows)


@contextmanager
def machine_clock_of(api: Sandbox) -> Iterator[None]:
    """Sets this machine's clock to that of the sandbox, unless the test has set it already."""
    with nullcontext() if clocks._machine_clock else clocks.simulated_machine_clock(lambda: api.world.clock):
        yield


@contextmanager
def made_once(folder: Path) -> Iterator[Installation]:
    """Yields an installation that every test in a file copies with `as_in` and continues from.

    Its rows are in the destination that these tests use.
    """
    (folder / ".dlt").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {**AT_ONCE, **made_place(folder)}.items():
            patched.setenv(name, value)
        yield Installation(folder, patched)


def first_load(folder: Path, world: World, **settings: Any) -> None:
    with made_once(folder) as installation, serve(world) as api:
        installation.run(api, **settings)


def rows_of(path: Path, query: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        return connection.sql(query).to_arrow_table().to_pylist()


def environment(api: Sandbox, **settings: Any) -> dict[str, str]:
    """Returns the environment variables that point an installation at a sandbox."""
    named = {"base_url": api.base_url, "api_version": API_VERSION, **settings}
    keys = {"credentials__public_key": api.public_key, "credentials__secret_key": api.secret_key}
    named = named if "credentials__client_id" in named else keys | named
    return {f"SOURCES__SENDCLOUD__{name.upper()}": str(value) for name, value in named.items()}


def as_rows(
    records: list[dict[str, Any]], account: str = "default", api_version: str = API_VERSION
) -> list[dict[str, Any]]:
    """Returns the rows that the table must hold for these records, worked out without any of the product's code."""
    rows = [as_row(record, account, api_version) for record in records]
    return sorted(rows, key=lambda row: row["id"])


def as_row(record: dict[str, Any], account: str = "default", api_version: str = API_VERSION) -> dict[str, Any]:
    unknown = {name: value for name, value in record.items() if name not in FIELDS}
    row = {"account": account, **{name: record.get(name) for name in FIELDS}}
    for name in INSTANTS:
        row[name] = utc(row[name]) if row[name] else None
    row["extra"] = compact(unknown) if unknown else None
    row["time_slots"], row["api_version"] = None, api_version
    if api_version == "v3" and record:
        row["pickup_status"] = record["pickup_status"].upper()
        row["time_slots"] = None if (slots := slots_of(record)) is None else compact(slots)
    return row


def without_kept_columns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns rows of `sendcloud.pickups` without the columns that a DuckDB warehouse keeps for the views.

    Fails if they are not those that follow from the row's times.
    """
    sent = [{name: value for name, value in row.items() if not name.endswith("_local")} for row in rows]
    kept = [{name: value for name, value in row.items() if name.endswith("_local")} for row in rows]
    assert kept == ([{}] * len(rows) if ELSEWHERE else [*map(local_columns, sent)])
    return sent


def local_columns(row: dict[str, Any]) -> dict[str, Any]:
    """Returns the columns that a DuckDB warehouse keeps for a row, worked out with Python's time zones."""
    zone = ZoneInfo(ZONES.get((row["country"] or "").upper(), "UTC"))
    booked, opens = (row[name] and row[name].astimezone(zone) for name in ("created_at", "pickup_from"))
    return {
        "booked_day_local": booked.date(),
        "booked_hour_local": booked.hour,
        "window_opens_hour_local": opens and opens.hour,
        "window_opens_isodow_local": opens and opens.isoweekday(),
    }


def as_sent(status: str) -> str:
    """Returns one of the world's statuses as the version under test spells it."""
    return status.upper() if API_VERSION == "v3" else status


def address_of(api: Sandbox) -> str:
    """Returns the base URL of the version under test."""
    return api.base_url_v3 if API_VERSION == "v3" else api.base_url


def on_the_wire(record: dict[str, Any]) -> dict[str, Any]:
    """Returns one of the world's records as the version under test sends it."""
    if API_VERSION == "v2":
        return record
    names = {"carrier": "carrier_code", "pickup_status": "status", "contract": "contract_id"}
    sent = {names.get(k, k): value for k, value in record.items() if k not in ("pickup_from", "pickup_until")}
    sent |= {} if (slots := slots_of(record)) is None else {"time_slots": slots}
    return sent | ({"status": sent["status"].upper()} if isinstance(sent.get("status"), str) else {})


def slots_of(record: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Returns a world record's window as v3 sends it: one slot, no slot, or None if the field is absent."""
    if not {"pickup_from", "pickup_until"} & record.keys():
        return None
    until = {"end_at": record["pickup_until"]} if "pickup_until" in record else {}
    return [{"start_at": record["pickup_from"], **until}] if record.get("pickup_from") else []


def compact(value: Any) -> str:
    """Returns JSON as the tables store it, with sorted keys and without spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@contextmanager
def nothing_is_sent_to(api: Sandbox) -> Any:
    """Fails if the sandbox receives a request."""
    before = len(api.requests)
    yield
    assert api.requests[before:] == []
