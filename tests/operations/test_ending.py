"""Tests that SIGTERM and --timeout end a run in any phase, at once and with one line. The next run recovers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import pytest

from pipelines import run_accounts
from pipelines.destinations.file_lock import exclusive_lock
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.accounts import configure, lines_of, rows_of_worlds, serving
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Done, Installation, as_rows
from tests.support.instants import HALF
from tests.support.invariants import differences, leftovers, published_pickups
from tests.support.processes import Begun
from tests.support.templates import PAGES_OF_TEN, Templates
from tests.support.worlds import twenty

SECONDS_TO_END, SECONDS_TO_START = 10, 30  # on an idle machine, each takes half a second
LEFT = "Previously loaded data is unchanged; the next run catches up."


@pytest.fixture
def world() -> World:
    return twenty()


@pytest.fixture
def loaded(installation: Installation, templates: Templates) -> Installation:
    return installation.as_in(templates.loaded("twenty"))


def terminate(running: Begun | subprocess.Popen[str]) -> Done:
    running.terminate()
    return wait_for_end(running)


def wait_for_end(running: Begun | subprocess.Popen[str], within_seconds: float = SECONDS_TO_END) -> Done:
    """Returns the result of the process. Raises TimeoutExpired if the process takes longer than allowed."""
    try:
        out, err = running.communicate(timeout=within_seconds)
    finally:
        running.kill()
    return Done(running.returncode, out, err)


def assert_ended(done: Done, why: str) -> None:
    assert (done.returncode, lines_of(done.stderr)) == (143, [f"pickups: ended {why}. {LEFT}"]), done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def delay_response(number: int, apis: Iterable[Sandbox]) -> Iterator[list[threading.Event]]:
    """Delays every API's response to request `number` until the block ends.

    Yields an event for each API, which is set when the request arrives.
    """
    asked, over = [], threading.Event()
    for api in apis:
        event = threading.Event()
        asked.append(event)

        def hold(_api: Sandbox, this: int, event: threading.Event = event) -> None:
            if this == number:
                event.set()
                over.wait(60)

        api.on_request = hold
    yield asked
    over.set()


def wait_for_requests(api: Sandbox, number: int) -> None:
    """Waits until the API has answered `number` requests, and 0.2 s longer, so that the client begins to wait."""
    deadline = time.monotonic() + 30
    while len(api.requests) < number:
        assert time.monotonic() < deadline, api.requests
        time.sleep(0.02)
    time.sleep(0.2)


@pytest.mark.parametrize(
    "instant",
    quick(
        [
            "entering extract",
            "entering normalise",
            "entering merge",
            "entering mark the package complete",
            "entering finalize",
            "leaving check",
            HALF,
            "entering last receipt",
        ],
        only=(2,),
    ),
)
def test_sigterm_ends_a_run_in_each_phase(loaded: Installation, world: World, api: Sandbox, instant: str) -> None:
    """The signal arrives in the middle of a query, when neither the interpreter nor dlt calls its handler."""
    before = as_rows(world.records())
    world.advance(hours=1)
    world.cancel(world.records()[3]["id"])
    world.book()
    running = loaded.begin("hang", instant, "1", "run", api=api, module="tests.support.instants", **PAGES_OF_TEN)
    assert running.stdout
    assert running.stdout.readline() == "arrived\n", running.communicate()

    assert_ended(terminate(running), "by SIGTERM")

    is_published = instant == "entering last receipt"
    assert published_pickups(loaded) == (as_rows(world.records()) if is_published else before)
    loaded.run(api, **PAGES_OF_TEN)
    assert differences(loaded, world) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "settings"),
    [(faults.slow(30), {}), (faults.too_many(50), {}), (None, {"requests_per_minute": 1})],
    ids=["for a response", "for a retry", "for the rate limit"],
)
def test_sigterm_ends_a_run_that_waits(
    loaded: Installation, world: World, api: Sandbox, fault: faults.Fault | None, settings: dict[str, int]
) -> None:
    if fault:
        api.fault(fault)
    running = loaded.begin("run", api=api, **{**PAGES_OF_TEN, **settings})
    wait_for_requests(api, 1)

    assert_ended(terminate(running), "by SIGTERM")

    world.book()
    loaded.run(api, **PAGES_OF_TEN)
    assert differences(loaded, world) == []


@pytest.mark.slow
def test_sigterm_ends_a_run_that_reads_several_accounts(installation: Installation) -> None:
    """Each account is read in its own thread, and the main thread waits for the threads.

    Each account has loaded one load package of its first load.
    """
    with serving({name: twenty() for name in ("north", "south", "east")}) as apis:
        configure(installation, apis, common={"page_size": 5, "pages_per_package": 2})
        with delay_response(4, apis.values()) as asked:
            running = installation.begin("run", api=apis["north"])
            assert all(event.wait(30) for event in asked)
            assert_ended(terminate(running), "by SIGTERM")

        run_accounts(installation.folder)
        assert installation.pickups() == rows_of_worlds(apis)
        assert leftovers(installation) == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--timeout", "2"]], ids=["sigterm", "timeout"])
def test_sigterm_and_timeout_end_a_run_that_waits_for_another_run(
    loaded: Installation, world: World, api: Sandbox, words: list[str]
) -> None:
    """The other run continues, and the holder file of the lock still names it."""
    with exclusive_lock(loaded.warehouse):
        holder = loaded.warehouse.with_suffix(".holder").read_text()
        waiting = ["tell", "-", "0", "run", "--wait", "60", *words]
        running = loaded.begin(*waiting, api=api, module="tests.support.instants", **PAGES_OF_TEN)
        assert running.stdout
        assert running.stdout.readline() == "entering wait for the lock\n", running.communicate()

        done = wait_for_end(running, 2 + SECONDS_TO_END) if words else terminate(running)

        assert_ended(done, "after 2 s (--timeout)" if words else "by SIGTERM")
        assert loaded.warehouse.with_suffix(".holder").read_text() == holder
    assert api.requests == []
    world.book()
    loaded.run(api, **PAGES_OF_TEN)
    assert differences(loaded, world) == []


@pytest.mark.slow
def test_a_run_that_exceeds_its_timeout_ends_and_releases_the_lock(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    began = time.monotonic()
    with delay_response(2, [api]):
        running = loaded.begin("run", "--timeout", "3", api=api, **PAGES_OF_TEN)
        assert_ended(wait_for_end(running, 3 + SECONDS_TO_START + SECONDS_TO_END), "after 3 s (--timeout)")
    assert time.monotonic() - began >= 3

    world.book()
    done = loaded.process("run", "--timeout", "60", api=api)
    assert (done.returncode, lines_of(done.stderr)) == (0, [])
    assert differences(loaded, world) == []


@pytest.mark.slow
def test_with_json_logs_an_ended_run_prints_its_last_line_as_an_object(loaded: Installation, api: Sandbox) -> None:
    with delay_response(1, [api]):
        running = loaded.begin("run", "--timeout", "2", "--log-format", "json", api=api, **PAGES_OF_TEN)
        done = wait_for_end(running, 2 + SECONDS_TO_START + SECONDS_TO_END)

    *_, last = [json.loads(line) for line in done.stderr.splitlines()]
    assert (last["event"], last["exit_code"], done.returncode) == ("error", 143, 143)
    assert last["text"] == f"ended after 2 s (--timeout). {LEFT}"


def test_sigterm_ends_a_child_process_but_not_the_run_itself() -> None:
    """A started program and a forked process both react to SIGTERM, and neither ends the run."""
    script = """
import multiprocessing, signal, subprocess, sys, time
from pipelines.cli import termination
termination.end_on_sigterm(None)
child = subprocess.Popen(["sleep", "60"])
forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
forked.start()
child.terminate(), forked.terminate()
forked.join(5)
print(child.wait(5), forked.exitcode)
time.sleep(0.2)
print("here")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, timeout=30)
    assert (done.returncode, done.stdout) == (0, "-15 -15\nhere\n"), done.stderr


def test_sigterm_ends_a_run_whose_stderr_is_a_full_pipe() -> None:
    """No process reads the pipe, so the last line cannot be written."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with suppress(BlockingIOError):
        while True:
            os.write(theirs, bytes(4096))
    os.set_blocking(theirs, True)
    started = "from pipelines.cli.termination import end_on_sigterm; end_on_sigterm(None)"
    script = f"import time; {started}; print(flush=True); time.sleep(60)"
    running = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=REPOSITORY
    )
    assert running.stdout
    running.stdout.readline()
    assert terminate(running).returncode == 143
    os.close(ours)
    os.close(theirs)


def test_a_timeout_is_rejected_if_the_run_shares_its_process(loaded: Installation, api: Sandbox) -> None:
    """A timeout ends its whole process, so it must not be used in a process that runs other code."""
    done = loaded.command("run", "--timeout", "60", api=api)

    assert done.returncode == 2
    assert "--timeout" in done.stderr
    assert api.requests == []
