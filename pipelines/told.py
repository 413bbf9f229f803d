"""What an error means that came up somewhere inside dlt: one of ours, with a sentence for a person."""

from __future__ import annotations

import os
from pathlib import Path

from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.destination.exceptions import DestinationTerminalException
from dlt.common.exceptions import SignalReceivedException
from dlt.load.exceptions import LoadClientJobException
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines.errors import KNOWN, DestinationFailed, Interrupted, NotConfigured
from pipelines.warehouse import DatabaseError
from sources.sendcloud.errors import KeysMissing


def told(error: BaseException, where: str) -> Exception:
    """The error that says what happened: ours at the bottom of dlt's, or one of ours in place of dlt's."""
    causes: list[BaseException] = [error]
    while (cause := _cause_of(causes[-1])) is not None:
        causes.append(cause)
    for cause in causes:
        if isinstance(cause, KeyboardInterrupt | SignalReceivedException):
            return Interrupted()
        if isinstance(cause, KeysMissing):
            return NotConfigured(_what_is_missing(cause))
        if isinstance(cause, KNOWN):
            return cause
        if isinstance(cause, ConfigurationException):
            return NotConfigured(" ".join(str(cause).split()))
    if any(isinstance(c, DatabaseError | OSError) for c in causes) or _beyond_extraction(error):
        remedy = (
            "What was loaded before is as it was: mend the cause (disk, permissions, another program) and run again."
        )
        return DestinationFailed(where, str(causes[-1]).split("\n")[0], remedy)
    return error if isinstance(error, Exception) else RuntimeError(repr(error))


def _cause_of(error: BaseException) -> BaseException | None:
    """What it was raised for; dlt keeps that of a job which ended in an error in a place of its own (1.31)."""
    if isinstance(error, LoadClientJobException) and isinstance(error.client_exception, DestinationTerminalException):
        return error.client_exception
    return error.__cause__ or error.__context__


def _what_is_missing(error: KeysMissing) -> str:
    """The source's own sentence, with this project's file."""
    section = "sources.sendcloud.credentials"
    variable = "__".join([*section.split("."), error.missing[0]]).upper()
    folder = Path(os.environ["DLT_PROJECT_DIR"])
    where = f"Put them into [{section}] of {folder}/.dlt/secrets.toml (example.secrets.toml shows how)"
    if not (folder / ".dlt").is_dir():
        where = f"There is no .dlt in {folder}: make a project folder (pickups init DIR) or name one (--project-dir)"
    return (
        f"Settings are missing: {', '.join(error.missing)}. {where}, or put them into the environment ({variable}). "
        "To try without an account: pickups demo."
    )


def _beyond_extraction(error: BaseException) -> bool:
    return isinstance(error, PipelineStepFailed) and error.step in ("normalize", "load", "sync")
