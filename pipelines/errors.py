"""What can go wrong on this side of the source, and the exit code of every way to end (design, section 5).

PipelineError
├── NotConfigured      a setting or key is missing or unusable
├── IdsDiffer          another version of the API calls the pickups by other ids
├── AnotherRun         another run holds the lock
├── DestinationFailed  the warehouse or the published file could not be written or read
├── NothingYet         there is no published file to read
├── NotBuilt           views are to be read as they were built, and none were
├── Stale              the last good run is too long ago, or there never was one
├── NotebookFailed     a cell of a notebook ended in an error, so there is no report
└── Interrupted        Ctrl-C

SIGTERM and --timeout raise nothing: they end the process with 143, see ending.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from sources.sendcloud.errors import BadReply, Misconfigured, Refused, SendcloudError, Unavailable


class PipelineError(Exception):
    """The family. The text is one line for a terminal: what happened, on what evidence, what to do next."""


class NotConfigured(PipelineError):
    pass


class IdsDiffer(PipelineError):
    def __init__(
        self, account: str, version_before: str, version: str, id_before: int, id_: int, carrier: str, booked: datetime
    ) -> None:
        super().__init__(
            f"Sendcloud's {version} has other ids than {version_before} had: what {carrier} booked at "
            f"{booked:%Y-%m-%d %H:%M:%S} UTC was {id_before} and is {id_}. Neither that nor what was read with it was "
            f"merged, for every pickup of account {account!r} would be there twice. Set its api_version back to "
            f"{version_before}, or give {version} a name of its own in [sources.sendcloud.accounts], and tell us."
        )


class AnotherRun(PipelineError):
    def __init__(self, lock: Path | str, holder: str) -> None:
        super().__init__(
            f"Another run is under way ({holder}; lock {lock}). Nothing was done; the other run does the work."
        )


class DestinationFailed(PipelineError):
    def __init__(self, where: str, evidence: str, remedy: str) -> None:
        super().__init__(f"The destination failed: {where}: {evidence}. {remedy}")


class NothingYet(PipelineError):
    def __init__(self, path: Path | str) -> None:
        super().__init__(
            f"There are no pickups yet at {path}. Load some first: pickups run (or, without keys: pickups demo)."
        )


class NotBuilt(PipelineError):
    def __init__(self, folder: str) -> None:
        super().__init__(
            f"There are no built views at {folder}. Build them first: pickups models "
            "(or set publish.views to computed)."
        )


class Stale(PipelineError):
    def __init__(self, max_age_hours: float, last_good_runs: Mapping[str, str]) -> None:
        which = ", ".join(f"{account} (last: {when})" for account, when in last_good_runs.items())
        super().__init__(
            f"No good run within {max_age_hours:g} h: {which}. See what a run says (pickups run), and whether the "
            "schedule starts any."
        )


class NotebookFailed(PipelineError):
    def __init__(self, notebook: Path, evidence: str) -> None:
        super().__init__(
            f"No report: {notebook.name} ended in {evidence}. The report that was there is as it was. "
            f"Open {notebook} in JupyterLab and run it from the top to see where."
        )


class Interrupted(PipelineError):
    def __init__(self) -> None:
        super().__init__("interrupted. What was loaded before is as it was; the next run reads what this one missed.")


EXIT_CHECK_FAILED = 1
EXIT_CODES: dict[type[Exception], int] = {
    Misconfigured: 3,
    Refused: 3,
    NotConfigured: 3,
    IdsDiffer: 3,
    NothingYet: 3,
    NotBuilt: 3,
    Stale: 1,
    Unavailable: 4,
    BadReply: 4,
    AnotherRun: 5,
    DestinationFailed: 6,
    NotebookFailed: 6,
    Interrupted: 130,
}
EXIT_BUG = 70  # sysexits.h EX_SOFTWARE: an error that nobody foresaw
# of several accounts: done before failed, and of what failed first what mends itself, last what nobody understands
FROM_GOOD_TO_BAD = (0, EXIT_CHECK_FAILED, 4, 3, 6, EXIT_BUG)

KNOWN = (SendcloudError, PipelineError)


def worst_of(exit_codes: Iterable[int]) -> int:
    """The exit code of a run over accounts that ended with these; 0 for none."""
    return max(exit_codes, key=FROM_GOOD_TO_BAD.index, default=0)


def exit_code_of(error: BaseException) -> int:
    """The exit code for an error: the nearest class of EXIT_CODES in its ancestry, else EXIT_BUG."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), EXIT_BUG)


def sentence_of(error: BaseException) -> str:
    """What a person is told of an error, as one line."""
    said = str(error)
    if exit_code_of(error) == EXIT_BUG:
        said = f"an error that nobody foresaw, {type(error).__name__}: {error} (see it whole: pickups --debug …)"
    return " ".join(said.split())
