"""Replaces the standard streams, so that a closed stream, a broken pipe or a full disk can't interrupt a command.

If stderr is closed when the process starts, Python sets `sys.stderr` to None. The next file that the process opens,
such as the warehouse, then gets file descriptor 2. A library that writes to stderr would write into that file.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from select import select
from typing import Any, TextIO

from pipelines.output import visible


class _Stream(io.RawIOBase):
    """Forwards writes to a raw stream and discards data that can't be written. `lost` is set to the first error."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream  # if this object were freed, it would close the raw stream
        self._raw: Any = getattr(stream.buffer, "raw", stream.buffer)
        self.lost: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            while (written := self._raw.write(data)) is None:
                select([], [self._raw], [])  # another process made the stream non-blocking, and the reader is slow
        except OSError as error:
            self.lost = self.lost or error
            return len(data)
        return int(written)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        return bool(self._raw.isatty())


def prepare_streams() -> None:
    """Replaces the streams of a process that executes a single command.

    A missing stream is replaced with the null device. A failed write does not interrupt the command, because a message
    must not make a run fail. `check_output` reports the error at the end.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # a new file gets the lowest free descriptor, which is `number`
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _tolerant(sys.stdout, 1), _tolerant(sys.stderr, 2)


def keep_log_records_visible() -> None:
    """Puts the message of every log record on one visible line. `--debug` prints the log records of libraries."""
    import logging  # takes 4 ms, and a quick run logs nothing

    def to_record(*about: Any, **more: Any) -> logging.LogRecord:
        record = logging.LogRecord(*about, **more)
        with suppress(TypeError, ValueError):  # logging itself reports a message that doesn't match its arguments
            record.msg, record.args = visible(record.getMessage()), ()
        return record

    logging.setLogRecordFactory(to_record)


def check_output() -> None:
    """Flushes stdout and checks that no output was lost.

    Raises:
        DestinationError: part of the output was lost, for example because the disk is full. If a reader such as `head`
            has closed the pipe, no error is raised.
    """
    sys.stdout.flush()
    lost = getattr(getattr(sys.stdout.buffer, "raw", None), "lost", None)
    if lost and not isinstance(lost, BrokenPipeError):
        from pipelines.errors import DestinationError  # imports dlt, which --help does not need

        raise DestinationError("stdout", lost.strerror or str(lost), "Send the output elsewhere.")


def is_reader_gone() -> bool:
    """Returns whether stdout can't be written any more, so that a long output may end early."""
    return bool(getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "lost", None))


def _tolerant(stream: TextIO | None, number: int) -> TextIO:
    """Returns an equivalent stream that raises no errors and writes `?` for characters that can't be encoded."""
    if not isinstance(stream, io.TextIOWrapper):  # the stream was closed, or another library replaced it
        return stream or open(number, "w", encoding="utf-8", closefd=False)
    stream.flush()
    line_buffering = stream.line_buffering or number == 2
    buffer = io.BufferedWriter(_Stream(stream))
    return io.TextIOWrapper(buffer, stream.encoding, errors="replace", line_buffering=line_buffering)
