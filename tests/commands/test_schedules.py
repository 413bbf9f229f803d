"""Tests the output of `pickups schedule`, as far as that is possible without a scheduler.

systemd reads its units, and sh gets the crontab's commands as cron passes them.
tests/destinations/test_github_workflow.py runs the workflow's commands, each time on a new machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from pipelines import errors
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.accounts import keys_of
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Installation, as_rows

SYSTEMD = Path("/lib/systemd/systemd")
on_systemd = pytest.mark.skipif(
    not SYSTEMD.exists() or not shutil.which("systemd-analyze"),
    reason="systemd, which reads the units, is not installed",
)
RUN, SWEEP, FAILED = "sendcloud-pickups.service", "sendcloud-pickups-sweep.service", "sendcloud-pickups-failed@.service"
FIELDS = "* exclude (_dlt_load_id)"

pytestmark = pytest.mark.usefixtures("nothing_of_dlts_in_the_environment")


@pytest.fixture
def nasty(tmp_path: Path, api: Sandbox, world: World, monkeypatch: pytest.MonkeyPatch) -> Nasty:
    """Returns an installation with unusual characters in the paths of project, program and data.

    The API lists two pickups. The path of the data has no % or ', because dlt cannot work in that folder.
    """
    program, project = tmp_path / "bin 100%n $x é;" / "pickups", tmp_path / 'it\'s 50%h "of" $HOME `é`'
    data = tmp_path / '"all" $data `é`'
    for folder in (program.parent, project / ".dlt", data):
        folder.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m pipelines "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    settings = ["[sources.sendcloud]", f"base_url = '{api.base_url}'", "[destination.duckdb]"]
    settings += [f"credentials = {json.dumps(str(data / 'warehouse.duckdb'))}", "[publish]"]
    settings += [f"path = {json.dumps(str(data / 'pickups.duckdb'))}"]
    (project / ".dlt" / "config.toml").write_text("\n".join(settings))
    (project / ".dlt" / "secrets.toml").write_text("\n".join(["[sources.sendcloud.credentials]", *keys_of(api)]))
    world.book(carrier="dhl")
    world.book(carrier="ups")
    return Nasty(project, monkeypatch, data)


@dataclass
class Nasty(Installation):
    data: Path

    @property
    def published(self) -> Path:
        return self.data / "pickups.duckdb"


def program_path() -> str:
    return str(Path(sys.executable).with_name("pickups"))


@pytest.fixture
def units(nasty: Nasty) -> Iterator[Path]:
    """Yields a folder with the units, which any user can read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        done = nasty.command("schedule", "systemd", "--user", "pickups", "--to", folder)
        assert (done.returncode, done.stderr) == (0, "")
        yield Path(folder)


@on_systemd
def test_systemd_verifies_the_units_without_any_warning(units: Path) -> None:
    """Any line is a failure, because `systemd-analyze` also exits 0 for wrong values."""
    paths = sorted(map(str, units.iterdir()))
    assert len(paths) == 5

    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def unit_properties(units: Path, name: str) -> dict[str, list[str]]:
    """Returns the properties of a unit from systemd's own dump, which systemd does not print for root."""
    somebody = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*somebody, str(SYSTEMD), "--test", "--system", f"--unit={name}"],
        env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    (unit,) = re.findall(rf"-> Unit {re.escape(name)}:\n(.*?)(?=\n\t-> Unit |\Z)", done.stdout, re.DOTALL)
    told: dict[str, list[str]] = {}
    for key, value in re.findall(r"^\t+([\w ]+): (.*)$", unit, re.MULTILINE):
        told.setdefault(key, []).append(value)
    return told


def words_of(line: str) -> list[str]:
    """Returns the words of a line that is quoted for a shell."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True)
    return done.stdout.split("\0")[:-1]


@on_systemd
@pytest.mark.parametrize(
    ("name", "words", "not_a_failure"),
    quick(
        [
            (RUN, ["run"], {errors.EXIT_CODES[errors.RunInProgress], 143}),
            (SWEEP, ["run", "--sweep", "--wait", "600"], {143}),
        ]
    ),
)
def test_systemd_starts_the_intended_command_which_can_write_only_to_the_data(
    nasty: Nasty, units: Path, world: World, name: str, words: list[str], not_a_failure: set[int]
) -> None:
    told = unit_properties(units, name)

    (line,) = told["Command Line"]
    assert words_of(line) == [program_path(), "--project-dir", str(nasty.folder), *words]
    assert told["ReadWritePaths"] == [f"{nasty.data} {nasty.data}"]
    assert (told["User"], told["ProtectSystem"], told["ProtectHome"]) == (
        ["pickups"],
        ["strict"],
        [expected_protect_home()],
    )
    assert told["TimeoutStopSec"] == ["15s"]
    assert told["TimeoutStartSec"] != ["infinity"]
    assert [failure.split(" (")[0] for failure in told["OnFailure"]] == [FAILED.replace("@", f"@{name[:-8]}")]
    statuses = re.findall(r"^SuccessExitStatus=(.*)$", (units / name).read_text(), re.MULTILINE)
    assert {int(status) for status in statuses[0].split() if status.isdigit()} == not_a_failure

    done = subprocess.run(words_of(line), capture_output=True, text=True, timeout=60, cwd="/")

    assert (done.returncode, done.stdout[:7]) == (0, "2 new, "), done.stderr
    assert nasty.pickups() == as_rows(world.records())


def expected_protect_home() -> str:
    """Returns the expected ProtectHome. The service can read home folders only if this Python is in one."""
    ours = (Path(sys.executable).resolve(), Path(sys.base_prefix), Path(tempfile.gettempdir()))
    return "read-only" if any(str(path).startswith(("/home/", "/root/")) for path in ours) else "yes"


@on_systemd
def test_after_a_failure_the_status_goes_to_the_journal_and_is_not_a_second_failure(nasty: Nasty, units: Path) -> None:
    told = unit_properties(units, FAILED.replace("@", "@sendcloud-pickups"))

    assert words_of(told["Command Line"][0]) == [program_path(), "--project-dir", str(nasty.folder), "status"]
    assert 'ExecStart="-:' in (units / FAILED).read_text()


def test_no_unit_has_more_rights_than_another(units: Path) -> None:
    """The unit for the status has these limits too, and it cannot write to any folder."""
    hardened = {
        name: [line for line in (units / name).read_text().split("MemoryMax=")[1].splitlines()[1:] if line]
        for name in (RUN, SWEEP, FAILED)
    }

    assert hardened[RUN] == hardened[SWEEP]
    assert [line for line in hardened[RUN] if not line.startswith("ReadWritePaths=")] == hardened[FAILED]
    assert len(hardened[FAILED]) > 20


@on_systemd
@pytest.mark.parametrize(
    ("timer", "instants"),
    [
        ("sendcloud-pickups.timer", ["Fri 12:04", "Fri 12:19", "Fri 12:34", "Fri 12:49", "Fri 13:04"]),
        ("sendcloud-pickups-sweep.timer", ["Sun 03:11"]),
    ],
)
def test_the_timers_avoid_round_minutes(units: Path, timer: str, instants: list[str]) -> None:
    (when,) = re.findall(r"^OnCalendar=(.*)$", (units / timer).read_text(), re.MULTILINE)

    words = ["--base-time=2026-11-20 12:00:00 UTC", f"--iterations={len(instants)}", when]
    done = subprocess.run(
        ["systemd-analyze", "calendar", *words], env={**os.environ, "TZ": "UTC"}, capture_output=True, text=True
    )

    due = re.findall(r"(?:Next elapse|Iter\. #\d+): (\w+) \S+ (\d\d:\d\d):00 UTC", done.stdout)
    assert [" ".join(found) for found in due] == instants


CRONS = {"removes the backslash before a %": r"%", "keeps it": r"\%"}


@pytest.mark.slow
@pytest.mark.parametrize("cron", quick(CRONS))
def test_the_commands_that_cron_passes_to_sh_run_and_sweep(nasty: Nasty, world: World, cron: str) -> None:
    """According to crontab(5), a % without a backslash before it ends the command."""
    log = nasty.data / "cron.log"
    if cron == next(iter(CRONS)):
        log.write_text("of last week\n")
    else:
        shutil.rmtree(nasty.data)  # the first run creates it
    printed = nasty.command("schedule", "cron").stdout
    lines = [line.split(" ", 5) for line in printed.splitlines() if line and not line.startswith("#")]
    assert [line[:5] for line in lines] == [["4-59/15", "*", "*", "*", "*"], ["11", "3", "*", "*", "0"]]
    assert "# At minute 4, 19, 34 and 49 of every hour" in printed
    assert "# On Sundays at 03:11" in printed

    for line, begins_with in zip(lines, ("of last week" if log.exists() else "", ""), strict=True):
        command = re.split(r"(?<!\\)%", line[5])[0].replace(r"\%", CRONS[cron])
        plain = {"HOME": "/", "LOGNAME": "pickups", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["/bin/sh", "-c", command], env=plain, cwd="/", capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), log.read_text()
        assert log.read_text().startswith(begins_with)
        assert nasty.pickups() == as_rows(world.records())
    assert "of last week" not in log.read_text()
    assert "sweep: everything was read again" in log.read_text()


@pytest.mark.parametrize(
    ("kind", "folder", "says"),
    [
        ("systemd", 'a "b"', "can't be used in a schedule for systemd: it contains '\"'"),
        ("cron", "a\nb", r"can't be used in a schedule for cron: it contains '\\n'"),
        ("dagster", "a\\b", r"can't be used in a schedule for dagster: it contains '\\\\'"),
    ],
)
def test_a_path_that_cannot_be_used_in_a_schedule_is_rejected(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, kind: str, folder: str, says: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(installation.folder / folder / "python"))

    done = installation.command("schedule", kind)

    assert (done.returncode, done.stdout) == (3, "")
    assert re.search(says, done.stderr)


def test_an_existing_file_that_differs_is_not_overwritten(installation: Installation) -> None:
    there = installation.folder / "units"
    assert installation.command("schedule", "systemd", "--to", str(there)).returncode == 0
    again = installation.command("schedule", "systemd", "--to", str(there))
    assert {line.split()[0] for line in again.stdout.splitlines()} == {"same"}

    (there / RUN).unlink()
    (there / "sendcloud-pickups.timer").write_text("mine")
    refused = installation.command("schedule", "systemd", "--to", str(there))

    assert refused.returncode == 6
    assert re.fullmatch(r"pickups: .*sendcloud-pickups\.timer: the file exists and differs.*\n", refused.stderr)
    assert (there / "sendcloud-pickups.timer").read_text() == "mine"
    assert not (there / RUN).exists()


def test_settings_that_only_this_shell_has_are_named_without_their_values(
    installation: Installation, api: Sandbox
) -> None:
    done = installation.command("schedule", "cron", api=api)

    assert done.returncode == 0
    assert "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY" in done.stderr
    assert api.secret_key not in done.stdout + done.stderr


def test_the_workflow_follows_githubs_advice(installation: Installation) -> None:
    """Runs do not overlap, and no run is cancelled.

    The workflow can only read the repository, pins actions by commit, and passes the keys to one step only.
    """
    workflow = yaml.safe_load(installation.command("schedule", "github").stdout)
    (job,) = workflow["jobs"].values()

    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"] == {"group": "sendcloud-pickups", "cancel-in-progress": False}
    assert job["timeout-minutes"] <= 60
    assert [on["cron"].split()[0] for on in workflow[True]["schedule"]] == ["4-59/15", "11"]
    assert "pull_request" not in workflow[True]
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)
    with_secrets = [step for step in job["steps"] if "secrets." in str(step)]
    assert [step["name"] for step in with_secrets] == ["load"]
    assert "secrets." not in str([workflow.get("env"), job.get("env")])
    assert "${{" not in "".join(step.get("run", "") for step in job["steps"])  # an expression is not quoted there


def test_a_schedule_can_be_printed_without_any_settings_and_has_no_placeholder_left(installation: Installation) -> None:
    for kind in ("systemd", "cron", "github", "dagster", "docker", "kubernetes"):
        done = installation.command("schedule", kind)
        assert (done.returncode, done.stderr) == (0, "")
        assert not re.search(r"@[A-Z]+@", done.stdout), kind


def test_every_file_that_the_docs_name_is_printed_and_every_printed_file_is_named() -> None:
    guides = ("schedule", "dagster", "github-actions", "containers")
    docs = "".join((REPOSITORY / "docs" / "how-to" / f"{guide}.md").read_text() for guide in guides)
    there = {
        path.name
        for path in (REPOSITORY / "pipelines" / "scheduling" / "templates").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }

    named = set(re.findall(r"[\w-]+@?\.(?:service|timer)|dagster\.yaml|\w+_location\.py", docs))

    assert named <= there
    assert there - named <= {
        "sendcloud-pickups-sweep.service",  # the docs name its timer
        "sendcloud-pickups.yml",
        "crontab",
        "Dockerfile",
        "compose.yaml",
        "sendcloud-pickups.yaml",
        "dagster_location.py",
    }, there - named
