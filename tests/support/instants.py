"""Runs `pickups …` in a separate process, and makes an event happen at a chosen instant in the run:

python -m tests.support.instants kill "leaving load" 2 run   sends SIGKILL after the second package is loaded
python -m tests.support.instants hang "leaving load" 2 run   prints a line at that instant, and hangs forever
python -m tests.support.instants stop "entering load" 1 run  prints a line, and pauses (SIGSTOP) until SIGCONT
python -m tests.support.instants full load 0 run             from the first load on, no file outgrows the warehouse
python -m tests.support.instants tell - 0 run                prints every instant that the run reaches

The environment variable TESTED_LOCK_SECONDS sets after how many seconds a lock in a bucket expires (default 30).
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial, wraps
from io import FileIO
from pathlib import Path
from typing import Any

import dlt
import duckdb
from dlt.common.storages import LoadStorage
from dlt.common.storages.transactional_file import TransactionalFile
from dlt.destinations.job_client_impl import SqlLoadJob
from dlt.load import Load
from filelock import FileLock

from pipelines import atomic_file
from pipelines.bookkeeping import findings
from pipelines.cli.main import main
from pipelines.config.project import find_project, warehouse_path
from pipelines.destinations.duckdb import backend, blocks, publish
from pipelines.loading import account_run, attempt, finalize

PHASES: dict[str, tuple[Any, str]] = {
    "extract": (dlt.Pipeline, "extract"),
    "normalise": (dlt.Pipeline, "normalize"),
    "record states": (account_run, "record_loaded_states"),
    "load": (dlt.Pipeline, "load"),
    "finalize": (attempt, "finalize_run"),
    "publish": (backend, "publish"),
    "last receipt": (attempt, "record_publish_time"),
}
DEEPER: dict[str, tuple[Any, str]] = {
    "wait for the lock": (FileLock, "acquire"),
    "merge": (SqlLoadJob, "run"),  # entering: the rows are in staging; leaving: they are in the table
    "mark the package complete": (Load, "complete_package"),
    "put the package away": (LoadStorage, "complete_load_package"),  # entering: it is complete in the warehouse
    "check": (findings, "check_pickups"),  # leaving: inside the transaction of finalize_run, before its commit
    "describe the views": (backend, "describe_views"),  # entering: the transaction of finalize_run is committed
    "write a receipt": (finalize, "write_receipt"),  # in the same transaction
    "rename": (atomic_file, "set_mode"),  # entering: the copy is complete
    "renamed": (Path, "replace"),  # leaving; only a `.new` file counts
}
HALF = "in the middle of the copy"
# These instants occur once per package. On disk, leaving one of the first three looks the same as entering the next.
OF_EACH_PACKAGE = [
    "entering extract",
    "entering normalise",
    "entering record states",
    "entering load",
    "entering merge",
    "entering mark the package complete",
    "entering put the package away",
    "leaving load",
]
OF_THE_END = [
    "entering finalize",
    "leaving check",
    "leaving write a receipt",
    "entering publish",
    HALF,
    "entering rename",
    "leaving renamed",
    "entering last receipt",
    "leaving last receipt",
]


def happen_at(instant: str, number: int, what: Callable[[], object], patch: Callable[..., object] = setattr) -> None:
    """Calls `what` when the run reaches `instant` for the `number`-th time (from 1), or every time if `number` is 0."""
    if instant == HALF:
        for module in (blocks, publish):
            patch(module, "copy_and_verify", partial(_half_a_copy, what, blocks.copy_and_verify))
        return
    side, name = instant.split(" ", 1)
    owner, attribute = (PHASES | DEEPER)[name]
    original, left = getattr(owner, attribute), [number]

    def arrived(now: str, words: tuple[Any, ...]) -> None:
        if now == side and (name != "renamed" or str(words[0]).endswith(".new")):
            left[0] -= 1
            if left[0] == 0 or number == 0:
                what()

    @wraps(original)
    def watched(*words: Any, **named: Any) -> Any:
        arrived("entering", words)
        result = original(*words, **named)
        arrived("leaving", words)
        return result

    patch(owner, attribute, watched)


def _half_a_copy(
    what: Callable[[], object], original: Callable[..., Any], source: FileIO, target: Path, *words: Any, **named: Any
) -> Any:
    whole = source.read()
    source.seek(0)
    target.write_bytes(whole[: len(whole) // 2])
    what()
    return original(source, target, *words, **named)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    """Runs an endless query, during which the interpreter calls no signal handler."""
    print("arrived", flush=True)
    duckdb.connect(config={"threads": 1}).execute("select sum(i) from range(1_000_000_000_000_000) as endless(i)")


def stop() -> None:
    print("arrived", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)


def no_room(limit: int) -> None:
    """Limits the size of every file that the process writes. The operating system refuses anything larger (EFBIG).

    A limit of 0 stands for the warehouse's current size.
    """
    size = limit or warehouse_path(find_project()).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def tell_all() -> None:
    """Prints a line to stdout for every instant that the run reaches."""
    for name in PHASES | DEEPER:
        for instant in (f"entering {name}", f"leaving {name}"):
            happen_at(instant, 0, lambda instant=instant: print(instant, flush=True))


THAT_HOLD_UP = {"kill": die, "hang": hang, "stop": stop}

if __name__ == "__main__":
    kind, where, number_or_limit, *words = sys.argv[1:]
    TransactionalFile.LOCK_TTL_SECONDS = float(os.environ.get("TESTED_LOCK_SECONDS", "30"))
    if kind in THAT_HOLD_UP:
        happen_at(where, int(number_or_limit), THAT_HOLD_UP[kind])
    elif kind == "full":
        happen_at(f"entering {where}", 1, lambda: no_room(int(number_or_limit)))
    else:
        tell_all()
    sys.argv = ["pickups", *words]
    main(own_process=True)
