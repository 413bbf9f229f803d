"""Ended by SIGTERM, or by --timeout, wherever it is: at once, with one line, and the next run puts all right."""

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
from pipelines.lock import one_run_at_a_time
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.accounts import configure, lines_of, rows_of_worlds, serving
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Done, Installation, as_rows
from tests.support.instants import HALF
from tests.support.invariants import differences, leftovers, published_pickups
from tests.support.processes import Begun
from tests.support.templates import PAGES_OF_TEN, Templates
from tests.support.worlds import twenty

SECONDS_TO_END, SECONDS_TO_START = 10, 30  # half a second each where nobody else is at the machine
LEFT = "What was loaded before is as it was; the next run reads what this one missed."


@pytest.fixture
def world() -> World:
    return twenty()


@pytest.fixture
def loaded(installation: Installation, templates: Templates) -> Installation:
    return installation.as_in(templates.loaded("twenty"))


def terminated(running: Begun | subprocess.Popen[str]) -> Done:
    running.terminate()
    return ended(running)


def ended(running: Begun | subprocess.Popen[str], within_seconds: float = SECONDS_TO_END) -> Done:
    """How it ended; TimeoutExpired where that takes longer than it may."""
    try:
        out, err = running.communicate(timeout=within_seconds)
    finally:
        running.kill()
    return Done(running.returncode, out, err)


def assert_ended(done: Done, why: str) -> None:
    assert (done.returncode, lines_of(done.stderr)) == (143, [f"pickups: ended {why}. {LEFT}"]), done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def held_at(number: int, apis: Iterable[Sandbox]) -> Iterator[list[threading.Event]]:
    """None answers its request of that number as long as the block lasts; an event for each that it was asked."""
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


def asked_for(api: Sandbox, number: int) -> None:
    """Waits until it has answered so many requests, and a little, for who asked to begin to wait."""
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
            "entering conclude",
            "leaving check",
            HALF,
            "entering last receipt",
        ],
        only=(2,),
    ),
)
def test_sigterm_ends_it_in_each_phase(loaded: Installation, world: World, api: Sandbox, instant: str) -> None:
    """In the middle of a query, where no handler is heard, neither the interpreter's nor dlt's."""
    before = as_rows(world.records())
    world.advance(hours=1)
    world.cancel(world.records()[3]["id"])
    world.book()
    running = loaded.begin("hang", instant, "1", "run", api=api, module="tests.support.instants", **PAGES_OF_TEN)
    assert running.stdout
    assert running.stdout.readline() == "arrived\n", running.communicate()

    assert_ended(terminated(running), "by SIGTERM")

    is_published = instant == "entering last receipt"
    assert published_pickups(loaded) == (as_rows(world.records()) if is_published else before)
    loaded.run(api, **PAGES_OF_TEN)
    assert differences(loaded, world) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "settings"),
    [(faults.slow(30), {}), (faults.too_many(50), {}), (None, {"requests_per_minute": 1})],
    ids=["an answer", "the next try", "the pace"],
)
def test_sigterm_ends_it_while_it_waits_for(
    loaded: Installation, world: World, api: Sandbox, fault: faults.Fault | None, settings: dict[str, int]
) -> None:
    if fault:
        api.fault(fault)
    running = loaded.begin("run", api=api, **{**PAGES_OF_TEN, **settings})
    asked_for(api, 1)

    assert_ended(terminated(running), "by SIGTERM")

    world.book()
    loaded.run(api, **PAGES_OF_TEN)
    assert differences(loaded, world) == []


@pytest.mark.slow
def test_sigterm_ends_it_while_several_accounts_are_read(installation: Installation) -> None:
    """Each on a thread, and the main thread waits for them; of the first load one package of each is loaded."""
    with serving({name: twenty() for name in ("north", "south", "east")}) as apis:
        configure(installation, apis, common={"page_size": 5, "pages_per_package": 2})
        with held_at(4, apis.values()) as asked:
            running = installation.begin("run", api=apis["north"])
            assert all(event.wait(30) for event in asked)
            assert_ended(terminated(running), "by SIGTERM")

        run_accounts(installation.folder)
        assert installation.pickups() == rows_of_worlds(apis)
        assert leftovers(installation) == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--timeout", "2"]], ids=["sigterm", "timeout"])
def test_it_ends_while_it_waits_for_another_run(
    loaded: Installation, world: World, api: Sandbox, words: list[str]
) -> None:
    """The other run goes on, and is the one that the lock's holder file names."""
    with one_run_at_a_time(loaded.warehouse):
        holder = loaded.warehouse.with_suffix(".holder").read_text()
        waiting = ["tell", "-", "0", "run", "--wait", "60", *words]
        running = loaded.begin(*waiting, api=api, module="tests.support.instants", **PAGES_OF_TEN)
        assert running.stdout
        assert running.stdout.readline() == "entering wait for the lock\n", running.communicate()

        done = ended(running, 2 + SECONDS_TO_END) if words else terminated(running)

        assert_ended(done, "after 2 s, as --timeout says" if words else "by SIGTERM")
        assert loaded.warehouse.with_suffix(".holder").read_text() == holder
    assert api.requests == []
    world.book()
    loaded.run(api, **PAGES_OF_TEN)
    assert differences(loaded, world) == []


@pytest.mark.slow
def test_a_run_that_outlives_its_timeout_ends_and_lets_go_of_the_lock(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    began = time.monotonic()
    with held_at(2, [api]):
        running = loaded.begin("run", "--timeout", "3", api=api, **PAGES_OF_TEN)
        assert_ended(ended(running, 3 + SECONDS_TO_START + SECONDS_TO_END), "after 3 s, as --timeout says")
    assert time.monotonic() - began >= 3

    world.book()
    done = loaded.process("run", "--timeout", "60", api=api)
    assert (done.returncode, lines_of(done.stderr)) == (0, [])
    assert differences(loaded, world) == []


@pytest.mark.slow
def test_among_lines_of_json_its_one_line_is_an_object_too(loaded: Installation, api: Sandbox) -> None:
    with held_at(1, [api]):
        running = loaded.begin("run", "--timeout", "2", "--log-format", "json", api=api, **PAGES_OF_TEN)
        done = ended(running, 2 + SECONDS_TO_START + SECONDS_TO_END)

    *_, last = [json.loads(line) for line in done.stderr.splitlines()]
    assert (last["event"], last["exit_code"], done.returncode) == ("error", 143, 143)
    assert last["text"] == f"ended after 2 s, as --timeout says. {LEFT}"


def test_what_a_run_starts_is_ended_by_sigterm_as_anything_is() -> None:
    """A program that it starts, and a process that it forks off: neither is deaf, and neither ends the run."""
    script = """
import multiprocessing, signal, subprocess, sys, time
from pipelines import ending
ending.listen(None)
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


def test_a_pipe_that_nobody_reads_keeps_it_from_ending_no_longer() -> None:
    """Into a pipe that is full."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with suppress(BlockingIOError):
        while True:
            os.write(theirs, bytes(4096))
    os.set_blocking(theirs, True)
    script = "import time; from pipelines import ending; ending.listen(None); print(flush=True); time.sleep(60)"
    running = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=REPOSITORY
    )
    assert running.stdout
    running.stdout.readline()
    assert terminated(running).returncode == 143
    os.close(ours)
    os.close(theirs)


def test_a_timeout_is_for_a_process_of_its_own(loaded: Installation, api: Sandbox) -> None:
    """In a process that somebody else has too, there is nothing that it could end."""
    done = loaded.command("run", "--timeout", "60", api=api)

    assert done.returncode == 2
    assert "--timeout" in done.stderr
    assert api.requests == []
