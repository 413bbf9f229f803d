"""Creates the folder in which the source could be offered to dlt's verified sources: their layout, their form of tests.

The layout and the checks follow github.com/dlt-hub/verified-sources at commit 3957506 (2026-07). None of its code is
here, so `HELPERS` stands in for the helpers that its tests import.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.support.installation import REPOSITORY

# their flake8 bans these imports in favour of dlt's own, which lack what the source needs: sessions without redirects,
# adapters, and instants that keep the API's microseconds
BANNED = re.compile(r"^((?:from|import) (?:datetime|requests|decimal)\b.*)$", re.MULTILINE)
BUILTIN_ATTRIBUTE = re.compile(r"^(    (?:id|next)\b: .*)$", re.MULTILINE)
MYPY = """
[mypy]
python_version = 3.11
strict_optional = false
warn_redundant_casts = true
disallow_any_generics = true
disallow_untyped_defs = true
check_untyped_defs = true
warn_return_any = true
namespace_packages = true
warn_unused_ignores = true
[mypy-pyarrow.*]
ignore_missing_imports = true
"""
HELPERS = '''
"""Stands in for the helpers of dlt's verified sources."""

import dlt

ALL_DESTINATIONS = dlt.config.get("ALL_DESTINATIONS", list) or ["duckdb"]


def assert_load_info(info, expected_load_packages=1):
    assert len(info.loads_ids) == expected_load_packages
    assert not info.has_failed_jobs


def load_table_counts(pipeline, *names):
    with pipeline.sql_client() as client:
        found = {}
        for name in names:
            with client.execute_query(f"select count(*) from {client.make_qualified_table_name(name)}") as cursor:
                found[name] = cursor.fetchone()[0]
    return found
'''
TESTS = '''
"""Tests the Sendcloud source against its own sandbox, so no account and no network are needed."""

from typing import Any, Iterator

import dlt
import pytest

from sources.sendcloud import SendcloudCredentials, sendcloud_source
from sources.sendcloud.sandbox import Sandbox, World, serve

from tests.utils import ALL_DESTINATIONS, assert_load_info, load_table_counts


@pytest.fixture
def api() -> Iterator[Sandbox]:
    with serve(World()) as sandbox:
        yield sandbox


def source(api: Sandbox) -> Any:
    keys = SendcloudCredentials(public_key=api.public_key, secret_key=api.secret_key)
    return sendcloud_source(credentials=keys, base_url=api.base_url_v3, api_version="v3")


@pytest.mark.parametrize("destination_name", ALL_DESTINATIONS)
def test_later_changes_are_loaded_and_no_row_is_doubled(destination_name: str, api: Sandbox) -> None:
    pipeline = dlt.pipeline(
        "sendcloud_test", destination=destination_name, dataset_name="sendcloud_data", dev_mode=True
    )
    booked = api.world.book()
    api.world.book()

    assert_load_info(pipeline.run(source(api), loader_file_format="parquet"))
    api.world.advance(hours=1)
    api.world.cancel(booked)
    api.world.book()
    assert_load_info(pipeline.run(source(api), loader_file_format="parquet"))

    assert load_table_counts(pipeline, "pickups", "pickups_quarantine") == {"pickups": 3, "pickups_quarantine": 0}
    with pipeline.sql_client() as client:
        table = client.make_qualified_table_name("pickups")
        with client.execute_query(f"select count(*) from {table} where cancelled_at is not null") as cursor:
            assert cursor.fetchone()[0] == 1
'''


def make_offer(folder: Path) -> Path:
    """Creates the folders `sources/` and `tests/` of the offer, and returns the folder."""
    private = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "sources" / "sendcloud", folder / "sources" / "sendcloud", ignore=private)
    shutil.copy(REPOSITORY / "sources" / "sendcloud_pipeline.py", folder / "sources")
    for path in (folder / "sources" / "sendcloud").rglob("*.py"):
        text = BANNED.sub(r"\1  # noqa: I251", path.read_text())
        path.write_text(BUILTIN_ATTRIBUTE.sub(r"\1  # noqa: A003", text))
    tests = {"__init__.py": "", "utils.py": HELPERS, "sendcloud/__init__.py": ""}
    tests |= {"sendcloud/test_sendcloud_source.py": TESTS}
    for name, text in tests.items():
        (folder / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tests" / name).write_text(text.lstrip())
    (folder / "mypy.ini").write_text(MYPY)
    return folder
