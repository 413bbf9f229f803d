"""Finds the project folder and its files, and activates the project's dlt configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shlex import quote

from pipelines.file_access import foreign_owner
from sources.sendcloud.errors import SettingsError

# If a connection string omits a value, libpq, PostgreSQL's client library, reads the value from an environment
# variable, which may be meant for another program (libpq 16, 2026-11). These variables would silently change a run.
# Variables that only make a connection more secure, such as PGSSLMODE, remain in effect.
LIBPQ_VARIABLES = (
    "PGHOSTADDR",  # sends the password to a server other than the one in the settings
    "PGSERVICE",  # takes settings from a file outside the project
    "PGSERVICEFILE",  # names that file
    "PGCLIENTENCODING",  # stores characters other than those that were sent
    "PGOPTIONS",  # changes how the server reads statements
    "PGDATESTYLE",  # changes how the server reads times
    "PGTZ",  # changes how the server reads times
    "PGGEQO",  # changes how the server plans queries
    "PGTARGETSESSIONATTRS",  # refuses a server
    "PGLOADBALANCEHOSTS",  # chooses another server
)


def find_project() -> Path:
    """Returns the project folder.

    If DLT_PROJECT_DIR is set, it names the project folder. Otherwise, the project folder is the nearest folder, at
    or above the working directory, that contains `.dlt`. If there is no such folder, the working directory is used.

    Raises:
        SettingsError: another user has created `.dlt` in a folder that they do not own, such as `/tmp`.
    """
    if named := os.environ.get("DLT_PROJECT_DIR"):
        return Path(named).resolve()
    try:
        here = Path.cwd()
    except OSError:
        remedy = "Change to the project folder, or specify it with --project-dir."
        raise SettingsError(f"The working folder no longer exists or can't be read. {remedy}") from None
    found = next((folder for folder in (here, *here.parents) if (folder / ".dlt").is_dir()), here)
    if (found / ".dlt").is_dir() and (owner := foreign_owner(found / ".dlt")) is not None:
        raise SettingsError(
            f"{found}/.dlt belongs to another user (id {owner}), not to the owner of {found}, so it was not read. "
            f"If you trust its settings, specify the project folder: --project-dir {quote(str(found))}"
        )
    return found


def packaged_folder() -> Path:
    """Returns the folder in the wheel or the checkout that contains the packaged `.dlt` folder and notebooks."""
    inside_the_wheel = Path(__file__).parents[1] / "template"  # pyproject.toml adds this folder to the wheel
    return inside_the_wheel if inside_the_wheel.is_dir() else Path(__file__).parents[2]


def command_path(folder: Path, name: str = "pickups") -> str:
    """Returns a path that starts the program from the folder without relying on PATH, for example in cron.

    The path is relative if the program is installed inside the folder, and absolute otherwise.
    """
    installed = Path(sys.executable).with_name(name)
    return str(installed.relative_to(folder) if installed.is_relative_to(folder) else installed)


@contextmanager
def project_context(project_dir: str | Path | None = None) -> Iterator[Path]:
    """Makes dlt read the project's configuration inside the block, and sets DLT_PROJECT_DIR for dlt's own tools.

    Args:
        project_dir: the project folder; default `find_project()`.

    Yields:
        The absolute path of the project folder.

    Raises:
        SettingsError: a configuration file or a secret's file can't be read, or a variable changes dlt in a way that a
            run can't undo.
    """
    from pipelines.config.dlt_settings import check_variables, variables

    project = Path(project_dir).resolve() if project_dir else find_project()
    check_variables()
    removed = dict.fromkeys([*variables("ignored"), *LIBPQ_VARIABLES])
    own = {"DLT_PROJECT_DIR": str(project), **_secrets_from_files(project)}
    with environment_variables({**own, **removed}), _dlt_settings(project):
        yield project


def _secrets_from_files(project: Path) -> dict[str, str]:
    if not any(name.endswith("_FILE") and "__" in name for name in os.environ):
        return {}
    from pipelines.config.secret_files import read_secret_files

    return read_secret_files(project)


@contextmanager
def environment_variables(settings: Mapping[str, str | None]) -> Iterator[None]:
    """Sets the given variables inside the block, for this process and its child processes; None removes a variable."""
    before = {name: os.environ.get(name) for name in settings}
    _set_variables(settings)
    try:
        yield
    finally:
        _set_variables(before)


def _set_variables(settings: Mapping[str, str | None]) -> None:
    for name, value in settings.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _dlt_settings(project: Path) -> Iterator[None]:
    """Activates the project's dlt configuration inside the block. Raises SettingsError if a file can't be read."""
    from dlt.common.configuration.exceptions import ConfigurationException

    from pipelines.config.dlt_context import dlt_context

    with ExitStack() as stack:
        try:
            stack.enter_context(dlt_context(project))
        except (ConfigurationException, ValueError) as error:
            if isinstance(error.__context__, SettingsError):  # dlt wraps the SettingsError in its own exception
                raise error.__context__ from None
            raise SettingsError(f"The configuration can't be read. {' '.join(str(error).split())}") from None
        yield


def warehouse_path(project: Path) -> Path:
    """Returns the path of the warehouse file that runs write to, as set by `[destination.duckdb] credentials`.

    Raises:
        SettingsError: the setting is not a file path.
    """
    import dlt

    from pipelines.config.settings import env_variable

    key = "destination.duckdb.credentials"
    if env_variable(key) not in os.environ and env_variable(f"{key}.database") in os.environ:
        key = f"{key}.database"  # dlt's own name for the variable that sets the path
    configured: object = dlt.config.get(key) if key in dlt.config else "data/warehouse.duckdb"
    # dlt also accepts a section that contains the key `database`
    return _resolve_file(project, key, configured.get("database") if isinstance(configured, Mapping) else configured)


def published_path(project: Path) -> Path:
    """Returns the path of the published file that you query, as set by `[publish] path`.

    Raises:
        SettingsError: the setting is not a file path, or it is the path of the warehouse file.
    """
    from pipelines.config.settings import get_setting, setting_location

    published = _resolve_file(project, "publish.path", get_setting("publish.path"))
    if published == warehouse_path(project):
        why = "runs write to that file, and readers would block them"
        raise SettingsError(f"{setting_location('publish.path')} is {str(published)!r}; {why}. Set another path.")
    return published


def default_read_path(project: Path) -> Path:
    """Returns the file to read by default: the published file or, until it exists, the demo's file."""
    published, demo = published_path(project), demo_folder(project) / "pickups.duckdb"
    return demo if demo.exists() and not published.exists() else published


def demo_folder(project: Path) -> Path:
    """Returns the folder that `pickups demo` writes to. The folder contains none of the project's own files."""
    return project / "data" / "demo"


def _resolve_file(project: Path, key: str, value: object) -> Path:
    """Returns the absolute path of a file setting. Relative paths are resolved against the project folder.

    Raises:
        SettingsError: the value is not a file path but, for example, `:memory:` or a URL.
    """
    name = str(value).removeprefix("duckdb:///")
    if not isinstance(value, str) or not name or name.startswith((":", "md:", "motherduck:")) or "://" in name:
        from pipelines.config.settings import setting_location

        example = "data/pickups.duckdb" if key == "publish.path" else "data/warehouse.duckdb"
        shown = repr(str(value).split("?")[0]) if "@" not in name else "not a file"  # a URL may contain a token
        raise SettingsError(f"{setting_location(key)} is {shown}; it must be the path of a file, such as {example!r}.")
    return (project / Path(name).expanduser()).resolve()
