"""Decides who may read and write the files that the project creates.

Other users can't access a folder that the project creates, and a new file gets the permissions of its folder. To let
other users read the published file, open the folder to their group (docs/how-to/schedule.md).
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

FOLDER_MODE = 0o750
PRIVATE_FOLDER_MODE, PRIVATE_FILE_MODE = 0o700, 0o600
OTHERS_WRITE = 0o002
CAN_READ_OPEN_DATABASES = os.name != "nt"  # Windows lets no one else open a file that DuckDB has open for writing.


def create_folder(folder: Path, mode: int = FOLDER_MODE) -> None:
    """Creates the folder if it is missing. An existing folder keeps its permissions."""
    folder.mkdir(mode, parents=True, exist_ok=True)


def set_mode(fresh: Path, target: Path) -> None:
    """Gives a new file the permissions and group of the file that it will replace, or the default permissions."""
    if not target.exists():
        fresh.chmod(new_file_mode(target.parent))
        return
    about = target.stat()
    if hasattr(os, "chown"):
        with suppress(OSError):  # a user can only choose one of their own groups
            os.chown(fresh, -1, about.st_gid)
    fresh.chmod(stat.S_IMODE(about.st_mode) & 0o777)


def new_file_mode(folder: Path) -> int:
    """Returns the permissions for a new file: the permissions of its folder, limited by the umask."""
    return 0o666 & ~_umask() & folder.stat().st_mode


def temporary_folder(name: str) -> Path:
    """Returns the path of a folder in the system's temporary folder, with this user's id in the folder's name."""
    import tempfile  # takes 2 ms, and a quick run needs no such folder

    return Path(tempfile.gettempdir()) / (f"{name}-{os.getuid()}" if hasattr(os, "getuid") else name)


def is_own_folder(folder: Path, *, create: bool = False) -> bool:
    """Returns whether the folder belongs to this user, is not a link, and is not writable by other users.

    Args:
        folder: the folder.
        create: whether to create a missing folder, which only this user can access.
    """
    if create:
        with suppress(FileExistsError):
            folder.mkdir(PRIVATE_FOLDER_MODE)
    return is_own(folder) and folder.is_dir() and not folder.lstat().st_mode & 0o022


def is_own(path: Path) -> bool:
    """Returns whether the file or folder belongs to this user and is not a link."""
    try:
        about = path.lstat()
    except OSError:
        return False
    return not stat.S_ISLNK(about.st_mode) and (not hasattr(os, "getuid") or about.st_uid == os.getuid())


def is_open_to_others(path: Path) -> bool:
    """Returns whether every user of the machine can write to the file or folder."""
    return os.name == "posix" and bool(path.stat().st_mode & OTHERS_WRITE)


def foreign_owner(path: Path) -> int | None:
    """Returns the owner's user id, or None if the owner is this user, root or the owner of the parent folder."""
    if not hasattr(os, "getuid"):
        return None
    owner = path.stat().st_uid
    return None if owner in (0, os.getuid(), path.parent.stat().st_uid) else owner


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def file_identity(path: Path) -> str:
    """Returns an identifier that changes whenever the file is replaced or written."""
    about = path.stat()
    return f"{about.st_dev}:{about.st_ino}:{about.st_mtime_ns}:{about.st_size}"
