"""Locks a folder in a bucket with a lock file.

In a bucket, no operating system can hold a lock, so the owner of a lock file keeps renewing the file during the run.
"""

from __future__ import annotations

import errno
import os
import random
import secrets
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dlt.common.storages.transactional_file import Heartbeat, TransactionalFile, lock_id

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


class ObjectLock(TransactionalFile):
    """Extends dlt's lock with an owner.

    The lock in dlt 1.31 never checks who owns the file, and its heartbeat recreates a deleted file. This lock names its
    holder and is renewed only while it belongs to its owner. A lost lock stays lost.

    Each file name begins with the creation time, and the file with the earliest name holds the lock. A file older than
    LOCK_TTL_SECONDS has expired and is removed by any run that finds it. dlt implements both rules, and earlier
    versions of this package followed them too.
    """

    def __init__(self, place: str, filesystem: AbstractFileSystem) -> None:
        super().__init__(f"/{place}", filesystem)
        self.path, self.lock_prefix = place, f"{place}.lock"  # dlt requires a leading slash, but the bucket does not
        now = datetime.now(UTC)
        self._owner = f"process {os.getpid()} on {socket.gethostname()} since {now:%Y-%m-%d %H:%M:%S} UTC"
        self._token = f"{self._owner} ({secrets.token_hex(8)})".encode()
        self._renewed = _clocks()
        self._is_lost = False
        self.lock_path = self._first = ""  # the path of this lock's file, and the path of the holder's file

    def acquire(self, wait_seconds: float) -> bool:
        """Acquires the lock and returns True. Returns False if another run still holds the lock after `wait_seconds`.

        Raises:
            RuntimeError: the new lock file already looks expired, because this machine's clock is wrong.
        """
        until = time.monotonic() + wait_seconds
        self._enqueue()
        while min(locks := self._sync_locks()) != self.lock_path:
            if time.monotonic() >= until:
                self._first = min(locks)
                return False
            time.sleep(random.random() / 2 + TransactionalFile.POLLING_INTERVAL)  # noqa: S311  # The delay need not be secret.
            if not self._is_held():  # After a long suspension, the place in the queue is lost.
                self.release()
                self._enqueue()
        return True

    def check_held(self) -> None:
        """Raises OSError if this run has lost the lock or may have lost it."""
        if not self._is_held():
            raise OSError(
                f"the lock {self.lock_path} was lost: this run was suspended for so long that it was presumed dead, "
                "or the lock file was deleted"
            )

    def release(self) -> None:
        """Removes the lock file if the file still belongs to this lock."""
        self._stop_heartbeat()
        with suppress(Exception):  # a file that can't be removed expires in half a minute
            if self._is_ours():
                self._fs.rm(self.lock_path)

    def holder(self) -> str:
        """Returns the holder named in the lock file, or "" for an empty file, which earlier versions wrote."""
        with suppress(Exception):
            content: str = self._fs.cat_file(self._first).decode().partition(" (")[0][:200]
            return "".join(character for character in content if character.isprintable())
        return ""

    def _enqueue(self) -> None:
        """Creates a lock file with a new name, because a lock that lost its place in the queue must not regain it."""
        self._renewed, self._is_lost = _clocks(), False
        self.lock_path = f"{self.lock_prefix}.{lock_id()}"
        self._fs.pipe_file(self.lock_path, self._token)
        self._start_heartbeat()

    def _start_heartbeat(self) -> Heartbeat:
        """Starts renewing the file three times per LOCK_TTL_SECONDS, so that a single failed renewal does no harm."""
        self._heartbeat = Heartbeat(TransactionalFile.LOCK_TTL_SECONDS / 3, self._renew)
        self._heartbeat.start()
        return self._heartbeat

    def _stop_heartbeat(self) -> None:
        """Stops the renewals and waits for a renewal in progress, which could otherwise recreate the removed file."""
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat:
            heartbeat.cancel()
            with suppress(RuntimeError):  # the heartbeat is the current thread or was never started
                heartbeat.join(TransactionalFile.LOCK_TTL_SECONDS / 3)

    def _renew(self) -> None:
        """Rewrites the file as long as it belongs to this lock.

        If the store doesn't respond, the next heartbeat retries.
        """
        began = _clocks()
        with suppress(Exception):
            if not self._is_held():
                return
            self._rewrite()
            if not self._is_expired():
                self._renewed = began
                return
            self._is_lost = True  # after a suspension between the check and the write, another run may hold the lock
            self._fs.rm(self.lock_path)

    def _rewrite(self) -> None:
        """Rewrites the file. If the store supports conditional writes (S3), a deleted file stays deleted."""
        if tag := self._fs.info(self.lock_path).get("ETag"):
            try:
                self._fs.pipe_file(self.lock_path, self._token, IfMatch=tag)
                return
            except OSError as error:
                if error.errno != errno.ENOSYS:  # some S3-compatible stores don't support the condition
                    raise
        self._fs.pipe_file(self.lock_path, self._token)

    def _is_held(self) -> bool:
        """Returns whether this run still holds the lock. Checks the time last, because the store may respond slowly."""
        if self._is_lost or self._is_expired() or not self._is_ours() or self._is_expired():
            self._is_lost = True
        return not self._is_lost

    def _is_ours(self) -> bool:
        try:
            return bool(self._fs.cat_file(self.lock_path) == self._token)
        except FileNotFoundError:
            return False

    def _is_expired(self) -> bool:
        """Returns whether the last renewal was so long ago that another run may acquire the lock.

        Uses the longer of two measurements: the wall clock keeps running while the machine sleeps, and the monotonic
        clock can't be adjusted.
        """
        passed = max(now - before for now, before in zip(_clocks(), self._renewed, strict=True))
        return passed >= TransactionalFile.LOCK_TTL_SECONDS


def _clocks() -> tuple[float, float]:
    return time.time(), time.monotonic()
