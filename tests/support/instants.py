"""`pickups …` as a process of its own to which something happens at a chosen instant of the run:

python -m tests.support.instants kill "leaving load" 2 run   SIGKILL when it has loaded its second package
python -m tests.support.instants hang "leaving load" 2 run   then it says so on stdout, and goes no further
python -m tests.support.instants stop "entering load" 1 run  then it says so, and stands still (SIGSTOP) until SIGCONT
python -m tests.support.instants full load 0 run             from the first load no file outgrows the warehouse
python -m tests.support.instants tell - 0 run                where it has come to, line by line on stdout

With TESTED_LOCK_SECONDS in the environment, a lock in a bucket is void after so many and not after 30.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import dlt
import duckdb
from dlt.common.storages import LoadStorage
from dlt.common.storages.transactional_file import TransactionalFile
from dlt.destinations.job_client_impl import SqlLoadJob
from dlt.load import Load

from pipelines import conclude, files, lock, models, one_account, pickups
from pipelines.cli import main
from pipelines.project import find_project, warehouse_path

PHASES: dict[str, tuple[Any, str]] = {
    "extract": (dlt.Pipeline, "extract"),
    "normalise": (dlt.Pipeline, "normalize"),
    "record states": (one_account, "record_states"),
    "load": (dlt.Pipeline, "load"),
    "conclude": (pickups, "conclude"),
    "publish": (files, "publish"),
    "last receipt": (pickups, "write_published"),
}
DEEPER: dict[str, tuple[Any, str]] = {
    "wait for the lock": (lock.FileLock, "acquire"),
    "merge": (SqlLoadJob, "run"),  # entering: the rows are in staging; leaving: in the table
    "mark the package complete": (Load, "complete_package"),
    "put the package away": (LoadStorage, "complete_load_package"),  # entering: it is complete in the warehouse
    "check": (models, "check"),  # leaving: inside the transaction of conclude, before its commit
    "write a receipt": (conclude, "write_receipt"),  # in the same transaction
    "rename": (Path, "chmod"),  # entering: the copy is whole; nothing else changes a file's mode
    "renamed": (Path, "replace"),  # leaving; only a `.new` beside the file counts
}
HALF = "in the middle of the copy"
# once for every package; leaving one of the first three is, on the disk, entering the next
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
    "entering conclude",
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
    """Lets `what` happen when the run comes to that instant for the number-th time (from 1; 0: every time)."""
    if instant == HALF:
        patch(shutil, "copyfile", lambda source, target: _half_a_copy(Path(source), Path(target), what))
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


def _half_a_copy(source: Path, target: Path, what: Callable[[], object]) -> None:
    whole = source.read_bytes()
    target.write_bytes(whole[: len(whole) // 2])
    what()
    target.write_bytes(whole)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    """In a query that has no end, where the interpreter calls no handler."""
    print("arrived", flush=True)
    duckdb.connect(config={"threads": 1}).execute("select sum(i) from range(1_000_000_000_000_000) as endless(i)")


def stop() -> None:
    print("arrived", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)


def no_room(limit: int) -> None:
    """From now on the operating system refuses to write any file beyond the limit (EFBIG); 0: the warehouse's size."""
    size = limit or warehouse_path(find_project()).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def tell_all() -> None:
    """Each arrival as a line on stdout."""
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
