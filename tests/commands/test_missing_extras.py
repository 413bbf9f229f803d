"""Tests what the program says about optional packages that are missing, and about the files that `init` keeps."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.config import scaffold
from tests.support.installation import Installation

NOT_IGNORED = ".gitignore does not list .dlt/secrets.toml. To keep the keys out of Git, add this line to .gitignore."


@pytest.mark.parametrize(
    ("destination", "package", "extra"),
    [("postgres", "psycopg2", "postgres"), ("delta", "deltalake", "lake (or s3, for a bucket at s3://)")],
)
def test_a_destination_without_its_packages_exits_3_and_names_the_extra(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, destination: str, package: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.startswith(f"pipelines.destinations.{destination}")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)

    done = installation.command("run", PIPELINE__DESTINATION=destination)

    assert done.returncode == 3
    assert done.stderr == (
        f"pickups: [pipeline] destination (PIPELINE__DESTINATION in the environment) is {destination!r}, but {package} "
        f"is not installed. Install this program with the extra {extra}: see docs/how-to/install.md#extras\n"
    )


@pytest.mark.parametrize("is_installed", [True, False])
def test_init_asks_for_the_notebooks_extra_only_if_it_is_missing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_installed: bool
) -> None:
    find_spec = util.find_spec
    found = {"jupyterlab": SimpleNamespace() if is_installed else None}
    monkeypatch.setattr(scaffold, "find_spec", lambda name: found[name] if name in found else find_spec(name))

    done = installation.command("init", str(tmp_path / "shop"))

    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  notebooks  ")]
    advice = "(first install the extra notebooks: see docs/how-to/install.md#extras)"
    assert line.endswith("jupyter lab notebooks" if is_installed else f"jupyter lab notebooks   {advice}")


@pytest.mark.parametrize(
    ("gitignore", "is_told"),
    [
        (None, False),
        ("mine\n", True),
        ("", True),
        ("mine\n/.dlt/secrets.toml\n", False),
        (".dlt/\n", False),
        ("secrets.toml\n", False),
        ("!.dlt/secrets.toml\n", True),
    ],
)
def test_init_asks_for_a_line_in_gitignore_only_if_it_is_missing(
    installation: Installation, tmp_path: Path, gitignore: str | None, is_told: bool
) -> None:
    installation.command("init", str(tmp_path))
    (tmp_path / ".dlt" / "config.toml").write_text("# mine")
    if gitignore is not None:
        (tmp_path / ".gitignore").write_text(gitignore)

    done = installation.command("init", str(tmp_path))

    lines = done.stdout.splitlines()
    assert "The kept files already existed and differ from this version's files." in lines
    assert (NOT_IGNORED in lines) == is_told
