"""Tests the wheel as a user has it.

pip installs it into its own environment, which is then made read-only.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.project.test_wheel import build
from tests.support.installation import REPOSITORY, Done, environment
from tests.support.worlds import NOW

BESIDE = REPOSITORY / ".venv" / "uv" / "bin"  # make installs uv here on a machine without uv
UV = shutil.which("uv") or shutil.which("uv", path=BESIDE)
pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(not UV, reason="uv, which reads the versions from uv.lock, is not installed"),
]


class Installed:
    """Calls `pickups` of that environment from another folder, with little more than PATH and HOME set."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.home, self.stands_in = folder / "venv" / "bin", folder / "home", folder / "elsewhere"
        self.home.mkdir()
        self.stands_in.mkdir()

    def command(self, *words: str, api: Sandbox | None = None, **variables: str) -> Done:
        done = subprocess.run(
            [str(self.bin / "pickups"), *words],
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home), **(environment(api) if api else {}), **variables},
            cwd=self.stands_in,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def files(self) -> dict[Path, int]:
        """Returns every file of the environment with the time of its last change."""
        return {path: path.stat().st_mtime_ns for path in self.bin.parent.rglob("*")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("installed")
    locked, python = folder / "locked.txt", folder / "venv" / "bin" / "python"
    export = [UV, "export", "--quiet", "--locked", "--no-emit-project", "--no-hashes", "--all-extras", "-o", locked]
    subprocess.run([str(word) for word in export], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    wheel = build(REPOSITORY, "wheel", folder / "dist")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(locked), f"{wheel}[notebooks]"], check=True, cwd=folder)
    subprocess.run(["chmod", "-R", "a-w", str(folder / "venv")], check=True)
    yield Installed(folder)
    subprocess.run(["chmod", "-R", "u+w", str(folder / "venv")], check=True)


@pytest.fixture(scope="module")
def project(installed: Installed) -> Path:
    """Returns a project folder that `pickups init` created and two runs loaded pickups into."""
    before = installed.files()
    with serve(World.seeded(500, seed=3, until=NOW)) as api:
        for words in (["init", "shop"], ["--project-dir", "shop", "run"], ["--project-dir", "shop", "run"]):
            done = installed.command(*words, api=api)
            assert (done.returncode, "kept" in done.stdout) == (0, False), done.stderr
    assert "0 new, 0 changed" in done.stdout
    assert installed.files() == before
    return installed.stands_in / "shop"


def test_the_installed_program_prints_its_version(installed: Installed) -> None:
    done = installed.command("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert f'version = "{done.stdout.split()[1]}"' in (REPOSITORY / "pyproject.toml").read_text()


def test_the_installed_program_shows_the_loaded_carriers(installed: Installed, project: Path) -> None:
    done = installed.command("--project-dir", str(project), "show", "carriers")

    assert done.returncode == 0
    assert "dhl_express" in done.stdout


@pytest.mark.parametrize(
    "home", ["home", "nowhere", ""], ids=["an empty folder", "a missing folder", "an empty variable"]
)
def test_a_run_needs_no_home_folder(installed: Installed, project: Path, home: str) -> None:
    with serve(World.seeded(500, seed=3, until=NOW)) as api:
        where = str(installed.home.with_name(home)) if home else ""
        done = installed.command("--project-dir", str(project), "run", api=api, HOME=where)

    assert (done.returncode, done.stdout[:6]) == (0, "0 new,"), done.stderr


def test_the_report_is_written_from_the_wheel_without_notebooks(installed: Installed, project: Path) -> None:
    before = installed.files()
    shutil.rmtree(project / "notebooks")

    done = installed.command("--project-dir", str(project), "report")

    assert (done.returncode, Path(done.stdout.strip())) == (0, project / "data" / "report" / "index.html"), done.stderr
    assert "finished pickups" in (project / "data" / "report" / "index.html").read_text()
    assert installed.files() == before


def test_the_demo_needs_no_project_folder_and_no_keys(installed: Installed) -> None:
    before = installed.files()

    done = installed.command("demo", "--pickups", "300")

    assert done.returncode == 0, done.stderr
    assert "Cancellations per carrier" in done.stdout
    assert f"{installed.bin}/pickups init . (creates .dlt/secrets.toml)" in done.stdout
    assert installed.files() == before


def test_bash_completes_the_commands(installed: Installed) -> None:
    """The test completes as bash does, with the script that `pickups --install-completion bash` installs."""
    script = """
    pickups --install-completion bash >/dev/null && . ~/.bashrc
    COMP_WORDS=(pickups re) COMP_CWORD=1
    $(complete -p pickups | sed 's/.*-F \\([^ ]*\\).*/\\1/') pickups re pickups && echo "${COMPREPLY[@]}"
    """
    variables = {"PATH": f"{installed.bin}:/usr/bin:/bin", "HOME": str(installed.home)}
    done = subprocess.run(["bash", "-c", script], env=variables, capture_output=True, text=True, timeout=60)

    assert (done.stdout.split(), done.stderr) == (["report", "restore"], "")
