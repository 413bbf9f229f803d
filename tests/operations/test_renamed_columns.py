"""Tests that an installation of version 0.1.0 (commit 174e15f) upgrades by itself.

Receipts keep their values under the new column names.
"""

from __future__ import annotations

import gzip
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.destinations.duckdb.session import open_published
from pipelines.destinations.filter import PickupFilter
from sources.sendcloud.sandbox import Sandbox
from tests.support.installation import Installation, rows_of
from tests.support.version_0_1 import DATA, NEW_NAMES, OLD_NAMES, RENAMED, world_of_0_1
from tests.support.worlds import NOW

world = pytest.fixture(world_of_0_1)
RECEIPTS = "from sendcloud.pickup_runs where account = 'default' order by started_at"


@pytest.fixture
def upgraded(installation: Installation) -> Installation:
    """Returns an installation with the warehouse and the published file that version 0.1.0 left."""
    installation.warehouse.parent.mkdir()
    content = gzip.decompress((DATA / "warehouse-of-174e15f.duckdb.gz").read_bytes())
    installation.warehouse.write_bytes(content)
    installation.published.write_bytes(content)
    return installation


def test_the_next_run_renames_the_columns_and_keeps_the_values(upgraded: Installation, api: Sandbox) -> None:
    before = rows_of(upgraded.warehouse, f"select {', '.join(OLD_NAMES)} {RECEIPTS}")

    receipt = upgraded.run(api, page_size=5)

    after = upgraded.rows(f"select {', '.join(NEW_NAMES)} {RECEIPTS}")
    assert [[*row.values()] for row in after[:2]] == [[*row.values()] for row in before]
    assert after[1]["missed_ids"] == "[8000003]"
    assert after[1]["unexpected_values"] == '{"known_carriers": ["brandnew"]}'
    assert after[1]["oldest_read_at"] == NOW - timedelta(days=40)
    assert not {*OLD_NAMES} & {*upgraded.rows(f"select * {RECEIPTS}")[0]}
    assert (receipt.rows_new, receipt.rows_changed) == (0, 0)


def test_a_second_run_finds_nothing_to_rename(upgraded: Installation, api: Sandbox) -> None:
    upgraded.run(api, page_size=5)
    first = upgraded.rows(f"select {', '.join(NEW_NAMES)} {RECEIPTS}")

    upgraded.run(api, page_size=5)

    assert upgraded.rows(f"select {', '.join(NEW_NAMES)} {RECEIPTS}")[:3] == first


def test_readers_see_the_new_names_before_the_next_run(upgraded: Installation) -> None:
    """A filter recreates the views over the published tables, which still have the old columns."""
    with open_published(upgraded.published, PickupFilter.parse(carriers=["dhl"])) as session:
        words = session.execute("select new_words from analytics.runs order by started_at_utc").fetchall()
        missed = session.execute("select missed_ids from sendcloud.pickup_runs order by started_at").fetchall()

    assert words[-1] == ('{"known_carriers": ["brandnew"]}',)
    assert missed[-1] == ("[8000003]",)


def test_a_run_of_the_old_version_in_between_loses_nothing(upgraded: Installation, api: Sandbox) -> None:
    """Version 0.1.0 adds its own columns again, and writes its receipt into them."""
    import duckdb

    upgraded.run(api, page_size=5)
    with duckdb.connect(str(upgraded.warehouse)) as file:
        for old, kind in zip(OLD_NAMES, ("timestamptz", "text", "text", "text"), strict=True):
            file.execute(f"alter table sendcloud.pickup_runs add column {old} {kind}")
        file.execute("update sendcloud.pickup_runs set first_missed = '[1]', missed_ids = null where rows_missed = 1")

    upgraded.run(api, page_size=5)

    rows = upgraded.rows(f"select missed_ids {RECEIPTS}")
    assert [row["missed_ids"] for row in rows] == ["[]", "[1]", "[]", "[]"]
    assert not {*OLD_NAMES} & {*upgraded.rows(f"select * {RECEIPTS}")[0]}


@pytest.mark.parametrize("name", RENAMED)
def test_a_setting_with_an_old_name_is_rejected_with_its_new_name(
    upgraded: Installation, api: Sandbox, name: str
) -> None:
    variable, value, new = RENAMED[name]

    done = upgraded.command("run", api=api, **{variable: value})

    assert done.returncode == 3
    assert new in done.stderr


@pytest.mark.usefixtures("api")
def test_an_old_section_in_a_settings_file_is_reported_with_the_file_and_the_new_name(upgraded: Installation) -> None:
    config = upgraded.folder / ".dlt" / "config.toml"
    config.write_text("[keep]\nreceipt_days = 400\n")

    done = upgraded.command("run")

    assert done.returncode == 3
    assert f"{config}: [keep] receipt_days is now called [retention] receipt_days" in done.stderr


def test_the_data_folder_holds_one_file_of_version_0_1_0_for_each_destination() -> None:
    assert {path.name for path in Path(DATA).glob("*174e15f*")} == {
        "warehouse-of-174e15f.duckdb.gz",
        "postgres-of-174e15f.sql.gz",
        "lake-of-174e15f.tar.gz",
    }
