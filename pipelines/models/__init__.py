"""The views that decide what a number means, and the checks: plain SQL files, applied in one place.

Connections are anything whose `execute(sql, parameters)` gives something with `fetchall()`, as DuckDB's does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from graphlib import TopologicalSorter
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.models.translate import HOME, translated

HERE = Path(__file__).parent
MARK_OF_TRANSLATED = HERE / "translated.json"
READS, COMMENT = re.compile(r"\banalytics\.(\w+)"), re.compile(r"--.*")
SEVERITY = re.compile(r"-- severity: (must-pass|warn)\b")


MARK = re.compile(r"\(([0-9]+(?:\.[0-9]+)*), [0-9a-f]{8}\)$")
FIRST_FEW = 3


class CheckResult(NamedTuple):
    """What a check found of one account: how many rows are wrong, and whether the run counts as failed for them."""

    name: str
    account: str | None  # None where the row itself doesn't tell
    rows: int
    must_pass: bool
    values: list[str]  # the first few words that are new to us, where the check has a column `new_word`


def views(read_by: Sequence[Path] | None = None) -> list[Path]:
    """The files of `analytics`, in an order in which they can be made: each after those that it reads.

    All of them, or those that these files read, and those that they read in turn.
    """
    files = {path.stem: path for path in sorted((HERE / "analytics").glob("*.sql"))}
    reads = {name: _read_by(path) for name, path in files.items()}
    wanted = set(files) if read_by is None else set().union(*map(_read_by, read_by))
    while more := {name for view in wanted for name in reads[view]} - wanted:
        wanted |= more
    return [files[name] for name in TopologicalSorter(reads).static_order() if name in wanted]


def _read_by(path: Path) -> set[str]:
    return set(READS.findall(COMMENT.sub("", path.read_text(encoding="utf-8"))))


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


def build(connection: Any, dialect: str = HOME) -> None:
    """Makes every view of `analytics`, its grain as the view's comment.

    In DuckDB each takes the place of the old one. In PostgreSQL a view can't change its columns: there all are dropped,
    with what others built on them, and made anew in the caller's transaction. That waits for whoever reads one, makes
    new readers wait, and takes away what was granted; so views stay as they are when they would be the same again,
    which their comments tell by a digest at the end.
    """
    connection.execute("create schema if not exists analytics")
    comments = _comments(dialect)
    if dialect != HOME:
        if are_built(connection, dialect):
            return
        for name in reversed(comments):
            connection.execute(f"drop view if exists analytics.{name} cascade")
    create = "create or replace view" if dialect == HOME else "create view"
    for path in views():
        connection.execute(f"{create} analytics.{path.stem} as\n{translated(query_of(path), dialect)}")
        comment = comments[path.stem].replace("'", "''")
        connection.execute(f"comment on view analytics.{path.stem} is '{comment}'")


def are_built(connection: Any, dialect: str) -> bool:
    """Whether PostgreSQL has the views as they would be made now, or as a later version of ours has made them: two
    versions on one server must not make them anew by turns.
    """
    there = dict(connection.execute(_COMMENTS).fetchall())
    return all(
        there.get(view) == comment or _version_in(there.get(view) or "") > _version_in(comment)
        for view, comment in _comments(dialect).items()
    )


def _version_in(comment: str) -> list[int]:
    """Of ours, by which a view was made; none where it isn't told."""
    found = MARK.search(comment)
    return [int(part) for part in found[1].split(".")] if found else []


def _comments(dialect: str) -> dict[str, str]:
    mark = "" if dialect == HOME else f" ({version('sendcloud-pickups')}, {_digest()})"
    return {path.stem: grain_of(path) + mark for path in views()}


def _digest() -> str:
    """The mark of PostgreSQL's views. It stands in a file because translating all of them takes half a second."""
    mark: str = json.loads(MARK_OF_TRANSLATED.read_text(encoding="utf-8"))["mark"]
    return mark


def digest_of_translated(dialect: str) -> str:
    """Of the views' statements in that dialect. A comment, a move or another layout of the files doesn't change it, so
    no view is made anew and no grant is lost for one.
    """
    statements = [translated(query_of(path), dialect) for path in views()]
    return sha256("\0".join(statements).encode()).hexdigest()


_COMMENTS = """
    select relname, obj_description(pg_class.oid, 'pg_class')
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = 'analytics' and relkind = 'v'
"""


def check(connection: Any, dialect: str = HOME) -> list[CheckResult]:
    """Runs every check, a query for rows that are wrong; what was found, by check and account."""
    results = []
    for path in checks():
        sql = query_of(path)
        counts = f"select account, count(*) from ({sql}\n) as wrong group by account order by account"  # noqa: S608  # as above
        for account, rows in connection.execute(translated(counts, dialect)).fetchall():
            values = _new_words(connection, dialect, sql, account) if " as new_word" in sql else []
            results.append(CheckResult(path.stem, account, rows, must_pass(path), values))
    return results


def _new_words(connection: Any, dialect: str, sql: str, account: str | None) -> list[str]:
    own = f"select distinct new_word from ({sql}\n) as wrong where account is not distinct from ?"  # noqa: S608  # a file of ours
    words = translated(f"{own} order by new_word limit {FIRST_FEW}", dialect)
    return [str(word) for (word,) in connection.execute(words, [account]).fetchall()]


def query_of(path: Path) -> str:
    """What the file asks, comments included."""
    return path.read_text(encoding="utf-8").rstrip().rstrip(";")
