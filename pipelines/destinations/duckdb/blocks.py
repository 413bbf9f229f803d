"""Describes the format of DuckDB files, and finds damaged blocks by the checksum at the beginning of each block.

DuckDB itself verifies a block only when a statement reads it, so a run could publish a copy of a damaged old block.
"""

from __future__ import annotations

import os
import struct
import sys
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import cache, reduce
from io import FileIO
from operator import xor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipelines.atomic_file import clone

if TYPE_CHECKING:
    import pyarrow as pa

# DuckDB 1.2 and later can read this format. By default, DuckDB 2 writes files that no 1.x version can open (2026-11).
# Compared with DuckDB's own default, v1.0.0, the statistics of a column take 0.1 instead of 3 KB. A quick run rewrites
# those of 53 columns and takes 6 % less CPU, and a file of 100,000 pickups is 17 % smaller (2026-11-30).
STORAGE_VERSION, NEWEST_READABLE = "v1.2.0", 67  # 67 is the newest format that DuckDB 1.4 reads.
# DuckDB writes at least one block for each changed column, by default of 256 KiB. With blocks of 64 KiB, a run that
# found nothing took 148 instead of 161 ms of CPU and 85 instead of 112 MB, and a file of 100,000 pickups had 4.5
# instead of 7.1 MB. Over ten million pickups, the file was as large and the views were as fast (2026-11-29).
BLOCK_BYTES = 65_536
NEW_FILE = f"storage_version '{STORAGE_VERSION}', block_size {BLOCK_BYTES}"
HEADER_BYTES, WORD, WORD_BITS = 4096, struct.Struct("<Q"), 64
# A file begins with three headers. In the last two headers, these fields follow the checksum.
HEADER_FIELDS = struct.Struct("<8xQ16xQQ")
MAGIC, VERSION_AT, WRITER_AT = b"DUCK", 12, 52
CHUNK_BYTES = 262_144  # Copying 64 KiB at once takes a tenth longer (2026-11-30).
FEW_WORDS = 64  # Calling Arrow takes longer than going through so few words in Python.
FACTOR, SEED = 0xBF58476D1CE4E5B9, 5381  # DuckDB's checksum, unchanged from 1.0 to 2.0


class FileFormat(NamedTuple):
    """A file's storage format: the format's `version`, and the DuckDB version that last wrote the file (`writer`)."""

    version: int
    writer: str


def read_format(path: Path) -> FileFormat | None:
    """Returns the format named in the file's first header, or None if DuckDB did not write the header."""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError:
        return None
    if len(header) < HEADER_BYTES or header[8:VERSION_AT] != MAGIC:
        return None
    writer = header[WRITER_AT : WRITER_AT + 32].split(b"\0")[0].decode("ascii", "replace")
    return FileFormat(WORD.unpack_from(header, VERSION_AT)[0], writer.removeprefix("v"))


class Damages(NamedTuple):
    """Whether a file may be damaged, and whether an earlier copy of it may be, as far as the two differ."""

    of_file: bool
    of_earlier: bool


def may_be_damaged(path: Path) -> bool:
    """Returns whether the file is incomplete or contains a header or block with a wrong checksum.

    A wrong checksum may be in a block that DuckDB has freed, so only a complete read proves that a file is damaged.

    Args:
        path: the file. No process may be writing to this file.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb", buffering=0) as file:
        return _find_damages(file).of_file


def copy_and_verify(
    file: FileIO, target: Path, earlier: Path, *, may_be_shorter: bool = False, may_share: bool = False
) -> Damages:
    """Copies the file. Returns the same as `may_be_damaged`, and whether the earlier copy has such a header or block.

    Blocks that are identical in the earlier copy are not verified, because a comparison takes only a third as long
    (2026-11). In the earlier copy, only what differs from the file is verified, because that takes 1 ms (2026-11-29).

    Args:
        file: the file to copy. No process may be writing to this file.
        target: the copy. It is complete even if the file is damaged.
        earlier: an earlier copy, which may be missing.
        may_be_shorter: whether the file may end after any block, because DuckDB has just written it in this process.
        may_share: whether the copy may share disk blocks with the file, if the file system can do that.

    Raises:
        OSError: a file can't be read or written.
    """
    with ExitStack() as stack:
        old = stack.enter_context(earlier.open("rb", buffering=0)) if earlier.is_file() else None
        copy = stack.enter_context(target.open("w+b", buffering=0))
        changed = _copy(file, copy, old, is_cloned=may_share and clone(file, copy))
        return _find_damages(copy, old, changed, may_be_shorter=may_be_shorter)


def _copy(file: FileIO, copy: FileIO, earlier: FileIO | None, *, is_cloned: bool = False) -> list[int]:
    """Copies the file. Returns the offsets of the chunks that differ from the earlier copy, and of the last chunk.

    Copying and comparing in one pass, with reserved disk space and reused buffers, takes 0.15 s for ten million pickups
    (450 MB). `shutil.copyfile` and a separate comparison take 0.24 s (2026-11-30). If `copy` is a clone of the file,
    nothing is written.
    """
    content, old, changed, offset = bytearray(CHUNK_BYTES), bytearray(CHUNK_BYTES), [], 0
    if not is_cloned:
        with suppress(AttributeError, OSError):  # not every system can reserve space; writing reports a full disk
            os.posix_fallocate(copy.fileno(), 0, os.fstat(file.fileno()).st_size)
    while (size := _fill(content, file)) == CHUNK_BYTES:
        if not is_cloned:
            _write(copy, memoryview(content))
        if not (earlier and _fill(old, earlier) == size and content == old):
            changed.append(offset)
        offset += size
    if not is_cloned:
        _write(copy, memoryview(content)[:size])
    return [*changed, offset]


def _fill(buffer: bytearray, file: FileIO) -> int:
    """Reads until the buffer is full or the file ends, because some file systems return less than was asked for."""
    size = 0
    while size < len(buffer) and (read := file.readinto(memoryview(buffer)[size:])):
        size += read
    return size


def _write(file: FileIO, content: memoryview) -> None:
    while content:
        content = content[file.write(content) :]


def _find_damages(
    file: FileIO, earlier: FileIO | None = None, changed: Sequence[int] | None = None, *, may_be_shorter: bool = False
) -> Damages:
    """Returns what `copy_and_verify` returns. If `changed` is given, all other chunks are as in the earlier copy."""
    headers = [_read(file, number * HEADER_BYTES) for number in range(3)]
    before = [_read(earlier, number * HEADER_BYTES) for number in range(3)] if earlier else []
    if not all(map(_is_intact, headers)):
        return Damages(of_file=True, of_earlier=False)
    is_earlier_bad = not all(map(_is_intact, before))
    _, blocks, size = HEADER_FIELDS.unpack_from(max(headers[1:], key=_iteration))
    for start in _starts_of_blocks(file, blocks, size, changed):
        block, old = _read(file, start, size), _read(earlier, start, size) if earlier else b""
        if block == old and len(block) == size:
            continue
        is_earlier_bad = is_earlier_bad or (bool(old) and not _is_intact(old, size))
        # DuckDB truncates free blocks at the end of the file, but does not update the block count in the header
        if not _is_intact(block, size):
            return Damages(block != b"" or not (may_be_shorter or old == b""), is_earlier_bad)
    return Damages(of_file=False, of_earlier=is_earlier_bad)


def _starts_of_blocks(file: FileIO, blocks: int, size: int, changed: Sequence[int] | None) -> list[int]:
    """Returns the offsets of the blocks in the changed chunks, or of all blocks, and of the first missing block."""
    starts, end = range(3 * HEADER_BYTES, 3 * HEADER_BYTES + blocks * size, size), os.fstat(file.fileno()).st_size
    number = bisect_left(starts, end)
    present, missing = starts[:number], starts[number : number + 1]
    if changed is None:
        return [*present, *missing]
    chunks = {offset // CHUNK_BYTES for offset in changed}
    in_them = [one for one in present if one // CHUNK_BYTES in chunks or (one + size - 1) // CHUNK_BYTES in chunks]
    return [*in_them, *missing]


def _read(file: FileIO, start: int, size: int = HEADER_BYTES) -> bytes:
    file.seek(start)
    content = file.read(size)
    while len(content) < size and (more := file.read(size - len(content))):
        content += more
    return content


def _iteration(header: bytes) -> int:
    return int(HEADER_FIELDS.unpack_from(header)[0])


def _is_intact(block: bytes, size: int = HEADER_BYTES) -> bool:
    """Returns whether the block is complete, and its content matches the checksum in its first eight bytes."""
    if len(block) < size:
        return False
    return bool(_checksum(memoryview(block)[WORD.size :]) == WORD.unpack_from(block)[0])


def _checksum(content: memoryview) -> int:
    """Returns the XOR of all words, each multiplied by FACTOR, and of SEED.

    With Arrow, a block takes 0.04 ms; without it, 0.1 ms. Importing Arrow takes as long as 200 such blocks (2026-11).
    """
    if "pyarrow" in sys.modules:
        return _checksum_by_arrow(content)
    return _checksum_by_integers(content)


def _checksum_by_integers(content: memoryview) -> int:
    """Computes the checksum with long integers, which takes a quarter of the time of a loop (2026-11-30).

    Every other word is set to 0, so each product of 128 bits has room and does not change the one above it.
    """
    every_other = _every_other_word(len(content))
    words = int.from_bytes(content, "little")
    products = (words & every_other) * FACTOR ^ (words >> WORD_BITS & every_other) * FACTOR
    size = len(content) // (2 * WORD.size) + 1
    while size > 1:
        size = (size + 1) // 2
        bits = size * 2 * WORD_BITS
        products = products >> bits ^ products & (1 << bits) - 1
    return (products ^ SEED) & (1 << WORD_BITS) - 1


@cache
def _every_other_word(size: int) -> int:
    """Returns a number whose words, from the lowest one up to `size` bytes, are alternately all ones and 0."""
    ones, zeros = b"\xff" * WORD.size, bytes(WORD.size)
    return int.from_bytes((ones + zeros) * (size // (2 * WORD.size) + 1), "little")


def _checksum_by_arrow(content: memoryview) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    words = pa.Array.from_buffers(pa.uint64(), len(content) // WORD.size, [None, pa.py_buffer(content)])
    return _xor(pc.multiply(words, pa.scalar(FACTOR, pa.uint64()))) ^ SEED


def _xor(words: pa.UInt64Array) -> int:
    """Returns the XOR of all words. Arrow has no XOR aggregate, so a long array is folded in half repeatedly."""
    import pyarrow.compute as pc

    rest = 0
    while (number := len(words)) > FEW_WORDS:
        rest ^= words[number - 1].as_py() if number % 2 else 0
        words = pc.bit_wise_xor(words.slice(0, number // 2), words.slice(number // 2, number // 2))
    return reduce(xor, words.to_pylist(), rest)
