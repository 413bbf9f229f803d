"""dlt's own rest_api source, configured as its documentation shows: paginated by the next link, incremental, merged.

python dlt_rest_api.py FOLDER [parquet]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.rest_api import rest_api_source


def main(folder: Path, file_format: Any = None) -> None:
    source = rest_api_source(
        {
            "client": {
                "base_url": os.environ["SOURCES__SENDCLOUD__BASE_URL"],
                "auth": {"type": "http_basic", "username": "public", "password": "secret"},
                "paginator": {"type": "json_link", "next_url_path": "next"},
            },
            "resources": [
                {
                    "name": "pickups",
                    "primary_key": "id",
                    "write_disposition": "merge",
                    "endpoint": {
                        "path": "pickups",
                        "params": {"limit": 500},
                        "data_selector": "pickups",
                        "incremental": {"cursor_path": "created_at"},
                    },
                }
            ],
        }
    )
    pipeline = dlt.pipeline(
        "rest_api",
        destination=dlt.destinations.duckdb(str(folder / "warehouse.duckdb")),
        dataset_name="sendcloud",
        pipelines_dir=str(folder / "work"),
    )
    pipeline.run(source, loader_file_format=file_format)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
