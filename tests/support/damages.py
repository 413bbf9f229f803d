"""Damages or removes a DuckDB file. Most damage shows when the file is opened, some only when it is read."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from tests.support.invariants import tables_of

HEADERS, BLOCK = 3 * 4096, 65_536


def truncate(file: Path) -> None:
    os.truncate(file, 5000)


def cut_off_the_end(file: Path) -> None:
    os.truncate(file, HEADERS + BLOCK)


def overwrite_the_header(file: Path) -> None:
    write_at(file, 0, b"\xff" * 4096)


def overwrite_all_headers(file: Path) -> None:
    write_at(file, 0, bytes(HEADERS))


def overwrite_with_zeros(file: Path) -> None:
    write_at(file, 0, bytes(file.stat().st_size))


def empty(file: Path) -> None:
    os.truncate(file, 0)


def remove(file: Path) -> None:
    file.unlink()


def replace_with_an_empty_database(file: Path) -> None:
    file.unlink()
    duckdb.connect(str(file)).close()


def zero_the_catalog(file: Path) -> None:
    """Zeroes the first block that describes tables and views. An earlier block may be free."""
    with duckdb.connect(str(file), read_only=True) as connection:
        ((block,),) = connection.execute("select min(block_id) from pragma_metadata_info()").fetchall()
    write_at(file, HEADERS + block * BLOCK, bytes(BLOCK))


def zero_the_blocks_of_pickups(file: Path) -> None:
    """Only reading a table shows this damage: DuckDB opens the file without an error."""
    for block in blocks_of(file, "sendcloud.pickups"):
        write_at(file, HEADERS + block * BLOCK, bytes(BLOCK))


def write_at(file: Path, offset: int, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(content)


def blocks_of(file: Path, table: str) -> list[int]:
    query = f"select distinct block_id from pragma_storage_info('{table}') where block_id >= 0"
    with duckdb.connect(str(file), read_only=True) as connection:
        return [block for (block,) in connection.execute(query).fetchall()]


DAMAGES = [
    truncate,
    zero_the_blocks_of_pickups,
    remove,
    empty,
    replace_with_an_empty_database,
    overwrite_the_header,
    overwrite_all_headers,
    overwrite_with_zeros,
    cut_off_the_end,
    zero_the_catalog,
]
# DuckDB opens a file with such damage
SHOWN_BY_READING = [zero_the_blocks_of_pickups, zero_the_catalog, cut_off_the_end]


def is_whole(file: Path) -> bool:
    """Returns whether DuckDB can read every row of every table in the file."""
    try:
        tables_of(file)
    except duckdb.Error:
        return False
    return True


def log_of(warehouse: Path) -> Path:
    """Returns the path of the log that a killed run leaves beside the warehouse."""
    return warehouse.with_name(f"{warehouse.name}.wal")
