"""Tests `connect`: one state for all queries, no open file, and nothing that a query could change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pytest

from pipelines.analytics.views import view_files
from pipelines.destinations.snapshot import Snapshot
from pipelines.warehouse import connect, read
from tests.support.by_hand import cancelled, insert, many, pickup, run
from tests.support.cases import quick

pytestmark = [pytest.mark.versions, pytest.mark.duckdb2]

Published = Callable[..., Path]
Connected = Callable[..., Snapshot]
COUNT = "select count(*) as n from analytics.pickups"


@pytest.fixture
def connected() -> Iterator[Connected]:
    """Does what `connect` does, and closes the snapshots after the test."""
    with ExitStack() as stack:
        yield lambda path, **filters: stack.enter_context(connect(path, **filters))


def test_a_snapshot_answers_like_read_and_keeps_its_state(published: Published, connected: Connected) -> None:
    path = published(*many(pickup, 3), cancelled(), pickup(carrier="ups", country="DE"))
    data = connected(path)
    before = {view.stem: read(view.stem, path) for view in view_files()}

    with duckdb.connect(path) as con:  # possible, because the snapshot has let go of the file
        insert(con, [pickup()], runs=[])

    for view, frame in before.items():
        seen = data.read(view)
        assert [*seen.columns] == [*frame.columns], view
        assert (seen.dtypes == frame.dtypes).all(), view
        assert sorted(map(str, seen.to_numpy().tolist())) == sorted(map(str, frame.to_numpy().tolist())), view
    assert data.sql(COUNT)["n"].tolist() == [5]
    assert connected(path).sql(COUNT)["n"].tolist() == [6]


@pytest.mark.parametrize(
    ("filters", "pickups"),
    quick(
        [
            ({}, 4),
            ({"accounts": ["north"]}, 3),
            ({"carriers": ["ups"]}, 1),
            ({"countries": ["DE"], "accounts": ["north"]}, 1),
            ({"until": "2026-03-06", "by": "booking"}, 1),
            ({"since": "2026-03-11"}, 0),
        ],
        only=(3, 4),
    ),
)
def test_filters_select_what_they_select_for_read(
    published: Published, connected: Connected, filters: dict[str, object], pickups: int
) -> None:
    runs = [run("north"), run("south")]
    early = pickup(account="south", created_at="2026-03-05 09:00Z")
    path = published(
        *many(pickup, 2, account="north"), pickup(account="north", carrier="ups", country="DE"), early, runs=runs
    )

    data = connected(path, **filters)

    assert data.sql(COUNT)["n"].tolist() == [pickups]
    assert data.sql("select count(*) as n from sendcloud.pickups")["n"].tolist() == [pickups]
    assert len(read("pickups", path, **filters)) == pickups  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "query",
    [
        "delete from sendcloud.pickups",
        "insert into sendcloud.pickups select * from sendcloud.pickups",
        "create table mine as select 1",
        "drop view analytics.pickups",
        "copy (select 1) to 'stolen.csv'",
        "attach 'other.duckdb'",
        "set enable_external_access = true",
        "select 1; select 2",
        "",
    ],
)
def test_only_a_single_query_is_executed(published: Published, connected: Connected, query: str) -> None:
    data = connected(published(pickup()))

    with pytest.raises(ValueError, match="sql executes one query"):
        data.sql(query)

    assert data.sql(COUNT)["n"].tolist() == [1]


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('{file}')",
        "select * from read_text('{file}')",
        "select * from '{file}'",
        "explain analyze insert into sendcloud.pickups select * from sendcloud.pickups",
    ],
)
def test_a_query_reads_no_files_and_writes_nothing(
    published: Published, connected: Connected, tmp_path: Path, query: str
) -> None:
    (tmp_path / "secret.csv").write_text("key\nvalue\n")
    data = connected(published(pickup()))

    with pytest.raises(duckdb.Error):
        data.sql(query.format(file=tmp_path / "secret.csv"))

    assert data.sql(COUNT)["n"].tolist() == [1]  # the failed query leaves no transaction behind


def test_a_snapshot_describes_its_views_and_can_be_closed(published: Published) -> None:
    with connect(published(pickup())) as data:
        found = data.sql(
            "select comment from duckdb_columns() where table_name = 'pickups' and column_name = 'carrier'"
        )
        assert "carrier" in found["comment"].dropna().iloc[0]

    with pytest.raises(duckdb.Error):
        data.sql("select 1")


def test_an_unknown_view_is_named_with_those_that_exist(published: Published, connected: Connected) -> None:
    with pytest.raises(ValueError, match="unknown view 'carriers'; available views: acceptance_times"):
        connected(published(pickup())).read("carriers")
