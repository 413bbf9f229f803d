"""Tests that `pickups run --dry-run` says what a run would read, sends one request per account, and writes nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Done, Installation, address_of
from tests.support.worlds import NOW


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def facts_of(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    (facts,) = json.loads(done.stdout)
    return dict(facts)


@pytest.mark.v3
def test_before_the_first_run_it_says_that_the_whole_list_is_read(
    installation: Installation, world: World, api: Sandbox
) -> None:
    for _ in range(3):
        world.book()
    before = sorted(installation.folder.rglob("*"))

    text = installation.command("run", "--dry-run", api=api)

    assert (text.returncode, text.stderr) == (0, "")
    lines = dict(line.strip().split("  ", 1) for line in text.stdout.splitlines()[1:])
    assert lines["reads from"].strip() == address_of(api)
    assert lines["writes to"].strip().startswith(str(installation.folder / "data"))
    assert lines["first page"].strip() == "3 pickups, newest 2026-11-20 12:00 UTC"
    assert lines["would read"].strip() == "the whole list, because nothing has been loaded yet"
    assert len(api.requests) == 1
    assert sorted(installation.folder.rglob("*")) == before


def test_after_a_run_it_counts_what_is_new_and_changes_no_file(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book(created_at=NOW - timedelta(days=2))
    installation.run(api)
    world.book(created_at=NOW)
    before, asked = contents(installation.folder), len(api.requests)

    facts = facts_of(installation.command("run", "--dry-run", "--json", api=api))

    assert (facts["first_page"], facts["booked_since"]) == (2, 1)
    assert (facts["reads"], facts["last_frontier"]) == ("changes", None)
    assert len(api.requests) == asked + 1
    assert contents(installation.folder) == before
    assert len(installation.pickups()) == 1


def test_the_reasons_to_read_the_whole_list(installation: Installation, world: World, api: Sandbox) -> None:
    world.book()
    installation.loaded(api)
    installation.run(api)

    ordinary = facts_of(installation.command("run", "--dry-run", "--json", api=api))
    sweep = facts_of(installation.command("run", "--dry-run", "--sweep", "--json", api=api))
    other = "v2" if "v3" in address_of(api) else "v3"
    changed = facts_of(
        installation.command("run", "--dry-run", "--json", api=api, SOURCES__SENDCLOUD__API_VERSION=other)
    )

    assert ordinary["reads"] == "changes"
    assert str(ordinary["last_frontier"]).startswith("2026-11-20 11:00:00")  # an hour (overlap) before the only pickup
    assert (sweep["reads"], sweep["reason"]) == ("all", "a sweep reads everything again")
    assert (changed["reads"], changed["reason"][:23]) == ("all", "the API version changes")


def test_it_ends_with_the_exit_code_of_a_run(installation: Installation, api: Sandbox) -> None:
    keys = "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY"
    refused = installation.command("run", "--dry-run", api=api, **{keys: "wrong"})
    unknown = installation.command("run", "--dry-run", "--account", "nobody", api=api)
    nowhere = installation.command(
        "run", "--dry-run", api=api, SOURCES__SENDCLOUD__BASE_URL="http://127.0.0.1:9/api/v2"
    )

    assert [done.returncode for done in (refused, unknown, nowhere)] == [3, 3, 4]
    assert all(done.stderr.startswith("pickups: ") and done.stdout == "" for done in (refused, unknown, nowhere))
