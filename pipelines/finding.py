"""What `pickups check` found out about one thing."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pipelines.errors import exit_code_of


class Finding(NamedTuple):
    """`look`: it works, but somebody should know. `wrong`: a run would fail, with `exit_code`. Fit for one line."""

    what: str
    outcome: Literal["ok", "look", "wrong"]
    said: str
    account: str | None = None
    exit_code: int = 0


def wrong(what: str, error: Exception, account: str | None = None) -> Finding:
    """The finding that an error is: its text, and the exit code with which a run would end."""
    return Finding(what, "wrong", " ".join(str(error).split()), account, exit_code_of(error))
