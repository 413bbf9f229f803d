"""Replaces files atomically, so that readers see either the complete old content or the complete new content."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from pipelines.file_access import PRIVATE_FILE_MODE, create_folder, set_mode

DAY_SECONDS = 86_400  # Writing or reading a file never takes a day, so an older temporary file is a leftover.
FICLONE = 0x40049409  # linux/fs.h
WINDOWS_IN_USE = (5, 32)  # Windows returns these codes when a program has the target file open.
# `pipelines.warehouse.read` closes the published file in less than the sum of these delays.
RETRY_DELAYS_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6)


class FileInUse(PermissionError):
    """Raised on Windows when the target file can't be replaced because a program has it open."""


@contextmanager
def replace_atomically(target: Path) -> Iterator[Path]:
    """Yields an empty temporary file beside `target` and renames it to `target` when the block ends.

    The new content is flushed to disk before the rename. If the block or the rename fails, the temporary file is
    deleted and `target` is unchanged. A reader that has the old file open keeps reading the old content. On Windows, an
    open file blocks the rename, so the rename is retried for about 3 seconds.

    Args:
        target: the file to create or replace. A missing folder is created.

    Yields:
        The path of the temporary file.

    Raises:
        FileInUse: on Windows, a program still has `target` open after the last retry.
        OSError: the file can't be written or renamed.
    """
    create_folder(target.parent)
    fresh = target.with_name(f".{target.name}.{os.urandom(8).hex()}.new")
    try:
        with open(fresh, "xb", opener=_open_private) as file:
            yield fresh
            os.fsync(file.fileno())
        set_mode(fresh, target)
        _replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE_FILE_MODE)


def _replace(fresh: Path, target: Path) -> None:
    for wait in (*RETRY_DELAYS_SECONDS, None):
        try:
            fresh.replace(target)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in WINDOWS_IN_USE:
                raise
            if wait is None:
                raise FileInUse(f"the file can't be replaced while a program has it open ({error.strerror})") from error
            time.sleep(wait)


def clone(file: FileIO, copy: FileIO) -> bool:
    """Gives an empty file the content of another one, if the file system can let both share the disk blocks.

    XFS and Btrfs can do so on Linux. The files share each block until one of them changes it.

    Returns:
        Whether the content is now the same. If not, the caller must copy the content.
    """
    if sys.platform != "linux":
        return False
    from fcntl import ioctl

    try:
        ioctl(copy.fileno(), FICLONE, file.fileno())
    except OSError:  # the file system can't, or it is not the same one for both files
        return False
    return True


def remove_leftovers(target: Path, suffix: str = "new", *, older_than_seconds: float = 0) -> None:
    """Removes temporary files left behind by a process that was killed while writing `target`.

    Args:
        target: the file that was being written.
        suffix: the ending of the temporary file names, without the leading dot.
        older_than_seconds: the minimum age of the files to remove. Use the default of 0 only if no other process can be
            writing `target`, for example because the caller holds the run's lock.
    """
    for leftover in target.parent.glob(f".{target.name}.*.{suffix}"):
        with suppress(OSError):  # A file that is already gone or belongs to another user can be ignored.
            # A hard link has the mtime of its original; only ctime changes when the link is created.
            if leftover.stat().st_ctime <= time.time() - older_than_seconds:
                leftover.unlink()
