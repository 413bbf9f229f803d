"""Tests the checksum of DuckDB's blocks, with Arrow and without it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import atomic_file
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


def filled(file: Path) -> Path:
    """Creates a file with several blocks."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{file}' as filled ({blocks.NEW_FILE})")
        connection.execute("create table filled.numbers as select hash(range) as number from range(60000)")
        connection.execute("checkpoint filled")
    return file


@pytest.mark.parametrize("without_arrow", quick([False, True]))
def test_each_changed_byte_of_a_file_of_duckdb_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_arrow: bool
) -> None:
    file = filled(tmp_path / "filled.duckdb")
    if without_arrow:
        monkeypatch.delitem(sys.modules, "pyarrow")
    content = file.read_bytes()

    assert not blocks.may_be_damaged(file)
    for place in (3 * blocks.HEADER_BYTES + 9, 3 * blocks.HEADER_BYTES + blocks.BLOCK_BYTES + 40_000):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert blocks.may_be_damaged(file)


def copied(
    source: Path, copy: Path, earlier: Path, *, may_be_shorter: bool = False, may_share: bool = False
) -> blocks.Damages:
    with source.open("rb", buffering=0) as file:
        return blocks.copy_and_verify(file, copy, earlier, may_be_shorter=may_be_shorter, may_share=may_share)


PLACES = [4096 + 9, 3 * blocks.HEADER_BYTES + 9, 3 * blocks.HEADER_BYTES + 5 * blocks.BLOCK_BYTES + 40_000]


def copy_as_ioctl(target: int, request: int, source: int) -> int:
    """Does what XFS does for FICLONE, except that the two files don't share the blocks."""
    assert request == atomic_file.FICLONE
    assert os.fstat(target).st_size == 0
    os.pwrite(target, os.pread(source, 2**30, 0), 0)
    return 0


def refuse(*_: int) -> int:
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


@pytest.mark.parametrize("ioctl", quick([copy_as_ioctl, refuse], only=(0, 1)))
@pytest.mark.parametrize("place", quick(PLACES))
def test_a_copy_is_complete_and_tells_which_file_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, ioctl: Callable[[int, int, int], int]
) -> None:
    if sys.platform == "linux":
        monkeypatch.setattr("fcntl.ioctl", ioctl)
    good, damaged, copy = filled(tmp_path / "good.duckdb"), tmp_path / "damaged.duckdb", tmp_path / "copy"
    content = good.read_bytes()
    damaged.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])

    for source, earlier, found in (
        (good, good, (False, False)),
        (good, tmp_path / "missing", (False, False)),
        (good, damaged, (False, True)),
        (damaged, tmp_path / "missing", (True, False)),
    ):
        assert copied(source, copy, earlier, may_share=True) == found
        assert copy.read_bytes() == source.read_bytes()
    assert copied(damaged, copy, good, may_share=True).of_file
    assert copy.read_bytes() == damaged.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't clone files")
def test_nothing_is_written_to_a_cloned_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing to the clone would give it disk blocks of its own."""
    good, copy = filled(tmp_path / "good.duckdb"), tmp_path / "copy"
    monkeypatch.setattr("fcntl.ioctl", copy_as_ioctl)
    monkeypatch.setattr(blocks, "_write", lambda *_: pytest.fail("wrote"))
    monkeypatch.setattr("os.posix_fallocate", lambda *_: pytest.fail("reserved space"))

    assert copied(good, copy, tmp_path / "missing", may_share=True) == (False, False)
    assert copy.read_bytes() == good.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't clone files")
def test_a_file_is_not_cloned_unless_that_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a disk block is damaged, the other file must still have the data."""
    good, copy = filled(tmp_path / "good.duckdb"), tmp_path / "copy"
    monkeypatch.setattr("fcntl.ioctl", lambda *_: pytest.fail("cloned"))

    assert copied(good, copy, tmp_path / "missing") == (False, False)
    assert copy.read_bytes() == good.read_bytes()


class Hesitant(FileIO):
    """A file of which each read returns at most 5,000 bytes, as some network file systems do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(5000 if size is None or size < 0 else min(size, 5000)) or b""

    def readinto(self, buffer: Any, /) -> int:
        return super().readinto(memoryview(buffer)[:5000])


def test_a_copy_is_complete_if_the_file_system_returns_less_than_was_asked_for(tmp_path: Path) -> None:
    file, copy = filled(tmp_path / "filled.duckdb"), tmp_path / "copy"
    with Hesitant(file) as hesitant, copy.open("wb", buffering=0) as written:
        blocks._copy(hesitant, written, None)
        assert not blocks._find_damages(hesitant).of_file

    assert copy.read_bytes() == file.read_bytes()


def test_a_copy_is_complete_if_the_file_ends_within_the_blocks(tmp_path: Path) -> None:
    whole, cut, copy = filled(tmp_path / "whole.duckdb"), tmp_path / "cut.duckdb", tmp_path / "copy"
    cut.write_bytes(whole.read_bytes()[: 3 * blocks.HEADER_BYTES + 2 * blocks.BLOCK_BYTES])

    assert copied(cut, copy, whole).of_file
    assert copied(cut, copy, whole, may_be_shorter=True) == (False, False)
    assert copy.read_bytes() == cut.read_bytes()
    assert copied(whole, copy, cut) == (False, False)
    assert copy.read_bytes() == whole.read_bytes()
