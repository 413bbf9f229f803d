"""Translates errors raised inside dlt into the errors of the source and the pipeline."""

from __future__ import annotations

import os
from pathlib import Path

from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.destination.exceptions import DestinationTerminalException
from dlt.common.exceptions import SignalReceivedException
from dlt.load.exceptions import LoadClientJobException
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines.destinations.duckdb.session import DatabaseError
from pipelines.errors import KNOWN_ERRORS, DestinationError, Interrupted
from sources.sendcloud.errors import MissingCredentials, SettingsError


def translate_error(error: BaseException, where: str) -> Exception:
    """Returns the error to report for an error that was raised inside dlt.

    The first known cause in the chain of causes determines the result:

    - Ctrl-C or a signal becomes Interrupted.
    - Missing credentials and other errors in dlt's configuration become SettingsError.
    - An error from the source or the pipeline is returned unchanged.

    Without a known cause, the result is DestinationError if the chain contains a database or operating system error, or
    if dlt's `normalize`, `load` or `sync` step failed. Any other error is returned unchanged.

    Args:
        error: the error as it was raised.
        where: the destination, as described in messages.
    """
    causes: list[BaseException] = [error]
    while (cause := _cause_of(causes[-1])) is not None:
        causes.append(cause)
    for cause in causes:
        if isinstance(cause, KeyboardInterrupt | SignalReceivedException):
            return Interrupted()
        if isinstance(cause, MissingCredentials):
            return SettingsError(_missing_credentials(cause))
        if isinstance(cause, KNOWN_ERRORS):
            return cause
        if isinstance(cause, ConfigurationException):
            return SettingsError(" ".join(str(cause).split()))
    if any(isinstance(c, DatabaseError | OSError) for c in causes) or _is_after_extract(error):
        causes_named = "(disk, server, permissions, another program)"
        remedy = f"Previously loaded data is unchanged. Fix the cause {causes_named} and run again."
        return DestinationError(where, str(causes[-1]).split("\n")[0], remedy)
    return error if isinstance(error, Exception) else RuntimeError(repr(error))


def _cause_of(error: BaseException) -> BaseException | None:
    """Returns the error's cause, or None. dlt 1.31 stores the cause of a failed load job in a separate attribute."""
    if isinstance(error, LoadClientJobException) and isinstance(error.client_exception, DestinationTerminalException):
        return error.client_exception
    return error.__cause__ or error.__context__


def _missing_credentials(error: MissingCredentials) -> str:
    """Returns the message for missing credentials, which names the project's own file and environment variable."""
    section = "sources.sendcloud.credentials"
    variable = "__".join([*section.split("."), error.missing[0]]).upper()
    folder = Path(os.environ["DLT_PROJECT_DIR"])
    where = f"Add them to [{section}] in {folder}/.dlt/secrets.toml (see example.secrets.toml)"
    if not (folder / ".dlt").is_dir():
        where = f"There is no .dlt in {folder}: create a project folder (pickups init DIR), specify one (--project-dir)"
    return (
        f"Settings are missing: {', '.join(error.missing)}. {where}, or set them in the environment ({variable}). "
        "To try the pipeline without an account, run: pickups demo."
    )


def _is_after_extract(error: BaseException) -> bool:
    return isinstance(error, PipelineStepFailed) and error.step in ("normalize", "load", "sync")
