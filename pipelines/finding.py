"""Defines the result of one check of `pickups check`."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pipelines.errors import exit_code_of


class Finding(NamedTuple):
    """The result of one check before a run, printed as one line.

    Attributes:
        subject: what was checked, in one word.
        outcome: `ok`; `warning` if a run would work but you should look at the message; `error` if a run would fail.
        message: what was found and, unless the outcome is `ok`, what to do next.
        account: the account that was checked, or None if the finding concerns all accounts.
        exit_code: the exit code with which a run would end.
    """

    subject: str
    outcome: Literal["ok", "warning", "error"]
    message: str
    account: str | None = None
    exit_code: int = 0


def error_finding(what: str, error: Exception, account: str | None = None) -> Finding:
    """Returns a finding with outcome `error`, the error's text as one line, and the exit code of a run that fails."""
    return Finding(what, "error", " ".join(str(error).split()), account, exit_code_of(error))
