"""Tests that a quick run doesn't wait for a pipe or a device in the place of a settings file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.quick import marks
from pipelines.quick.settings_again import find_warehouse


@pytest.mark.parametrize("name", ["config.toml", "secrets.toml"])
def test_a_pipe_in_the_place_of_a_settings_file_is_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / ".dlt").mkdir()
    without = marks.installation_mark(tmp_path)
    os.mkfifo(tmp_path / ".dlt" / name)

    assert marks.installation_mark(tmp_path) != without
    assert find_warehouse(tmp_path) == tmp_path / "data" / "warehouse.duckdb"


def test_a_device_in_the_place_of_a_secret_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(marks.ENVIRONMENT, "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY_FILE", "/dev/zero")

    assert len(marks.installation_mark(tmp_path)) == 64


@pytest.mark.parametrize("value", ["x" * 300, "a\0b", "/no/such/file"])
def test_a_variable_that_names_no_file_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Other programs have variables whose names end in _FILE, too."""
    monkeypatch.setitem(marks.ENVIRONMENT, "FOO__BAR_FILE", value)

    assert len(marks.installation_mark(tmp_path)) == 64
