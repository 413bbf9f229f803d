"""Creates the `analytics` views, which define what every number means. Each view is a plain SQL file.

The functions accept any connection whose `execute(sql, parameters)` returns an object with `fetchall()`, such as a
DuckDB connection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from graphlib import TopologicalSorter
from hashlib import sha256
from importlib.metadata import version
from itertools import chain, takewhile
from pathlib import Path
from typing import Any, Protocol

from packaging.version import Version

from pipelines.analytics.kept_columns import KEPT_COLUMNS, reading_kept_columns
from pipelines.dialects import DUCKDB
from pipelines.dialects.translate import translate

SQL = Path(__file__).parent / "sql"
TRANSLATED_DIGEST = Path(__file__).parents[1] / "dialects" / "translated.json"
QUERY_CALL = "from system.main.query("  # a user may have defined a macro named query
VIEW_REFERENCE, SQL_COMMENT = re.compile(r"\banalytics\.(\w+)"), re.compile(r"--.*")


# A version such as 1.0.0 or 1.0.0rc1, and a digest. PostgreSQL also reads this pattern.
DIGEST_IN_COMMENT = re.compile(
    r"\(([0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc)[0-9]+)?(?:\.post[0-9]+)?(?:\.dev[0-9]+)?), ([0-9a-f]{8})\)$"
)


class SqlConnection(Protocol):
    """An object that executes SQL, such as a destination's session or a plain DuckDB connection."""

    def execute(self, sql: str, parameters: Any = None, /) -> Any:
        """Executes the statements and returns an object with `fetchall()`."""


def view_files(read_by: Sequence[Path] | None = None) -> list[Path]:
    """Returns the views' SQL files in creation order: each view comes after the views that it reads.

    Args:
        read_by: SQL files, such as checks. If given, returns only the views that these files read, directly or through
            other views.
    """
    files = {path.stem: path for path in sorted((SQL / "views").glob("*.sql"))}
    reads = {name: _views_read_by(path) for name, path in files.items()}
    wanted = set(files if read_by is None else chain.from_iterable(map(_views_read_by, read_by)))
    while more := {name for view in wanted for name in reads[view]} - wanted:
        wanted |= more
    return [files[name] for name in TopologicalSorter(reads).static_order() if name in wanted]


@cache
def _views_read_by(path: Path) -> frozenset[str]:
    return frozenset(VIEW_REFERENCE.findall(SQL_COMMENT.sub("", text_of(path))))


@cache  # a run asks several times, and reading all files takes 2 ms (2026-11-30)
def text_of(path: Path) -> str:
    """Returns the text of one of this package's SQL files."""
    return path.read_text(encoding="utf-8")


def select_all(view: str) -> str:
    """Returns the query for a view's rows. Raises ValueError if there is no such view."""
    names = [path.stem for path in view_files()]
    if view not in names:
        raise ValueError(f"unknown view {view!r}; available views: {', '.join(sorted(names))}")
    return f"select * from analytics.{view}"  # noqa: S608  # the name is one of the package's own views


def grain_of(path: Path) -> str:
    """Returns the view's grain, such as "One row per carrier.", which is the first sentence of the file's comment."""
    lines = takewhile(lambda line: line.startswith("--"), text_of(path).splitlines())
    return re.split(r"(?<=\.)\s", " ".join(line.removeprefix("--").strip() for line in lines), maxsplit=1)[0]


def create_views(
    connection: SqlConnection, dialect: str = DUCKDB, existing: Mapping[str, str | None] | None = None
) -> bool:
    """Creates every `analytics` view, with its grain as the view's comment.

    Views that exist and are current stay as they are. On PostgreSQL, replacing a view waits for its readers and blocks
    new readers. On DuckDB, creating all views takes 0.1 s (2026-11). Each view's comment therefore contains this
    package's version and a digest of all the views' statements. On DuckDB, `describe_views` adds these two.

    Args:
        connection: a connection to the database.
        dialect: the connection's SQL dialect, as sqlglot names it.
        existing: the comments of the views that exist, by name. By default, all views are created again.

    Returns:
        Whether the views were created.
    """
    connection.execute("create schema if not exists analytics")
    has_kept = dialect == DUCKDB and has_kept_columns(connection)
    if existing and views_are_current(existing, dialect, has_kept=has_kept):
        return False
    files = view_files()
    comments = {path.stem: grain_of(path) for path in files} if dialect == DUCKDB else view_comments(dialect)
    if dialect == DUCKDB:
        _create_placeholders(connection, files)
        files.reverse()
    for path in files:
        query = _statement_of(path, has_kept=has_kept)
        query = _as_text(query) if dialect == DUCKDB else translate(query, dialect)
        connection.execute(f"create or replace view analytics.{path.stem} as\n{query}")
        comment_on_view(connection, path.stem, comments[path.stem])
    return True


def has_kept_columns(connection: SqlConnection) -> bool:
    """Returns whether `sendcloud.pickups`, which must exist in a DuckDB database, has the kept columns."""
    return KEPT_COLUMNS.keys() <= {name for name, *_ in connection.execute("describe sendcloud.pickups").fetchall()}


def _statement_of(path: Path, *, has_kept: bool) -> str:
    return reading_kept_columns(query_of(path)) if has_kept else query_of(path)


def _as_text(query: str) -> str:
    """Returns a query that reads `query` from a string, so that DuckDB stores it as it is written here.

    Otherwise, DuckDB stores a syntax tree without the comments. It reads the trees of all views when it opens a file,
    and writes them at each checkpoint. In a quick run, this takes 11 ms of CPU (duckdb 1.5.5, 2026-11-30).
    """
    return f"{QUERY_CALL}{quote(query)})"


def quote(text: str) -> str:
    """Returns an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def comment_on_view(connection: SqlConnection, view: str, comment: str) -> None:
    """Stores the comment of an `analytics` view."""
    connection.execute(f"comment on view analytics.{view} is {quote(comment)}")


def _create_placeholders(connection: SqlConnection, files: Sequence[Path]) -> None:
    """Creates views with the right columns but without a query in place of all views that other views read.

    DuckDB plans a view when it is created, together with all views that it reads. If these are placeholders, which are
    replaced last, creating all views takes 0.1 instead of 0.2 s (duckdb 1.5.5, 2026-11-30).
    """
    are_read = set(chain.from_iterable(map(_views_read_by, files)))
    for path in files:
        if path.stem in are_read:
            columns = connection.execute(f"describe {query_of(path)}").fetchall()
            nulls = ", ".join(f'cast(null as {kind}) as "{name}"' for name, kind, *_ in columns)
            connection.execute(f"create or replace view analytics.{path.stem} as select {nulls}")


def views_are_current(existing: Mapping[str, str | None], dialect: str, *, has_kept: bool = False) -> bool:
    """Returns whether all views exist and are current, or are those of a later version of this package.

    A later version's views count as current because two versions that share a server must not keep replacing each
    other's views.

    Args:
        existing: the comments of the views that exist, by name.
        dialect: the SQL dialect of the database.
        has_kept: whether the table of pickups has the kept columns.
    """
    ours = Version(version("sendcloud-pickups")), _current_digest(dialect, has_kept=has_kept)
    marks = [_mark_of(existing.get(path.stem) or "") for path in view_files()]
    return all(digest == ours[1] or program > ours[0] for program, digest in marks)


def _mark_of(comment: str) -> tuple[Version, str]:
    """Returns the package version and the digest in a view's comment, or version 0 and "" if there are none."""
    found = DIGEST_IN_COMMENT.search(comment)
    return (Version(found[1]), found[2]) if found else (Version("0"), "")


def view_comments(dialect: str, *, has_kept: bool = False) -> dict[str, str]:
    """Returns the comment of each view: its grain, this package's version and the digest of all views."""
    mark = f" ({version('sendcloud-pickups')}, {_current_digest(dialect, has_kept=has_kept)})"
    return {path.stem: grain_of(path) + mark for path in view_files()}


def _current_digest(dialect: str, *, has_kept: bool = False) -> str:
    """Returns the first eight digits of the digest of all views' statements, without their comments.

    The digest for PostgreSQL comes from a file, because translating all views takes half a second.
    """
    if dialect != DUCKDB:
        mark: str = json.loads(TRANSLATED_DIGEST.read_text(encoding="utf-8"))["mark"]
        return mark
    queries = [_statement_of(path, has_kept=has_kept) for path in sorted((SQL / "views").glob("*.sql"))]
    statements = [SQL_COMMENT.sub("", query) for query in queries]
    return sha256("\0".join(statements).encode()).hexdigest()[:8]


def query_of(path: Path) -> str:
    """Returns the query in the file, with its comments and without the closing semicolon."""
    return text_of(path).rstrip().rstrip(";")
