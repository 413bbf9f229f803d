"""Tests the columns of `sendcloud.pickups` that a DuckDB warehouse keeps for the views.

Many other tests compare all rows of the table with rows that are worked out from the API's records
(support/installation.py). They also cover these columns.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.analytics.kept_columns import KEPT_COLUMNS, digest_of_rules, reading_kept_columns, with_kept_columns
from pipelines.analytics.views import SQL, create_views, query_of, view_files
from pipelines.bookkeeping import kept_columns
from pipelines.destinations.duckdb.backend import DuckDBBackend
from pipelines.destinations.duckdb.session import DuckDBSession, open_database
from pipelines.destinations.filter import PickupFilter
from pipelines.destinations.warehouse_mark import write_mark
from pipelines.warehouse import connect, read_rows
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.destinations import of_files
from tests.support.installation import Installation, as_rows, local_columns, rows_of
from tests.support.worlds import NOW, fifty, thousand

pytestmark = of_files

KEPT = f"select id, {', '.join(KEPT_COLUMNS)} from sendcloud.pickups order by id"
WRONG = {"booked_day_local": "date '1999-01-01'", "booked_hour_local": "98"}
WRONG |= {"window_opens_hour_local": "99", "window_opens_isodow_local": "9"}
DROP = "; ".join(f"alter table sendcloud.pickups drop column {name}" for name in KEPT_COLUMNS)
DAY_25, DAY_19, DAY_20 = date(2026, 10, 25), date(2026, 11, 19), date(2026, 11, 20)


def change(path: Path, statement: str) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(statement)


def kept_of(installation: Installation) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in rows_of(installation.warehouse, KEPT)]


def expected_of(world: World) -> list[tuple[Any, ...]]:
    """Returns the same columns, worked out with Python's time zones."""
    rows = [row | local_columns(row) for row in as_rows(world.records())]
    return [tuple(row[name] for name in ("id", *KEPT_COLUMNS)) for row in rows]


def as_day(value: Any) -> date:
    """Returns a day that pandas may have made a timestamp."""
    return value.date() if isinstance(value, datetime) else value


@pytest.fixture
def world() -> World:
    return fifty()


def test_runs_keep_the_local_day_and_hours(installation: Installation) -> None:
    """The clocks go back at 1:00 UTC on Sunday, 25 October 2026. NOW is a Friday."""
    world = World(clock=NOW)
    opens, night = datetime(2026, 10, 26, 8, tzinfo=UTC), datetime(2026, 11, 19, 23, 30, tzinfo=UTC)
    booked = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    after_midnight = night + timedelta(minutes=45)
    world.book(id=1, country="NL", created_at=booked, pickup_from=opens)
    world.book(id=2, country="NL", created_at=booked + timedelta(hours=1), pickup_from=opens)
    world.book(id=3, country="GB", created_at=night, pickup_from=after_midnight, pickup_until=None)
    world.book(id=4, country="nl", created_at=night)
    world.change(4, pickup_from=None, pickup_until=None)
    world.book(id=5, country="PL", created_at=night, pickup_from=after_midnight, pickup_until=None)

    with serve(world) as api:
        installation.run(api)

        first_three = [(1, DAY_25, 2, 9, 1), (2, DAY_25, 2, 9, 1), (3, DAY_19, 23, 0, 5)]
        last_two = [(4, DAY_20, 0, None, None), (5, DAY_19, 23, 0, 5)]
        assert kept_of(installation) == first_three + last_two
        # on Sunday at 23:10 in London; the other rows stay as they are
        world.change(3, pickup_from=datetime(2026, 11, 22, 23, 10, tzinfo=UTC))

        assert installation.run(api).rows_changed == 1

    assert kept_of(installation) == [*first_three[:2], (3, DAY_19, 23, 23, 7), *last_two]


def test_rows_that_an_older_version_loaded_get_the_columns_with_the_next_run(
    installation: Installation, world: World, api: Sandbox
) -> None:
    installation.run(api)
    forget = f"update sendcloud.pickups set {', '.join(f'{name} = null' for name in KEPT_COLUMNS)} where id % 3 = 0"
    change(installation.warehouse, forget)

    installation.run(api)

    assert kept_of(installation) == expected_of(world)


@pytest.mark.parametrize("at_once", [7, 1_000_000])
def test_a_warehouse_without_the_columns_gets_them(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(kept_columns, "ROWS_AT_ONCE", at_once)
    installation.run(api)
    for path in (installation.warehouse, installation.published):
        change(path, DROP)
        change(path, "alter table sendcloud.pickups_warehouse drop column kept_columns")
    world.book(id=1)

    installation.run(api)

    assert kept_of(installation) == expected_of(world)
    assert rows_of(installation.published, KEPT) == rows_of(installation.warehouse, KEPT)
    assert installation.rows("select kept_columns from sendcloud.pickups_warehouse") == [
        {"kept_columns": digest_of_rules()}
    ]


def test_a_run_that_is_killed_while_it_fills_in_the_columns_is_completed_by_the_next_run(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.run(api)
    change(installation.warehouse, DROP)
    parts: list[str] = []

    def fail_at_the_second_part(session: DuckDBSession, sql: str, parameters: Any = None) -> Any:
        parts.extend([sql] if "derived.place" in sql else [])
        if len(parts) == 2:
            raise duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate")
        return execute(session, sql, parameters)

    execute = DuckDBSession.execute
    with monkeypatch.context() as patched:
        patched.setattr(kept_columns, "ROWS_AT_ONCE", 20)
        patched.setattr(DuckDBSession, "execute", fail_at_the_second_part)
        assert installation.command("run", api=api).returncode == 6
    assert [row[1] is None for row in kept_of(installation)].count(True) == 40

    installation.run(api)

    assert kept_of(installation) == expected_of(world)


def test_changed_rules_derive_the_columns_of_all_rows_again(
    installation: Installation, world: World, api: Sandbox
) -> None:
    installation.run(api)
    change(installation.warehouse, "update sendcloud.pickups set booked_hour_local = 98 where id % 3 = 0")
    change(installation.warehouse, "update sendcloud.pickups_warehouse set kept_columns = 'older'")

    installation.run(api)

    assert kept_of(installation) == expected_of(world)
    installation.run(api)
    assert kept_of(installation) == expected_of(world)


def test_a_sweep_corrects_the_columns_of_a_row_that_another_program_has_changed(
    installation: Installation, world: World, api: Sandbox
) -> None:
    installation.run(api)
    newest = world.records()[0]["id"]
    change(installation.warehouse, f"update sendcloud.pickups set booked_hour_local = 98 where id = {newest}")
    ordinary = installation.command("run", api=api)
    assert (ordinary.returncode, "local day" in ordinary.stderr) == (0, False)

    swept = installation.command("run", "--sweep", api=api)

    assert swept.returncode == 0
    warning = "pickups: Account default: the local day or hours of 1 pickup were wrong. This run corrects them."
    assert warning in swept.stderr
    assert kept_of(installation) == expected_of(world)
    assert "local day" not in installation.command("run", "--sweep", api=api).stderr


def test_the_views_read_the_kept_columns(installation: Installation, api: Sandbox) -> None:
    installation.run(api)
    change(installation.published, f"update sendcloud.pickups set {', '.join(f'{k} = {v}' for k, v in WRONG.items())}")

    (row,) = installation.rows(f"select distinct {', '.join(KEPT_COLUMNS)} from analytics.pickups")

    assert [*row.values()] == [date(1999, 1, 1), 98, 99, 9]


def test_filters_and_notebooks_derive_the_columns_themselves(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """Another version may have written the file, with other rules or without the columns."""
    installation.run(api)
    change(installation.published, f"update sendcloud.pickups set {', '.join(f'{k} = {v}' for k, v in WRONG.items())}")
    expected = {row["id"]: local_columns(row) for row in as_rows(world.records())}
    carrier = PickupFilter(carriers=(world.records()[0]["carrier"],))

    filtered = read_rows("pickups", installation.published, carrier)
    with connect(installation.published) as data:
        copied = data.sql(f"select pickup_id, {', '.join(KEPT_COLUMNS)} from analytics.pickups").to_dict("records")
        columns = data.sql("select column_name from duckdb_columns() where schema_name = 'sendcloud'")["column_name"]

    assert len(filtered) == len(copied) == len(expected)
    for row in [*filtered, *copied]:
        found = {name: row[name] for name in KEPT_COLUMNS} | {"booked_day_local": as_day(row["booked_day_local"])}
        assert found == expected[row["pickup_id"]]
    assert not KEPT_COLUMNS.keys() & {*columns}
    assert "tracking_number" in {*columns}


def test_views_that_were_created_without_the_columns_are_replaced_once_there_are_columns(
    installation: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.run(api)
    change(installation.warehouse, f"{DROP}; drop schema analytics cascade")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(DuckDBBackend, "prepare", interrupt)
        assert installation.command("run", api=api).returncode == 130
    text = "select sql from duckdb_views() where schema_name = 'analytics' and view_name = 'pickups'"
    ((derives,),) = [row.values() for row in rows_of(installation.warehouse, text)]
    assert "kept_booked_day_local" not in derives

    installation.run(api)

    ((reads,),) = [row.values() for row in installation.rows(text)]
    assert "kept_booked_day_local" in reads


def test_no_row_is_skipped_if_a_checkpoint_moves_rows_between_two_parts(tmp_path: Path) -> None:
    """DuckDB drops the row group of 122,880 rows that were deleted, so that all later rows get lower rowids."""
    with open_database(tmp_path / "warehouse.duckdb") as session:
        write_mark(session, "here", {})
        session.execute(
            "create table sendcloud.pickups as select 'default' as account, range as id, 'NL' as country, "
            "timestamptz '2026-06-01 22:30:00Z' as created_at, null::timestamptz as pickup_from, "
            f"null::timestamptz as pickup_until, {', '.join(f'null::{k} as {n}' for n, k in KEPT_COLUMNS.items())} "
            "from range(900_000)"
        )
    with open_database(tmp_path / "warehouse.duckdb") as session:
        session.execute("delete from sendcloud.pickups where id < 300_000")
        session.execute("set checkpoint_threshold = '1kb'")

        kept_columns.fill_kept_columns(session)

        found = session.execute(
            "select booked_day_local, booked_hour_local, count(*) from sendcloud.pickups group by all"
        )
        assert found.fetchall() == [(date(2026, 6, 2), 0, 600_000)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two published files of the same account, the second of which lacks the kept columns."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / ".dlt").mkdir()
    with pytest.MonkeyPatch.context() as patched, serve(thousand()) as api:
        installation = Installation(folder, patched)
        installation.run(api)
        api.world.advance(days=3)
        installation.run(api)
    without = folder / "without.duckdb"
    without.write_bytes(installation.published.read_bytes())
    with duckdb.connect(str(without)) as connection:
        connection.execute("drop schema analytics cascade")
        connection.execute(DROP)
        create_views(connection)
    return [installation.published, without]


@pytest.mark.parametrize("view", [path.stem for path in view_files()])
def test_each_view_has_the_same_rows_without_the_columns(files: list[Path], view: str) -> None:
    query = f"select * from analytics.{view} order by all"

    with_columns, without = (rows_of(path, query) for path in files)

    assert with_columns == without


def test_each_expression_and_the_place_of_the_kept_columns_occur_once_in_the_view() -> None:
    query = query_of(SQL / "views" / "pickups.sql")

    for name in KEPT_COLUMNS:
        assert reading_kept_columns(query).count(f"pickups.{name} as kept_{name}") == 1
        assert reading_kept_columns(query).count(f"kept_{name} as {name}") == 1
    assert reading_kept_columns(query).count("pickups._dlt_load_id as last_load_id,") == 1
    assert len(re.findall(r" as country,$", query, re.MULTILINE)) == 1
    for sent in ("created_at", "pickup_from", "pickup_until"):  # the CTEs before `dated` pass these columns on
        assert query.count(f"        pickups.{sent},") == 1
    others = [query_of(path) for path in view_files() if path.stem != "pickups"]
    assert [reading_kept_columns(other) for other in others] == others


def test_the_columns_are_those_of_the_same_row_whatever_the_number_of_threads() -> None:
    """300,000 rows in no order, so that DuckDB would use several threads."""
    count = 300_000
    ids = pa.array([number * 7_919 % count for number in range(count)])
    booked = pa.array([datetime(2026, 6, 1, tzinfo=UTC) + timedelta(hours=id_.as_py() % 24) for id_ in ids])
    booked, nothing = booked.cast(pa.timestamp("us", "UTC")), pa.nulls(count, pa.timestamp("us", "UTC"))
    rows = pa.table(
        {
            "id": ids,
            "country": pa.repeat("PL", count),
            "created_at": booked,
            "pickup_from": nothing,
            "pickup_until": nothing,
        }
    )
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'; set threads = 4")

        kept = with_kept_columns(connection, rows)

    assert kept["booked_hour_local"].to_pylist() == [id_ % 24 for id_ in ids.to_pylist()]


def test_rows_in_another_order_are_never_given_each_others_columns() -> None:
    instants = pa.array([NOW, NOW], pa.timestamp("us", "UTC"))
    rows = pa.table({"id": [2, 1], "country": ["NL", "GB"], "created_at": instants, "pickup_from": instants})
    rows = rows.append_column("pickup_until", instants)
    with duckdb.connect() as connection:
        in_order = SimpleNamespace(register=connection.register, sql=lambda sql: connection.sql(f"{sql} order by id"))

        with pytest.raises(AssertionError, match="in another order"):
            with_kept_columns(in_order, rows)


def test_the_digest_covers_the_whole_view_except_its_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, text = digest_of_rules(), (SQL / "views" / "pickups.sql").read_text()
    monkeypatch.setattr("pipelines.analytics.kept_columns._PICKUPS", tmp_path / "pickups.sql")

    (tmp_path / "pickups.sql").write_text(f"-- another comment\n{text}")
    assert digest_of_rules() == before

    (tmp_path / "pickups.sql").write_text(text.replace("upper(nullif(pickups.country", "upper(trim(pickups.country"))
    assert digest_of_rules() != before


def test_a_run_derives_the_columns_only_of_rows_that_it_loads(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived: list[int] = []

    def counted(connection: Any, rows: pa.Table) -> pa.Table:
        derived.append(rows.num_rows)
        return with_kept_columns(connection, rows)

    monkeypatch.setattr("pipelines.analytics.kept_columns.with_kept_columns", counted)
    monkeypatch.setenv("PIPELINE__QUICK_RUNS", "false")
    installation.run(api)
    installation.run(api)
    assert derived == [50]
    world.book()

    installation.run(api)

    assert derived == [50, 1]
