"""Reads a project's published pickups, views and receipts from DuckDB, PostgreSQL or Delta."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.analytics.views import select_all
from pipelines.config.plain_settings import plain_settings
from pipelines.config.project import project_context
from pipelines.destinations.base import Session
from pipelines.destinations.duckdb.session import open_published
from pipelines.destinations.filter import ALL_PICKUPS, Bound, Clock, PickupFilter
from pipelines.destinations.snapshot import Snapshot

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


def connect(
    path: str | Path | None = None,
    *,
    accounts: Sequence[str] | None = None,
    carriers: Sequence[str] | None = None,
    countries: Sequence[str] | None = None,
    since: Bound = None,
    until: Bound = None,
    by: Clock = "window",
) -> Snapshot:
    """Returns a private copy of the selected pickups, for a notebook that asks several questions of the same state.

    The function copies the tables into memory and closes the connection before it returns. A notebook that stays open
    all day therefore blocks no run, and all of its numbers describe the same state. The copy works in the same way on
    every destination, and computes the views itself.

    Args:
        path: a published DuckDB file; see `read` for the default and for the other arguments.
        accounts: the accounts to include; default all.
        carriers: the carriers to include; default all.
        countries: the countries to include; default all.
        since: the earliest time to include.
        until: the time before which pickups are included.
        by: which time of a pickup `since` and `until` limit.

    Returns:
        A snapshot, whose `read(view)` and `sql(query)` return pandas data frames.

    Raises:
        NoData: the file does not exist, or nothing has been published yet.
        ValueError: an account, a carrier or a country does not exist, or `since` is not before `until`.
    """
    only = PickupFilter.parse(
        accounts=accounts, carriers=carriers, countries=countries, since=since, until=until, by=by
    )
    with reading(path, only) as session:
        return Snapshot(session, only, is_demo=not path and is_demo_data())


def is_demo_data() -> bool:
    """Returns whether `read` reads the data of `pickups demo`, because no run has published anything yet."""
    from pipelines.destinations.select import select_backend

    if (plain := plain_settings()) and plain.published_file():
        return False
    with project_context() as project:
        return select_backend(project).is_demo()


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
    if not path and (plain := plain_settings()):
        path = plain.published_file()
    if path:
        with open_published(Path(path), only) as connection:
            yield connection
        return
    from pipelines.destinations.select import select_backend

    with project_context() as project:
        backend = select_backend(project)
    with backend.read_session(only) as connection:
        yield connection
