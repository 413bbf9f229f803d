"""Ends a command's process without freeing its objects, and `pickups run` immediately on SIGTERM or `--timeout`.

On SIGTERM or a timeout, the run ends as in a crash. No clean-up is needed because the next run recovers from a crash
(docs/explanation/crash-safety.md). The main thread could not clean up quickly anyway, because it may be executing a
long query. In addition, while normalizing and loading, dlt 1.31 installs signal handlers that wait for the current step
to end. Separate threads therefore wait for the signal and the timeout.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial

from pipelines import json_logs
from pipelines.output import print_at_once

EXIT_TERMINATED = 128 + signal.SIGTERM  # Shells report 143 for a process ended by SIGTERM.
MESSAGE_SECONDS = 1.0  # If stderr is a full pipe that nobody reads, writing the message would block forever.
ALERT_SECONDS = 12.0  # Sending an alert takes at most twice operations.alerts.TIMEOUT_SECONDS.
SHOW_CURSOR = "\r\x1b[K\x1b[?25h"  # A progress bar hides the cursor.


_on_timeout: list[Callable[[str], object]] = []
_exit_codes: list[int] = []


def skip_teardown() -> None:
    """Makes the process end without freeing its objects, if `note_exit_code` is called before the end.

    Freeing the 80,000 objects of the imported modules takes Python 25 ms, and searching them for reference cycles took
    0.8 s of CPU of the 3.9 s of a run without changes (2026-11-29). Everything that must be written is closed before
    the exit. Functions that are registered with `atexit` after this call still run, and Python still waits for threads
    that are not daemons.
    """
    atexit.register(_end)


def note_exit_code(code: object) -> None:
    """Keeps the exit code for `_end`. Python itself prints a code that is no number, and ends with code 1."""
    if code is None or isinstance(code, int):
        _exit_codes.append(code or 0)


def _end() -> None:
    if _exit_codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_codes[-1] & 0xFF)


def call_on_timeout(report: Callable[[str], object]) -> None:
    """Sets the function that reports a timeout before the process ends. Replaces any function that was set earlier."""
    _on_timeout[:] = [report]


def end_on_sigterm(timeout_seconds: int | None) -> None:
    """Makes SIGTERM and the timeout end this process with EXIT_TERMINATED and one line on stderr.

    Call this function from the main thread of a process that executes a single run. Before the call, SIGTERM ends the
    process without a message.

    Args:
        timeout_seconds: how many seconds after this call to end the process; None or 0 sets no timeout.
    """
    if timeout_seconds:
        why = f"after {timeout_seconds} s (--timeout)"
        timer = threading.Timer(min(timeout_seconds, threading.TIMEOUT_MAX), _exit_after_timeout, [why])
        timer.daemon = True
        timer.start()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    threading.Thread(target=_wait_for_sigterm, args=(receiver,), daemon=True).start()
    # Python writes each signal to this socket as soon as it arrives, regardless of what the main thread is doing and
    # which handler is installed. Blocking SIGTERM instead would also block the signal in every child process.
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    if hasattr(os, "register_at_fork"):
        block = partial(signal.pthread_sigmask, signal.SIG_BLOCK, [signal.SIGTERM])
        os.register_at_fork(before=block, after_in_parent=_unblock_sigterm, after_in_child=_reset_in_child)


def _wait_for_sigterm(receiver: socket.socket) -> None:
    while signal.SIGTERM not in receiver.recv(64):
        pass  # the main thread handles Ctrl-C
    _exit_now("by SIGTERM")


def _exit_after_timeout(why: str) -> None:
    for report in _on_timeout:
        reporting = threading.Thread(target=report, args=(why,), daemon=True)
        reporting.start()
        reporting.join(ALERT_SECONDS)
    _exit_now(why)


def _exit_now(why: str) -> None:
    saying = threading.Thread(target=_print_end, args=(why,), daemon=True)
    saying.start()
    saying.join(MESSAGE_SECONDS)
    os._exit(EXIT_TERMINATED)


def _print_end(why: str) -> None:
    text = f"ended {why}. Previously loaded data is unchanged; the next run catches up."
    if json_logs.is_enabled():
        json_logs.log_event("error", text=text, exit_code=EXIT_TERMINATED)
    else:
        print_at_once(f"pickups: {text}", before=SHOW_CURSOR if sys.stderr.isatty() else "")


def _unblock_sigterm() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _reset_in_child() -> None:
    """Restores default signal handling in a forked process.

    Otherwise, signals sent to the forked process would end this process.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _unblock_sigterm()
