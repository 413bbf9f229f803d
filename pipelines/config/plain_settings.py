"""Reads settings without dlt, for commands that only read a published DuckDB file.

Importing dlt takes longer than everything else that `pickups show` and `pickups status` do. This module recognizes only
ordinary settings, and gives up on everything else: the caller must then ask dlt, which also reports what is wrong.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.config.dlt_settings import variables
from pipelines.config.project import find_project
from pipelines.config.settings import OWN_SETTINGS, env_variable
from sources.sendcloud.errors import SettingsError

KNOWN_FILES = {"config.toml", "secrets.toml", "example.secrets.toml"}
DEFAULTS = {"pipeline.destination": "duckdb", "schemas.data": "sendcloud", "schemas.analytics": "analytics"}


def _is_number(value: object) -> bool:
    return type(value) in (int, float) or (isinstance(value, str) and value.isascii() and value.isdecimal())


# these values of [runtime] are valid, and change nothing for a command that only reads
HARMLESS: dict[str, Callable[[object], bool]] = {
    "dlthub_telemetry": lambda value: isinstance(value, bool) or value in ("true", "false"),
    "log_level": lambda value: value == "CRITICAL",
    "slack_incoming_hook": lambda value: isinstance(value, str),
    "request_timeout": _is_number,
    "request_backoff_factor": _is_number,
    "request_max_retry_delay": _is_number,
}
UNKNOWN_VARIABLES = ("WORKSPACE__", "RUNTIME__", "DESTINATION__DUCKDB__CREDENTIALS__")  # dlt interprets these


class PlainSettings(NamedTuple):
    """The settings of a project whose settings are all ordinary. `secrets` and `config` are the files' contents."""

    project: Path
    secrets: dict[str, Any]
    config: dict[str, Any]

    def value(self, key: str) -> Any:
        """Returns the configured value of a dotted key, or None. The order is the same as dlt's."""
        found = os.environ.get(env_variable(key))
        for document in (self.secrets, self.config):
            found = look_up(document, key) if found is None else found
        return found

    def published_file(self) -> Path | None:
        """Returns the published file, or None if it does not exist or dlt must decide which one it is."""
        if any(self.value(key) not in (None, default) for key, default in DEFAULTS.items()):
            return None
        published = self._file("publish.path", OWN_SETTINGS["publish.path"].default)
        warehouse = self.warehouse_file()
        if not published or not warehouse or published == warehouse:
            return None
        names = {path.name.lstrip(".").split(".")[0].lower() for path in (published, warehouse)}
        return published if published.exists() and not names & {*DEFAULTS.values()} else None

    def warehouse_file(self) -> Path | None:
        """Returns the file that runs write to, or None if dlt must decide which one it is."""
        if self.value("pipeline.destination") not in (None, "duckdb"):
            return None
        return self._file("destination.duckdb.credentials", "data/warehouse.duckdb")

    def _file(self, key: str, default: str) -> Path | None:
        value = self.value(key)
        name = default if value is None else value
        if not isinstance(name, str) or not name.endswith((".duckdb", ".db")) or name.startswith(":") or "://" in name:
            return None
        return (self.project / Path(name).expanduser()).resolve()


def plain_settings() -> PlainSettings | None:
    """Returns the settings of the project, or None if one of them is unusual."""
    if os.environ.keys() & {*variables("refused")} or not all(map(_is_ordinary, os.environ.items())):
        return None
    try:
        project = find_project()
        folder = project / ".dlt"
        if {path.name for path in folder.glob("*.toml")} - KNOWN_FILES or (folder / ".workspace").exists():
            return None
        found = PlainSettings(project, _read(folder / "secrets.toml"), _read(folder / "config.toml"))
    except (OSError, ValueError, RuntimeError, RecursionError, SettingsError):
        return None
    runtime = [look_up(document, "runtime") or {} for document in (found.secrets, found.config)]
    return found if all(_is_harmless(section) for section in runtime) else None


def _is_ordinary(variable: tuple[str, str]) -> bool:
    name, value = variable
    if name.endswith("_FILE") and "__" in name:  # the content of a file is the setting
        return False
    section, _, key = name.lower().partition("__")
    if section == "runtime" and key in HARMLESS:
        return HARMLESS[key](value)
    return not name.startswith(UNKNOWN_VARIABLES)


def _is_harmless(section: object) -> bool:
    return isinstance(section, dict) and all(
        name in HARMLESS and HARMLESS[name](value) for name, value in section.items()
    )


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8")) if os.path.lexists(path) else {}


def look_up(document: dict[str, Any], key: str) -> Any:
    """Returns the value of a dotted key in a file's content, or None."""

    def inner(section: Any, name: str) -> Any:
        return section.get(name) if isinstance(section, dict) else None

    return reduce(inner, key.split("."), document)
