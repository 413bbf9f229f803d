"""Tests how a command's process ends: at once, but not before everything that must still happen."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation

ENDING = """
import atexit, sys, threading, time
from pipelines.cli import termination

class Kept:
    def __del__(self):
        print("freed")

def wait_and_print():
    time.sleep(0.1)
    print("the thread has ended")

termination.skip_teardown()
atexit.register(print, "a library's function was called")
threading.Thread(target=wait_and_print).start()
kept = Kept()
try:
    sys.exit({code!r})
except SystemExit as end:
    termination.note_exit_code(end.code)
    raise
"""
HAPPENED = "the thread has ended\na library's function was called\n"


@pytest.mark.parametrize(
    ("code", "exit_code", "stdout", "stderr"),
    [(3, 3, HAPPENED, ""), (None, 0, HAPPENED, ""), ("no number", 1, f"{HAPPENED}freed\n", "no number\n")],
)
def test_a_process_frees_no_objects_but_waits_for_threads_and_for_what_libraries_registered(
    code: int | str | None, exit_code: int, stdout: str, stderr: str
) -> None:
    done = subprocess.run([sys.executable, "-c", ENDING.format(code=code)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (exit_code, stdout, stderr)


@pytest.mark.slow
@pytest.mark.duckdb2
@pytest.mark.versions
def test_a_process_that_has_used_duckdb_ends_without_a_word(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.run(api)

    done = installation.process("show", "carriers", "--format", "csv")

    assert (done.returncode, done.stderr) == (0, "")
