"""Provides a dlt source that reads Sendcloud pickups and every later change to them.

Example:
    import dlt
    from sources.sendcloud import sendcloud_source

    pipeline = dlt.pipeline("pickups", destination="duckdb", dataset_name="sendcloud")
    pipeline.run(sendcloud_source(), loader_file_format="parquet")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import SendcloudError
    from .http.credentials import SendcloudCredentials
    from .reading.progress import ReadStats
    from .settings import NEVER_DROP_SECONDS, address_of, version_of
    from .source import sendcloud_source

__all__ = [
    "NEVER_DROP_SECONDS",
    "ReadStats",
    "SendcloudCredentials",
    "SendcloudError",
    "address_of",
    "sendcloud_source",
    "version_of",
]

_MODULES = {
    "NEVER_DROP_SECONDS": ".settings",
    "ReadStats": ".reading.progress",
    "SendcloudCredentials": ".http.credentials",
    "SendcloudError": ".errors",
    "address_of": ".settings",
    "sendcloud_source": ".source",
    "version_of": ".settings",
}


def __getattr__(name: str) -> Any:
    # imported on demand, because importing dlt takes 0.6 s, and a run that finds nothing new does not need dlt
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
