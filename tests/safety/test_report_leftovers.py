"""Tests that a report removes what a killed report has left behind, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.destinations.duckdb.session import open_published
from pipelines.report.store import copied
from tests.safety.test_files_of_other_users import temporary as temporary
from tests.support.by_hand import pickup

ROOT = Path(__file__).parents[2]
Published = Callable[..., Path]
# a report that has copied the tables and computes for as long as the test lets it
REPORT = """
import sys, time
from pathlib import Path
from pipelines.destinations.duckdb.session import open_published
from pipelines.report.store import copied
with open_published(Path(sys.argv[1])) as session, copied(session):
    print("copied", flush=True)
    time.sleep(600)
"""


@contextmanager
def computing(published: Path, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """Yields another process that computes a report. Afterwards, it is killed and has no chance to clean up."""
    variables = os.environ | {"TMPDIR": str(temporary)}
    command = [sys.executable, "-B", "-c", REPORT, str(published)]
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "copied\n"
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def databases(temporary: Path) -> set[Path]:
    return set(temporary.rglob("report.duckdb"))


def make_report(published: Path) -> None:
    with open_published(published) as session, copied(session):
        pass


def test_the_next_report_removes_the_tables_of_a_killed_one_and_not_those_of_a_living_one(
    published: Published, temporary: Path
) -> None:
    path = published(pickup())
    with computing(path, temporary):
        (killed,) = databases(temporary)
    assert databases(temporary) == {killed}  # kill -9 leaves the copy behind

    with computing(path, temporary):
        (living,) = databases(temporary) - {killed}
        make_report(path)
        assert databases(temporary) == {living}

    make_report(path)
    assert databases(temporary) == set()


def test_only_the_folders_of_reports_are_removed(published: Published, temporary: Path) -> None:
    with computing(published(pickup()), temporary):
        (shared,) = temporary.iterdir()
    kept = [temporary / "other", shared / "a file", shared / "a link"]
    (temporary / "other").mkdir()
    (shared / "a file").touch()
    (shared / "a link").symlink_to(temporary / "other")

    make_report(published(pickup()))

    assert all(path.exists() for path in kept)
    assert databases(temporary) == set()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs user ids")
@pytest.mark.parametrize("planted", ["a folder", "a folder that others may write to", "a link"])
def test_a_folder_that_another_user_has_planted_is_not_believed(
    published: Published, temporary: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    shared = temporary / f"sendcloud-pickups-report-{os.getuid()}"
    target = shared if planted != "a link" else temporary / "target"
    (target / "tmpx").mkdir(parents=True)
    (target / "tmpx" / "report.duckdb").touch()
    if planted == "a link":
        shared.symlink_to(target)
    elif planted == "a folder":
        user = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
        shared.rename(shared := temporary / f"sendcloud-pickups-report-{user + 1}")
        target = shared
    else:
        shared.chmod(0o777)
    before = sorted(path.name for path in target.iterdir())

    make_report(published(pickup()))

    assert sorted(path.name for path in target.iterdir()) == before
    assert (target / "tmpx" / "report.duckdb").exists()
