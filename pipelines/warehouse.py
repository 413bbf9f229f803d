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
from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter, Since

if TYPE_CHECKING:
    import pandas as pd


def read(
    view: str, path: str | Path | None = None, *, carriers: Sequence[str] | None = None, since: Since = None
) -> pd.DataFrame:
    """Returns an `analytics` view as a pandas data frame.

    The connection is closed before the function returns, so a published file does not stay open.

    Args:
        view: the name of the view, such as `carrier_cancellations`.
        path: a published DuckDB file. By default, the function reads the configured destination of the project at or
            above the working directory. If that destination is a DuckDB file (`[publish] path`) that does not exist
            yet, the function reads the file written by `pickups demo`.
        carriers: the carriers to include; default all.
        since: the earliest booking time to include, as a string such as "2026-01-31" (midnight UTC), a date or a
            datetime. `carriers` and `since` apply to every view except `runs` and `quarantine`.

    Returns:
        A data frame with the rows and columns of the view.

    Raises:
        NoData: the file does not exist, or nothing has been published yet.
        ValueError: the view or the carrier does not exist. The message lists the valid names.
    """
    with reading(path, PickupFilter.parse(carriers, since)) as connection:
        frame: pd.DataFrame = connection.sql(_select(view)).df()
        return frame


def read_rows(view: str, path: str | Path | None = None) -> list[dict[str, Any]]:
    """Returns an `analytics` view as a list of dicts, without pandas.

    Args:
        view: the name of the view, such as `carrier_cancellations`.
        path: a published DuckDB file; see `read` for the default.

    Returns:
        One dict per row, with the column names as keys.

    Raises:
        NoData: the file does not exist, or nothing has been published yet.
        ValueError: the view does not exist. The message lists the valid names.
    """
    with reading(path) as connection:
        rows: list[dict[str, Any]] = connection.sql(_select(view)).to_arrow_table().to_pylist()
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


def _select(view: str) -> str:
    names = [path.stem for path in view_files()]
    if view not in names:
        raise ValueError(f"unknown view {view!r}; available views: {', '.join(sorted(names))}")
    return f"select * from analytics.{view}"  # noqa: S608  # the name is one of the package's own views
