"""Tests `pickups run --back-to`, which reads settled pickups again, back to a day."""

from __future__ import annotations

import json

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation, as_rows
from tests.support.settled import api as api
from tests.support.settled import one_api as one_api
from tests.support.settled import world as world
from tests.support.templates import PAGES_OF_FIVE, Templates

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.places]


@pytest.fixture
def loaded(templates: Templates, installation: Installation) -> Installation:
    return installation.as_in(templates.loaded("settled"))


def test_changes_since_the_day_are_found_and_older_ones_are_left_to_the_sweep(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    """All pickups are settled. The 11th newest and the 61st newest are changed, and the day is that of the 31st."""
    before = as_rows(world.records())
    newest_first = sorted(world.records(), key=lambda record: record["created_at"], reverse=True)
    found, missed, bound = newest_first[10], newest_first[60], newest_first[30]
    for record in (found, missed):
        world.change(record["id"], tracking_number="late")
    ordinary = loaded.run(api, **PAGES_OF_FIVE)

    done = loaded.command("run", "--back-to", bound["created_at"], "--json", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5")
    receipt, after = json.loads(done.stdout), loaded.run(api, **PAGES_OF_FIVE)

    assert (ordinary.rows_changed, receipt["rows_changed"], after.rows_changed) == (0, 1, 0)
    expected = [row | {"tracking_number": "late"} if row["id"] == found["id"] else row for row in before]
    assert loaded.pickups() == expected
    assert after.frontier == ordinary.frontier  # the next run reads no more than before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--back-to", "october"], "--back-to: 'october' is not a day such as 2026-01-01"),
        (["--back-to", "2026-10-01", "--sweep"], "--back-to: can't be combined with --sweep or --dry-run"),
        (["--back-to", "2026-10-01", "--dry-run"], "--back-to: can't be combined with --sweep or --dry-run"),
    ],
)
def test_a_day_that_cannot_be_used_ends_the_command_before_anything_is_read(
    installation: Installation, words: list[str], says: str
) -> None:
    done = installation.command("run", *words)

    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
