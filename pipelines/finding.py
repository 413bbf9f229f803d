"""Defines the result of one check that `pickups check` performs."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pipelines.errors import exit_code_of
from pipelines.output import visible


class Finding(NamedTuple):
    """The result of one pre-run check, printed on one line.

    Attributes:
        subject: what was checked, in one word.
        outcome: `ok`; `warning` if a run would work but you should read the message; `error` if a run would fail.
        message: what was found and, unless the outcome is `ok`, what to do next.
        account: the account that was checked, or None if the finding concerns all accounts.
        exit_code: the exit code that a run would end with.
    """

    subject: str
    outcome: Literal["ok", "warning", "error"]
    message: str
    account: str | None = None
    exit_code: int = 0


def error_finding(what: str, error: Exception, account: str | None = None) -> Finding:
    """Returns an `error` finding with the error's text on one line and the exit code that a run would end with."""
    return Finding(what, "error", visible(" ".join(str(error).split())), account, exit_code_of(error))
