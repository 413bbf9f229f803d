"""Makes this machine's clock agree with that of the API that answered last, because sandboxes have a time of their own.

Tests of wrong clocks set this machine's clock with `simulated_machine_clock`.
"""

from __future__ import annotations

import runpy
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from pipelines.quick import pages
from sources.sendcloud.api.dates import served_at
from sources.sendcloud.http import client
from sources.sendcloud.reading.clocks import simulated_machine_clock


@contextmanager
def machine_clock_of_apis(begins: datetime | None = None) -> Iterator[None]:
    """Lets this machine's clock agree, in each thread, with the API that this thread asked last.

    Before a thread has asked an API, the clock says `begins`, or the real time.
    """
    answered = threading.local()

    def note(headers: Mapping[str, str]) -> datetime:
        answered.at = served_at(headers)
        at: datetime = answered.at
        return at

    def now() -> datetime:
        at: datetime = getattr(answered, "at", begins or datetime.now(UTC))
        return at

    with pytest.MonkeyPatch.context() as patched, simulated_machine_clock(now):
        patched.setattr(client, "served_at", note)
        patched.setattr(pages, "served_at", note)
        yield


def main() -> None:
    """Runs `python -m MODULE WORDS` from a time on. The time, MODULE and WORDS are this module's own arguments."""
    begins, module = datetime.fromisoformat(sys.argv.pop(1)), sys.argv.pop(1)
    with machine_clock_of_apis(begins):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
