"""Tests the checksum of DuckDB's blocks, with Arrow and without it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from pipelines.destinations.duckdb import blocks
from tests.support.cases import quick

WAYS = quick([blocks._checksum_by_integers, blocks._checksum_by_arrow])


def words(*numbers: int) -> memoryview:
    return memoryview(b"".join(number.to_bytes(8, "little") for number in numbers))


@pytest.mark.parametrize("checksum", WAYS)
def test_a_checksum_is_the_one_worked_out_by_hand(checksum: Callable[[memoryview], int]) -> None:
    """The factor is 0xBF58476D1CE4E5B9, twice of it is 0x7EB08EDA39C9CB72 in 64 bits, and 5381 is 0x1505."""
    assert checksum(words()) == 0x1505
    assert checksum(words(1)) == 0xBF58476D1CE4E5B9 ^ 0x1505
    assert checksum(words(1, 2)) == 0xC1E8C9B7252D3BCE
    assert checksum(words(0, 1, 0, 0, 2)) == 0xC1E8C9B7252D3BCE
    assert checksum(words(*[1, 2] * 4095, 0)) == 0xC1E8C9B7252D3BCE  # 4095 times the same words, as many as in a block
    assert checksum(words(2**64 - 1)) == (2**64 - 0xBF58476D1CE4E5B9) ^ 0x1505  # -1 times the factor


@pytest.mark.parametrize("without_arrow", quick([False, True]))
def test_each_changed_byte_of_a_file_of_duckdb_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_arrow: bool
) -> None:
    file = tmp_path / "filled.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"attach '{file}' as filled ({blocks.NEW_FILE})")
        connection.execute("create table filled.numbers as select hash(range) as number from range(20000)")
        connection.execute("checkpoint filled")
    if without_arrow:
        monkeypatch.delitem(sys.modules, "pyarrow")
    content = file.read_bytes()

    assert not blocks.may_be_damaged(file)
    for place in (3 * blocks.HEADER_BYTES + 9, 3 * blocks.HEADER_BYTES + blocks.BLOCK_BYTES + 40_000):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert blocks.may_be_damaged(file)
