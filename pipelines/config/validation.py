"""Rejects unknown and invalid settings. dlt itself ignores an unknown key, so a typo would go unnoticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

import dlt

from pipelines.config.dlt_settings import use_of
from pipelines.config.secret_files import is_secret_file_variable
from pipelines.config.settings import (
    OWN_SETTINGS,
    RENAMED_SETTINGS,
    SOURCE_SECTION,
    SettingsFile,
    configured_value,
    env_variable,
    file_containing,
    known_settings,
    list_alternatives,
    settings_file,
)
from pipelines.dlt_workarounds import whole_document
from sources.sendcloud.errors import SettingsError

# every key in these sections must be a known setting; other sections of dlt's files may contain unrelated keys
SECTIONS_OF_SETTINGS = sorted({key.rsplit(".", 1)[0] for key in OWN_SETTINGS})
OWN_SECTIONS = (*SECTIONS_OF_SETTINGS, "runtime", "destination.duckdb", SOURCE_SECTION)
CREDENTIALS_PREFIX = f"{SOURCE_SECTION}.credentials."
DUCKDB_CREDENTIALS = "destination.duckdb.credentials"  # dlt accepts a path or a section; project.py reads both


def validate_settings() -> None:
    """Checks all settings except those of named accounts. Requires an active project.

    Raises:
        SettingsError: a setting is unknown or invalid. The message names the file, section and key of the first error.
    """
    _check_section_names()
    for section in OWN_SECTIONS:
        _check_names(section)
    for key in known_settings():
        # the common credentials are used, and therefore checked, only if no account is configured by name
        if key != DUCKDB_CREDENTIALS and not key.startswith(CREDENTIALS_PREFIX):
            configured_value(key)


def validate_runtime() -> None:
    """Checks the values in `[runtime]`, which dlt reads before any other section.

    Raises:
        SettingsError: a value is invalid. The message names the file, section and key.
    """
    for key in [key for key in known_settings() if key.startswith("runtime.")]:
        configured_value(key)


def ignored_settings() -> list[str]:
    """Returns the locations of the dlt settings that have no effect in this project.

    Call this function while the project is active.
    """
    return [place for place, path, _ in _configured() if use_of(path) == "ignored"]


def validate_account(section: str) -> None:
    """Checks an account's own section, `sources.sendcloud.accounts.NAME`.

    Raises:
        SettingsError: a setting is unknown or invalid. The message names the file, section and key.
    """
    _check_names(section, like=SOURCE_SECTION)
    for key in [key for key in known_settings() if key.startswith(f"{SOURCE_SECTION}.")]:
        configured_value(key.replace(SOURCE_SECTION, section, 1), like=key)


def _check_section_names() -> None:
    """Raises SettingsError for a known key in a misspelled section, such as `[publich] path`, and for renamed settings.

    A section is ignored if its name does not resemble the name of a known section or if it contains no known key.
    Such a section may belong to another program that shares the files or the environment.
    """
    for place, path, _ in _configured():
        if path in RENAMED_SETTINGS:
            section, name = RENAMED_SETTINGS[path].rsplit(".", 1)
            raise SettingsError(f"{place} is now called [{section}] {name}. Rename it.")
        for section, rest in _split_key(path):
            close = get_close_matches(section, OWN_SECTIONS, 1, cutoff=0.8)
            # an exact match needs no suggestion, and a longer name such as `publish_x` is a different section
            extends = close and f"{section}_".startswith(f"{close[0]}_")
            if close and not extends and (f"{close[0]}.{rest}" in known_settings() or rest.startswith("accounts.")):
                raise SettingsError(f"{place} has no effect. Did you mean [{close[0]}]?")
        dotted = path.replace(f"{SOURCE_SECTION}_", f"{SOURCE_SECTION}.", 1)
        if dotted != path and dotted in known_settings():
            raise SettingsError(f"{place} has no effect. Write two underscores between a section and a key.")


def _split_key(path: str) -> Iterator[tuple[str, str]]:
    """Yields the section and the rest of a dotted key, first with a one-part section, then with a two-part section."""
    parts = path.split(".")
    for length in (1, 2):
        if len(parts) > length:
            yield ".".join(parts[:length]), ".".join(parts[length:])


def _check_names(section: str, like: str | None = None) -> None:
    start = f"{like or section}."
    names = [key.removeprefix(start) for key in known_settings() if key.startswith(start)]
    if like:
        names.remove("account")
    for place, path, value in _configured(section):
        if not _is_known_key(path, value, names, section):
            raise SettingsError(f"{place} is not a setting; {list_alternatives(path, names)}.")
        is_config = place.split(": ")[0].endswith("config.toml")
        if is_config and path.startswith("credentials") and "credentials" not in names:
            right = settings_file("secrets")
            raise SettingsError(f"{place} is in the wrong file: dlt reads it only from {right}. Move it there.")


def _configured(section: str = "") -> Iterator[tuple[str, str, object]]:
    """Yields the location, the key relative to the section, and the value of every setting, known or not.

    By default, yields the settings in all sections of the files and the environment.
    """
    for where in get_args(SettingsFile):
        for path, value in _flatten(_section_content(where, section)):
            below, _, name = f"{section}.{path}".removeprefix(".").rpartition(".")
            shown = f"[{section}] {path}" if section else f"[{below}] {name}"
            yield f"{file_containing(where, below or name, name)}: {shown}", path, value
    before = f"{env_variable(section)}__" if section else ""
    for variable, value in os.environ.items():
        if variable.startswith(before) and "__" in variable and not is_secret_file_variable(variable):
            yield f"{variable} in the environment", variable.removeprefix(before).replace("__", ".").lower(), value


def _is_known_key(path: str, value: object, names: list[str], section: str) -> bool:
    if path == "credentials" and "credentials.public_key" in names:
        return isinstance(value, str)  # A single string may contain both keys of a pair.
    if section == SOURCE_SECTION and path.split(".")[0] == "accounts":  # Accounts are checked in accounts.py.
        return True
    return path in names or use_of(f"{section}.{path}") == "ignored"


def _section_content(where: SettingsFile, section: str) -> dict[str, Any]:
    """Returns the content of a section in a file, or an empty dict if the file has no such section.

    Raises:
        SettingsError: the section, or a section above it, is a plain value.
    """
    provider = (dlt.config if where == "config" else dlt.secrets).writable_provider
    tree: Any = whole_document(provider)
    passed: list[str] = []
    for name in filter(None, section.split(".")):
        tree = tree.get(name, {})
        passed.append(name)
        if not isinstance(tree, dict):
            place = f"{settings_file(where)}: {'.'.join(passed)}"
            raise SettingsError(f"{place} is a value; it must be a section, [{section}].")
    found: dict[str, Any] = tree
    return found


def _flatten(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
