"""Tests translating our SQL to other dialects without a database. test_views_on_postgres.py executes it on a server."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256

import pytest

from pipelines.analytics import views
from pipelines.analytics.views import TRANSLATED_DIGEST, view_files
from pipelines.dialects.translate import translate

STATEMENT = "-- why\nselect id::text from sendcloud.pickups where id = ?;\n"


def digest_of_translated(dialect: str) -> str:
    """Returns the SHA-256 digest of the views' statements in the dialect, as hexadecimal text.

    The digest ignores the files' comments, layout and folders, so that changing them neither recreates a view nor loses
    a grant.
    """
    statements = [translate(views.query_of(path), dialect) for path in view_files()]
    return sha256("\0".join(statements).encode()).hexdigest()


def test_statement_for_duckdb_is_not_translated() -> None:
    assert translate(STATEMENT, "duckdb") is STATEMENT


def test_checks_on_duckdb_do_not_import_sqlglot() -> None:
    """Importing sqlglot takes 0.3 s."""
    code = (
        "import duckdb, sys\n"
        "from tests.support.by_hand import fill\n"
        "from pipelines.analytics.checks import run_checks\n"
        "run_checks(fill(duckdb.connect(), []))\n"
        "print('sqlglot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        ("postgres", "SELECT CAST(id AS TEXT) FROM sendcloud.pickups WHERE id = %s"),
        ("spark", "SELECT CAST(id AS STRING) FROM sendcloud.pickups WHERE id = ?"),
        ("snowflake", "SELECT CAST(id AS VARCHAR) FROM sendcloud.pickups WHERE id = ?"),
    ],
)
def test_statement_is_translated_to_another_dialect_without_its_comment(dialect: str, words: str) -> None:
    assert translate(STATEMENT, dialect) == words


def test_statements_stay_separate_and_a_lone_comment_is_dropped() -> None:
    assert translate("select 1; -- one\nselect 2;\n-- none", "postgres") == "SELECT 1;\nSELECT 2"


def test_in_over_an_unnested_list_parameter_becomes_any_in_postgresql() -> None:
    statement = "select 1 from x where a not in (select unnest($these)) and b in (1, 2) and c in (select d from y)"
    words = "SELECT 1 FROM x WHERE NOT a = ANY(%(these)s) AND b IN (1, 2) AND c IN (SELECT d FROM y)"
    assert translate(statement, "postgres") == words


def test_unknown_dialect_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown dialect 'postgresql'"):
        translate(STATEMENT, "postgresql")


def test_stored_digest_matches_the_views_translated_for_postgresql() -> None:
    """A change to a view must change the stored digest as well, so that the next run recreates the views."""
    written = json.loads(TRANSLATED_DIGEST.read_text())
    found = digest_of_translated(written["dialect"])

    assert written["statements"] == found, (
        f"to fix this, set statements to {found} and mark to {found[:8]} in {TRANSLATED_DIGEST}"
    )


def test_comment_does_not_change_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_of_translated("postgres")
    query_of = views.query_of
    monkeypatch.setattr(views, "query_of", lambda path: f"-- another word\n{query_of(path)}")

    assert digest_of_translated("postgres") == before
