"""Publishes finished accounts while a run is still reading others, and schedules first loads last."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipelines.destinations.base import DATASET, Session
from pipelines.loading.account_run import AccountRun
from pipelines.loading.concurrency import WriteLock
from pipelines.receipt import Receipt

GATHER_SECONDS = 20.0  # accounts that finish within this time are published together; a typical run takes less time
_IS_LOADED = f"select 1 from {DATASET}.pickup_runs where account = ? and history_complete limit 1"  # noqa: S608  # a constant


@dataclass
class EarlyPublisher:
    """Publishes finished accounts together, at most every GATHER_SECONDS. The caller publishes the accounts that finish
    last.

    Attributes:
        parts: the parts of the run.
        write_lock: the lock that the parts share.
        publish: writes, checks and publishes the given receipts.
    """

    parts: Sequence[AccountRun]
    write_lock: WriteLock
    publish: Callable[[Sequence[Receipt]], None]
    published: set[str] = field(default_factory=set)  # run ids
    _first_ready_at: float | None = None

    def __call__(self) -> None:
        """Publishes the finished accounts, at most every GATHER_SECONDS, while other accounts are still being read."""
        ready = [part.receipt for part in self.parts if part.is_over and part.receipt.run_id not in self.published]
        if not ready or all(part.is_over for part in self.parts):
            return
        now = time.monotonic()
        self._first_ready_at = self._first_ready_at or now
        if now - self._first_ready_at < GATHER_SECONDS:
            return
        with self.write_lock:
            self.publish(ready)
        self._first_ready_at = None
        self.published |= {receipt.run_id for receipt in ready}

    def left(self) -> list[Receipt]:
        """Returns the receipts that have not been published yet."""
        return [part.receipt for part in self.parts if part.receipt.run_id not in self.published]


def first_loads_last(parts: Sequence[AccountRun], session: Session) -> list[AccountRun]:
    """Returns the parts in the order in which to read them: accounts whose history is incomplete come last."""
    return sorted(parts, key=lambda part: not _is_loaded(session.for_account(part.receipt.account), part))


def _is_loaded(session: Session, part: AccountRun) -> bool:
    return session.has_table("pickup_runs") and bool(session.execute(_IS_LOADED, [part.receipt.account]).fetchall())
