"""The views, the checks and our other statements, written once in DuckDB's SQL, in the words of another database.

sqlglot does nearly all of it; what it leaves is in the table of `cases.py`. Tried, against real ones: PostgreSQL 18.
"""

from __future__ import annotations

from functools import cache

HOME = "duckdb"


@cache
def translated(sql: str, dialect: str) -> str:
    """The statements in another dialect, by sqlglot's name for it; "duckdb" gives the text itself, at no cost.

    For "postgres" every case that sqlglot gets wrong in a statement of ours is put right; a dialect without cases gets
    what sqlglot makes of it, and nobody has compared the rows. Parameters, `?` and `$name`, become those of the
    dialect's own driver, `%s` and `%(name)s` for psycopg: where there is one, every other `%` is doubled, so pass a
    statement without parameters without parameters. Several statements stay several, with `;` between them.

    Raises ValueError for a dialect that sqlglot doesn't know.
    """
    if dialect == HOME:
        return sql
    # sqlglot takes 0.3 s to import, and a run on DuckDB does without
    from pipelines.models.cases import in_words_of

    return ";\n".join(in_words_of(dialect, sql))
