"""Sendcloud pickups in a dlt project of your own: `dlt init sendcloud DESTINATION --location …` copies this script."""

from __future__ import annotations

import dlt
from sendcloud import sendcloud_source  # dlt puts it beside this script


def load_pickups() -> None:
    """One run: the first reads the whole list, later ones down to the oldest pickup that may still change."""
    # duckdb takes the pipeline's name for its file, and can't tell a dataset of the same name from it
    pipeline = dlt.pipeline("pickups", destination="duckdb", dataset_name="sendcloud")
    print(pipeline.run(sendcloud_source(), loader_file_format="parquet"))


if __name__ == "__main__":
    load_pickups()
