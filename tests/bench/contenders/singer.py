"""A Singer tap made with singer-sdk, piped into target-duckdb, as their documentation shows it. Its own environment.

python singer.py FOLDER. Without a filter in the API the tap reads all of the list every time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult

from requests.auth import HTTPBasicAuth
from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import BaseHATEOASPaginator

INSTANTS = ("pickup_from", "pickup_until", "created_at", "cancelled_at")
TEXTS = ("carrier", "tracking_number", "country", "pickup_status")


class Links(BaseHATEOASPaginator):
    def get_next_url(self, response: Any) -> str | None:
        following: str | None = response.json().get("next")
        return following


class Pickups(RESTStream[ParseResult]):
    name = "pickups"
    path = "/pickups"
    primary_keys = ("id",)
    replication_key = "created_at"
    records_jsonpath = "$.pickups[*]"
    url_base = os.environ["SOURCES__SENDCLOUD__BASE_URL"]
    schema = th.PropertiesList(
        th.Property("id", th.IntegerType, required=True),
        th.Property("contract", th.IntegerType),
        *(th.Property(name, th.StringType) for name in TEXTS),
        *(th.Property(name, th.DateTimeType) for name in INSTANTS),
    ).to_dict()

    @property
    def authenticator(self) -> HTTPBasicAuth:
        return HTTPBasicAuth("public", "secret")

    def get_new_paginator(self) -> Links:
        return Links()

    def get_url_params(self, _context: Any, next_page_token: ParseResult | None) -> dict[str, Any]:
        if next_page_token is None:
            return {"limit": 500}
        return dict(pair.split("=") for pair in next_page_token.query.split("&"))


class TapPickups(Tap):
    name = "tap-pickups"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self) -> list[Pickups]:
        return [Pickups(self)]


def main(folder: Path) -> None:
    config, state = folder / "target.json", folder / "state.json"
    config.write_text(json.dumps({"path": str(folder / "warehouse.duckdb"), "default_target_schema": "sendcloud"}))
    words = [sys.executable, __file__, "--config=ENV", *([f"--state={state}"] if state.exists() else [])]
    with subprocess.Popen(words, env={**os.environ, "AS_TAP": "1"}, stdout=subprocess.PIPE) as tap:
        target = [str(Path(sys.executable).with_name("target-duckdb")), "--config", str(config)]
        said = subprocess.run(target, stdin=tap.stdout, stdout=subprocess.PIPE, check=True, text=True).stdout
    assert tap.returncode == 0
    if lines := said.split("\n")[:-1]:
        state.write_text(lines[-1])


if __name__ == "__main__":
    TapPickups.cli() if os.environ.get("AS_TAP") else main(Path(sys.argv[1]))
