"""Decides which parts of the last run's memory a walk may use, and which parts the next memory keeps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from .frontier import Memory, Rules, has_reached_end
from .instants import instant
from .progress import ReadStats

# Windows end a week after the booking, and pickups settle a week later. An open pickup booked this long before the
# newest pickup is therefore an exception, for example because a year was mistyped. Every run reads all pages back
# to that pickup.
HELD_BACK = timedelta(days=30)


def without_reference(memory: Memory) -> Memory:
    """Returns the memory for a walk that reads the whole list again, including every open pickup."""
    kept: Memory = {"quarantined": memory.get("quarantined", {}), "is_listed_once": has_reached_end(memory)}
    if "api_version_before" in memory:
        kept["api_version_before"] = memory["api_version_before"]
    if "sweep_began_at" in memory:
        kept |= {"sweep_began_at": memory["sweep_began_at"], "is_sweep": memory.get("is_sweep", False)}
    return kept


def after_wrong_clock(memory: Memory, as_of: datetime) -> Memory:
    """Returns the memory for the walk that follows a run with a wrong clock.

    If that clock showed 2099, for example, every pickup seemed to have settled, so the run forgot the open pickups. The
    next walk therefore reads the whole list.
    """
    kept = without_reference(memory)
    if memory.get("is_sweep") and memory["sweep_began_at"] > as_of:
        kept["sweep_began_at"] = as_of
    return kept | {"observed_at": as_of}


def hold_frontier(
    memory: Memory,
    after: Memory,
    listed: pa.ChunkedArray,
    rejected: Sequence[datetime | None],
    stats: ReadStats,
    rules: Rules,
) -> None:
    """Keeps the oldest open pickup in the next memory, for at most `settle`, if a complete walk did not list it.

    The list may have been cut short. Because the pickup is kept, the next run still reads back to that pickup. A pickup
    that was removed from the list is never listed again, and must not hold back the frontier forever.

    Args:
        memory: the memory that the walk started with.
        after: the next memory, which is changed in place.
        listed: the booking times of the rows that were listed.
        rejected: the booking times of the records that were rejected.
        stats: the facts about the walk.
        rules: the source's settings.
    """
    now = stats.settled_by
    assert now is not None  # noqa: S101  # the walk has read a page
    oldest = _must_be_listed(memory, listed, stats)
    since = memory.get("missing_since", now)
    if not oldest or oldest in rejected or now >= since + rules.settle:
        return
    if pc.any(pc.equal(listed, instant(oldest))).as_py():
        return
    known = after.get("oldest_open_at")
    if not known or oldest < known:
        after |= {"oldest_open_at": oldest, "oldest_open_id": memory.get("oldest_open_id")}
    after["missing_since"] = since


def _must_be_listed(memory: Memory, listed: pa.ChunkedArray, stats: ReadStats) -> datetime | None:
    """Returns the booking time of the oldest pickup that the walk must have listed, or None if there is none.

    Every walk must list the oldest open pickup. A walk that reached the end of the list must also have listed the
    newest pickup of the last run.
    """
    known = [memory.get("oldest_open_at")]
    oldest_listed, newest = pc.min(listed).as_py(), memory.get("newest_listed_at")
    if stats.stopped_because == "end" and oldest_listed and newest and oldest_listed > newest:
        known.append(newest)
    oldest = min(filter(None, known), default=None)
    return oldest if oldest and (stats.frontier is None or oldest >= stats.frontier) else None


def date_memory(memory: Memory, after: Memory, as_of: datetime) -> None:
    """Stores the time of the change in the next memory, so that a later run can detect that the clock was wrong.

    An unchanged memory keeps its time, because dlt stores every changed state in a separate load package.
    """
    undated = {name: value for name, value in memory.items() if name != "observed_at"}
    if undated != after:
        after["observed_at"] = as_of
    elif "observed_at" in memory:
        after["observed_at"] = memory["observed_at"]


def pickup_that_holds_frontier(after: Memory) -> int | None:
    """Returns the id of the oldest open pickup if it was booked more than HELD_BACK before the newest one."""
    newest, oldest = after.get("newest_listed_at"), after.get("oldest_open_at")
    is_held = newest and oldest and newest - oldest > HELD_BACK
    return after.get("oldest_open_id") if is_held else None
