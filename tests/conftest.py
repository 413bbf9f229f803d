from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path

# jsonschema checks IRIs with this module, which takes 4 s to build a grammar when it is imported; no test has an IRI
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

import dlt
import duckdb
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from hypothesis import HealthCheck, settings

from pipelines import lean_imports
from pipelines.operations import preflight
from sources.sendcloud.sandbox import Sandbox, Server, World, listening, serve
from tests.support.bucket import bucket_server
from tests.support.by_hand import published as published
from tests.support.by_hand import warehouse as warehouse
from tests.support.by_hand import without_rows as without_rows
from tests.support.destinations import BUCKETS, DESTINATION, SERVER, made_place, postgres_server
from tests.support.installation import AT_ONCE, Installation
from tests.support.machine_clock import machine_clock_of_apis
from tests.support.templates import Templates
from tests.support.walking import Walking
from tests.support.worlds import NOW

# an example is one or more complete runs, so no example is too slow, and many examples may share a fixture's folder
EVERY = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
# every run of the tests has the same examples, so a change never fails because of a defect that it did not cause
settings.register_profile("fast", max_examples=4, derandomize=True, **EVERY)
settings.register_profile("thorough", max_examples=25, **EVERY)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

OURS = (
    "PIPELINE__",
    "SOURCES__",
    "DESTINATION__",
    "PUBLISH__",
    "STATUS__",
    "ALERTS__",
    "RETENTION__",
    "SCHEMAS__",
    "RUNTIME__",
    "NORMALIZE__",
    "DLT_",
)
HOSTILE = (
    "<img src=http://evil.example/x.png onerror=alert(1)> ![x](http://evil.example/y.png)",
    "<script>alert(2)</script> [x](javascript:alert(3)) $a$",
)


def pytest_report_header() -> str:
    return f"dlt {dlt.__version__}, duckdb {duckdb.__version__}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the number of tests that were left out, and the commands that run them."""
    if left_out := len(terminalreporter.stats.get("deselected", [])):
        terminalreporter.write_line(f"{left_out} tests are left out: make test-all runs all, -m '' those of a file")


def forget_settings() -> None:
    """Clears the configuration that dlt otherwise caches until the process ends."""
    if PluggableRunContext in (container := Container()):
        del container[PluggableRunContext]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hides the settings of the machine and of other tests from each test, and makes retries immediate."""
    forget_settings()
    for name in os.environ:
        if name.startswith((*OURS, "PICKUPS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in AT_ONCE.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def _machine_clock_agrees_with_the_api() -> Iterator[None]:
    with machine_clock_of_apis():
        yield


@pytest.fixture(autouse=True)
def _no_import_is_blocked() -> Iterator[None]:
    """Fails a test that leaves imports blocked, because a later test of the same process would fail instead of it."""
    yield
    blockers = [finder for finder in sys.meta_path if isinstance(finder, lean_imports._Blocker)]
    lean_imports.unblock()
    assert blockers == []


@pytest.fixture(scope="session", autouse=True)
def _installed_packages_are_listed_once() -> Iterator[None]:
    """Every `pickups check` reads the lists of files of all installed packages, which takes 0.15 s."""
    listed = preflight.packages_distributions
    once = cache(lambda _: listed())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(preflight, "packages_distributions", lambda: once(tuple(sys.path)))
        yield


@pytest.fixture
def nothing_of_dlts_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the variables that tests set for speed.

    They would override the files, and commands would report them.
    """
    for name in AT_ONCE:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Templates:
    return Templates(tmp_path_factory, worker_id)


@pytest.fixture
def world() -> World:
    """Returns an account without pickups, at noon on a Friday."""
    return World(clock=NOW)


@pytest.fixture(scope="session")
def listener() -> Iterator[Server]:
    """Yields the socket of every sandbox that does not need its own."""
    with listening() as server:
        yield server


@pytest.fixture
def api(world: World, listener: Server) -> Iterator[Sandbox]:
    with serve(world, on=listener) as sandbox:
        yield sandbox


@pytest.fixture(scope="session", autouse=DESTINATION == "postgres")
def postgres() -> Iterator[str]:
    with postgres_server() as address, pytest.MonkeyPatch.context() as patched:
        patched.setenv(SERVER, address)
        yield address


@pytest.fixture(scope="session", autouse=DESTINATION == "bucket")
def buckets() -> Iterator[str]:
    with bucket_server() as address, pytest.MonkeyPatch.context() as patched:
        patched.setenv(BUCKETS, address)
        yield address


@pytest.fixture
def installation(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, templates: Templates
) -> Installation | Walking:
    """Returns a project folder without runs.

    With the parameter `walk`, it returns a replacement that runs only the source (support/walking.py).
    """
    if getattr(request, "param", "run") == "walk":
        return Walking()
    folder = tmp_path / "project"
    (folder / ".dlt").mkdir(parents=True)
    for name, value in made_place(folder).items():
        monkeypatch.setenv(name, value)
    return Installation(folder, monkeypatch, templates=templates)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, Sandbox]]:
    """Yields an installation that has loaded 2,000 pickups, and its sandbox."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / ".dlt").mkdir()
    with pytest.MonkeyPatch.context() as patched, serve(World.seeded(2_000, seed=3, until=NOW)) as api:
        installation = Installation(folder, patched)
        installation.run(api, account="my-shop")
        yield installation, api


@pytest.fixture(scope="session")
def page(shop: tuple[Installation, Sandbox]) -> Path:
    """Returns the page that `pickups report` writes without options."""
    installation, _ = shop
    done = installation.process("report")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == "computing all countries"
    assert done.stdout.strip() == str(installation.folder / "data" / "report" / "index.html")
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a report on two of an account's three carriers, since a given date.

    Every name that the API may send contains markup.
    """
    folder = tmp_path_factory.mktemp("hostile")
    (folder / ".dlt").mkdir()
    world = World(clock=NOW)
    for number in range(240):
        carrier, country = HOSTILE[number % 2], (*HOSTILE, "NL")[number // 2 % 3]
        made = world.book(created_at=NOW - timedelta(days=90, hours=number), carrier=carrier, country=country)
        if number % 6 == 0:  # of the first carrier, in the first country
            world.change(made, pickup_status="Cancelled")
        elif number % 6 == 1:  # of the second carrier
            world.change(made, pickup_status="Failed", **{HOSTILE[0]: "new"})
    world.book(carrier=HOSTILE[0], created_at=NOW - timedelta(days=80), pickup_status=HOSTILE[1])
    world.book(carrier="fedex", created_at=NOW - timedelta(days=80))
    with pytest.MonkeyPatch.context() as patched, serve(world) as api:
        installation = Installation(folder, patched)
        installation.run(api)
        done = installation.process(
            "report", "--carrier", HOSTILE[0], "--carrier", HOSTILE[1], "--since", "2026-08-13", "--by", "booking"
        )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())
