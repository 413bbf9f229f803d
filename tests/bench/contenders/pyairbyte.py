"""PyAirbyte with a declarative manifest and its DuckDB cache, as its documentation shows it. Its own environment.

python pyairbyte.py FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import airbyte
from airbyte.caches import DuckDBCache

INSTANTS = ("pickup_from", "pickup_until", "created_at", "cancelled_at")
TEXTS = ("carrier", "tracking_number", "country", "pickup_status")
NUMBERS = ("id", "contract")


def manifest() -> dict[str, Any]:
    kinds: dict[str, Any] = {name: {"type": ["null", "integer"]} for name in NUMBERS}
    kinds |= {name: {"type": ["null", "string"]} for name in TEXTS}
    kinds |= {name: {"type": ["null", "string"], "format": "date-time"} for name in INSTANTS}
    stream = {
        "type": "DeclarativeStream",
        "name": "pickups",
        "primary_key": ["id"],
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester",
                "url_base": os.environ["SOURCES__SENDCLOUD__BASE_URL"],
                "path": "/pickups",
                "http_method": "GET",
                "request_parameters": {"limit": "500"},
                "authenticator": {"type": "BasicHttpAuthenticator", "username": "public", "password": "secret"},
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": ["pickups"]},
            },
            "paginator": {
                "type": "DefaultPaginator",
                "page_token_option": {"type": "RequestPath"},
                "pagination_strategy": {
                    "type": "CursorPagination",
                    "cursor_value": "{{ response.get('next') }}",
                    "stop_condition": "{{ not response.get('next') }}",
                },
            },
        },
        "schema_loader": {
            "type": "InlineSchemaLoader",
            "schema": {"type": "object", "additionalProperties": True, "properties": kinds},
        },
    }
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["pickups"]},
        "streams": [stream],
        "spec": {
            "type": "Spec",
            "connection_specification": {"type": "object", "properties": {}, "additionalProperties": True},
        },
    }


def main(folder: Path) -> None:
    os.chdir(folder)
    source = airbyte.get_source("source-sendcloud", config={}, source_manifest=manifest())
    source.select_all_streams()
    source.read(cache=DuckDBCache(db_path=str(folder / "warehouse.duckdb"), schema_name="sendcloud"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
