"""Every Sendcloud pickup, and every later change to it. `dlt init sendcloud DESTINATION --location …` copies this script."""

from __future__ import annotations

import dlt
from sendcloud import sendcloud_source


def load_pickups() -> None:
    """One run. A first load reads the whole list; later ones read down to the oldest pickup that may still change."""
    pipeline = dlt.pipeline(pipeline_name="sendcloud", destination="duckdb", dataset_name="sendcloud")
    info = pipeline.run(sendcloud_source(), loader_file_format="parquet")  # rows travel as Arrow tables
    print(info)


if __name__ == "__main__":
    load_pickups()
