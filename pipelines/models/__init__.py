"""The views that decide what a number means, and the checks: plain SQL files, applied in one place."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
READS, COMMENT = re.compile(r"\banalytics\.(\w+)"), re.compile(r"--.*")
SEVERITY = re.compile(r"-- severity: (must-pass|warn)\b")


FIRST_FEW = 3


class CheckResult(NamedTuple):
    """What a check found of one account: how many rows are wrong, and whether the run counts as failed for them."""

    name: str
    account: str | None  # None where the row itself doesn't tell
    rows: int
    must_pass: bool
    values: list[str]  # the first few words that are new to us, where the check has a column `new_word`


def views() -> list[Path]:
    """The files of `analytics`, in an order in which they can be made: each after those that it reads."""
    files = {path.stem: path for path in sorted((HERE / "analytics").glob("*.sql"))}
    reads = {name: READS.findall(COMMENT.sub("", path.read_text(encoding="utf-8"))) for name, path in files.items()}
    return [files[name] for name in TopologicalSorter(reads).static_order()]


def checks() -> list[Path]:
    return sorted((HERE / "checks").glob("*.sql"))


def must_pass(path: Path) -> bool:
    """Whether a run counts as failed for what this check finds: its first line says so."""
    severity = SEVERITY.match(path.read_text(encoding="utf-8"))
    assert severity, f"{path.name} must begin with its severity"  # noqa: S101  # a file of ours
    return severity[1] == "must-pass"


def grain_of(path: Path) -> str:
    """The first line's comment: one row per what."""
    return path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("--").strip()


def build(connection: Any) -> None:
    """(Re)creates every view of `analytics`, its grain as the view's comment."""
    connection.execute("create schema if not exists analytics")
    for path in views():
        sql = path.read_text(encoding="utf-8").rstrip().rstrip(";")
        connection.execute(f"create or replace view analytics.{path.stem} as\n{sql}")
        grain = grain_of(path).replace("'", "''")
        connection.execute(f"comment on view analytics.{path.stem} is '{grain}'")


def check(connection: Any) -> list[CheckResult]:
    """Runs every check, a query for rows that are wrong; what was found, by check and account."""
    results = []
    for path in checks():
        sql = path.read_text(encoding="utf-8").rstrip().rstrip(";")
        counts = f"select account, count(*) from ({sql}\n) as wrong group by account order by account"  # noqa: S608  # as above
        for account, rows in connection.execute(counts).fetchall():
            values = _new_words(connection, sql, account) if " as new_word" in sql else []
            results.append(CheckResult(path.stem, account, rows, must_pass(path), values))
    return results


def _new_words(connection: Any, sql: str, account: str | None) -> list[str]:
    own = f"select distinct new_word from ({sql}\n) as wrong where account is not distinct from ?"  # noqa: S608  # a file of ours
    words = f"{own} order by new_word limit {FIRST_FEW}"
    return [str(word) for (word,) in connection.execute(words, [account]).fetchall()]
