"""Where things are: the project's folder, and the settings that this side reads. All of it is dlt's configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipelines.errors import NotConfigured


def find_project() -> Path:
    """The folder with `.dlt`: DLT_PROJECT_DIR, else the nearest at or above the working directory, else that."""
    if named := os.environ.get("DLT_PROJECT_DIR"):
        return Path(named).resolve()
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dlt").is_dir()), here)


def came_with() -> Path:
    """The folder with the .dlt and the notebooks that came with this code: inside the wheel, else the checkout."""
    inside_the_wheel = Path(__file__).with_name("template")  # pyproject.toml puts it there
    return inside_the_wheel if inside_the_wheel.is_dir() else Path(__file__).parents[1]


def notebooks_folder(project: Path) -> Path:
    """Where the notebooks are that a report executes: the project's own, else those that came with this code."""
    own = project / "notebooks"
    return own if any(own.glob("*.ipynb")) else came_with() / "notebooks"


def command_in(folder: Path, name: str = "pickups") -> str:
    """How to call `name` in that folder, also where no shell knows it: cron, or outside `uv run`."""
    installed = Path(sys.executable).with_name(name)
    return str(installed.relative_to(folder) if installed.is_relative_to(folder) else installed)


@contextmanager
def inside(project_dir: str | Path | None = None) -> Iterator[Path]:
    """Inside the block, `project_dir` (default: find_project()) is where dlt reads its configuration from.

    Yields the folder, absolute; DLT_PROJECT_DIR says so for as long, as dlt's own tools expect it. Raises
    NotConfigured when a configuration file there can't be read.
    """
    project = Path(project_dir).resolve() if project_dir else find_project()
    before = os.environ.get("DLT_PROJECT_DIR")
    os.environ["DLT_PROJECT_DIR"] = str(project)
    try:
        with _settings(project):
            yield project
    finally:
        os.environ.pop("DLT_PROJECT_DIR")
        if before is not None:
            os.environ["DLT_PROJECT_DIR"] = before


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Inside the block, this process and those that it starts find these settings in their environment."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def _settings(project: Path) -> Iterator[None]:
    """Inside the block, dlt's configuration is the project's. Raises NotConfigured where a file can't be read."""
    from dlt.common.configuration.exceptions import ConfigurationException
    from dlt.common.configuration.providers.toml import TomlProviderReadException

    from pipelines.dlt_settings import settings_of_project

    with ExitStack() as stack:
        try:
            stack.enter_context(settings_of_project(project))
        except TomlProviderReadException as error:
            remedy = "Give this user the right to read it (chgrp, and chmod 0640). " if "Errno 13" in str(error) else ""
            raise NotConfigured(f"The configuration can't be read. {remedy}{_in_one_line(error)}") from None
        except (ConfigurationException, ValueError) as error:
            raise NotConfigured(f"The configuration can't be read. {_in_one_line(error)}") from None
        yield


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def warehouse_path(project: Path) -> Path:
    """The file that runs write: `[destination.duckdb] credentials`."""
    import dlt

    key = "destination.duckdb.credentials"
    told: object = dlt.config.get(key) if key in dlt.config else "data/warehouse.duckdb"
    return _file(project, key, told.get("database") if isinstance(told, Mapping) else told)  # or dlt's long form of it


def published_path(project: Path) -> Path:
    """The file that people read: `[publish] path`."""
    from pipelines.settings import place_of, setting

    published = _file(project, "publish.path", setting("publish.path"))
    if published == warehouse_path(project):
        why = "it is the file that runs write, and readers would stand in their way"
        raise NotConfigured(f"{place_of('publish.path')} is {str(published)!r}; {why}. Name another.")
    return published


def readable_path(project: Path) -> Path:
    """The file to read where nobody names one: the published file, or the demo's as long as there is no other."""
    published, demo = published_path(project), demo_folder(project) / "pickups.duckdb"
    return demo if demo.exists() and not published.exists() else published


def demo_folder(project: Path) -> Path:
    """Where `pickups demo` writes: beside, never into, the project's own files."""
    return project / "data" / "demo"


def _file(project: Path, key: str, value: object) -> Path:
    """The file that a setting names, relative to the project. Raises NotConfigured for what is no file's name."""
    name = str(value).removeprefix("duckdb:///")
    if not isinstance(value, str) or not name or name.startswith((":", "md:", "motherduck:")) or "://" in name:
        from pipelines.settings import place_of

        example = "data/pickups.duckdb" if key == "publish.path" else "data/warehouse.duckdb"
        shown = repr(str(value).split("?")[0]) if "@" not in name else "no file"  # what follows may be a token
        raise NotConfigured(f"{place_of(key)} is {shown}; it must be the path of a file, such as {example!r}.")
    return (project / Path(name).expanduser()).resolve()
