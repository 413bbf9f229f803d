"""Which place a project's runs write to: `[pipeline] destination`."""

from __future__ import annotations

from pathlib import Path

from pipelines.files import Files
from pipelines.project import published_path, readable_path, warehouse_path
from pipelines.settings import setting
from pipelines.store import Store


def store_of(project: Path) -> Store:
    """Call it inside the project. Raises NotConfigured for what can't be."""
    kind = setting("pipeline.destination")
    if kind == "postgres":
        from pipelines.server import server

        return server()
    if kind == "filesystem":
        from pipelines.lake import lake

        return lake()
    return Files(warehouse_path(project), published_path(project), readable_path(project))
