"""What a notebook would do: every page, json_normalize, one table. A second run does it all again.

python pandas_by_hand.py FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import duckdb
import pandas as pd
import requests

INSTANTS = ("pickup_from", "pickup_until", "created_at", "cancelled_at")


def main(folder: Path) -> None:
    url, records = f"{os.environ['SOURCES__SENDCLOUD__BASE_URL']}/pickups?limit=500", []
    with requests.Session() as session:
        session.auth = ("public", "secret")
        while url:
            page = session.get(url).json()
            records += page["pickups"]
            url = page["next"]
    pickups = pd.json_normalize(records)
    for column in INSTANTS:
        pickups[column] = pd.to_datetime(pickups[column], format="ISO8601")
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        connection.execute("create schema if not exists sendcloud")
        connection.register("listed", pickups)
        connection.execute("create or replace table sendcloud.pickups as select * from listed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
