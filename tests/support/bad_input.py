"""Serves an account with a secret that is easy to find, and checks the outcome of a command."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

import pytest

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.installation import (
    SECRET,
    Done,
    Installation,
    as_rows,
)
from tests.support.templates import Templates
from tests.support.worlds import twenty

PAIR = b64encode(f"sandbox-public-key:{SECRET}".encode()).decode()


@pytest.fixture
def world() -> World:
    return twenty()


@pytest.fixture
def api(world: World) -> Iterator[Sandbox]:
    """Serves twenty pickups with a secret that is easy to find wherever it must not appear."""
    with serve(world, secret_key=SECRET) as sandbox:
        yield sandbox


@pytest.fixture
def loaded(installation: Installation, templates: Templates) -> Installation:
    """Returns an installation that has loaded the twenty pickups."""
    return installation.as_in(templates.loaded("twenty"))


def outcome(done: Done) -> tuple[int, str]:
    """Returns the exit code and the error lines of stderr. Fails if the output contains a traceback or a secret."""
    both = done.stdout + done.stderr
    assert "Traceback" not in both
    assert SECRET not in both
    assert PAIR not in both
    lines = [line for line in done.stderr.splitlines() if line.startswith("pickups: ")]
    return done.returncode, "\n".join(lines)


def as_before(installation: Installation, api: Sandbox) -> bool:
    return installation.pickups() == as_rows(api.world.records())[:20]
