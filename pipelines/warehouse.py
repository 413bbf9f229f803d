"""Reads a project's published pickups, views and receipts from DuckDB, PostgreSQL or Delta."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.analytics.views import view_files
from pipelines.config.project import project_context
from pipelines.destinations.base import Session
from pipelines.destinations.duckdb.session import open_published
from pipelines.destinations.filter import ALL_PICKUPS, Bound, Clock, PickupFilter

if TYPE_CHECKING:
    import pandas as pd


def read(
    view: str,
    path: str | Path | None = None,
    *,
    accounts: Sequence[str] | None = None,
    carriers: Sequence[str] | None = None,
    countries: Sequence[str] | None = None,
    since: Bound = None,
    until: Bound = None,
    by: Clock = "window",
) -> pd.DataFrame:
    """Returns an `analytics` view as a pandas data frame.

    The connection is closed before the function returns, so a published file does not stay open. The views `runs` and
    `quarantine` are limited by `accounts` only.

    Args:
        view: the name of the view, such as `carrier_cancellations`.
        path: a published DuckDB file. By default, the function reads the configured destination of the project at or
            above the working directory. If that destination is a DuckDB file (`[publish] path`) that does not exist
            yet, the function reads the file written by `pickups demo`.
        accounts: the accounts to include; default all.
        carriers: the carriers to include; default all.
        countries: the countries to include, as ISO codes, or "unknown" for pickups without a country; default all.
        since: the earliest time to include, as a string such as "2026-01-31" (midnight UTC), a date or a datetime.
        until: the time before which pickups are included, in the same forms.
        by: which time of a pickup `since` and `until` limit: "window" is the end of its window
            (`window_ends_at_utc`), "booking" is its booking (`created_at_utc`).

    Returns:
        A data frame with the rows and columns of the view.

    Raises:
        NoData: the file does not exist, or nothing has been published yet.
        ValueError: the view, an account, a carrier or a country does not exist, or `since` is not before `until`. If a
            name does not exist, the message lists the valid names.
    """
    only = PickupFilter.parse(
        accounts=accounts, carriers=carriers, countries=countries, since=since, until=until, by=by
    )
    with reading(path, only) as connection:
        frame: pd.DataFrame = connection.sql(select_all(view)).df()
        return frame


def read_rows(view: str, path: str | Path | None = None, only: PickupFilter = ALL_PICKUPS) -> list[dict[str, Any]]:
    """Returns an `analytics` view as a list of dicts, without pandas.

    Args:
        view: the name of the view, such as `carrier_cancellations`.
        path: a published DuckDB file; see `read` for the default.
        only: the pickups to include; default all.

    Returns:
        One dict per row, with the column names as keys.

    Raises:
        NoData: the file does not exist, or nothing has been published yet.
        ValueError: the view does not exist, or a name in the filter. The message lists the valid names.
    """
    with reading(path, only) as connection:
        rows: list[dict[str, Any]] = connection.sql(select_all(view)).to_arrow_table().to_pylist()
        return rows


@contextmanager
def reading(path: str | Path | None = None, only: PickupFilter = ALL_PICKUPS) -> Iterator[Session]:
    """Yields a read-only connection to the published tables and views.

    Args:
        path: a published DuckDB file; see `read` for the default.
        only: the pickups to include; default all.

    Yields:
        A session that accepts statements in DuckDB's dialect.

    Raises:
        NoData: the file does not exist, or nothing has been published yet.
        ValueError: the filter names an account, a carrier or a country that no pickup has.
    """
    if path:
        with open_published(Path(path), only) as connection:
            yield connection
        return
    from pipelines.destinations.select import select_backend

    with project_context() as project:
        backend = select_backend(project)
    with backend.read_session(only) as connection:
        yield connection


def select_all(view: str) -> str:
    """Returns the query for a view's rows. Raises ValueError if there is no such view."""
    names = [path.stem for path in view_files()]
    if view not in names:
        raise ValueError(f"unknown view {view!r}; available views: {', '.join(sorted(names))}")
    return f"select * from analytics.{view}"  # noqa: S608  # the name is one of the package's own views
