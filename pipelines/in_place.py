"""A file written anew beside the one that is there, which takes its place in one step: whole or not at all."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

A_DAY = 86_400  # seconds: longer than anybody takes to write or read a file
HELD_OPEN = (5, 32)  # Windows' codes for a file that cannot be replaced while a program has it open
WAITS = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds between tries: whoever reads with `read` lets go of the file within these


class HeldOpen(PermissionError):
    """On Windows: a program has the old file open."""


@contextmanager
def written_anew(target: Path) -> Iterator[Path]:
    """A fresh file beside `target` to be filled; when the block is done it is brought to the disk and renamed over.

    A reader that has the old file open goes on reading the old one; on Windows it stands in the way, and is waited for
    a little, then HeldOpen. Raises OSError; then, and when the block fails, `target` is as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield fresh
            os.fsync(file.fileno())
        fresh.chmod(0o666 & ~_umask())
        _replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def _replace(fresh: Path, target: Path) -> None:
    for wait in (*WAITS, None):
        try:
            fresh.replace(target)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in HELD_OPEN:
                raise
            if wait is None:
                raise HeldOpen(f"it cannot be replaced while a program has it open ({error.strerror})") from error
            time.sleep(wait)


def sweep_leftovers(target: Path, suffix: str = "new", *, older_than_seconds: float = 0) -> None:
    """Removes what was killed while `target` was written. Where nobody else can be at it (a run holds its lock),
    whatever its age; else only what is older than anyone takes.
    """
    for leftover in target.parent.glob(f".{target.name}.*.{suffix}"):
        with suppress(OSError):  # somebody else's, or gone meanwhile: it is in nobody's way
            # ctime: a link has the other times of the file that it is another name of
            if leftover.stat().st_ctime <= time.time() - older_than_seconds:
                leftover.unlink()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
