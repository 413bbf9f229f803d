"""Tests the search for leaks: keys are planted in every place that the other tests search."""

from __future__ import annotations

import gzip
import pickle
import zlib
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.leaks import KEYS_TOML, PAIR, PUBLIC, SECRET, TOKEN, leaks, spellings


def test_keys_are_found_in_every_spelling(tmp_path: Path) -> None:
    basic = b64encode(b"someone:else").decode()
    for text in (*spellings(PUBLIC), *spellings(SECRET), PAIR, f"Basic {basic}", quote(SECRET), quote(PAIR, "")):
        assert leaks(tmp_path, [f"before {text} after"]), text
    for text in (
        f"{TOKEN}x",
        b64encode(f'{{"access_token": "{TOKEN}x"}}'.encode()).decode(),
        "Bearer eyJhbGciOiJSUzI1NiJ9.e",
    ):
        assert leaks(tmp_path, [text]), text
    for before in ("", "a", "ab"):
        assert leaks(tmp_path, [b64encode(f"{before}{SECRET} and more".encode()).decode()]), before
    assert leaks(tmp_path, ["Basic authentication, public key, secret key, cHVibGlj"]) == []


def plant_in_table(table: str, value: str) -> str:
    return f"create schema if not exists sendcloud; create table sendcloud.{table} as select '{value}' as planted"


PLACES = {
    "data/warehouse.holder": lambda path: path.write_text(SECRET),
    "data/.dlt-pipelines/w/trace.pickle": lambda path: path.write_bytes(pickle.dumps({"config": [SECRET]})),
    "data/.dlt-pipelines/w/load/rows.jsonl.gz": lambda path: path.write_bytes(gzip.compress(SECRET.encode())),
    "data/.dlt-pipelines/w/load/rows.parquet": lambda path: pq.write_table(
        pa.table({"planted": [SECRET] * 9}), path, compression="gzip", write_statistics=False
    ),
    "data/.dlt-pipelines/w/state.json": lambda path: path.write_text(pack(SECRET)),
    ".dlt/config.toml": lambda path: path.write_text(SECRET),
}
TABLES = {
    "a row": plant_in_table("pickup_runs", SECRET),
    "a packed state": plant_in_table("_dlt_pipeline_state", "{packed}"),
    "another schema": f"create schema other; create table other.t as select ['{SECRET}'] as planted",
    "a comment": f"create table t (i int); comment on table t is '{SECRET}'",
    "a view": f"create view v as select '{SECRET}' as planted",
}


def pack(text: str) -> str:
    """Returns the text packed as dlt stores its state in the destination."""
    return b64encode(zlib.compress(f'{{"version": 7, "planted": "{text}"}}'.encode(), level=9)).decode()


@pytest.mark.parametrize("place", PLACES)
def test_a_key_is_found_in_any_file(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True)
    PLACES[place](tmp_path / place)

    found = leaks(tmp_path)
    assert any(one.startswith(place) and one.endswith(f": {SECRET}") for one in found)
    assert all(one.startswith(place) for one in found)


@pytest.mark.parametrize("statements", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("crashed", [False, True], ids=["closed", "with a log"])
def test_a_key_is_found_in_any_table(tmp_path: Path, statements: str, crashed: bool) -> None:
    """The search reads the tables, because the bytes of the file may be compressed."""
    made, file = duckdb.connect(str(tmp_path / "made.duckdb")), tmp_path / "warehouse.duckdb"
    made.execute("set checkpoint_threshold = '1GB'")
    made.execute(statements.replace("{packed}", pack(SECRET)))
    if not crashed:
        made.close()
    for part in tmp_path.glob("made.duckdb*"):
        part.rename(part.with_name(part.name.replace("made", "warehouse")))

    assert any(found.startswith(f"{file.name} ") for found in leaks(tmp_path))


def test_only_the_secrets_toml_of_the_project_may_hold_keys(tmp_path: Path) -> None:
    for folder in (".dlt", "data/.dlt"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "secrets.toml").write_text(KEYS_TOML)

    assert {found.split(": ")[0] for found in leaks(tmp_path)} == {"data/.dlt/secrets.toml"}
