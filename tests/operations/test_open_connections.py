"""Tests reads and runs in a process that keeps connections to the files open: reads return the newest rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.errors import DestinationError
from pipelines.warehouse import read, read_rows, reading
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.installation import Installation


def as_frame(path: Path, **only: Any) -> int:
    return len(read("pickups", path, **only))


def since_a_day(path: Path) -> int:
    return as_frame(path, since="2020-01-01")


def as_rows(path: Path) -> int:
    return len(read_rows("pickups", path))


def by_a_statement(path: Path) -> int:
    with reading(path) as connection:
        ((number,),) = connection.execute("select count(*) from analytics.pickups").fetchall()
        return int(number)


@pytest.mark.parametrize("how", quick([as_frame, as_rows, since_a_day, by_a_statement], only=(0, 1)))
def test_reads_see_the_newest_rows_beside_an_open_connection(
    installation: Installation, world: World, api: Sandbox, how: Callable[[Path], int]
) -> None:
    world.book()
    installation.loaded(api)

    with duckdb.connect(str(installation.published), read_only=True) as kept_open:
        assert how(installation.published) == 1
        world.book()
        installation.run(api)  # the second run in one notebook
        assert how(installation.published) == 2
        count = "select count(*) from analytics.pickups"
        assert kept_open.execute(count).fetchall() == [(1,)]
    assert how(installation.published) == 2


def test_a_process_that_reads_in_the_middle_of_another_read_sees_the_newest_rows(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.loaded(api)

    with reading(installation.published) as earlier:
        world.book()
        installation.run(api)
        assert as_frame(installation.published) == 2
        assert earlier.execute("select count(*) from sendcloud.pickups").fetchall() == [(1,)]


def test_a_connection_that_may_write_gives_one_clear_sentence(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.loaded(api)

    with duckdb.connect(str(installation.published)), pytest.raises(DestinationError) as raised:
        read("pickups", installation.published)

    told = str(raised.value)
    assert told.startswith(f"The destination failed: {installation.published}: a connection in this process has the")
    assert told.endswith("Close that connection, or open it with duckdb.connect(path, read_only=True).")
    assert as_frame(installation.published) == 1


@pytest.mark.parametrize("name", quick(["memory.duckdb", "analytics-of-a-shop.duckdb", "it's.duckdb", "temp"]))
def test_reads_work_whatever_the_file_is_called(
    installation: Installation, world: World, api: Sandbox, name: str
) -> None:
    """DuckDB names a database after its file, and `memory` and `temp` are databases of its own."""
    world.book()
    installation.loaded(api)
    renamed = installation.published.rename(installation.folder / name)

    assert as_frame(renamed) == since_a_day(renamed) == 1


def test_a_reader_can_not_write(installation: Installation, world: World, api: Sandbox) -> None:
    world.book()
    installation.loaded(api)

    with reading(installation.published) as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("delete from sendcloud.pickups")


def test_a_run_uses_one_thread_and_leaves_a_connection_of_the_process_as_it_was(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.loaded(api)
    during: list[int] = []

    def threads() -> int:
        ((number,),) = own.execute("select current_setting('threads')").fetchall()
        return int(number)

    with duckdb.connect(str(installation.warehouse)) as own:
        own.execute("set threads = 3")
        world.book()
        installation.run(api, on_progress=lambda *_: during.append(threads()))
        after = threads()

    assert set(during) == {1}
    assert after == 3
