"""Searches for leaked keys in every encoding and in every file, including compressed files."""

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

PUBLIC = "pub1ic/of+a=user"  # with characters that percent-encoding and base64 change
SECRET = "s3cret/that+must=not&show"
PAIR = base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
KEYS_TOML = f'[sources.sendcloud.credentials]\npublic_key = "{PUBLIC}"\nsecret_key = "{SECRET}"\n'
OAUTH_TOML = f'[sources.sendcloud.credentials]\nclient_id = "{PUBLIC}"\nclient_secret = "{SECRET}"\n'
TOKEN = "ory_at_"  # the prefix of every access token
MAY_HOLD_THEM = ".dlt/secrets.toml"
BASIC = rb"(?:Basic|Bearer) [A-Za-z0-9+/._-]{16,}"  # longer than "authentication"
ZLIB_IN_BASE64 = re.compile(rb"e[AFJN][A-Za-z0-9+/]{20,}={0,2}")  # 0x78 and the byte for a zlib level


class Piece(NamedTuple):
    """A piece of data to search, and the place where it was found."""

    where: str
    data: bytes


def spellings(key: str) -> set[str]:
    """Returns the key unchanged, percent-encoded, and as it appears in the base64 of a longer text."""
    percent = {quote(key), quote(key, safe=""), quote_plus(key), quote(key, safe="").lower()}
    return {key, *percent, *_inside_base64(key.encode())}


def _inside_base64(key: bytes) -> Iterator[str]:
    """Yields the characters of the key in the base64 of a longer text.

    Base64 encodes three bytes as four characters. A key starts at the first, second or third byte, and the characters
    at its ends also depend on the bytes around it.
    """
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + key).rstrip(b"=")
        whole = encoded[(0, 2, 3)[before] : len(encoded) - (0 if (before + len(key)) % 3 == 0 else 1)].decode()
        yield from (whole, whole.replace("+", "-").replace("/", "_"))


_KEYS = re.compile(
    b"|".join([BASIC, *(re.escape(s.encode()) for key in (PUBLIC, SECRET, TOKEN) for s in spellings(key))])
)


def leaks(folder: Path, said: Iterable[str | Done] = ()) -> list[str]:
    """Returns the places where a key or token appears, in the outputs `said` and in every file of the folder.

    secrets.toml is skipped, because it is allowed to hold keys.
    """
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
    """Yields the unpacked contents of gzip and Parquet files, and of zlib data in base64.

    dlt stores its state and schemas as zlib data in base64.
    """
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
    """Yields every column of every table, and the catalogue. Reads a copy of the file and its write-ahead log."""
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
