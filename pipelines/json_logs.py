"""Implements `--log-format json`, which writes every line on stderr as a JSON object for log collectors.

While this format is active, every line written to stderr is converted to a JSON object. The objects for library logs,
warnings, tracebacks (`--debug`) and usage errors have `event` set to `output`.
"""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, TextIO

from pipelines.output import print_text, visible

OPTION = "--log-format"


class JsonLines(io.TextIOBase):
    """Replaces stderr and writes one JSON object per line.

    Every object has `at` (UTC), `event`, `account` and `run_id`. `account` and `run_id` are null in an event that does
    not belong to a single account.
    """

    # if the stream has no encoding, click assumes ASCII and writes to the underlying stream instead
    encoding, errors = "utf-8", "replace"

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._begun, self._lock = stream, "", threading.RLock()

    def event(self, name: str, account: str = "", run_id: str = "", **facts: Any) -> None:
        """Writes an event with these facts as one line and flushes the stream."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "event": name, "account": account or None, "run_id": run_id or None, **facts}
        with self._lock:
            self._stream.write(json.dumps(line, default=str) + "\n")
            self._stream.flush()

    def write(self, text: str) -> int:
        """Writes every complete line as an `output` event and keeps an incomplete line until it is complete."""
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                if line.strip():
                    self.event("output", text=line)
        return len(text)

    def writable(self) -> bool:
        """Returns True."""
        return True

    def flush(self) -> None:
        """Does nothing, because every line is flushed when it is complete."""


@contextmanager
def log_format(words: Sequence[str]) -> Iterator[None]:
    """Makes stderr write JSON objects inside the block if the command line requests them.

    The option is looked up before the command line is parsed, because a parsing error must be a JSON object too.

    Args:
        words: the command line, split into words.
    """
    if f"{OPTION}=json" not in words and (OPTION, "json") not in pairwise(words):
        yield
        return
    lines = JsonLines(sys.stderr)
    try:
        with redirect_stderr(lines):
            yield
    finally:
        lines.write("\n")  # writes the incomplete last line, if there is one


def is_enabled() -> bool:
    """Returns whether stderr currently writes JSON objects."""
    return isinstance(sys.stderr, JsonLines)


def log_event(event: str, account: str = "", run_id: str = "", **facts: Any) -> None:
    """Writes an event if stderr writes JSON objects; otherwise does nothing."""
    if isinstance(sys.stderr, JsonLines):
        sys.stderr.event(event, account, run_id, **facts)


def print_or_log(event: str, text: str, **facts: Any) -> None:
    """Writes one line to stderr: the text itself or, with `--log-format json`, an event that contains the text."""
    if is_enabled():
        log_event(event, text=text, **facts)
    else:
        print_text(f"pickups: {visible(text)}", err=True)
