"""Computes marks: short texts that change whenever something changes on which a run's result depends."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

# The environment before the command changes it. Both a quick run and the ordinary run that prepares it compare this.
ENVIRONMENT = dict(os.environ)
PACKAGES = Path(__file__).parents[2]
CODE_FOLDERS, CODE_ENDINGS = ("pipelines", "sources"), (".json", ".py", ".sql", ".toml", ".txt")
MAX_BYTES = 2**20
# These variables differ from one scheduled run to the next, or from one terminal to the next, and change no result.
HARMLESS = (
    *("COLUMNS", "LINES", "LS_COLORS", "MAIL", "OLDPWD", "PS1", "PWD", "SHLVL", "TERM", "WINDOWID", "_"),
    *("SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "TERM_PROGRAM", "TERM_SESSION_ID", "TMUX", "TMUX_PANE"),
    *("DBUS_SESSION_BUS_ADDRESS", "INVOCATION_ID", "JOURNAL_STREAM", "MANAGERPID", "SYSTEMD_EXEC_PID"),
    *("MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "PYTEST_CURRENT_TEST", "XDG_SESSION_ID"),
    *("HOSTNAME", "SSH_AUTH_SOCK", "TRIGGER_TIMER_MONOTONIC_USEC", "TRIGGER_TIMER_REALTIME_USEC", "TRIGGER_UNIT"),
)
# Airflow sets these for each run of a task. Their values change no result, but dlt asks whether they exist.
VALUES_VARY = "AIRFLOW_CTX_"


def installation_mark(project: Path) -> str:
    """Returns a mark of the settings, the environment, the code and its packages.

    The mark contains no secret: it is a digest of the contents of the settings files and the variables. If something
    can't be read, no other mark is equal to it.
    """
    parts: list[object] = [str(project), sys.version, sys.executable]
    try:
        parts += [sorted(_environment()), *_settings(project), *sorted(_code())]
    except (OSError, ValueError):  # a path with a null byte is a ValueError
        parts.append(os.urandom(16).hex())
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _environment() -> Iterator[tuple[str, str]]:
    for name, value in ENVIRONMENT.items():
        if name not in HARMLESS:
            yield name, "" if name.startswith(VALUES_VARY) else value
        if name.endswith("_FILE") and "__" in name:  # the content is the setting (config/secret_files.py)
            yield f"{name} content", _digest(Path(value))


def _settings(project: Path) -> Iterator[tuple[str, str]]:
    folder = project / ".dlt"  # besides settings, dlt keeps the name of its profile there
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.is_dir():
            yield path.name, _digest(path)


def _digest(path: Path) -> str:
    with suppress(OSError):
        return hashlib.sha256(read_small(path)).hexdigest()
    with suppress(OSError):
        about = path.stat()
        return f"not read, {about.st_size} bytes of {about.st_mtime_ns}"
    return "not found"


def read_small(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Returns the content of an ordinary file.

    Raises:
        OSError: the file can't be read, is larger than `max_bytes`, or is a pipe or a device, which may have no end.
    """
    if not path.is_file() or path.stat().st_size > max_bytes:
        raise FileNotFoundError(path)
    return path.read_bytes()


def left_packages(pipeline_dir: Path) -> list[Path]:
    """Returns the load packages that a crashed run left in the working folder of dlt's pipeline.

    Such a run may have changed neither the warehouse nor the published file.
    """
    found: list[Path] = []
    for part in ("normalize/extracted", "load/normalized"):
        with suppress(FileNotFoundError):
            found += (pipeline_dir / part).iterdir()
    return found


def _code() -> Iterator[tuple[str, int, int]]:
    """Yields the name, size and time of change of each file, and of the folders where pip installs other packages."""
    folders = [PACKAGES / name for name in CODE_FOLDERS]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and entry.name != "__pycache__":
                    folders.append(Path(entry.path))
                elif entry.name.endswith(CODE_ENDINGS):
                    about = entry.stat()
                    yield entry.path, about.st_size, about.st_mtime_ns
    for name in ("dlt", "duckdb"):
        spec = find_spec(name)
        installed = Path(spec.origin).parents[1] if spec and spec.origin else Path()
        yield str(installed), 0, installed.stat().st_mtime_ns
