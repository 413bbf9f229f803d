"""The plain dlt way, as its documentation shows it: a generator of dicts, merge by key, incremental on created_at.

python plain_dlt.py FOLDER [parquet]. A second run stops where the incremental says that it has been before; what was
cancelled since is not seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.helpers import requests


@dlt.resource(primary_key="id", write_disposition="merge")
def pickups(created_at: Any = dlt.sources.incremental("created_at")) -> Iterator[list[dict[str, Any]]]:
    url = f"{os.environ['SOURCES__SENDCLOUD__BASE_URL']}/pickups?limit=500"
    while url:
        page = requests.get(url, auth=("public", "secret")).json()
        yield page["pickups"]
        if created_at.start_out_of_range:
            return
        url = page["next"]


def main(folder: Path, file_format: Any = None) -> None:
    pipeline = dlt.pipeline(
        "plain",
        destination=dlt.destinations.duckdb(str(folder / "warehouse.duckdb")),
        dataset_name="sendcloud",
        pipelines_dir=str(folder / "work"),
    )
    pipeline.run(pickups(), loader_file_format=file_format)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
