"""Loads Sendcloud pickups in your own dlt project. `dlt init sendcloud DESTINATION --location …` copies this script."""

from __future__ import annotations

import dlt
from sendcloud import ReadStats, sendcloud_source  # dlt init copies the package next to this script


def load_pickups() -> None:
    """Runs the pipeline once.

    The first run reads the whole list. Later runs read only as far back as the oldest pickup that may still change.
    """
    # dlt names the DuckDB file after the pipeline. The dataset needs a different name to avoid a conflict in DuckDB.
    pipeline = dlt.pipeline("pickups", destination="duckdb", dataset_name="sendcloud")
    print(pipeline.run(sendcloud_source(), loader_file_format="parquet"))


def load_in_packages() -> None:
    """Runs the pipeline once, and loads a long list in packages.

    If the first run of a large account is interrupted, the next run resumes after the last complete package.
    """
    pipeline = dlt.pipeline("pickups", destination="duckdb", dataset_name="sendcloud")
    stats = ReadStats()
    print(pipeline.run(sendcloud_source(part="head", stats=stats), loader_file_format="parquet"))
    while stats.has_more:
        print(pipeline.run(sendcloud_source(part="history", stats=stats), loader_file_format="parquet"))


def load_settled_pickups_again() -> None:
    """Reads the whole list again, once a week, to find changes to pickups that had already settled."""
    pipeline = dlt.pipeline("pickups", destination="duckdb", dataset_name="sendcloud")
    print(pipeline.run(sendcloud_source(part="sweep"), loader_file_format="parquet"))


if __name__ == "__main__":
    load_pickups()
