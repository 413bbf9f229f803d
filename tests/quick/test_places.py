"""Tests that a quick run notices when a file, a link or a setting leads to another place, or can't be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.config.project import project_context, warehouse_path
from pipelines.quick import marks, prepare
from pipelines.quick.record import read_record, record_path, write_record
from pipelines.quick.settings_again import find_place, find_warehouse, read_place
from sources.sendcloud import source
from sources.sendcloud.sandbox import Sandbox, World
from tests.quick.test_quick_runs import settled as settled
from tests.support.both_ways import Files, ordinary, quick
from tests.support.installation import Installation, nothing_is_sent_to


def test_a_link_on_the_way_to_the_published_file_may_change(
    settled: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("blue", "green"):
        (settled.folder / name).mkdir()
    link = settled.folder / "pub"
    link.symlink_to("blue")
    monkeypatch.setenv("PUBLISH__PATH", "pub/pickups.duckdb")
    ordinary(settled, api, page_size=4)
    as_before = quick(settled, api, page_size=4)
    link.unlink()
    link.symlink_to("green")

    assert as_before
    with nothing_is_sent_to(api):
        assert quick(settled, api, page_size=4) is None


@pytest.mark.parametrize("name", ["profile-name", "secrets.toml", ".workspace"])
def test_every_file_beside_the_settings_is_part_of_the_mark(tmp_path: Path, name: str) -> None:
    (tmp_path / ".dlt").mkdir()
    found = [marks.installation_mark(tmp_path)]
    for text in ("prod", "dev"):
        (tmp_path / ".dlt" / name).write_text(text)
        found.append(marks.installation_mark(tmp_path))

    assert len({*found}) == 3


@pytest.mark.parametrize("name", ["INVOCATION_ID", "AIRFLOW_CTX_DAG_RUN_ID", "LANG"])
def test_variables_that_schedulers_set_for_each_run_are_not_part_of_the_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    found = set()
    for value in ("scheduled__2026-11-30T18:00", "scheduled__2026-11-30T18:15"):
        monkeypatch.setitem(marks.ENVIRONMENT, name, value)
        found.add(marks.installation_mark(tmp_path))

    assert len(found) == (2 if name == "LANG" else 1)


def test_a_run_by_airflow_and_one_by_hand_have_different_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a task of Airflow, dlt works differently (dlt/common/runtime/exec_info.py)."""
    by_hand = marks.installation_mark(tmp_path)
    monkeypatch.setitem(marks.ENVIRONMENT, "AIRFLOW_CTX_TASK_ID", "load")

    assert marks.installation_mark(tmp_path) != by_hand


def test_a_change_in_a_huge_settings_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    config = tmp_path / ".dlt" / "config.toml"
    config.write_text("# a comment\n" * 100_000)
    before = marks.installation_mark(tmp_path)
    config.write_text("# a comment\n" * 100_001)

    assert marks.installation_mark(tmp_path) != before


def test_code_that_cannot_be_read_has_no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Emacs locks a file that it edits by a dangling link beside it. A link to a folder above has no end."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "sources").mkdir()
    (tmp_path / "pipelines" / "again").symlink_to(tmp_path)
    monkeypatch.setattr(marks, "PACKAGES", tmp_path)
    readable = {marks.installation_mark(tmp_path) for _ in range(2)}
    (tmp_path / "pipelines" / ".#run.py").symlink_to("somebody@elsewhere")
    unreadable = {marks.installation_mark(tmp_path) for _ in range(2)}

    assert (len(readable), len(unreadable)) == (1, 2)


def test_a_damaged_published_file_is_left_to_an_ordinary_run(settled: Installation, api: Sandbox) -> None:
    """The ordinary run replaces the file and reports the damage. The times of the file show nothing."""
    times = settled.published.stat()
    content = bytearray(settled.published.read_bytes())
    content[-4000:-3900] = b"x" * 100
    with settled.published.open("r+b") as file:
        file.write(content)
    os.utime(settled.published, ns=(times.st_atime_ns, times.st_mtime_ns))
    before = settled.published.read_bytes()

    assert quick(settled, api, page_size=4) is None

    assert settled.published.read_bytes() == before
    assert len(settled_receipts(settled)) == 1


def settled_receipts(settled: Installation) -> list[object]:
    import duckdb

    with duckdb.connect(str(settled.warehouse), read_only=True) as connection:
        return connection.execute("select run_id from sendcloud.pickup_runs").fetchall()


def test_a_secret_in_a_file_is_read_from_the_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """During an ordinary run, the variable itself contains the secret, too."""
    variable = "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY"
    (tmp_path / "key").write_text("the secret\n")
    monkeypatch.setenv(f"{variable}_FILE", "key")
    monkeypatch.setenv(variable, "the secret")
    place = find_place("sources.sendcloud.credentials.secret_key", "the secret", tmp_path, "salt")
    monkeypatch.delenv(variable)

    assert place
    assert read_place(place, tmp_path, "salt") == "the secret"


@pytest.mark.parametrize("path", ["data/other.duckdb", "duckdb:///data/other.duckdb", "{folder}/other.duckdb"])
def test_the_warehouse_is_found_as_dlt_finds_it(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", path.format(folder=installation.folder))
    with project_context(installation.folder) as project:
        by_dlt = warehouse_path(project)

    assert find_warehouse(installation.folder) == by_dlt


def test_a_prediction_that_fails_costs_only_the_quick_run(
    settled: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise IndexError

    world.book()
    with monkeypatch.context() as patched:
        patched.setattr(source, "predict_repeat", fail)
        receipt = ordinary(settled, api, page_size=4)

    assert (receipt.outcome, receipt.rows_new) == ("succeeded", 1)
    assert not record_path(settled.warehouse).exists()


def test_a_slow_api_is_left_to_ordinary_runs(
    settled: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "MAX_SECONDS_READ", 0.0)
    ordinary(settled, api, page_size=4)
    before = Files(settled)

    with nothing_is_sent_to(api):
        assert quick(settled, api, page_size=4) is None
    assert Files(settled) == before


def test_a_record_of_many_open_pickups_is_read(settled: Installation, api: Sandbox) -> None:
    """Each open pickup takes 30 bytes, and a settings file may have a megabyte."""
    path = record_path(settled.warehouse)
    record = read_record(path)
    assert record
    (one,) = record.accounts
    one.settles_at += [one.settles_at[-1]] * 50_000
    write_record(path, record)

    done = quick(settled, api)

    assert path.stat().st_size > marks.MAX_BYTES
    assert done
    assert done.receipts[0].open_pickups == 11 + 50_000
