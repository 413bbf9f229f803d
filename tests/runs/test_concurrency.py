"""Tests how several accounts are processed at the same time."""

from __future__ import annotations

import threading
from time import sleep

import pytest

from pipelines.loading.concurrency import WriteLock, run_concurrently


def test_ctrl_c_while_the_threads_are_started_is_not_hidden_by_another_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick run leaves every other error to an ordinary run, which would therefore begin in spite of Ctrl-C."""
    start, started = threading.Thread.start, list[threading.Thread]()

    def interrupted(thread: threading.Thread) -> None:
        if started:
            raise KeyboardInterrupt
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)

    with pytest.raises(KeyboardInterrupt):
        run_concurrently(["north", "south", "west"], lambda _: sleep(0.05), WriteLock())
