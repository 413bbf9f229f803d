"""Selects the destination of a project's runs (`[pipeline] destination`)."""

from __future__ import annotations

from pathlib import Path

from pipelines.config.project import default_read_path, published_path, warehouse_path
from pipelines.config.settings import get_setting
from pipelines.destinations.base import Backend
from pipelines.destinations.duckdb.backend import DuckDBBackend
from pipelines.destinations.duckdb.ownership import Files, check_file_names
from pipelines.destinations.schemas import configured_names


def select_backend(project: Path) -> Backend:
    """Returns the backend that `[pipeline] destination` selects. Requires an active project.

    Raises:
        SettingsError: a setting of the destination is missing or invalid.
    """
    kind, names = get_setting("pipeline.destination"), configured_names()
    if kind == "postgres":
        from pipelines.destinations.postgres.backend import postgres_backend

        return postgres_backend(names)
    if kind == "delta":
        from pipelines.destinations.delta.backend import delta_backend

        return delta_backend(names)
    files = Files(warehouse_path(project), published_path(project))
    check_file_names(files, names)
    return DuckDBBackend(*files, default_read_path(project), names)
