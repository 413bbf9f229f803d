"""Tests `pickups status --format prometheus` with Prometheus' own parser, and the dashboard that shows the metrics."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pipelines.operations.prometheus import GAUGES, PREFIX, format_metrics
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.accounts import configure, serving
from tests.support.installation import REPOSITORY, Done, Installation
from tests.support.worlds import NOW

parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")
DASHBOARD = REPOSITORY / "docs" / "how-to" / "grafana-dashboard.json"
RULES = REPOSITORY / "docs" / "how-to" / "monitor.md"


def samples(done: Done) -> dict[tuple[str, ...], float]:
    """Returns the value of each sample by its name, without the prefix, and the values of its labels."""
    found = {}
    for family in parser.text_string_to_metric_families(done.stdout):
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        for sample in family.samples:
            key = (sample.name.removeprefix(f"{PREFIX}_"), *sample.labels.values())
            assert key not in found
            found[key] = sample.value
    return found


def test_a_good_run_is_measured(installation: Installation, world: World, api: Sandbox) -> None:
    """Of five records, one is refused, and two of the four pickups can still change."""
    for carrier in ("dhl", "ups"):
        world.book(carrier=carrier)
    for _ in range(2):
        world.change(world.book(), pickup_status="Cancelled", cancelled_at=NOW)
    world.change(world.book(), carrier=None)
    receipt = installation.run(api)

    done = installation.command("status", "--format", "prometheus")

    assert (done.returncode, done.stderr) == (0, "")
    found = samples(done)
    assert {name: found[name, "default"] for name in ("rows", "open", "quarantined", "refused_share")} == {
        "rows": 4,
        "open": 2,
        "quarantined": 1,
        "refused_share": 0.2,
    }
    assert found["last_run_succeeded", "default"] == 1
    assert 0 < found["last_run_seconds", "default"] < 120
    assert found["failed_checks", "default"] == len(receipt.checks_failed) > 0
    assert {key[2]: rows for key, rows in found.items() if key[0] == "check_rows"} == receipt.checks_failed
    assert found["info", receipt.version] == 1


def test_a_stale_account_is_a_metric_and_not_an_error(installation: Installation) -> None:
    worlds = {name: World(clock=NOW) for name in ("north", "south")}
    with serving(worlds) as apis:
        configure(installation, {"north": apis["north"]})
        installation.command("run")
        configure(installation, apis)
        done = installation.command("status", "--format", "prometheus", "--max-age", "0")

    assert (done.returncode, done.stderr) == (0, "")
    found = samples(done)
    assert (found["stale", "north"], found["stale", "south"]) == (1, 1)
    assert found["last_success_age_seconds", "north"] >= 0
    assert found["rows", "south"] == 0
    assert ("last_run_seconds", "south") not in found
    assert ("last_success_age_seconds", "south") not in found


def test_every_metric_of_the_dashboard_and_of_the_alert_rules_exists() -> None:
    names = {f"{PREFIX}_{name}" for name, *_ in GAUGES} | {f"{PREFIX}_info", f"{PREFIX}_check_rows"}
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    shown = {name for panel in board["panels"] for target in panel.get("targets", []) for name in
             re.findall(rf"{PREFIX}_\w+", target["expr"])}  # fmt: skip

    assert shown == names - {f"{PREFIX}_configured", f"{PREFIX}_last_run_timestamp_seconds"}
    told = set(re.findall(rf"{PREFIX}_\w+", RULES.read_text()))
    assert told == names
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_labels_are_escaped() -> None:
    facts: dict[str, Any] = dict.fromkeys(
        [fact for *_, fact in GAUGES] + ["last_outcome", "age_hours", "checks_failed"]
    )
    text = format_metrics([{**facts, "account": 'a"b\\c\nd', "pickups": 3}])

    values = {tuple(s.labels.values()) for f in parser.text_string_to_metric_families(text) for s in f.samples}
    assert ('a"b\\c\nd',) in values
