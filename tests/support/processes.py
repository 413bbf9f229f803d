"""Processes begun from one that has imported everything already: a start takes 0.1 s of a core in place of 1.9 s.

Each is a process of its own all the same, which can be killed, or sent a signal, and whose exit code is its own; it
knows nothing of the tests' process.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from multiprocessing import util
from multiprocessing.connection import Connection
from typing import Any

FROM_ONE = multiprocessing.get_context("forkserver")
FROM_ONE.set_forkserver_preload(["pipelines.cli", "pipelines.pickups", "dlt.destinations.impl.duckdb.duck"])
util.get_temp_dir()  # where its socket will be: before a test leads tempfile elsewhere, for such a path must be short


class Begun:
    """`python -m module words`, with these variables and no others; of subprocess.Popen what the tests ask for."""

    def __init__(self, module: str, words: tuple[str, ...], variables: dict[str, str]) -> None:
        (out, out_there), (err, err_there) = FROM_ONE.Pipe(duplex=False), FROM_ONE.Pipe(duplex=False)
        self._process = FROM_ONE.Process(
            target=_lead, args=(module, words, variables, out_there, err_there), daemon=True
        )
        self._process.start()
        out_there.close()
        err_there.close()
        self.stdout, self.stderr = _text(out), _text(err)
        self.terminate, self.kill = self._process.terminate, self._process.kill

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid or 0, number)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it said on stdout and stderr and was not read yet, when it has ended."""
        self.wait(timeout)
        with self.stdout, self.stderr:
            return self.stdout.read(), self.stderr.read()


def _text(end: Connection) -> Any:
    with end:
        return os.fdopen(os.dup(end.fileno()), encoding="utf-8")


def _lead(module: str, words: tuple[str, ...], variables: dict[str, str], out: Connection, err: Connection) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored, and that is inherited
    os.environ.clear()
    os.environ.update(variables)
    for number, there in ((1, out), (2, err)):
        os.dup2(there.fileno(), number)
        there.close()
    sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", encoding="utf-8")
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
