"""Runs the checks. A check is a SQL query that returns wrong rows and states its severity in its first line.

If the first line also says `per pickup`, each result depends on one pickup's row and, at most, on `as_of`. A run
therefore needs to check only the pickups that it changed (bookkeeping/findings.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.analytics.views import SQL, SqlConnection, query_of, text_of
from pipelines.dialects import DUCKDB
from pipelines.dialects.translate import translate

SEVERITY = re.compile(r"-- severity: (must-pass|warn)(, per pickup)?\n")
WORD = " as new_word"  # A check with this column reports unknown values.
MAX_VALUES = 3


class CheckResult(NamedTuple):
    """The number of wrong rows that one check found in one account. If `must_pass` is true, these rows fail the run."""

    name: str
    account: str | None  # None if the wrong rows have no account
    rows: int
    must_pass: bool
    values: list[str]  # up to MAX_VALUES unknown values, if the check has a `new_word` column


def check_files() -> list[Path]:
    """Returns the SQL files of all checks, sorted by name."""
    return sorted((SQL / "checks").glob("*.sql"))


def is_must_pass(path: Path) -> bool:
    """Returns whether wrong rows make a run fail, according to the severity in the check's first line."""
    severity = SEVERITY.match(text_of(path))
    assert severity, f"{path.name} must begin with its severity"  # noqa: S101  # the file belongs to this package
    return severity[1] == "must-pass"


def is_per_pickup(path: Path) -> bool:
    """Returns whether each result of the check depends on a single pickup, according to the check's first line."""
    severity = SEVERITY.match(text_of(path))
    return bool(severity and severity[2])


def run_checks(
    connection: SqlConnection, dialect: str = DUCKDB, files: Sequence[Path] | None = None
) -> list[CheckResult]:
    """Runs the checks and returns their findings by account.

    Args:
        connection: a connection to a database with the `sendcloud` tables and the `analytics` views.
        dialect: the connection's SQL dialect, as sqlglot names it.
        files: the SQL files of the checks to run; default all.

    Returns:
        One result for each check and account with wrong rows, and none for a check that finds no wrong rows.
    """
    results = []
    for path in check_files() if files is None else files:
        sql = query_of(path)
        counts = f"select account, count(*) from ({sql}\n) as wrong group by account order by account"  # noqa: S608  # own SQL
        for account, rows in connection.execute(translate(counts, dialect)).fetchall():
            values = _unexpected_values(connection, dialect, sql, account) if WORD in sql else []
            results.append(CheckResult(path.stem, account, rows, is_must_pass(path), values))
    return results


def _unexpected_values(connection: SqlConnection, dialect: str, sql: str, account: str | None) -> list[str]:
    own = f"select distinct new_word from ({sql}\n) as wrong where account is not distinct from ?"  # noqa: S608  # own SQL
    words = translate(f"{own} order by new_word limit {MAX_VALUES}", dialect)
    return [str(word) for (word,) in connection.execute(words, [account]).fetchall()]
