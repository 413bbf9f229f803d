"""`--log-format json`: everything on stderr is a JSON object a line, for a machine that collects logs.

It is so by construction: stderr itself makes an object of whatever line is written to it. So what a library logs, a
warning, a traceback (`--debug`) and a usage error are objects too, with `event` = `said`.
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

OPTION = "--log-format"


class JsonLines(io.TextIOBase):
    """A stderr of JSON objects. Each has `at`, `event`, `account` and `run_id`; null where it is of no one account."""

    # or click takes it for a stream that can't hold a dot, and looks for another beneath
    encoding, errors = "utf-8", "replace"

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._begun, self._lock = stream, "", threading.RLock()

    def event(self, name: str, account: str = "", run_id: str = "", **facts: Any) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "event": name, "account": account or None, "run_id": run_id or None, **facts}
        with self._lock:
            self._stream.write(json.dumps(line, default=str) + "\n")
            self._stream.flush()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                if line.strip():
                    self.event("said", text=line)
        return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Lines are flushed when they are whole."""

    def end(self) -> None:
        self.write("\n")


@contextmanager
def as_asked_for(words: Sequence[str]) -> Iterator[None]:
    """Inside the block stderr is as these words of a command line want it.

    By the words, and not by the parsed option, for a command line that can't be parsed is told on stderr too.
    """
    if f"{OPTION}=json" not in words and (OPTION, "json") not in pairwise(words):
        yield
        return
    lines = JsonLines(sys.stderr)
    try:
        with redirect_stderr(lines):
            yield
    finally:
        lines.end()


def are_wanted() -> bool:
    return isinstance(sys.stderr, JsonLines)


def note(event: str, account: str = "", run_id: str = "", **facts: Any) -> None:
    """An event for the machine; people are not told of it."""
    if isinstance(sys.stderr, JsonLines):
        sys.stderr.event(event, account, run_id, **facts)


def say(event: str, text: str, **facts: Any) -> None:
    """One line for whoever reads: the text, or the event with the text in it."""
    if are_wanted():
        note(event, text=text, **facts)
    else:
        print(f"pickups: {text}", file=sys.stderr)  # noqa: T201  # the one line on stderr
