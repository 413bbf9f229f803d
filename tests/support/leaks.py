"""Looks for a key wherever it doesn't belong: in any spelling, in any file, however that file is packed."""

from __future__ import annotations

import base64
import gzip
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import duckdb
import pyarrow.parquet as pq

from tests.support.installation import Done

PUBLIC = "pub1ic/of+a=user"  # with characters that percent-encoding and base64 spell differently
SECRET = "s3cret/that+must=not&show"
PAIR = base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
KEYS_TOML = f'[sources.sendcloud.credentials]\npublic_key = "{PUBLIC}"\nsecret_key = "{SECRET}"\n'
OAUTH_TOML = f'[sources.sendcloud.credentials]\nclient_id = "{PUBLIC}"\nclient_secret = "{SECRET}"\n'
TOKEN = "ory_at_"  # how every access token begins
MAY_HOLD_THEM = ".dlt/secrets.toml"
BASIC = rb"(?:Basic|Bearer) [A-Za-z0-9+/._-]{16,}"  # longer than "authentication"
ZLIB_IN_BASE64 = re.compile(rb"e[AFJN][A-Za-z0-9+/]{20,}={0,2}")  # 0x78, and the byte of one of zlib's levels


class Piece(NamedTuple):
    """Something to look into, and where it was found."""

    where: str
    data: bytes


def spellings(key: str) -> set[str]:
    """The key as it is, percent-encoded, and as it looks inside the base64 of any longer text."""
    percent = {quote(key), quote(key, safe=""), quote_plus(key), quote(key, safe="").lower()}
    return {key, *percent, *_inside_base64(key.encode())}


def _inside_base64(key: bytes) -> Iterator[str]:
    """Three bytes are four characters: a key begins at the first, second or third, and its ends mix with others."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + key).rstrip(b"=")
        whole = encoded[(0, 2, 3)[before] : len(encoded) - (0 if (before + len(key)) % 3 == 0 else 1)].decode()
        yield from (whole, whole.replace("+", "-").replace("/", "_"))


_KEYS = re.compile(
    b"|".join([BASIC, *(re.escape(s.encode()) for key in (PUBLIC, SECRET, TOKEN) for s in spellings(key))])
)


def leaks(folder: Path, said: Iterable[str | Done] = ()) -> list[str]:
    """Where a key or token shows: in what was said, and in every file of the folder but the one that may hold them."""
    texts = [text for one in said for text in ([one] if isinstance(one, str) else one[1:])]
    pieces = [Piece("said", text.encode()) for text in texts]
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() != MAY_HOLD_THEM:
            pieces.append(Piece(str(path.relative_to(folder)), path.read_bytes()))
            pieces.extend(_in_tables(path) if _is_duckdb(path) else [])
    return sorted({found for piece in pieces for found in _found(piece)})


def _found(piece: Piece) -> Iterator[str]:
    yield from (f"{piece.where}: {match[0].decode()}" for match in _KEYS.finditer(piece.data))
    for inner in _unpacked(piece):
        yield from _found(inner)


def _unpacked(piece: Piece) -> Iterator[Piece]:
    """What is packed in it: gzip and parquet files, and the base64 of zlib that dlt keeps its state and schemas in."""
    if piece.data.startswith(b"\x1f\x8b"):
        yield Piece(f"{piece.where}, unzipped", gzip.decompress(piece.data))
    if piece.data.startswith(b"PAR1"):
        with tempfile.NamedTemporaryFile() as file:
            file.write(piece.data)
            file.flush()
            yield Piece(f"{piece.where}, rows", str(pq.read_table(file.name).to_pylist()).encode())
    for packed in ZLIB_IN_BASE64.finditer(piece.data):
        try:
            text = zlib.decompress(base64.b64decode(packed[0]))
        except (ValueError, zlib.error):
            continue
        yield Piece(f"{piece.where}, unpacked", text)


def _is_duckdb(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[8:] == b"DUCK"


def _in_tables(path: Path) -> Iterator[Piece]:
    """Every column of every table in every schema, and what the catalogue says; from a copy, with its log."""
    with tempfile.TemporaryDirectory() as folder:
        for part in path.parent.glob(f"{path.name}*"):
            shutil.copy(part, folder)
        with duckdb.connect(str(Path(folder) / path.name)) as connection:
            yield from _catalogue(connection, path.name)
            for schema, table in connection.execute("select schema_name, table_name from duckdb_tables()").fetchall():
                rows = connection.sql(f'from "{schema}"."{table}"').to_arrow_table()
                for column in rows.column_names:
                    values = "\n".join(map(str, rows[column].to_pylist()))
                    yield Piece(f"{path.name} {schema}.{table}.{column}", values.encode())


def _catalogue(connection: duckdb.DuckDBPyConnection, name: str) -> Iterator[Piece]:
    for function in ("duckdb_tables", "duckdb_views", "duckdb_columns", "duckdb_schemas"):
        yield Piece(f"{name} {function}", str(connection.execute(f"from {function}()").fetchall()).encode())
