"""Translates the views, the checks and all other statements from DuckDB's SQL into the SQL of another database.

sqlglot translates nearly everything, and the rules in `rules.py` correct the rest. The results are tested against a
PostgreSQL 18 server.
"""

from __future__ import annotations

from functools import cache

from pipelines.dialects import DUCKDB


@cache
def translate(sql: str, dialect: str) -> str:
    """Returns the statements in another dialect.

    For "postgres" and "spark", rules correct every statement of this package that sqlglot translates incorrectly. Other
    dialects have no rules, and the rows that their statements return are untested.

    The parameters `?` and `$name` become the parameters of the dialect's driver, such as `%s` and `%(name)s` for
    psycopg. If a statement for psycopg has parameters, every other `%` in it is doubled. If the statement has no
    parameters, execute it without parameters, because its `%` signs are not doubled.

    Args:
        sql: one or more statements in DuckDB's dialect.
        dialect: the target dialect, as sqlglot names it. "duckdb" returns the text unchanged, at no cost.

    Returns:
        The statements without comments, separated by `;`.

    Raises:
        ValueError: sqlglot doesn't know the dialect.
    """
    if dialect == DUCKDB:
        return sql
    # sqlglot is imported only here because the import takes 0.3 s, and a run on DuckDB doesn't need it.
    from pipelines.dialects.rules import translate_statements

    return ";\n".join(translate_statements(dialect, sql))
