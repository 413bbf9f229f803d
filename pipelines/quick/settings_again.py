"""Reads a few settings without dlt. A wrong result is harmless, because the record of the last run must contain it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from pipelines.quick.marks import read_small

SETTINGS_FILES = ("secrets.toml", "config.toml")


class Place(Struct, frozen=True):
    """Where a secret is configured, with a salted digest of its value.

    Attributes:
        kind: whether `name` is a variable, a variable that names a file, or a settings file.
        name: the variable or the file.
        key: the dotted key in the settings file.
        digest: proves that the value is the one that the last run used.
    """

    kind: Literal["variable", "file", "settings"]
    name: str
    key: str
    digest: str


def find_place(key: str, value: str, project: Path, salt: str) -> Place | None:
    """Returns a place where the secret with this dotted key has this value, or None if there is no such place."""
    variable = key.replace(".", "__").upper()
    digest = _digest(value, salt)
    for kind, name in _candidates(variable):
        place = Place(kind, name, key, digest)
        if read_place(place, project, salt) == value:
            return place
    return None


def find_warehouse(project: Path) -> Path:
    """Returns the path of the warehouse, as far as it can be found without dlt (config/project.py uses dlt)."""
    key = "destination.duckdb.credentials"
    variable = key.replace(".", "__").upper()
    found: object = os.environ.get(variable) or os.environ.get(f"{variable}__DATABASE")
    for name in SETTINGS_FILES if not found else ():
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = found or _lookup(project, name, key)
    path = found.get("database") if isinstance(found, dict) else found
    name = str(path or "data/warehouse.duckdb").removeprefix("duckdb:///")
    return (project / Path(name).expanduser()).resolve()


def _candidates(variable: str) -> Iterator[tuple[Literal["variable", "file", "settings"], str]]:
    yield "file", f"{variable}_FILE"  # first, because a run sets the variable to the content of the file
    yield "variable", variable
    for name in SETTINGS_FILES:
        yield "settings", name


def read_place(place: Place, project: Path, salt: str) -> str | None:
    """Returns the secret, or None if the place no longer contains the value that the last run used."""
    value: object = None
    with suppress(OSError, ValueError, KeyError, TypeError):
        value = _value(place, project)
    return value if isinstance(value, str) and _digest(value, salt) == place.digest else None


def _value(place: Place, project: Path) -> object:
    if place.kind == "variable":
        return os.environ[place.name]
    if place.kind == "file":
        return read_small(project / Path(os.environ[place.name]).expanduser()).decode().strip()
    return _lookup(project, place.name, place.key)


def _lookup(project: Path, file: str, key: str) -> object:
    settings = _parsed(read_small(project / ".dlt" / file))
    return reduce(lambda section, name: section[name], key.split("."), settings)


@lru_cache(maxsize=len(SETTINGS_FILES))  # the keys of a hundred accounts are in the same file
def _parsed(content: bytes) -> Any:
    import tomllib  # takes 1 ms, and settings may all be in variables

    return tomllib.loads(content.decode())


def _digest(value: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}{value}".encode()).hexdigest()
