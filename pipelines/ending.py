"""How `pickups run` is ended from outside, by SIGTERM or by its own --timeout: at once, as a crash would end it.

The next run puts right whatever a crash leaves (README.md), so nothing has to be tidied up. Nor could the main thread
do it soon: it may be deep in a query, and while dlt normalises and loads it has handlers of its own, which wait for the
end of what is being done (dlt 1.31). So threads listen that do nothing else.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

from pipelines import log_lines

EXIT_ENDED = 128 + signal.SIGTERM  # 143, what a shell says of a process that SIGTERM ended
SECONDS_TO_SAY_SO = 1.0  # where stderr is a pipe that is full and nobody reads
SHOW_CURSOR = "\r\x1b[K\x1b[?25h"  # a progress bar hides it


def listen(timeout_seconds: int | None) -> None:
    """From now on SIGTERM ends this process with EXIT_ENDED, and so does the timeout, counted from here.

    For the main thread of a process of its own. Before it is called, SIGTERM ends the process without a word.
    """
    if timeout_seconds:
        why = f"after {timeout_seconds} s, as --timeout says"
        timer = threading.Timer(min(timeout_seconds, threading.TIMEOUT_MAX), _end, [why])
        timer.daemon = True
        timer.start()
    told, tell = socket.socketpair()
    tell.setblocking(False)
    threading.Thread(target=_wait_for_sigterm, args=(told,), daemon=True).start()
    # the interpreter writes each signal here the moment it comes, whatever the main thread is at and whosever handler
    # is to be called later; a signal mask would be inherited by every process that is started
    signal.set_wakeup_fd(tell.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_not_now, after_in_parent=_as_before, after_in_child=_be_deaf)


def _wait_for_sigterm(told: socket.socket) -> None:
    while signal.SIGTERM not in told.recv(64):
        pass  # Ctrl-C is the main thread's
    _end("by SIGTERM")


def _end(why: str) -> None:
    saying = threading.Thread(target=_say, args=(why,), daemon=True)
    saying.start()
    saying.join(SECONDS_TO_SAY_SO)
    os._exit(EXIT_ENDED)


def _say(why: str) -> None:
    text = f"ended {why}. What was loaded before is as it was; the next run reads what this one missed."
    if log_lines.are_wanted():
        log_lines.note("error", text=text, exit_code=EXIT_ENDED)
    else:
        os.write(sys.stderr.fileno(), f"{SHOW_CURSOR if sys.stderr.isatty() else ''}pickups: {text}\n".encode())


def _not_now() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _as_before() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _be_deaf() -> None:
    """In a process that was forked off, before it hears its first signal: it would be told to this one."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _as_before()
