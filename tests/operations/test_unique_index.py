"""Tests that a unique index that a person has added to a table of ours is named as the cause of a failure."""

from __future__ import annotations

import duckdb
import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.installation import Installation, as_rows


@pytest.mark.parametrize("columns", quick(["account, id", "tracking_number"]))
def test_a_unique_index_of_a_person_is_named_and_once_it_is_dropped_nothing_is_missing(
    installation: Installation, world: World, api: Sandbox, columns: str
) -> None:
    """DuckDB 1.5 counts the row that a merge deletes, so a pickup that changes looks like a second one."""
    first = world.book(tracking_number="1")
    world.book(tracking_number="2")
    installation.run(api)
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute(f"create unique index by_a_person on sendcloud.pickups ({columns})")
    world.cancel(first)
    world.book(tracking_number="3")

    done = installation.command("run", api=api)

    assert done.returncode == 6
    told = done.stderr.splitlines()[-1]
    assert "the unique index by_a_person on sendcloud.pickups rejects changed rows" in told
    assert "drop index sendcloud.by_a_person" in told

    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute("drop index sendcloud.by_a_person")
    assert installation.run(api).outcome == "succeeded"
    assert installation.pickups() == as_rows(world.records())
