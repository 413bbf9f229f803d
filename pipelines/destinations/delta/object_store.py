"""Provides locks, file access for DuckDB and error detection for lakes in buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.destinations.delta.object_lock import ObjectLock
from pipelines.errors import RunInProgress

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CLIENT_LIBRARIES = {"aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google"}  # used by s3fs, gcsfs and adlfs


@contextmanager
def object_lock(
    filesystem: AbstractFileSystem, place: str, account: str, wait_seconds: float
) -> Iterator[Callable[[], None]]:
    """Holds the lock on an account's folder during the block.

    The lock is a file beside the folder. The holder keeps renewing the file, which expires half a minute after the
    holder crashes. The file with the earliest name holds the lock, and names begin with the machine's current time. The
    clocks of two machines must therefore differ by less than the time between the starts of their runs.

    Args:
        filesystem: the bucket's filesystem.
        place: the path of the folder to lock.
        account: the account's name, for messages.
        wait_seconds: how long to wait for another run to release the lock.

    Yields:
        A function that raises OSError if the lock was lost. Other runs may presume a run dead if it was suspended for
        more than half a minute.

    Raises:
        RunInProgress: another run still holds the lock after `wait_seconds`.
        OSError: the new lock file already looks expired, or the bucket can't be accessed.
    """
    lock = ObjectLock(place, filesystem)
    try:
        _acquire(lock, account, wait_seconds)
        yield lock.check_held
    finally:
        lock.release()


def _acquire(lock: ObjectLock, account: str, wait_seconds: float) -> None:
    try:
        got = lock.acquire(wait_seconds)
    except RuntimeError as error:
        raise OSError(f"{error}. Check this machine's clock") from None
    if not got:
        raise RunInProgress(lock.lock_prefix, ", ".join(filter(None, (f"account {account!r}", lock.holder()))))


def caching_filesystem(filesystem: AbstractFileSystem) -> AbstractFileSystem:
    """Returns a filesystem for the same bucket that requests the size and date of each Parquet file only once.

    DuckDB 1.5.5 requests the size and date dozens of times per query. These requests made up 80 % of all requests in a
    run, and each request took 10 ms or more. Caching is safe because a Parquet file is never rewritten under the same
    name.
    """
    kind: Any = type(filesystem)

    class ReadingOnce(kind):  # type: ignore[misc]
        async def _info(self, path: str, *args: Any, **options: Any) -> Any:
            path = self._strip_protocol(path)
            known: dict[str, Any] = self.__dict__.setdefault("_known", {})
            if path in known:
                return known[path]
            found = await super()._info(path, *args, **options)
            if path.endswith(".parquet"):
                known[path] = found
            return found

    options = {**filesystem.storage_options, "skip_instance_cache": True}
    found: AbstractFileSystem = ReadingOnce(*filesystem.storage_args, **options)
    return found


def is_object_store_error(error: BaseException) -> bool:
    """Returns whether an object store's client library raised the error. These errors have no common base class."""
    return any(kind.__module__.split(".")[0] in CLIENT_LIBRARIES for kind in type(error).__mro__)
