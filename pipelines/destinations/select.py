"""Selects the destination of a project's runs (`[pipeline] destination`)."""

from __future__ import annotations

from pathlib import Path

from pipelines.config.project import default_read_path, published_path, warehouse_path
from pipelines.config.settings import get_setting, setting_location
from pipelines.destinations.base import Backend
from pipelines.destinations.duckdb.backend import DuckDBBackend
from pipelines.destinations.duckdb.ownership import Files, check_file_names
from pipelines.destinations.schemas import configured_names
from sources.sendcloud.errors import SettingsError

EXTRAS = {"postgres": "postgres", "delta": "lake (or s3, for a bucket at s3://)"}


def select_backend(project: Path) -> Backend:
    """Returns the backend that `[pipeline] destination` selects. Requires an active project.

    Raises:
        SettingsError: a setting of the destination is missing or invalid, or a package that it needs is not installed.
    """
    kind, names = get_setting("pipeline.destination"), configured_names()
    try:
        if kind == "postgres":
            from pipelines.destinations.postgres.backend import postgres_backend

            return postgres_backend(names)
        if kind == "delta":
            from pipelines.destinations.delta.backend import delta_backend

            return delta_backend(names)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise SettingsError(
            f"{setting_location('pipeline.destination')} is {kind!r}, but {package} is not installed. Install this "
            f"program with the extra {EXTRAS[kind]}: see docs/how-to/install.md#extras"
        ) from error
    files = Files(warehouse_path(project), published_path(project))
    check_file_names(files, names)
    return DuckDBBackend(*files, default_read_path(project), names)
