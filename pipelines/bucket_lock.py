"""The lock on a place in a bucket, where no operating system keeps any: a file that its owner renews while it lives."""

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


class BucketLock(TransactionalFile):
    """dlt's lock with an owner (1.31's asks at most whether the file is there, and its heartbeat makes a deleted one
    anew). It says who holds it, is renewed only by whom it still belongs to, and once lost it is lost for good.

    Whose file has the earliest name holds it; names begin with the machine's time. What is older than
    LOCK_TTL_SECONDS is void, and cleared away by whoever comes (dlt's part, and so it was in earlier versions).
    """

    def __init__(self, place: str, filesystem: AbstractFileSystem) -> None:
        super().__init__(f"/{place}", filesystem)
        self.path, self.lock_prefix = place, f"{place}.lock"  # dlt asks for a root, which no name in a bucket has
        now = datetime.now(UTC)
        self._owner = f"process {os.getpid()} on {socket.gethostname()} since {now:%Y-%m-%d %H:%M:%S} UTC"
        self._token = f"{self._owner} ({secrets.token_hex(8)})".encode()
        self._renewed = _now()
        self._is_lost = False
        self.lock_path = self._first = ""  # ours, and whose is before it

    def take(self, wait_seconds: float) -> bool:
        """Takes the lock; tells whether it did, or another has it for `wait_seconds` more.

        Raises RuntimeError where its own file looks old at once, as it does to a clock that is wrong.
        """
        until = time.monotonic() + wait_seconds
        self._line_up()
        while min(locks := self._sync_locks()) != self.lock_path:
            if time.monotonic() >= until:
                self._first = min(locks)
                return False
            time.sleep(random.random() / 2 + TransactionalFile.POLLING_INTERVAL)  # noqa: S311  # not for a secret
            if not self._is_held():  # whoever waited and was held up has lost its place in the line
                self.let_go()
                self._line_up()
        return True

    def make_sure(self) -> None:
        """Raises OSError where the lock is not ours any more, or may not be."""
        if not self._is_held():
            raise OSError(
                f"the lock {self.lock_path} was taken away or is void: this run was held up and was taken for dead, "
                "or someone deleted the lock file"
            )

    def let_go(self) -> None:
        """Removes its file, where that is its own still."""
        self._stop_heartbeat()
        with suppress(Exception):  # what can't be taken away now is void in half a minute
            if self._is_ours():
                self._fs.rm(self.lock_path)

    def holder(self) -> str:
        """Who has it, as far as the file tells; earlier versions wrote nothing into theirs."""
        with suppress(Exception):
            told: str = self._fs.cat_file(self._first).decode().partition(" (")[0][:200]
            return "".join(character for character in told if character.isprintable())
        return ""

    def _line_up(self) -> None:
        """A file of a new name: one that was given up must not come before those who have come since."""
        self._renewed, self._is_lost = _now(), False
        self.lock_path = f"{self.lock_prefix}.{lock_id()}"
        self._fs.pipe_file(self.lock_path, self._token)
        self._start_heartbeat()

    def _start_heartbeat(self) -> Heartbeat:
        """Three in the time after which it would be void, so that one may fail."""
        self._heartbeat = Heartbeat(TransactionalFile.LOCK_TTL_SECONDS / 3, self._renew)
        self._heartbeat.start()
        return self._heartbeat

    def _stop_heartbeat(self) -> None:
        """Not before a renewal under way has ended: it would make anew what is removed meanwhile."""
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat:
            heartbeat.cancel()
            with suppress(RuntimeError):  # it is this thread, or never began
                heartbeat.join(TransactionalFile.LOCK_TTL_SECONDS / 3)

    def _renew(self) -> None:
        """Writes the file anew as long as it is ours. What the store doesn't answer is tried again at the next beat."""
        began = _now()
        with suppress(Exception):
            if not self._is_held():
                return
            self._write_again()
            if not self._is_void():
                self._renewed = began
                return
            self._is_lost = True  # held up between the question and the writing: another may have it, unseen
            self._fs.rm(self.lock_path)

    def _write_again(self) -> None:
        """By a conditional write where the store has one (S3): what was deleted since stays deleted."""
        if tag := self._fs.info(self.lock_path).get("ETag"):
            try:
                self._fs.pipe_file(self.lock_path, self._token, IfMatch=tag)
                return
            except OSError as error:
                if error.errno != errno.ENOSYS:  # some that speak as S3 does have no such condition
                    raise
        self._fs.pipe_file(self.lock_path, self._token)

    def _is_held(self) -> bool:
        """Whether it is ours still, asked of the store; the time is looked at last, for the answer may have waited."""
        if self._is_lost or self._is_void() or not self._is_ours() or self._is_void():
            self._is_lost = True
        return not self._is_lost

    def _is_ours(self) -> bool:
        try:
            return bool(self._fs.cat_file(self.lock_path) == self._token)
        except FileNotFoundError:
            return False

    def _is_void(self) -> bool:
        """Whether it was not renewed for so long that another may take it: by the clock that runs on while a machine
        sleeps, and by the one that nobody sets.
        """
        passed = max(now - before for now, before in zip(_now(), self._renewed, strict=True))
        return passed >= TransactionalFile.LOCK_TTL_SECONDS


def _now() -> tuple[float, float]:
    return time.time(), time.monotonic()
