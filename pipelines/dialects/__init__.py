"""Translates statements, which are written once in DuckDB's SQL, into the SQL of PostgreSQL and Spark."""

DUCKDB = "duckdb"
