"""The plain dlt way, as its documentation shows it: a generator of dicts, merge by key, incremental, defaults."""

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
    keys = tuple(os.environ[f"SOURCES__SENDCLOUD__CREDENTIALS__{name}_KEY"] for name in ("PUBLIC", "SECRET"))
    while url:
        page = requests.get(url, auth=keys).json()
        yield page["pickups"]
        url = page["next"]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    pipeline = dlt.pipeline(
        "plain",
        destination=dlt.destinations.duckdb(str(folder / "warehouse.duckdb")),
        dataset_name="sendcloud",
        pipelines_dir=str(folder / "work"),
    )
    pipeline.run(pickups())
