"""What `pickups schedule` prints, as far as a machine without schedules goes: systemd itself reads its units,
sh gets the crontab's lines as cron hands them over, the workflow's commands run twice, each time on a new machine.
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
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import errors
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.accounts import configure, keys_of, rows_of_worlds, serving
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Done, Installation, as_rows, rows_of
from tests.support.worlds import NOW

SYSTEMD = Path("/lib/systemd/systemd")
on_systemd = pytest.mark.skipif(
    not SYSTEMD.exists() or not shutil.which("systemd-analyze"), reason="there is no systemd here to read its units"
)
RUN, SWEEP, FAILED = "sendcloud-pickups.service", "sendcloud-pickups-sweep.service", "sendcloud-pickups-failed@.service"
FIELDS = "* exclude (_dlt_load_id)"

pytestmark = pytest.mark.usefixtures("nothing_of_dlts_in_the_environment")


@pytest.fixture
def nasty(tmp_path: Path, api: Sandbox, world: World, monkeypatch: pytest.MonkeyPatch) -> Nasty:
    """An installation whose project, program and data lie where a person once thought it funny; two pickups to load.

    The data not below a % or ', where dlt can't work.
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


def program_of() -> str:
    return str(Path(sys.executable).with_name("pickups"))


@pytest.fixture
def units(nasty: Nasty) -> Iterator[Path]:
    """The units in a folder that systemd may read as anybody."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        done = nasty.command("schedule", "systemd", "--user", "pickups", "--to", folder)
        assert (done.returncode, done.stderr) == (0, "")
        yield Path(folder)


@on_systemd
def test_systemd_has_nothing_to_say_against_the_units(units: Path) -> None:
    """Any line counts: it ends with 0 for wrong values too."""
    paths = sorted(map(str, units.iterdir()))
    assert len(paths) == 5

    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def understood(units: Path, name: str) -> dict[str, list[str]]:
    """What systemd itself makes of a unit: its dump, property by property. It does so for anybody but root."""
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
    """The words of a line that is quoted as for a shell."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True)
    return done.stdout.split("\0")[:-1]


@on_systemd
@pytest.mark.parametrize(
    ("name", "words", "not_a_failure"),
    quick(
        [
            (RUN, ["run"], {errors.EXIT_CODES[errors.AnotherRun], 143}),
            (SWEEP, ["run", "--sweep", "--wait", "600"], {143}),
        ]
    ),
)
def test_systemd_starts_what_was_meant_with_nothing_but_the_data_to_write_to(
    nasty: Nasty, units: Path, world: World, name: str, words: list[str], not_a_failure: set[int]
) -> None:
    told = understood(units, name)

    (line,) = told["Command Line"]
    assert words_of(line) == [program_of(), "--project-dir", str(nasty.folder), *words]
    assert told["ReadWritePaths"] == [f"{nasty.data} {nasty.data}"]
    assert (told["User"], told["ProtectSystem"], told["ProtectHome"]) == (["pickups"], ["strict"], [home_of_tests()])
    assert told["TimeoutStopSec"] == ["15s"]
    assert told["TimeoutStartSec"] != ["infinity"]
    assert [failure.split(" (")[0] for failure in told["OnFailure"]] == [FAILED.replace("@", f"@{name[:-8]}")]
    statuses = re.findall(r"^SuccessExitStatus=(.*)$", (units / name).read_text(), re.MULTILINE)
    assert {int(status) for status in statuses[0].split() if status.isdigit()} == not_a_failure

    done = subprocess.run(words_of(line), capture_output=True, text=True, timeout=60, cwd="/")

    assert (done.returncode, done.stdout[:7]) == (0, "2 new, "), done.stderr
    assert nasty.pickups() == as_rows(world.records())


def home_of_tests() -> str:
    """Nobody's home is open to the service, unless this very Python lies in one."""
    ours = (Path(sys.executable).resolve(), Path(sys.base_prefix), Path(tempfile.gettempdir()))
    return "read-only" if any(str(path).startswith(("/home/", "/root/")) for path in ours) else "yes"


@on_systemd
def test_after_a_failure_the_journal_gets_the_status_and_that_is_no_failure_of_its_own(
    nasty: Nasty, units: Path
) -> None:
    told = understood(units, FAILED.replace("@", "@sendcloud-pickups"))

    assert words_of(told["Command Line"][0]) == [program_of(), "--project-dir", str(nasty.folder), "status"]
    assert 'ExecStart="-:' in (units / FAILED).read_text()


def test_no_unit_may_more_than_another(units: Path) -> None:
    """The status can't either, and it writes nowhere at all."""
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
def test_the_timers_are_due_at_odd_minutes(units: Path, timer: str, instants: list[str]) -> None:
    (when,) = re.findall(r"^OnCalendar=(.*)$", (units / timer).read_text(), re.MULTILINE)

    words = ["--base-time=2026-11-20 12:00:00 UTC", f"--iterations={len(instants)}", when]
    done = subprocess.run(
        ["systemd-analyze", "calendar", *words], env={**os.environ, "TZ": "UTC"}, capture_output=True, text=True
    )

    due = re.findall(r"(?:Next elapse|Iter\. #\d+): (\w+) \S+ (\d\d:\d\d):00 UTC", done.stdout)
    assert [" ".join(found) for found in due] == instants


CRONS = {"take the backslash before a % away": r"%", "leave it": r"\%"}


@pytest.mark.slow
@pytest.mark.parametrize("cron", quick(CRONS))
def test_what_cron_hands_to_sh_runs_and_sweeps(nasty: Nasty, world: World, cron: str) -> None:
    """crontab(5): a % that no backslash stands before ends the command."""
    log = nasty.data / "cron.log"
    if cron == next(iter(CRONS)):
        log.write_text("of last week\n")
    else:
        shutil.rmtree(nasty.data)  # the first run makes it
    printed = nasty.command("schedule", "cron").stdout
    lines = [line.split(" ", 5) for line in printed.splitlines() if line and not line.startswith("#")]
    assert [line[:5] for line in lines] == [["4-59/15", "*", "*", "*", "*"], ["11", "3", "*", "*", "0"]]
    assert "# at minute 4, 19, 34 and 49 of every hour" in printed
    assert "# Sundays at 03:11" in printed

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
        ("systemd", 'a "b"', "can't stand in a schedule for systemd: it has '\"'"),
        ("cron", "a\nb", r"can't stand in a schedule for cron: it has '\\n'"),
        ("dagster", "a\\b", r"can't stand in a schedule for dagster: it has '\\\\'"),
    ],
)
def test_a_path_that_can_not_stand_in_a_schedule_is_refused(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, kind: str, folder: str, says: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(installation.folder / folder / "python"))

    done = installation.command("schedule", kind)

    assert (done.returncode, done.stdout) == (3, "")
    assert re.search(says, done.stderr)


def test_a_file_that_is_there_and_differs_is_left_as_it_is(installation: Installation) -> None:
    there = installation.folder / "units"
    assert installation.command("schedule", "systemd", "--to", str(there)).returncode == 0
    again = installation.command("schedule", "systemd", "--to", str(there))
    assert {line.split()[0] for line in again.stdout.splitlines()} == {"same"}

    (there / RUN).unlink()
    (there / "sendcloud-pickups.timer").write_text("mine")
    refused = installation.command("schedule", "systemd", "--to", str(there))

    assert refused.returncode == 6
    assert re.fullmatch(r"pickups: .*sendcloud-pickups\.timer: it is there, and differs.*\n", refused.stderr)
    assert (there / "sendcloud-pickups.timer").read_text() == "mine"
    assert not (there / RUN).exists()


def test_settings_that_only_this_shell_has_are_named_and_their_values_are_not(
    installation: Installation, api: Sandbox
) -> None:
    done = installation.command("schedule", "cron", api=api)

    assert done.returncode == 0
    assert "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY" in done.stderr
    assert api.secret_key not in done.stdout + done.stderr


class Runner:
    """GitHub's machine: a checkout of the repository, a home that is new each time, and what the workflow says."""

    def __init__(self, installation: Installation, secrets: dict[str, str], folder: Path) -> None:
        self.project, self.folder, self.secrets, self.made = installation.folder, folder, secrets, 0
        self.workflow: dict[Any, Any] = yaml.safe_load(installation.command("schedule", "github").stdout)

    def step(self, name: str) -> dict[str, Any]:
        (found,) = [step for step in self.workflow["jobs"]["load"]["steps"] if step.get("name") == name]
        return found

    def run(self, due: str) -> Done:
        """The step that loads, as the runner does it: its shell, its expressions, nothing else in the environment."""
        self.made += 1
        home = self.folder / f"runner-{self.made}"
        home.mkdir()
        given = {name: self.value(str(text), due) for name, text in self.step("load")["env"].items()}
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", "-e", "-c", self.step("load")["run"]],
            env={"PATH": path, "HOME": str(home), "PYTHONPATH": str(REPOSITORY), **given},
            cwd=self.project,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def value(self, text: str, due: str) -> str:
        if found := re.fullmatch(r"\$\{\{ (?:secrets|vars)\.(\w+) \}\}", text):
            return self.secrets.get(found[1], "")
        if found := re.fullmatch(r"\$\{\{ github\.event\.schedule == '(.*)' && '(.*)' \|\| '' \}\}", text):
            return found[2] if due == found[1] else ""
        raise AssertionError(f"not one of GitHub's expressions that this test knows: {text}")


def secrets_of(apis: dict[str, Sandbox], remote: Path) -> dict[str, str]:
    keys = {}
    for name, api in apis.items():
        place = f"SENDCLOUD__ACCOUNTS__{name.upper().replace('-', '_')}__CREDENTIALS"
        keys |= {f"{place}__PUBLIC_KEY": api.public_key, f"{place}__SECRET_KEY": api.secret_key}
    return {**keys, "WAREHOUSE_TYPE": "duckdb", "WAREHOUSE_CREDENTIALS": str(remote)}


@pytest.mark.slow
def test_the_workflow_loads_what_changed_though_every_runner_is_new(installation: Installation, tmp_path: Path) -> None:
    """Two accounts, the name of one not that of any shell variable; the remote warehouse is a file here."""
    worlds = {"north-sea": World(clock=NOW), "south": World(clock=NOW)}
    for world in worlds.values():
        for hours in range(30):
            world.book(created_at=NOW - timedelta(hours=hours + 1))
    remote = tmp_path / "remote.duckdb"
    with serving(worlds) as apis:
        configure(installation, apis, keys=dict.fromkeys(apis), common={"page_size": 5})
        runner = Runner(installation, secrets_of(apis, remote), tmp_path)
        ordinary, sweep = [on["cron"] for on in runner.workflow[True]["schedule"]]  # `on` is YAML's true
        first = runner.run(ordinary)
        worlds["south"].advance(minutes=15)
        worlds["south"].cancel(worlds["south"].records()[-1]["id"])
        apis["south"].requests.clear()
        second = runner.run(ordinary)
        swept = runner.run(sweep)

        for done in (first, second, swept):
            assert (done.returncode, done.stderr) == (0, "")
        assert [line.split(" pickups")[0] for line in first.stdout.splitlines()] == ["north-sea: 30", "south: 30"]
        rows = rows_of(remote, f"select {FIELDS} from sendcloud.pickups order by account, id")
        assert rows == rows_of_worlds(apis)
        assert not (installation.folder / "data").exists()


@pytest.mark.slow
def test_a_runner_needs_no_memory_of_its_own_to_read_no_further_than_it_must(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    for days in range(100, 0, -1):
        booked_at = NOW - timedelta(days=days)
        world.cancel(world.book(created_at=booked_at), at=booked_at)
    (installation.folder / ".dlt" / "config.toml").write_text(
        f"[sources.sendcloud]\nbase_url = '{api.base_url}'\npage_size = 10\npages_per_package = 3\n"
    )
    keys = {f"SENDCLOUD__CREDENTIALS__{name}_KEY": getattr(api, f"{name.lower()}_key") for name in ("PUBLIC", "SECRET")}
    remote = tmp_path / "remote.duckdb"
    runner = Runner(installation, {**keys, "WAREHOUSE_TYPE": "duckdb", "WAREHOUSE_CREDENTIALS": str(remote)}, tmp_path)
    ordinary, sweep = [on["cron"] for on in runner.workflow[True]["schedule"]]

    said = [runner.run(due).stdout for due in (ordinary, ordinary, sweep)]

    assert said == [f"default: {n} pickups read in {n // 10} pages, 0 unreadable\n" for n in (100, 20, 100)]
    assert len(rows_of(remote, "select * from sendcloud._dlt_loads")) > 3  # the first load came in packages
    rows = rows_of(remote, f"select {FIELDS} from sendcloud.pickups order by id")
    assert rows == as_rows(world.records())


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    quick(
        [
            ({"WAREHOUSE_TYPE": ""}, 3, "No destination: put destination_type into [destination.warehouse]"),
            ({"WAREHOUSE_TYPE": "dukdb"}, 3, "destination_type is 'dukdb', which is no destination that dlt has"),
            (
                {"WAREHOUSE_TYPE": "filesystem"},
                3,
                "'filesystem' can't replace rows by key: each change would be a copy",
            ),
            (
                {"SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS__SECRET_KEY": ""},
                3,
                "SOUTH__CREDENTIALS__SECRET_KEY in the environment) is empty",
            ),
            (
                {"WAREHOUSE_CREDENTIALS": "/nowhere/x.duckdb"},
                6,
                "The destination failed: [destination.warehouse]: IO Error",
            ),
        ],
        only=(4,),
    ),
)
def test_what_the_workflow_can_not_do_is_a_line_and_an_exit_code(
    installation: Installation, tmp_path: Path, changes: dict[str, str], code: int, says: str
) -> None:
    with serving({"north": World(clock=NOW), "south": World(clock=NOW)}) as apis:
        configure(installation, apis, keys=dict.fromkeys(apis))
        secrets = {**secrets_of(apis, tmp_path / "remote.duckdb"), **changes}
        done = Runner(installation, secrets, tmp_path).run("")

    lines = done.stderr.splitlines()
    assert done.returncode == code, done.stderr
    assert says in lines[-1]
    assert all(line.startswith("pickups: ") for line in lines)
    assert not any(secret in done.stderr for name, secret in secrets.items() if "SECRET_KEY" in name and secret)
    if "SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS__SECRET_KEY" in changes:
        assert done.stdout.startswith("north: ")  # whose keys were there


def test_the_workflow_keeps_to_what_github_advises(installation: Installation) -> None:
    """One at a time, none cut short; no right but to read, actions by their commit, keys for one step alone."""
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
    assert "${{" not in "".join(step.get("run", "") for step in job["steps"])  # what stands there is not quoted


def test_no_account_of_the_demo_or_shell_is_needed_to_print_a_schedule(installation: Installation) -> None:
    for kind in ("systemd", "cron", "github", "dagster"):
        done = installation.command("schedule", kind)
        assert (done.returncode, done.stderr) == (0, "")
        assert not re.search(r"@[A-Z]+@", done.stdout), kind


def test_every_file_that_the_docs_speak_of_is_printed_and_every_printed_one_is_spoken_of() -> None:
    docs = (REPOSITORY / "pipelines" / "README.md").read_text().split("\n## Schedules\n")[1].split("\n## ")[0]
    there = {path.name for path in (REPOSITORY / "pipelines" / "schedules").rglob("*") if path.is_file() and path.suffix != ".pyc"}

    spoken_of = set(re.findall(r"[\w-]+@?\.(?:service|timer)|dagster\.yaml|\w+_location\.py", docs))

    assert spoken_of <= there
    assert there - spoken_of <= {
        "sendcloud-pickups-sweep.service",  # by its timer
        "sendcloud-pickups.yml",
        "crontab",
        "dagster_location.py",
    }, there - spoken_of
