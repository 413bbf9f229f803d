"""Runs `pickups run` the quick way and the ordinary way from the same files, and compares what both leave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines import Receipt
from pipelines.config.project import project_context
from pipelines.loading.plan import plan_run
from pipelines.quick import marks
from pipelines.quick.command_line import RunOptions
from pipelines.quick.prepare import prepare_quick_run
from pipelines.quick.repeat_run import QuickRun, repeat_last_run
from sources.sendcloud.reading.clocks import simulated_machine_clock
from sources.sendcloud.sandbox import Sandbox
from tests.support.installation import Installation, environment, machine_clock_of
from tests.support.invariants import tables_of

SETTING = {"PIPELINE__QUICK_RUNS": "true"}
# what differs between two runs of the same kind, too
OF_ONE_RUN = {
    *("run_id", "started_at", "finished_at", "seconds_read", "seconds_loaded", "seconds_published"),
    *("is_quick", "published_file", "_dlt_load_id", "load_id"),
}


@contextmanager
def configured(
    installation: Installation, api: Sandbox, clock_error: timedelta | None = timedelta(0), **settings: Any
) -> Iterator[None]:
    """Sets the variables of an installation whose runs may be quick.

    Also sets the clock of this machine, unless `clock_error` is None and the test has set it already.
    """
    machine_clock = machine_clock_of(api)
    if clock_error is not None:
        machine_clock = simulated_machine_clock(lambda: api.world.clock + clock_error)
    with installation.monkeypatch.context() as patched, machine_clock:
        for name, value in {**environment(api, **settings), **SETTING}.items():
            patched.setenv(name, value)
        yield


ALL = RunOptions()


def quick(installation: Installation, api: Sandbox, options: RunOptions = ALL, **settings: Any) -> QuickRun | None:
    """Returns the result of a quick run in this process, or None if an ordinary run must do it."""
    with configured(installation, api, **settings):
        done = repeat_last_run(installation.folder, mark_of(installation), options)
        return done if isinstance(done, QuickRun) else None


def ordinary(
    installation: Installation, api: Sandbox, clock_error: timedelta | None = timedelta(0), **settings: Any
) -> Receipt:
    """Makes an ordinary run in this process, and leaves the record for a quick one."""
    with configured(installation, api, clock_error, **settings):
        receipt = installation.run(api, **settings)
    remember(installation, api, receipt, clock_error=clock_error, **settings)
    return receipt


def remember(installation: Installation, api: Sandbox, receipt: Receipt, **settings: Any) -> None:
    """Does what `pickups run` does after an ordinary run."""
    with configured(installation, api, **settings), project_context(installation.folder) as project:
        prepare_quick_run(plan_run(project), mark_of(installation), [], None, [receipt])


def mark_of(installation: Installation) -> str:
    return marks.installation_mark(installation.folder)


class Files:
    """The two files of an installation as they are now, to return to."""

    def __init__(self, installation: Installation) -> None:
        self._contents = {path: path.read_bytes() for path in _files(installation) if path.exists()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Files) and self._contents == other._contents

    __hash__ = None  # type: ignore[assignment]

    def restore(self) -> None:
        """Writes the contents back."""
        for path, content in self._contents.items():
            path.write_bytes(content)


def _files(installation: Installation) -> list[Path]:
    return [installation.warehouse, installation.published]


def left_by_run(installation: Installation) -> list[dict[str, Any]]:
    """Returns every row that a run left in the published file, without what differs between any two runs."""
    rows = tables_of(installation.published)
    return [{name: value for name, value in row.items() if name not in OF_ONE_RUN} for row in rows]


def differences(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in first if row not in second] + [row for row in second if row not in first]
