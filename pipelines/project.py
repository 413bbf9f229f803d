"""Where things are: the project's folder, and the settings that this side reads. All of it is dlt's configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pipelines.errors import NotConfigured

# what a run of ours needs of dlt where the configuration doesn't say otherwise
OUR_DEFAULTS = {
    "runtime.dlthub_telemetry": False,
    "runtime.log_level": "CRITICAL",  # an error is one line of ours; --debug shows dlt's own
    "normalize.parquet_normalizer.add_dlt_load_id": True,
}


def find_project() -> Path:
    """The folder with `.dlt`: DLT_PROJECT_DIR, else the nearest at or above the working directory, else that."""
    if named := os.environ.get("DLT_PROJECT_DIR"):
        return Path(named).resolve()
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dlt").is_dir()), here)


def enter(project_dir: str | Path | None = None) -> Path:
    """Makes `project_dir` (default: find_project()) the project that dlt reads its configuration from.

    Sets DLT_PROJECT_DIR for this process, as dlt's own tools expect it. Returns the folder, absolute. Raises
    NotConfigured when a configuration file there can't be read.
    """
    project = Path(project_dir).resolve() if project_dir else find_project()
    seen_before = "dlt" in sys.modules
    os.environ["DLT_PROJECT_DIR"] = str(project)
    import dlt
    from dlt.common.configuration.providers.toml import TomlProviderReadException

    try:
        if seen_before:
            _read_settings_again()
        for key, value in OUR_DEFAULTS.items():
            if dlt.config.get(key) is None:
                dlt.config[key] = value
    except TomlProviderReadException as error:
        raise NotConfigured(f"A configuration file can't be read. {error}") from None
    return project


def _read_settings_again() -> None:
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

    Container()[PluggableRunContext].reload_providers()


def warehouse_path(project: Path) -> Path:
    """The file that runs write: `[destination.duckdb] credentials`."""
    return _path(project, "destination.duckdb.credentials", "data/warehouse.duckdb")


def published_path(project: Path) -> Path:
    """The file that people read: `[publish] path`."""
    return _path(project, "publish.path", "data/pickups.duckdb")


def readable_path(project: Path) -> Path:
    """The file to read where nobody names one: the published file, or the demo's as long as there is no other."""
    published, demo = published_path(project), demo_folder(project) / "pickups.duckdb"
    return demo if demo.exists() and not published.exists() else published


def demo_folder(project: Path) -> Path:
    """Where `pickups demo` writes: beside, never into, the project's own files."""
    return project / "data" / "demo"


def _path(project: Path, key: str, default: str) -> Path:
    import dlt

    value = str(dlt.config.get(key, str) if key in dlt.config else default).removeprefix("duckdb:///")
    return (project / Path(value).expanduser()).resolve()
