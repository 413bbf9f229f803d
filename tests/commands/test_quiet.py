"""Tests what `pickups run` prints if nothing has changed: findings speak when they appear, and --quiet only then."""

from __future__ import annotations

import re

from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.installation import Installation


def test_finding_is_printed_when_it_appears_and_not_in_every_run(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book(carrier="new_post")

    first, second = (installation.command("run", api=api) for _ in range(2))
    world.book(carrier="other_post")
    third = installation.command("run", api=api)

    assert "worth a look: known_carriers (1 row: new_post)" in first.stdout
    assert "worth a look" not in second.stdout
    assert "worth a look: known_carriers (2 rows: new_post, other_post)" in third.stdout
    assert "known_carriers (2)" in installation.command("status").stdout


def test_quiet_run_prints_failures_and_new_findings_only(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book(carrier="new_post")

    first, second = (installation.command("run", "--quiet", api=api) for _ in range(2))
    api.fault(faults.status(503), times=None)
    third = installation.command("run", "--quiet", api=api)

    assert ("known_carriers" in first.stdout, first.stderr) == (True, "")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert (third.returncode, third.stdout, len(third.stderr.splitlines())) == (4, "", 1)


def test_lines_of_progress_begin_with_the_time(installation: Installation, world: World, api: Sandbox) -> None:
    world.book()

    lines = installation.command("run", api=api).stderr.splitlines()

    assert lines
    assert all(re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ \w+: ", line) for line in lines)
