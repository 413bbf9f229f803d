"""What a statement of ours becomes elsewhere, without a database; test_views_on_postgres.py has one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pipelines import models
from pipelines.models.translate import translated

STATEMENT = "-- why\nselect id::text from sendcloud.pickups where id = ?;\n"


def test_duckdb_gets_the_text_itself() -> None:
    assert translated(STATEMENT, "duckdb") is STATEMENT


def test_a_run_on_duckdb_does_without_sqlglot() -> None:
    """Which takes 0.3 s to import."""
    code = (
        "import duckdb, sys\n"
        "from tests.support.by_hand import fill\n"
        "from pipelines import models\n"
        "models.check(fill(duckdb.connect(), []))\n"
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
def test_another_dialect_gets_its_own_words_without_the_comment(dialect: str, words: str) -> None:
    assert translated(STATEMENT, dialect) == words


def test_statements_stay_apart_and_a_comment_alone_is_none() -> None:
    assert translated("select 1; -- one\nselect 2;\n-- none", "postgres") == "SELECT 1;\nSELECT 2"


def test_what_is_one_of_those_given_is_compared_with_their_values() -> None:
    statement = "select 1 from x where a not in (select unnest($these)) and b in (1, 2) and c in (select d from y)"
    words = "SELECT 1 FROM x WHERE NOT a = ANY(%(these)s) AND b IN (1, 2) AND c IN (SELECT d FROM y)"
    assert translated(statement, "postgres") == words


def test_a_dialect_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown dialect 'postgresql'"):
        translated(STATEMENT, "postgresql")


def test_the_mark_of_postgresqls_views_is_that_of_their_statements() -> None:
    """Whoever changes what a view asks changes both, so that the next run makes it anew."""
    written = json.loads(models.MARK_OF_TRANSLATED.read_text())
    found = models.digest_of_translated(written["dialect"])

    assert written["statements"] == found, f"write into {models.MARK_OF_TRANSLATED}: {found}, and {found[:8]} as mark"


def test_a_comment_changes_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    before = models.digest_of_translated("postgres")
    query_of = models.query_of
    monkeypatch.setattr(models, "query_of", lambda path: f"-- another word\n{query_of(path)}")

    assert models.digest_of_translated("postgres") == before
