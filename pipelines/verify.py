"""Settings that nobody reads: dlt passes over a key that it doesn't know, so a slip of the keyboard changed nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

import dlt

from pipelines.errors import NotConfigured
from pipelines.settings import COMMON, OURS, File, file, file_of, known, set_to, there_are, variable_of

# what is ours below the top of dlt's files; of these every key must be known
SECTIONS = (*sorted({key.rsplit(".", 1)[0] for key in OURS}), "runtime", "destination.duckdb", COMMON)
OF_DLT = ("extract", "normalize", "load", "data_writer", "schema")  # what dlt lets one say for a single source
KEYS = f"{COMMON}.credentials."
LONG_FORM = "destination.duckdb.credentials"  # one text, or a section of dlt's own; project.py reads both


def verify() -> None:
    """Raises NotConfigured, naming file, section and key, for the first common setting that isn't known or can't be."""
    _check_section_names()
    for section in SECTIONS:
        _check_names(section)
    for key in known():
        if key != LONG_FORM and not key.startswith(KEYS):  # a pair of keys counts where no account is named
            set_to(key)


def verify_runtime() -> None:
    """The same for `[runtime]` alone, which dlt reads before anybody else."""
    for key in known():
        if key.startswith("runtime."):
            set_to(key)


def verify_account(section: str) -> None:
    """The same for an account's own section, `sources.sendcloud.accounts.NAME`."""
    _check_names(section, like=COMMON)
    for key in known():
        if key.startswith(f"{COMMON}."):
            set_to(key.replace(COMMON, section, 1), like=key)


def _check_section_names() -> None:
    """Sections in which one of our settings stands under a name that nearly is ours: `[publich] path`. What looks like
    nothing of ours, or holds nothing of it, is somebody else's who shares the files or the environment.
    """
    for place, path in _everything():
        for section, rest in _split(path):
            close = get_close_matches(section, SECTIONS, 1, cutoff=0.8)
            extends = close and f"{section}_".startswith(f"{close[0]}_")  # it is ours, or a name made from ours
            if close and not extends and (f"{close[0]}.{rest}" in known() or rest.startswith("accounts.")):
                raise NotConfigured(f"{place} is read by nobody. Did you mean [{close[0]}]?")
        if path.startswith("sources.sendcloud_") and f"{COMMON}.{path.removeprefix('sources.sendcloud_')}" in known():
            raise NotConfigured(f"{place} is read by nobody. There are two underscores between a section and a key.")


def _split(path: str) -> Iterator[tuple[str, str]]:
    """A dotted key as section and rest, the section of one part and of two."""
    parts = path.split(".")
    for length in (1, 2):
        if len(parts) > length:
            yield ".".join(parts[:length]), ".".join(parts[length:])


def _everything() -> Iterator[tuple[str, str]]:
    """Every setting there is, anybody's: where, for a person, and as a dotted key."""
    for where in get_args(File):
        for path, _ in _leaves(_inside(where, "")):
            section, _, name = path.rpartition(".")
            yield f"{file_of(where, section or name, name)}: [{section}] {name}", path
    for variable in os.environ:
        if "__" in variable:
            yield f"{variable} in the environment", variable.replace("__", ".").lower()


def _check_names(section: str, like: str | None = None) -> None:
    start = f"{like or section}."
    names = [key.removeprefix(start) for key in known() if key.startswith(start)]
    if like:
        names.remove("account")
    for place, path, value in _set_below(section):
        if not _is_known(path, value, names, section):
            raise NotConfigured(f"{place} is no setting; {there_are(path, names)}.")
        is_config = place.split(": ")[0].endswith("config.toml")
        if is_config and path.startswith("credentials") and "credentials" not in names:
            raise NotConfigured(
                f"{place} is in the wrong file: dlt takes it from {file('secrets')} only. Move it there."
            )


def _set_below(section: str) -> Iterator[tuple[str, str, object]]:
    """Where it is set, for a person; the dotted key from the section on; the value."""
    for where in get_args(File):
        for path, value in _leaves(_inside(where, section)):
            below, _, name = f"{section}.{path}".rpartition(".")
            yield f"{file_of(where, below, name)}: [{section}] {path}", path, value
    before = f"{variable_of(section)}__"
    for variable, value in os.environ.items():
        if variable.startswith(before):
            yield f"{variable} in the environment", variable.removeprefix(before).replace("__", ".").lower(), value


def _is_known(path: str, value: object, names: list[str], section: str) -> bool:
    first = path.split(".")[0]
    if first == "credentials" and path not in names:
        return "credentials" in names or (path == first and isinstance(value, str))  # both keys may be one text
    if section == COMMON and first in ("accounts", *OF_DLT):  # accounts.py looks at those
        return True
    return path in names


def _inside(where: File, section: str) -> dict[str, Any]:
    """What a file has in a section; raises NotConfigured where a plain value stands in a section's place."""
    provider = (dlt.config if where == "config" else dlt.secrets).writable_provider
    tree: Any = provider._config_doc  # type: ignore[attr-defined]  # the whole file: get_value asks for one key
    passed: list[str] = []
    for name in filter(None, section.split(".")):
        tree = tree.get(name, {})
        passed.append(name)
        if not isinstance(tree, dict):
            raise NotConfigured(f"{file(where)}: {'.'.join(passed)} is a value; it must be a section, [{section}].")
    found: dict[str, Any] = tree
    return found


def _leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
