"""Gives the process streams that can't make a command fail: missing ones, broken pipes and full disks.

Python sets `sys.stderr` to None if it is closed at the start. The next file that the process opens, such as the
warehouse, then gets its number, and a library that writes to stderr writes into that file.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import suppress
from select import select
from typing import Any, TextIO

from pipelines.output import visible


class _Stream(io.RawIOBase):
    """Passes everything on to a raw stream, and discards what can't be written. `lost` is the first error."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream  # if it were freed, it would close the raw stream
        self._raw: Any = getattr(stream.buffer, "raw", stream.buffer)
        self.lost: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            while (written := self._raw.write(data)) is None:
                select([], [self._raw], [])  # another process made the stream non-blocking, and its reader is slow
        except OSError as error:
            self.lost = self.lost or error
            return len(data)
        return int(written)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        number: int = self._raw.fileno()
        return number

    def isatty(self) -> bool:
        return bool(self._raw.isatty())


def prepare_streams() -> None:
    """Replaces the streams of a process that does nothing but execute one command.

    A missing stream becomes the null device. A stream that can't be written does not interrupt the command, because a
    message must not make a run fail. `check_output` reports it at the end.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _tolerant(sys.stdout, 1), _tolerant(sys.stderr, 2)
    logging.setLogRecordFactory(_log_record)


def check_output() -> None:
    """Writes what stdout still holds.

    Raises:
        DestinationError: a part of the output is lost, for example because the disk is full. A reader that has gone
            away, such as `head`, has had all that it wanted.
    """
    sys.stdout.flush()
    lost = getattr(getattr(sys.stdout.buffer, "raw", None), "lost", None)
    if lost and not isinstance(lost, BrokenPipeError):
        from pipelines.errors import DestinationError  # imports dlt, which --help does not need

        raise DestinationError("stdout", lost.strerror or str(lost), "Send the output to another place.")


def is_reader_gone() -> bool:
    """Returns whether stdout can't be written any more, so that a long output may end early."""
    return bool(getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "lost", None))


def _log_record(*about: Any, **more: Any) -> logging.LogRecord:
    """Returns a record of a library's log, which `--debug` shows, with its message on one line."""
    record = logging.LogRecord(*about, **more)
    with suppress(TypeError, ValueError):  # the message does not fit its arguments, which logging itself reports
        record.msg, record.args = visible(record.getMessage()), ()
    return record


def _tolerant(stream: TextIO | None, number: int) -> TextIO:
    """Returns a stream like this one that raises no error and shows what the encoding lacks as `?`."""
    if not isinstance(stream, io.TextIOWrapper):  # it was closed, or another program replaced it
        return stream or open(number, "w", encoding="utf-8", closefd=False)
    stream.flush()
    line_buffering = stream.line_buffering or number == 2
    buffer = io.BufferedWriter(_Stream(stream))
    return io.TextIOWrapper(buffer, stream.encoding, errors="replace", line_buffering=line_buffering)
