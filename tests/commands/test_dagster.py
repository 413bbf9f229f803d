"""Tests the Dagster code location that `pickups schedule dagster` prints.

The tests run it in this process, and open Dagster's pages in a browser.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.analytics.checks import check_files
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.accounts import configure, oldest, rows_of_worlds, serving
from tests.support.installation import REPOSITORY, Installation
from tests.support.worlds import NOW

dg = pytest.importorskip("dagster", reason="Dagster is not installed: make test-engines does that")
pytest.importorskip("dagster_dlt", reason="dagster-dlt is not installed: make test-engines does that")

pytestmark = pytest.mark.engines
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SECONDS_TO_START = 90.0


@pytest.fixture
def apis() -> Iterator[dict[str, Sandbox]]:
    worlds = {name: World(clock=NOW) for name in ("north", "south")}
    for number, world in enumerate(worlds.values()):
        for hours in range(12 + number, 0, -1):
            world.book(created_at=NOW - timedelta(hours=hours), tracking_number="T")
    with serving(worlds) as sandboxes:
        yield sandboxes


@pytest.fixture
def home(installation: Installation, apis: dict[str, Sandbox], tmp_path: Path) -> Path:
    """Returns the folder for DAGSTER_HOME, with the two files."""
    configure(installation, apis, common={"page_size": 5})
    installation.monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    done = installation.command("schedule", "dagster", "--to", str(tmp_path / "dagster"))
    assert done.returncode == 0, done.stderr
    return tmp_path / "dagster"


@pytest.fixture
def location(home: Path, installation: Installation) -> Any:
    """Returns the definitions of the printed file, for this installation only."""
    installation.monkeypatch.delitem(sys.modules, "pipelines.scheduling.dagster_location", raising=False)
    installation.monkeypatch.setenv("DLT_PROJECT_DIR", "set by the file")  # and restored after the test
    spec = spec_from_file_location("location", home / "sendcloud_pickups_location.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.defs


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Any]:
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as made:
        yield made


def run(location: Any, instance: Any, account: str, job: str = "one_account", **config: Any) -> Any:
    settings = {"ops": {"sendcloud": {"config": config}}} if config else {}
    resolved = location.resolve_job_def(job)
    return resolved.execute_in_process(settings, instance, account, raise_on_error=False)


def test_every_account_is_a_partition_with_its_receipt_and_the_result_of_every_check(
    location: Any, instance: Any, installation: Installation, apis: dict[str, Sandbox]
) -> None:
    apis["south"].world.book(carrier="nobody-knows-it", created_at=NOW, tracking_number="T")

    north, south = (run(location, instance, account) for account in apis)

    assert (north.success, south.success) == (True, True)
    assert installation.pickups() == rows_of_worlds(apis)
    made = {event.materialization.asset_key.path[-1]: event for event in south.get_asset_materialization_events()}
    assert set(made) == {"pickups", "pickups_quarantine"}
    assert made["pickups"].materialization.partition == "south"
    (receipt,) = installation.rows("select * from sendcloud.pickup_runs where account = 'south'")
    told = {name: value.value for name, value in made["pickups"].materialization.metadata.items()}
    assert (told["rows_new"], told["dagster/row_count"], told["run_id"]) == (14, 14, receipt["run_id"])
    assert datetime.fromtimestamp(told["observed_at"], NOW.tzinfo) == receipt["observed_at"] == NOW

    checked = {check.check_name: check for check in south.get_asset_check_evaluations()}
    assert set(checked) == {path.stem for path in check_files()}
    found = {name: check.metadata["rows"].value for name, check in checked.items() if not check.passed}
    assert found == {"known_carriers": {"south": 1}}
    assert {name for name, check in checked.items() if check.severity == dg.AssetCheckSeverity.ERROR} == {
        "unique_key",
        "required_columns",
        "refused_records",
        "open_pickups_listed",
    }


def test_the_next_run_finds_a_cancellation_and_the_sweep_finds_a_late_one(
    location: Any, instance: Any, installation: Installation, apis: dict[str, Sandbox]
) -> None:
    world = apis["north"].world
    run(location, instance, "north")
    world.advance(minutes=15)
    world.cancel(oldest(apis["north"]))
    assert run(location, instance, "north").success
    assert installation.pickups() == rows_of_worlds({"north": apis["north"]})

    world.advance(days=40)
    world.book()
    for _ in range(2):  # after the first run, no old pickup is open any more
        run(location, instance, "north")
    world.cancel(oldest(apis["north"]) + 1)
    run(location, instance, "north", sweep=True)

    assert installation.pickups() == rows_of_worlds({"north": apis["north"]})
    (swept,) = installation.rows("select rows_missed from sendcloud.pickup_runs where sweep = 'complete'")
    assert swept == {"rows_missed": 1}


def test_a_failed_run_fails_its_step_with_a_one_line_error(
    location: Any, instance: Any, installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, keys={"south": "north"})

    south = run(location, instance, "south")

    (failure,) = [event.step_failure_data for event in south.all_events if event.is_step_failure]
    said = failure.user_failure_data.description
    assert re.fullmatch(r"Sendcloud refused the keys: GET /api/v2/pickups returned 401 .*accounts\.south.*", said)
    assert failure.user_failure_data.metadata["exit_code"].value == 3
    assert apis["north"].secret_key not in str(south.all_events)
    assert run(location, instance, "north").success


def test_a_failed_must_pass_check_prevents_the_report(location: Any, instance: Any, installation: Installation) -> None:
    """One pickup is in the table twice. One Dagster run would load the pickups and make the report."""
    run(location, instance, "north")
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute("insert into sendcloud.pickups select * from sendcloud.pickups limit 1")

    whole = dg.Definitions(
        assets=location.assets,
        asset_checks=location.asset_checks,
        jobs=[dg.define_asset_job("whole", dg.AssetSelection.all())],
        executor=dg.in_process_executor,
    )
    done = run(whole, instance, "north", job="whole")

    checked = {check.check_name: check.passed for check in done.get_asset_check_evaluations()}
    assert checked["unique_key"] is False
    assert not done.success
    made = {event.materialization.asset_key.path[-1] for event in done.get_asset_materialization_events()}
    assert made == {"pickups", "pickups_quarantine"}


def test_the_report_is_a_separate_asset(location: Any, instance: Any, installation: Installation) -> None:
    run(location, instance, "north")

    done = location.resolve_job_def("one_report").execute_in_process(instance=instance, raise_on_error=False)

    assert done.success
    (event,) = done.get_asset_materialization_events()
    page = Path(event.materialization.metadata["page"].value)
    assert page == installation.folder / "data" / "report" / "index.html"
    assert page.stat().st_size > 10_000


def test_an_account_with_a_run_in_progress_gets_no_second_run_but_its_sweep_is_queued(
    home: Path, location: Any
) -> None:
    job = location.resolve_job_def("one_account")
    with dg.DagsterInstance.from_config(str(home)) as kept:
        kept.create_run_for_job(job, tags={"dagster/partition": "north"}, status=dg.DagsterRunStatus.STARTED)
        context = dg.build_schedule_context(kept, NOW, repository_def=location.get_repository_def())

        due = {
            name: location.resolve_schedule_def(name).evaluate_tick(context).run_requests
            for name in ("every_15_minutes", "sweep_on_sundays")
        }

    assert [request.partition_key for request in due["every_15_minutes"]] == ["south"]
    assert [request.partition_key for request in due["sweep_on_sundays"]] == ["north", "south"]
    assert [request.run_config["ops"]["sendcloud"]["config"] for request in due["sweep_on_sundays"]] == [
        {"sweep": True}
    ] * 2


def test_dagster_yaml_limits_each_account_to_one_run_at_a_time(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        queue = instance.get_concurrency_config().run_queue_config

        assert queue.max_concurrent_runs == 4
        assert queue.tag_concurrency_limits == [
            {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
        ]
        assert instance.telemetry_enabled is False


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    """Starts Dagster's web server on a free port. No schedule starts a run, because that needs the daemon."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["-h", "127.0.0.1", "-p", str(port), "-f", str(home / "sendcloud_pickups_location.py")]
    with (home / "webserver.log").open("w") as log:
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name("dagster-webserver")), *words],
            env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(REPOSITORY)},
            cwd=home,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/server_info", server, home / "webserver.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed (Debian: apt-get install chromium)")
def test_a_browser_shows_the_assets_by_name(address: str) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-engines")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        window = browser.new_page(viewport={"width": 1400, "height": 900})
        asked: list[str] = []
        window.on("request", lambda request: asked.append(request.url))
        window.goto(f"{address}/asset-groups")
        for name in ("pickups", "pickups_quarantine", "report"):
            window.get_by_text(name, exact=True).first.wait_for(timeout=60_000)
        window.goto(f"{address}/assets/sendcloud/pickups?view=checks")
        window.get_by_text("unique_key").first.wait_for(timeout=60_000)
        window.goto(f"{address}/assets/sendcloud/pickups?view=partitions")
        for account in ("north", "south"):
            window.get_by_text(account, exact=True).first.wait_for(timeout=60_000)
        browser.close()

    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
