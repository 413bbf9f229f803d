"""Tests how a command's process ends: Python's last searches may be skipped only where DuckDB allows it."""

from __future__ import annotations

import gc
import sys
from types import SimpleNamespace

import pytest

from pipelines import lean_imports
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation


@pytest.mark.parametrize(
    ("python", "duckdb", "is_skipped"),
    [((3, 13), "1.5.5", True), ((3, 14), "1.5.5", False), ((3, 13), "2.0.0", False), ((3, 14), None, True)],
    ids=["DuckDB 1", "Python 3.14 aborts", "DuckDB 2.0.0 prints leaks", "no DuckDB"],
)
def test_objects_are_searched_at_exit_if_duckdb_needs_it(
    monkeypatch: pytest.MonkeyPatch, python: tuple[int, int], duckdb: str | None, is_skipped: bool
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(gc, "freeze", lambda: calls.append("freeze"))
    monkeypatch.setattr(sys, "version_info", python)
    for name in ("_duckdb", "duckdb"):  # some commands import only the native module
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__version__=duckdb) if duckdb else None)

    lean_imports._freeze_objects()

    assert calls == ["freeze"] * is_skipped


@pytest.mark.slow
@pytest.mark.duckdb2
@pytest.mark.versions
def test_a_process_that_has_used_duckdb_ends_without_a_word(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.loaded(api)

    done = installation.process("show", "carriers", "--format", "csv")

    assert (done.returncode, done.stderr) == (0, "")
