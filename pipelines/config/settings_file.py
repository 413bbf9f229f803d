"""Reads config.toml and secrets.toml in place of dlt, so that an error names the file and the line.

dlt 1.31 rejects a byte order mark, and reports no error if a file's path is a folder or a broken link. dlt's errors
name neither the line of an invalid byte nor the affected file.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sources.sendcloud.errors import SettingsError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

ERROR_LINE = re.compile(r"\(at line (\d+), column \d+\)$")


def read_document(path: str) -> TOMLDocument | None:
    """Returns the file's content for dlt, or None if the file does not exist.

    Raises:
        SettingsError: the file can't be read, is not UTF-8 or is not TOML. The message names the file and the line.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    text = _read_text(path)
    if text is None:
        return None
    try:
        return tomlkit.parse(text)
    except (TOMLKitError, RecursionError) as error:
        remedy = "Correct it; a text value needs quotes around it."
        raise SettingsError(f"{path} can't be read: {_syntax_problem(text, error)}. {remedy}") from None


def readable_content(path: Path) -> dict[str, Any]:
    """Returns the file's content or, if the file has a syntax error, the content of the lines before the error."""
    text = ""
    with suppress(SettingsError):
        text = _read_text(str(path)) or ""
    with suppress(tomllib.TOMLDecodeError, RecursionError):
        return tomllib.loads(_before_error(text))
    return {}


def _before_error(text: str) -> str:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        located = ERROR_LINE.search(str(error))
        return "\n".join(text.splitlines()[: int(located[1]) - 1]) if located else ""
    return text


def _read_text(path: str) -> str | None:
    try:
        # reading a pipe or a socket could block forever
        if not stat.S_ISREG(Path(path).stat().st_mode) and os.path.realpath(path) != os.devnull:
            raise SettingsError(f"{path} can't be read: it is not a file. Remove it, or replace it with a file.")
        return _decode(path, Path(path).read_bytes())
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not os.path.lexists(path):  # a broken link is an error
            return None
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: OSError) -> SettingsError:
    if isinstance(error, PermissionError):
        remedy = "Grant this user read access (chgrp and chmod 0640)."
    elif isinstance(error, FileNotFoundError):
        remedy = "The path is a link to a file that does not exist. Restore that file, or remove the link."
    else:
        remedy = "Restore the file, or remove it."
    return SettingsError(f"{path} can't be read: {error.strerror or error}. {remedy}")


def _decode(path: str, content: bytes) -> str:
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in content[:4]:
        raise SettingsError(f"{path}, line 1: the file is in UTF-16. Save it as UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{content[error.start]:02x}"
        raise SettingsError(f"{path}, line {line}: {byte} is not UTF-8. Save the file as UTF-8.") from None


def _syntax_problem(text: str, error: Exception) -> str:
    """Returns the syntax error and its line. Some tomlkit errors have no line number, but all tomllib errors do."""
    try:
        tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as located:
        error = located
    return " ".join(str(error).split()).rstrip(".")
