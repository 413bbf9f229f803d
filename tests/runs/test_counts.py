"""Tests that a run knows how many pickups the table has, without counting them unless the receipts disagree with it."""

from __future__ import annotations

import duckdb
import pytest

from pipelines.loading import finalize
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation
from tests.support.walking import IS_HERE
from tests.support.worlds import twenty

pytestmark = [pytest.mark.duckdb2, pytest.mark.places]


@pytest.fixture
def world() -> World:
    return twenty()


def test_rows_are_counted_only_if_the_last_counts_do_not_add_up(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If counting were necessary, the second run would fail."""
    assert installation.run(api).rows_in_table == 20
    world.book()
    with monkeypatch.context() as patched:
        patched.setattr(finalize, "_COUNT", "select count(*) from sendcloud.no_such_table where account = ?")
        assert installation.run(api).rows_in_table == 21
        with pytest.raises(Exception, match="no_such_table"):
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
