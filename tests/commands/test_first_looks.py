"""Tests what a new user sees: the demo's pickups, marked as such, and the first week, which has no rate yet."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.analytics.views import view_files
from pipelines.destinations.snapshot import TABLES
from tests.support.by_hand import FUTURE, cancelled, many, pickup
from tests.support.installation import Installation

Published = Callable[..., Path]


@pytest.fixture
def demo(installation: Installation, published: Published, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Returns a project that has only the demo's file."""
    made = published(*many(pickup, 3), cancelled())
    (installation.folder / "data" / "demo").mkdir(parents=True)
    shutil.copy(made, installation.folder / "data" / "demo" / "pickups.duckdb")
    monkeypatch.delenv("PUBLISH__PATH")
    return installation


@pytest.mark.parametrize("words", [["show", "carriers"], ["show", "runs"], ["list"], ["show", "windows"]])
def test_tables_of_the_demos_pickups_begin_with_demo_data(demo: Installation, words: list[str]) -> None:
    done = demo.command(*words)

    assert done.returncode == 0, done.stderr
    assert done.stdout.lstrip().startswith("DEMO DATA · ")


def test_markdown_says_demo_data_and_programs_read_it_on_stderr(demo: Installation) -> None:
    markdown = demo.command("show", "carriers", "--format", "markdown").stdout
    as_json, as_csv = (demo.command("show", "carriers", "--format", form) for form in ("json", "csv"))

    assert markdown.startswith("DEMO DATA · Cancellations per carrier")
    assert as_json.stderr.startswith("DEMO DATA: no run has published anything yet")
    assert as_csv.stderr == as_json.stderr
    assert "DEMO" not in as_csv.stdout + as_json.stdout
    assert len(json.loads(as_json.stdout)) == 4  # the carrier and its country, for the account and for all


def test_a_users_own_pickups_are_not_called_demo_data(demo: Installation) -> None:
    made = demo.folder / "data" / "demo" / "pickups.duckdb"
    shutil.copy(made, demo.folder / "data" / "pickups.duckdb")

    done = demo.command("show", "carriers")

    assert "DEMO" not in done.stdout + done.stderr


def test_the_first_week_shows_what_is_known_already(installation: Installation, published: Published) -> None:
    published(*many(cancelled, 7, **FUTURE), *many(pickup, 32, **FUTURE))

    out = installation.command("show", "carriers").stdout
    markdown = installation.command("show", "carriers", "--format", "markdown").stdout

    known = (
        "No rate is known yet, because no pickup has finished. 39 pickups booked, 7 cancelled already. "
        "Next: 32 pickups on Fri 10 Apr 2026."
    )
    assert known in " ".join(out.split())
    assert known in markdown


def test_failed_and_stuck_pickups_are_known_without_a_rate(installation: Installation, published: Published) -> None:
    published(pickup(pickup_status="Failed"), pickup(pickup_status="Announcing"))

    out = installation.command("show", "carriers").stdout

    assert "because no pickup has finished. 2 pickups booked, 1 failed, 1 stuck." in " ".join(out.split())


# models


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "spark"])
def test_models_refer_to_each_other_and_to_the_sources(
    installation: Installation, tmp_path: Path, dialect: str
) -> None:
    folder = tmp_path / "models"

    done = installation.command("models", "--sql", dialect, "--to", str(folder))

    assert done.stdout == f"{len(view_files()) + 2} files in {folder}\n"
    texts = {path.stem: path.read_text() for path in folder.glob("*.sql")}
    assert set(texts) == {path.stem for path in view_files()}
    for view, text in texts.items():
        assert text.startswith("-- One row per "), view
        queries = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        assert not re.search(r"\b(sendcloud|analytics)\.\w", queries), view
        assert set(re.findall(r"source\('sendcloud', '(\w+)'\)", queries)) <= set(TABLES), view
    assert "{{ source('sendcloud', 'pickups') }}" in texts["pickups"]
    assert "{{ ref('pickups') }}" in texts["carrier_windows"]


def test_models_never_replace_other_files(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "runs.sql").write_text("select 1")

    done = installation.command("models", "--sql", "duckdb", "--to", str(tmp_path))

    assert done.returncode == 3
    assert [path.name for path in tmp_path.glob("*.sql")] == ["runs.sql"]
    assert (tmp_path / "runs.sql").read_text() == "select 1"


def test_models_in_an_unknown_dialect_are_refused(installation: Installation, tmp_path: Path) -> None:
    done = installation.command("models", "--sql", "klingon", "--to", str(tmp_path / "models"))

    assert done.returncode == 3
    assert "Unknown SQL dialect 'klingon'" in done.stderr
    assert not (tmp_path / "models").exists()
