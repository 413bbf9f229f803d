"""Tests that a run knows how many pickups the table has, without counting them unless the receipts disagree with it."""

from __future__ import annotations

import duckdb
import pytest

from pipelines import run_accounts
from pipelines.errors import DestinationError
from pipelines.loading import finalize
from sources.sendcloud.reading.clocks import simulated_machine_clock
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.accounts import configure, serving
from tests.support.destinations import DESTINATION
from tests.support.installation import Installation
from tests.support.walking import IS_HERE
from tests.support.worlds import twenty

pytestmark = [pytest.mark.duckdb2, pytest.mark.places]


@pytest.fixture
def world() -> World:
    return twenty()


@pytest.mark.skipif(DESTINATION in ("delta", "bucket"), reason="on a lake, every run counts the rows")
def test_rows_are_counted_only_if_the_last_counts_do_not_add_up(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If counting were necessary, the second run would fail. The first run of a day and sweeps count the rows."""
    with simulated_machine_clock(lambda: world.clock):
        assert installation.run(api).rows_in_table == 20
    world.book()
    with monkeypatch.context() as patched, simulated_machine_clock(lambda: world.clock):
        patched.setattr(finalize, "_COUNT", "select count(*) from sendcloud.no_such_table where account = ?")
        assert installation.run(api).rows_in_table == 21
        with pytest.raises(DestinationError, match="no_such_table"):
            installation.run(api, sweep=True)

    assert installation.run(api).rows_in_table == 21


@pytest.mark.skipif(not IS_HERE, reason="the test writes into the DuckDB file")
@pytest.mark.parametrize(
    ("change", "rows", "is_wrong"),
    [
        ("delete from sendcloud.pickups where id = (select min(id) from sendcloud.pickups)", 21, False),
        ("insert into sendcloud.pickups select * from sendcloud.pickups limit 2", 23, True),
    ],
    ids=["deleted", "doubled"],
)
def test_rows_that_another_program_deleted_or_doubled_are_counted(
    installation: Installation, world: World, api: Sandbox, change: str, rows: int, *, is_wrong: bool
) -> None:
    """The deleted row is listed again, so the run loads it again."""
    installation.run(api)
    world.book()
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute(change)

    receipt = installation.run(api)

    assert installation.rows("select count(*) as rows from sendcloud.pickups") == [{"rows": rows}]
    assert (receipt.rows_in_table, receipt.must_pass_failed) == (rows, is_wrong)


@pytest.mark.skipif(not IS_HERE, reason="the test writes into the DuckDB file")
def test_a_doubled_row_of_one_account_does_not_hide_behind_a_deleted_row_of_another(
    installation: Installation,
) -> None:
    """The number of all rows is right, so the first run of the next day finds out."""
    worlds = {name: twenty() for name in ("north", "south")}
    with serving(worlds) as apis, simulated_machine_clock(lambda: worlds["north"].clock):
        configure(installation, apis)
        run_accounts(installation.folder)
        with duckdb.connect(str(installation.warehouse)) as connection:
            gone = "select min(id) from sendcloud.pickups where account = 'north'"
            connection.execute(f"delete from sendcloud.pickups where account = 'north' and id = ({gone})")
            connection.execute("insert into sendcloud.pickups from sendcloud.pickups where account = 'south' limit 1")
        for world in worlds.values():
            world.remove(min(record["id"] for record in world.records()))
            world.advance(days=1)
        receipts = {receipt.account: receipt for receipt in run_accounts(installation.folder)}

    assert {name: receipt.rows_in_table for name, receipt in receipts.items()} == {"north": 19, "south": 21}
    assert receipts["south"].checks_failed["unique_key"] == 1
