"""Reads secrets from files that variables such as SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY_FILE name.

Docker and Kubernetes mount secrets as files. dlt's own provider reads only files in /run/secrets whose names match
dlt's keys, and it reads them for every setting, so this project does not use it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipelines.config.settings import ACCOUNTS_SECTION, SOURCE_SECTION, env_variable, known_settings
from sources.sendcloud.errors import SettingsError

SUFFIX = "_FILE"
MAX_BYTES = 65_536  # a file this large is not a key, and a device such as /dev/zero has no end
_CREDENTIALS = f"{env_variable(SOURCE_SECTION)}__CREDENTIALS"
_OF_ACCOUNTS = f"{env_variable(ACCOUNTS_SECTION)}__"
_OF_DESTINATIONS = ("DESTINATION__POSTGRES__CREDENTIALS", "DESTINATION__FILESYSTEM__CREDENTIALS")


def is_secret_file_variable(variable: str) -> bool:
    """Returns whether the variable names a file that contains a secret, as SOURCES__…__SECRET_KEY_FILE does."""
    name = variable.removesuffix(SUFFIX)
    if name == variable:
        return False
    if name.startswith(_OF_ACCOUNTS):
        account, separator, rest = name.removeprefix(_OF_ACCOUNTS).partition("__CREDENTIALS")
        return bool(account and separator) and _is_secret(f"{_CREDENTIALS}{rest}")
    return _is_secret(name)


def read_secret_files(project: Path) -> dict[str, str]:
    """Returns the secrets in the files that the environment names, by the variable that each of them replaces.

    Whitespace at both ends of a file is removed, because most editors and `echo` end a file with a line break.

    Args:
        project: the project folder, from which relative paths are resolved.

    Raises:
        SettingsError: a file can't be read or contains no secret, or both variables of a secret are set. The message
            names the variable and the file, but never the content.
    """
    found = {}
    for variable in filter(is_secret_file_variable, sorted(os.environ)):
        if not (named := os.environ[variable]):
            raise SettingsError(f"{variable} in the environment is empty; it must be the path of a file. Unset it.")
        name, secret = variable.removesuffix(SUFFIX), _read(variable, project / Path(named).expanduser())
        if os.environ.get(name) not in (None, secret):  # equal inside a block that has already read the file
            raise SettingsError(f"{name} and {variable} are both set in the environment. Unset one of them.")
        found[name] = secret
    return found


def readable_secret(key: str, project: Path) -> str | None:
    """Returns a secret from the file that its variable names, or None if there is no valid value.

    Args:
        key: the dotted key of the setting.
        project: the project folder.
    """
    variable = f"{env_variable(key)}{SUFFIX}"
    with suppress(KeyError, SettingsError):
        secret = _read(variable, project / Path(os.environ[variable]).expanduser())
        return secret if known_settings()[key].is_valid(secret) else None
    return None


def secret_file_paths(project: Path) -> Iterator[Path]:
    """Yields the paths of the files that the environment names, for a check of their permissions."""
    for variable in filter(is_secret_file_variable, sorted(os.environ)):
        yield project / Path(os.environ[variable]).expanduser()


def _is_secret(name: str) -> bool:
    secrets = {env_variable(key) for key, setting in known_settings().items() if setting.is_secret}
    return name in secrets or name == _CREDENTIALS or name.startswith(_OF_DESTINATIONS)


def _read(variable: str, path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe could block forever
            raise _problem(variable, path, "is not a file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _problem(variable, path, f"can't be read: {error.strerror or error}") from None
    if len(content) > MAX_BYTES:
        raise _problem(variable, path, f"has more than {MAX_BYTES:,} bytes")
    try:
        secret = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise _problem(variable, path, "is not UTF-8 text") from None
    if not secret or "\0" in secret:
        raise _problem(variable, path, "is empty" if not secret else "is not text")
    return secret


def _problem(variable: str, path: Path, problem: str) -> SettingsError:
    return SettingsError(f"{path}, which {variable} in the environment names, {problem}. Correct the file or its path.")
