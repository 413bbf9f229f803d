"""What a dlt pipeline costs that has nothing to do: one resource that yields nothing.

python empty_dlt.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt


@dlt.resource(primary_key="id", write_disposition="merge")
def pickups(created_at: Any = dlt.sources.incremental("created_at")) -> Iterator[list[dict[str, Any]]]:
    del created_at
    yield []


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    dlt.pipeline(
        "empty",
        destination=dlt.destinations.duckdb(str(folder / "warehouse.duckdb")),
        dataset_name="sendcloud",
        pipelines_dir=str(folder / "work"),
    ).run(pickups())
