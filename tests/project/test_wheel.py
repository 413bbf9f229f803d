"""Tests the built wheel and sdist, which contain the files that users need and no private files.

The wheel works in any folder, without a checkout.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import REPOSITORY, Done, environment

MINE = (
    ".dlt/secrets.toml",
    "data/pickups.duckdb",
    "notebooks/.ipynb_checkpoints/01-checkpoint.ipynb",
    "pipelines/x.pyc",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a copy of the files that git lists, and private files that must never be packaged."""
    tree = tmp_path_factory.mktemp("tree")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.splitlines()
    for name in filter(lambda name: (REPOSITORY / name).is_file(), names):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tree / name)
    for name in MINE:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("mine")
    return tree


def build(tree: Path, kind: str, to: Path) -> Path:
    """Builds the tree with its build back end, without a package index, and returns the archive."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(to)], cwd=tree, check=True)
    (built,) = to.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tree, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the wheel, built from the sdist as installers do."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        # the archive is our own, and Debian's Python 3.11.2 has no filter yet
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (tree,) = folder.iterdir()
    return build(tree, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
@pytest.mark.parametrize("package", ["pipelines", "sources"])
def test_the_wheel_contains_every_file_of_both_packages(tree: Path, wheel_names: set[str], package: str) -> None:
    """The wheel includes SQL, style sheets, schedules and any later file, but not the files only for `dlt init`."""
    there = {str(path.relative_to(tree)) for path in (tree / package).rglob("*") if path.is_file()} - {*MINE}
    for_dlt_init = {"sources/sendcloud_pipeline.py", "sources/sendcloud/requirements.txt"}

    assert {
        name for name in wheel_names if name.startswith(f"{package}/") and "/template/" not in name
    } == there - for_dlt_init
    assert f"{package}/py.typed" in wheel_names


@pytest.mark.slow
def test_the_wheel_contains_the_template_of_a_project_folder(tree: Path, wheel_names: set[str]) -> None:
    notebooks = {f"notebooks/{path.name}" for path in (tree / "notebooks").glob("*.ipynb")}
    assert len(notebooks) >= 3

    begins_with = {".dlt/config.toml", ".dlt/example.secrets.toml", "notebooks/README.md", *notebooks}
    assert {name for name in wheel_names if "/template/" in name} == {
        f"pipelines/template/{name}" for name in begins_with
    }


@pytest.mark.slow
def test_no_private_file_of_the_builder_is_in_the_sdist_or_the_wheel(wheel_names: set[str], sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        sent = archive.getnames()
    assert any(name.endswith("/tests/project/test_wheel.py") for name in sent)

    assert [
        name for name in {*sent, *wheel_names} if name.endswith(tuple(f"/{Path(mine).name}" for mine in MINE))
    ] == []
    assert {name.split("/")[0].split("-")[0] for name in wheel_names} == {"pipelines", "sources", "sendcloud_pickups"}


@pytest.mark.slow
def test_the_metadata_contain_the_description_and_the_licence(wheel: Path, wheel_names: set[str]) -> None:
    (name,) = [name for name in wheel_names if name.endswith(".dist-info/METADATA")]
    metadata = zipfile.ZipFile(wheel).read(name).decode()

    for line in ("License-Expression: Apache-2.0", "Requires-Python: >=3.11", "Classifier: Typing :: Typed"):
        assert f"\n{line}\n" in metadata
    for name_of_link in ("Documentation", "Source", "Changelog", "Issues"):
        assert f"\nProject-URL: {name_of_link}, https://" in metadata
    assert "\n# sendcloud-pickups\n" in metadata
    assert f"{wheel.name}[notebooks]'" in metadata
    assert name.replace("METADATA", "licenses/LICENSE") in wheel_names


@pytest.mark.slow
def test_two_builds_of_one_commit_have_the_same_bytes(
    tree: Path, sdist: Path, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second builder has other file times, another umask and another time zone, and builds from the tree."""
    copy = shutil.copytree(tree, tmp_path / "copy", copy_function=shutil.copy)
    for path in copy.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = os.umask(0o077)
    try:
        again = {kind: build(copy, kind, tmp_path / kind) for kind in ("sdist", "wheel")}
    finally:
        os.umask(before)

    assert again["sdist"].read_bytes() == sdist.read_bytes()
    assert again["wheel"].read_bytes() == wheel.read_bytes()


@pytest.mark.slow
def test_the_sdist_contains_the_files_that_git_lists_and_its_metadata(tree: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        sent = {name.split("/", 1)[1] for name in archive.getnames()}
    there = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()} - {*MINE}

    assert sent == there | {"PKG-INFO"}


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


class Unpacked:
    """Runs the wheel's code in a folder without a checkout, with the libraries of this environment."""

    def __init__(self, site: Path, stands_in: Path) -> None:
        self.site, self.stands_in = site, stands_in
        stands_in.mkdir()

    def command(self, *words: str, api: Sandbox | None = None, **variables: str) -> Done:
        # -S ignores the .pth file that leads back to the checkout
        done = subprocess.run(
            [sys.executable, "-S", "-m", "pipelines", *words],
            env={**os.environ, **(environment(api) if api else {}), **variables, "PYTHONPATH": self.path},
            cwd=self.stands_in,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def path(self) -> str:
        return os.pathsep.join([str(self.site), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])


@pytest.fixture
def installed(unpacked: Path, tmp_path: Path) -> Unpacked:
    return Unpacked(unpacked, tmp_path / "elsewhere")


@pytest.fixture(scope="module")
def initial_project(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a project folder that `pickups init` created."""
    maker = Unpacked(unpacked, tmp_path_factory.mktemp("made") / "elsewhere")
    done = maker.command("init", "shop")
    assert done.returncode == 0, done.stderr
    return maker.stands_in / "shop"


@pytest.fixture
def project(installed: Unpacked, initial_project: Path) -> Path:
    """Returns a copy of that project folder for each test."""
    return shutil.copytree(initial_project, installed.stands_in / "shop", symlinks=True)


@pytest.mark.slow
def test_init_creates_a_project_folder_and_prints_the_next_steps(installed: Unpacked) -> None:
    done = installed.command("init", "shop")

    shop = installed.stands_in / "shop"
    made = [line.split() for line in done.stdout.splitlines() if line.startswith("  made")]
    assert sorted(name for _, name in made) == sorted(
        str(path.relative_to(shop)) for path in shop.rglob("*") if path.is_file()
    )
    assert {name for _, name in made} >= {".dlt/config.toml", ".dlt/secrets.toml", ".gitignore", "notebooks/README.md"}
    assert (shop / ".dlt/config.toml").read_text() == (REPOSITORY / ".dlt/config.toml").read_text()
    assert (shop / "notebooks").is_dir()
    assert f"Next, in {shop}:" in done.stdout
    assert "put them into .dlt/secrets.toml" in done.stdout
    assert "kept" not in done.stdout.lower()


@pytest.mark.slow
def test_only_its_owner_can_read_secrets_toml_and_git_ignores_it(project: Path) -> None:
    assert stat.S_IMODE((project / ".dlt" / "secrets.toml").stat().st_mode) == 0o600

    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    ignored = subprocess.run(["git", "check-ignore", ".dlt/secrets.toml", "data/x"], cwd=project, capture_output=True)
    assert ignored.stdout.split() == [b".dlt/secrets.toml", b"data/x"]


@pytest.mark.slow
def test_a_second_init_changes_nothing(installed: Unpacked, project: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}

    done = installed.command("init", str(project))

    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")} >= {"same"}
    assert "made" not in done.stdout
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*")} == before


@pytest.mark.slow
def test_init_overwrites_no_file_and_reports_the_kept_files(installed: Unpacked, project: Path) -> None:
    """The folder has a user's own keys and a broken link, and a notebook was deleted."""
    (project / ".dlt" / "secrets.toml").write_text("my keys")
    (project / ".gitignore").unlink()
    (project / ".gitignore").symlink_to("nowhere")
    (project / "notebooks" / "02-pickup-windows.ipynb").unlink()

    done = installed.command("init", str(project))

    assert done.returncode == 0
    told = dict(reversed(line.split()) for line in done.stdout.split("\n\n")[0].splitlines() if line.startswith("  "))
    assert told.pop(".dlt/secrets.toml") == told.pop(".gitignore") == "kept"
    assert told.pop("notebooks/02-pickup-windows.ipynb") == "made"
    assert set(told.values()) == {"same"}
    assert (project / ".dlt" / "secrets.toml").read_text() == "my keys"
    assert not (project / "nowhere").exists()


@pytest.mark.slow
def test_if_init_cannot_create_the_folder_it_prints_one_line(installed: Unpacked) -> None:
    (installed.stands_in / "file").write_text("mine")

    done = installed.command("init", "file")

    assert done.returncode == 6
    assert re.fullmatch(
        r"pickups: The destination failed: .*/file/.*: (Not a directory|File exists)\..*\n", done.stderr
    )
    assert (installed.stands_in / "file").read_text() == "mine"


@pytest.mark.slow
def test_a_run_from_the_wheel_loads_pickups_that_show_prints(
    installed: Unpacked, project: Path, world: World, api: Sandbox
) -> None:
    world.book(carrier="dhl")
    world.book(carrier="ups")

    run = installed.command("--project-dir", str(project), "run", api=api)
    show = installed.command("--project-dir", str(project), "show", "carriers", "--format", "csv")

    assert (run.returncode, run.stdout[:6]) == (0, "2 new,"), run.stderr
    assert {row["carrier"] for row in csv.DictReader(show.stdout.splitlines())} == {"dhl", "ups"}
    assert sorted(path.name for path in installed.stands_in.iterdir()) == ["shop"]


@pytest.mark.slow
def test_a_run_without_keys_and_project_folder_says_how_to_create_one(installed: Unpacked, api: Sandbox) -> None:
    done = installed.command("run", SOURCES__SENDCLOUD__BASE_URL=api.base_url)

    assert done.returncode == 3
    assert f"There is no .dlt in {installed.stands_in}: create a project folder (pickups init DIR)" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("made_before", "says"), [(False, "init . (creates .dlt/secrets"), (True, "lab notebooks")])
def test_the_demos_hints_depend_on_the_current_folder(installed: Unpacked, made_before: bool, says: str) -> None:
    if made_before:
        installed.command("init", ".")

    done = installed.command("demo", "--pickups", "100")

    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert "make lab" not in done.stdout
    assert "example.secrets" not in done.stdout


@pytest.mark.slow
def test_the_wheel_prints_its_version_and_completes_commands(installed: Unpacked) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    completed = installed.command(_PICKUPS_COMPLETE="complete_bash", COMP_WORDS="pickups re", COMP_CWORD="1")

    assert installed.command("--version").stdout == f"sendcloud-pickups {version}\n"
    assert completed.stdout.split() == ["report", "restore"]
