"""What a lake in a bucket has instead of an operating system: a lock, a way for DuckDB to read, errors of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dlt.common.destination.exceptions import DestinationTerminalException

from pipelines.bucket_lock import BucketLock
from pipelines.errors import AnotherRun, DestinationFailed

if TYPE_CHECKING:
    from dlt.common.destination import Destination
    from fsspec import AbstractFileSystem

LIBRARIES = {"aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google"}  # below s3fs, gcsfs and adlfs


@contextmanager
def locked(
    filesystem: AbstractFileSystem, place: str, account: str, wait_seconds: float
) -> Iterator[Callable[[], None]]:
    """A lock on a place: a file beside it that is renewed while its holder lives, and void half a minute after it died.

    Whose file has the earliest name holds it, and names begin with the machine's time: clocks have to agree to within
    the time that two runs begin apart. Gives what raises OSError when the lock was lost: a run that was held up for
    longer than half a minute may have been taken for dead. Raises AnotherRun, or OSError where its own file looks old.
    """
    lock = BucketLock(place, filesystem)
    try:
        _take(lock, account, wait_seconds)
        yield lock.make_sure
    finally:
        lock.let_go()


def _take(lock: BucketLock, account: str, wait_seconds: float) -> None:
    try:
        got = lock.take(wait_seconds)
    except RuntimeError as error:
        raise OSError(f"{error}. Is this machine's clock right?") from None
    if not got:
        raise AnotherRun(lock.lock_prefix, ", ".join(filter(None, (f"of account {account!r}", lock.holder()))))


def ask_before_each_job(destination: Destination[Any, Any], make_sure: Callable[[], None]) -> None:
    """Lets dlt ask once more whenever a job is about to write: a load is several, and what failed is taken up again,
    as a merge is that another run's rows came before. `make_sure` raises DestinationFailed.
    """
    make = destination.client

    def client(*args: Any, **named: Any) -> Any:
        made = make(*args, **named)
        prepare = made.prepare_load_job_execution

        def asked(job: Any) -> None:
            try:
                make_sure()
            except DestinationFailed as error:
                raise DestinationTerminalException(str(error)) from error
            prepare(job)

        made.prepare_load_job_execution = asked
        return made

    destination.client = client  # type: ignore[method-assign]


def reading_once(filesystem: AbstractFileSystem) -> AbstractFileSystem:
    """The same bucket for DuckDB, which asks after a file's size and date dozens of times a query (1.5.5): eight in ten
    requests of a run, each 10 ms and more. A Parquet file's is asked once: none is ever written anew under its name.
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

    found: AbstractFileSystem = ReadingOnce(
        *filesystem.storage_args, **{**filesystem.storage_options, "skip_instance_cache": True}
    )
    return found


def is_of_a_bucket(error: BaseException) -> bool:
    """Whether an error is one of the libraries that speak with it: theirs have no ancestor in common."""
    return any(kind.__module__.split(".")[0] in LIBRARIES for kind in type(error).__mro__)
