"""Defines the pipeline's errors and the exit codes of all errors.

PipelineError
├── IdMismatch         two versions of the API use different ids for the same pickups
├── AccountMismatch    two accounts that should become one have different pickups
├── RunInProgress      another run holds the lock
├── RunTimedOut        `--timeout` ended the run
├── DestinationError   the warehouse or the published tables can't be written or read
│   └── NewerLayout    a newer version of this program wrote the tables
├── OwnershipError     a run would touch something that isn't ours
│   ├── ForeignObject  a table, view or file that a run would replace was not created by this program
│   └── OtherSchema    the schema of the tables is not the schema in the settings
├── NoData             there are no published pickups to read
├── ViewsNotExported   `publish.views` is `built`, but the views were never built
├── StaleData          the last good run is too old, or there is none
└── Interrupted        you pressed Ctrl-C

The source's errors, such as SettingsError for a missing or invalid setting, are defined in
`sources/sendcloud/errors.py`. SIGTERM and `--timeout` don't raise an error; they end the process with exit code 143
(see `pipelines/cli/termination.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.output import visible
from sources.sendcloud.errors import AuthError, BadResponse, SendcloudError, SettingsError, Unavailable


class PipelineError(Exception):
    """The base class of the pipeline's errors.

    An error's text is a single line for a terminal. The text states what happened, the evidence for it, and what to do
    next.
    """


class IdMismatch(PipelineError):
    """Raised when two versions of the API give the same pickup different ids."""

    def __init__(
        self, account: str, version_before: str, version: str, id_before: int, id_: int, carrier: str, booked: datetime
    ) -> None:
        super().__init__(
            f"Sendcloud's {version} does not use the same ids as {version_before}: the {carrier} pickup booked at "
            f"{booked:%Y-%m-%d %H:%M:%S} UTC had id {id_before} and now has id {id_}. Neither this pickup nor the "
            f"pickups read with it were merged, because every pickup of account {account!r} would be duplicated. Set "
            f"its api_version back to {version_before}, or configure {version} as an account with a new name in "
            f"[sources.sendcloud.accounts]. Please report this."
        )


class AccountMismatch(PipelineError):
    """Raised when an account would take the name of another account that has different pickups."""

    def __init__(self, old: str, new: str, common: int, same: int) -> None:
        evidence = (
            f"{common - same:,} of the {common:,} pickups that both accounts have were booked at different times"
            if common
            else "no id occurs in both"
        )
        super().__init__(
            f"Nothing was renamed: {old!r} and {new!r} both have pickups, but they are different Sendcloud accounts, "
            f"because {evidence}. Choose a name that has no rows, or check the credentials of {new!r}. To see which "
            "accounts have rows, run: pickups accounts list."
        )


class RunInProgress(PipelineError):
    """Raised when another run holds the lock.

    `holder` describes that run, as recorded in the lock. If no run is recorded, `holder` is None: either the run has
    just started or ended, or another program holds the lock.
    """

    def __init__(self, lock: Path | str, holder: str | None) -> None:
        self.is_holder_known = holder is not None
        self._lock, self._holder = lock, holder
        super().__init__(self._text("This run did nothing.", "The other run loads the pickups."))

    def reworded(self, consequence: str, remedy: str) -> RunInProgress:
        """Returns this error for a command whose work the other run does not do."""
        self.args = (self._text(consequence, remedy),)
        return self

    def _text(self, consequence: str, remedy: str) -> str:
        if self._holder is None:
            return (
                f"The lock {self._lock} is held, but no run is recorded as its holder. {consequence} If this happens "
                f"again, find the program that holds the lock: fuser -v {self._lock}"
            )
        return f"Another run is under way ({with_age(self._holder)}; lock {self._lock}). {consequence} {remedy}"


@contextmanager
def locking_for_command(*, has_wait_option: bool = False) -> Iterator[None]:
    """Rewords RunInProgress in the block for a command that changes data but is not a run."""
    option = ", or use --wait SECONDS" if has_wait_option else ""
    try:
        yield
    except RunInProgress as error:
        remedy = f"Wait until that run has ended, then run the command again{option}."
        raise error.reworded("Nothing was changed.", remedy) from None


def with_age(holder: str) -> str:
    """Returns the holder and, if the text says when the holder took the lock, the time that has passed since then."""
    since = re.search(r"since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", holder)
    if not since:
        return holder
    age = datetime.now(UTC) - datetime.strptime(since[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return f"{holder}, {timedelta(seconds=round(age.total_seconds()))} ago"


class RunTimedOut(PipelineError):
    """Reported in an alert when `--timeout` ends a run. The process ends at once, so nothing raises this error."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The run was ended {why}. Rows that were already loaded are kept; the next run catches up. If this "
            "happens again, set [sources.sendcloud] account_timeout, so that slow accounts end before the run does."
        )


class DestinationError(PipelineError):
    """Raised when the warehouse, the published tables or an output file can't be written or read."""

    def __init__(self, where: str, evidence: str, remedy: str) -> None:
        super().__init__(f"The destination failed: {where}: {evidence}. {remedy}")


class NewerLayout(DestinationError):
    """Raised when the tables have a layout that this version doesn't know, because a newer version wrote them."""

    def __init__(self, where: str, found: int, known: int, program_version: str) -> None:
        evidence = f"its tables have layout {found}, written by version {program_version} of this program"
        remedy = f"This version knows layouts up to {known}, so it read and wrote nothing. Install the newer version."
        super().__init__(where, evidence, remedy)


class OwnershipError(PipelineError):
    """The base class of errors that stop a run before it touches something that isn't ours."""


class OtherSchema(OwnershipError):
    """Raised when `[schemas] data` has been changed, so that a run would begin a second, empty warehouse."""

    def __init__(self, where: str, configured: str, found: str, remedy: str) -> None:
        super().__init__(
            f"[schemas] data is {configured!r}, but the pickups in {where} are in schema {found!r}. Nothing was "
            f"loaded. Set [schemas] data to {found!r}, or {remedy}"
        )


class ForeignObject(OwnershipError):
    """Raised when a table, view, file or folder that a run would replace was not created by this program."""

    def __init__(self, what: str, evidence: str, remedy: str) -> None:
        super().__init__(f"{what} {evidence}. It is unchanged, and nothing was loaded or written. {remedy}")


class NoData(PipelineError):
    """Raised when pickups are read before any run has published them."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(
            f"There are no pickups yet at {path}. Load pickups first: pickups run (or, without keys: pickups demo)."
        )


class ViewsNotExported(PipelineError):
    """Raised when `publish.views` is `built`, but the folder has no built views."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            f"There are no built views at {folder}. Build the views first: pickups models "
            "(or set publish.views to computed)."
        )


class StaleData(PipelineError):
    """Raised when an account's last good run is older than `max_age_hours`, or when there has been no good run."""

    def __init__(self, max_age_hours: float, last_good_runs: Mapping[str, str]) -> None:
        which = ", ".join(f"{account} (last: {when})" for account, when in last_good_runs.items())
        super().__init__(
            f"No good run within {max_age_hours:g} h: {which}. To see why runs fail, run: pickups run. If "
            "that run succeeds, check that the schedule starts runs."
        )


class Interrupted(PipelineError):
    """Raised when Ctrl-C stops a command."""

    def __init__(self) -> None:
        super().__init__("interrupted. Previously loaded data is unchanged; the next run catches up.")


EXIT_CHECK_FAILED = 1
EXIT_CODES: dict[type[Exception], int] = {
    StaleData: 1,
    **dict.fromkeys((AuthError, SettingsError, IdMismatch, AccountMismatch), 3),
    **dict.fromkeys((OwnershipError, NoData, ViewsNotExported), 3),
    **dict.fromkeys((Unavailable, BadResponse), 4),
    RunInProgress: 5,
    DestinationError: 6,
    RunTimedOut: 143,
    Interrupted: 130,
}
EXIT_BUG = 70  # In sysexits.h, this code is EX_SOFTWARE, an internal software error.
# If several accounts fail, the code that comes last in this list is used. Transient failures come first, and unexpected
# errors come last.
EXIT_CODES_BY_SEVERITY = (0, EXIT_CHECK_FAILED, 4, 3, 6, EXIT_BUG)

KNOWN_ERRORS = (SendcloudError, PipelineError)


def worst_exit_code(exit_codes: Iterable[int]) -> int:
    """Returns the most severe of the accounts' exit codes, or 0 if there are none."""
    return max(exit_codes, key=EXIT_CODES_BY_SEVERITY.index, default=0)


def exit_code_of(error: BaseException) -> int:
    """Returns the exit code of the error's class or its nearest listed base class, or EXIT_BUG if neither is listed."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), EXIT_BUG)


def one_line(error: BaseException) -> str:
    """Returns the error's text on one line. For an unexpected error, adds the class name and what to do next."""
    message = str(error)
    if exit_code_of(error) == EXIT_BUG:
        message = f"unexpected error, {type(error).__name__}: {error} (please report the output of pickups --debug …)"
    return visible(" ".join(message.split()))
