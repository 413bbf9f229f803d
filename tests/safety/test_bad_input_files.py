"""Tests a warehouse or published file that cannot be written.

Each test checks the exit code and the message, and that no row is lost.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox
from tests.support.bad_input import api as api
from tests.support.bad_input import as_before, outcome
from tests.support.bad_input import loaded as loaded
from tests.support.bad_input import world as world
from tests.support.installation import (
    Installation,
    as_rows,
)

pytestmark = pytest.mark.v3


def test_a_second_concurrent_run_ends_at_once_and_names_the_first(installation: Installation, api: Sandbox) -> None:
    started, go_on = threading.Event(), threading.Event()

    def hold(_api: Sandbox, _number: int) -> None:
        started.set()
        go_on.wait(30)

    api.on_request = hold
    first = installation.begin("run", api=api)
    started.wait(30)
    code, message = outcome(installation.command("run", api=api))
    go_on.set()
    first.communicate(timeout=60)

    assert code == 5
    assert "Another run is under way (process " in message
    assert installation.pickups() == as_rows(api.world.records())


def test_a_warehouse_that_another_program_has_open_exits_6_and_names_the_process(
    loaded: Installation, api: Sandbox
) -> None:
    holding = (
        f"import duckdb, time; c = duckdb.connect({str(loaded.warehouse)!r}); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", holding], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    try:
        code, message = outcome(loaded.command("run", api=api))
    finally:
        holder.kill()
        holder.communicate()

    assert code == 6
    assert "The destination failed" in message
    assert str(holder.pid) in message
    assert as_before(loaded, api)


def test_a_warehouse_that_is_not_a_duckdb_file_is_left_unchanged(installation: Installation, api: Sandbox) -> None:
    installation.warehouse.parent.mkdir()
    installation.warehouse.write_text("my thesis" * 100)

    code, message = outcome(installation.command("run", api=api))

    assert code == 6
    assert str(installation.warehouse) in message
    assert installation.warehouse.read_text() == "my thesis" * 100


@pytest.mark.slow
def test_a_published_file_that_cannot_be_replaced_exits_6_and_leaves_no_temporary_file(
    loaded: Installation, api: Sandbox, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "taken"
    (in_the_way / "pickups.duckdb" / "full").mkdir(parents=True)

    code, message = outcome(loaded.command("run", api=api, PUBLISH__PATH=str(in_the_way / "pickups.duckdb")))

    assert code == 6
    assert "pickups.duckdb" in message
    assert [path.name for path in in_the_way.iterdir()] == ["pickups.duckdb"]
