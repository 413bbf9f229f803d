"""Tests the output of each command, and compares its numbers with the tables."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.main import get_command

from pipelines.analytics.views import view_files
from pipelines.cli import app
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Installation, environment
from tests.support.templates import Templates
from tests.support.worlds import NOW, ten

pytestmark = [pytest.mark.duckdb2, pytest.mark.versions]


@pytest.fixture
def ten_booked_two_cancelled(world: World) -> World:
    return ten(world)


@pytest.fixture
def loaded(installation: Installation, templates: Templates) -> Installation:
    """Returns an installation that has loaded the ten pickups."""
    return installation.as_in(templates.loaded("ten"))


@pytest.mark.usefixtures("ten_booked_two_cancelled")
def test_a_run_prints_its_receipt_in_one_line(installation: Installation, world: World, api: Sandbox) -> None:
    first = installation.command("run", api=api)
    assert first.returncode == 0
    assert re.fullmatch(
        r"10 new, 0 changed, 0 unchanged in \d+\.\d s · newest 2026-10-31 21:00 UTC · 0 open\n", first.stdout
    )

    world.advance(hours=2)
    world.book(created_at=NOW)
    second = installation.command("run", api=api)
    assert re.fullmatch(
        r"1 new, 0 changed, 10 unchanged in \d+\.\d s · 0 cancelled since the last run"
        r" · newest 2026-11-20 12:00 UTC · 1 open\n",
        second.stdout,
    )
    assert [line.split()[2] for line in second.stderr.splitlines()] == ["reading:", "loading:", "publishing:"]


@pytest.mark.slow
def test_on_a_terminal_a_progress_bar_shows_how_far_back_the_run_has_read(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The pages are slow, so that the bar is drawn before the run ends."""
    for number in range(5):
        world.book(created_at=NOW - timedelta(days=5 - number))
    api.fault(faults.slow(0.2), times=None)
    ours, terminal = os.openpty()
    settings = {**environment(api, page_size=1), "DLT_PROJECT_DIR": str(installation.folder), "TERM": "xterm"}
    running = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "run"],
        env={**os.environ, **settings, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    shown = ""
    with suppress(OSError):  # a terminal raises this when its other end is closed
        while said := os.read(ours, 4096):
            shown += said.decode(errors="replace")
    os.close(ours)

    assert running.wait(60) == 0
    assert "━" in shown
    assert "reading: 2 pages, 2 pickups, back to 2026-11-18" in shown


@pytest.mark.usefixtures("ten_booked_two_cancelled")
def test_a_run_with_json_prints_the_row_of_pickup_runs(installation: Installation, api: Sandbox) -> None:
    told = json.loads(installation.command("run", "--json", api=api).stdout)

    (row,) = installation.rows("select * exclude (seconds_published, finished_at) from sendcloud.pickup_runs")
    for name, value in row.items():
        shown = told[name]
        if isinstance(value, datetime):
            assert datetime.fromisoformat(shown) == value, name
        elif isinstance(shown, dict | list):
            assert json.loads(value) == shown, name
        else:
            assert shown == value, name
    assert told["observed_at"] == "2026-11-20T12:00:00+00:00"  # the API's clock


@pytest.mark.slow
def test_a_failed_run_with_json_prints_an_object(installation: Installation, api: Sandbox) -> None:
    done = installation.command("run", "--json", api=api, SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY="wrong")

    assert done.returncode == 3
    assert json.loads(done.stdout)["error"].startswith("AuthError: ")


def test_show_carriers_prints_the_numbers_counted_by_hand(loaded: Installation) -> None:
    done = loaded.command("show", "carriers")

    assert "Cancellations per carrier, as of 2026-11-20 12:00 UTC" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines() if line.strip().startswith(("dhl", "ups"))]
    assert [[line[1], *line[5:8], *line[-4:-2]] for line in lines] == [
        ["25.0%", "1", "of", "4", "4", "4"],
        ["16.7%", "1", "of", "6", "6", "6"],
    ]


@pytest.mark.parametrize(("table", "view"), [("carriers", "carrier_cancellations"), ("windows", "carrier_windows")])
def test_show_with_json_prints_the_complete_view(loaded: Installation, table: str, view: str) -> None:
    shown = json.loads(loaded.command("show", table, "--json").stdout)

    expected = loaded.rows(f"select * from analytics.{view}")
    assert sorted(shown, key=str) == sorted([as_printed(row) for row in expected], key=str)
    assert len(shown) >= 2
    assert {row["as_of_utc"] for row in shown if "as_of_utc" in row} <= {"2026-11-20T12:00:00"}


def as_printed(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of a view as the commands print it, with times in ISO 8601."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


@pytest.mark.parametrize(
    ("table", "view"), quick([("carriers", "carrier_cancellations"), ("windows", "carrier_windows")])
)
def test_show_as_csv_holds_every_column_of_the_view(loaded: Installation, table: str, view: str) -> None:
    shown = list(csv.DictReader(io.StringIO(loaded.command("show", table, "--format", "csv").stdout)))

    expected = loaded.rows(f"select * from analytics.{view}")
    as_text = [{k: "" if value is None else str(value) for k, value in as_printed(row).items()} for row in expected]
    assert sorted(shown, key=str) == sorted(as_text, key=str)
    assert len(shown) >= 2


def test_in_python_a_view_can_be_filtered_by_carrier_and_date(loaded: Installation) -> None:
    from pipelines.warehouse import read

    published = loaded.published

    assert read("carrier_windows", published, carriers=["ups"])["pickups"].tolist() == [
        6,
        6,
    ]  # all accounts, and the one
    booked = read("pickups", published).sort_values("created_at_utc")["created_at_utc"]
    since = booked.iloc[4]
    later = read("pickups", published, since=since.to_pydatetime(), by="booking")
    assert sorted(later["created_at_utc"]) == [at for at in booked if at >= since]
    for day in ("2026-12-01", date(2026, 12, 1), datetime(2026, 12, 1)):  # noqa: DTZ001  # naive, as users write it
        assert len(read("pickups", published, since=day)) == 0
    with pytest.raises(ValueError, match="unknown carrier 'UPS'; available carriers: dhl, ups"):
        read("pickups", published, carriers=["UPS"])
    with pytest.raises(ValueError, match="carriers must be a list"):
        read("pickups", published, carriers="ups")
    with pytest.raises(ValueError, match="carriers is an empty list, so there is nothing to read; None means all"):
        read("pickups", published, carriers=[])


def test_show_windows_prints_local_hours(loaded: Installation) -> None:
    """The sandbox's plain window is 12:00 to 17:00 UTC. On 2 November, it opened at 13:00 in the Netherlands."""
    (line,) = [x.split() for x in loaded.command("show", "windows").stdout.splitlines() if x.startswith(" dhl")]

    assert line[:4] == ["dhl", "4", "5.0", "h"]
    assert "13:00" in line  # all windows open on or after 2 November, after the clocks went back


def test_status_shows_the_last_run_and_the_contents_of_the_tables(loaded: Installation, api: Sandbox) -> None:
    loaded.command("run", api=api, SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY="wrong")

    text = loaded.command("status").stdout
    (account,) = json.loads(loaded.command("status", "--json").stdout)

    assert "last run       failed, " in text
    assert "AuthError: Sendcloud refused the keys" in text
    assert "pickups        10" in text
    assert "checks         all passed" in text
    assert (account["account"], account["pickups"], account["open_pickups"], account["quarantined"]) == (
        "default",
        10,
        0,
        0,
    )
    assert account["last_outcome"] == "failed"
    assert account["last_success_at"] < account["last_run_at"]


@pytest.mark.slow
def test_the_demo_runs_twice_shows_the_carriers_and_leaves_the_projects_files_alone(
    installation: Installation,
) -> None:
    done = installation.command("demo", "--pickups", "600")

    assert done.returncode == 0
    receipts = re.findall(r"(\d+) new, (\d+) changed, (\d+) unchanged", done.stdout)
    assert len(receipts) == 2
    assert int(receipts[0][0]) + int(receipts[1][0]) == 600
    assert "Cancellations per carrier" in done.stdout
    assert "dhl_express" in done.stdout
    assert sorted(path.name for path in (installation.folder / "data").iterdir()) == ["demo", "demo.lock"]
    assert {"pickups.duckdb", "warehouse.duckdb"} <= {p.name for p in (installation.folder / "data/demo").iterdir()}
    assert all(word in done.stdout for word in ("own keys", "schedule", "notebooks"))


@pytest.mark.slow
def test_show_reads_the_demos_file_until_the_project_has_its_own(
    installation: Installation, world: World, api: Sandbox
) -> None:
    installation.command("demo", "--pickups", "300")
    assert "dhl_express" in installation.command("show", "carriers").stdout

    world.book(carrier="hermes_de", created_at=NOW - timedelta(days=9))
    installation.command("run", api=api)

    shown = installation.command("show", "carriers").stdout
    assert "hermes_de" in shown
    assert "dhl_express" not in shown


@pytest.fixture
def sandbox_process(installation: Installation) -> Iterator[subprocess.Popen[str]]:
    """Yields the process of `pickups sandbox`, which is ended in any case."""
    words = ["--project-dir", str(installation.folder), "sandbox", "--port", "0", "--pickups", "30"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        # a shell's `&` makes processes ignore SIGINT, and a child process inherits that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_the_sandbox_command_prints_working_addresses_and_keys(sandbox_process: subprocess.Popen[str]) -> None:
    assert sandbox_process.stdout
    lines = [sandbox_process.stdout.readline().strip().removeprefix("export ") for _ in range(5)]
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    keys = [settings[f"SOURCES__SENDCLOUD__CREDENTIALS__{name}_KEY"] for name in ("PUBLIC", "SECRET")]
    request = urllib.request.Request(
        settings["SOURCES__SENDCLOUD__BASE_URL"] + "/pickups?page_size=5",
        headers={"Authorization": "Basic " + b64encode(":".join(keys).encode()).decode()},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert len(json.load(answer)["data"]) == 5
    lines = [sandbox_process.stdout.readline().strip().removeprefix("export ") for _ in range(8)]
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    client = ":".join(settings[f"SOURCES__SENDCLOUD__CREDENTIALS__CLIENT_{name}"] for name in ("ID", "SECRET"))
    request = urllib.request.Request(
        settings["SOURCES__SENDCLOUD__TOKEN_URL"],
        data=b"grant_type=client_credentials&scope=api",
        headers={"Authorization": "Basic " + b64encode(client.encode()).decode()},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["token_type"] == "bearer"
    sandbox_process.send_signal(signal.SIGINT)
    _, errors = sandbox_process.communicate(timeout=30)
    assert (sandbox_process.returncode, errors) == (0, "")


@pytest.mark.slow
def test_a_run_succeeds_on_a_terminal_that_supports_only_ascii(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()

    done = installation.process("run", api=api, PYTHONIOENCODING="ascii")

    assert (done.returncode, done.stdout[:7]) == (0, "1 new, ")


@pytest.mark.slow
def test_a_run_does_not_import_libraries_that_only_notebooks_need(installation: Installation, api: Sandbox) -> None:
    """The test looks for inner modules, because Python also lists an import that was blocked."""
    done = installation.process("run", api=api, PYTHONPROFILEIMPORTTIME="1")

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "dlt.pipeline.pipeline" in imported
    assert not imported & {"numpy.linalg", "pandas._libs", "pyarrow._dataset", "tornado.gen"}


@pytest.mark.parametrize("command", get_command(app.app).commands)  # type: ignore[attr-defined]
def test_every_command_has_help(installation: Installation, command: str) -> None:
    done = installation.command(command, "--help")

    assert done.returncode == 0
    assert f"Usage: pickups {command}" in done.stdout


def test_models_writes_every_view_as_parquet(loaded: Installation, tmp_path: Path) -> None:
    done = loaded.command("models", "--to", str(tmp_path / "built"), "--json")

    assert done.returncode == 0, done.stderr
    written = f"select count(*) as n from '{tmp_path}/built/pickups/**/*.parquet'"
    assert duckdb.sql(written).fetchall() == [(10,)]
    assert {path.stem for path in view_files()} == json.loads(done.stdout)["rows"].keys()


def test_the_printed_version_is_the_version_in_pyproject_toml(installation: Installation) -> None:
    assert (
        f'version = "{installation.command("--version").stdout.split()[1]}"'
        in (REPOSITORY / "pyproject.toml").read_text()
    )


@pytest.mark.slow
def test_in_python_run_returns_the_receipt_and_read_returns_a_data_frame(
    installation: Installation, ten_booked_two_cancelled: World, api: Sandbox
) -> None:
    from pipelines.warehouse import read

    assert ten_booked_two_cancelled
    receipt = installation.run(api)
    frame = read("carrier_cancellations", installation.published)

    assert receipt.exit_code == 0
    assert frame.query("is_every_account and country == 'all' and carrier == 'dhl'")["cancellation_rate"].tolist() == [
        0.25
    ]
    with pytest.raises(ValueError, match=r"unknown view 'pickup'; available views: acceptance_times, "):
        read("pickup", installation.published)
