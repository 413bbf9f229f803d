"""Implements `pickups accounts`: lists, renames and removes accounts in the destination. Settings are never changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pipelines.config.accounts import account_names, account_section, configured_accounts
from pipelines.config.project import project_context
from pipelines.config.settings import SOURCE_SECTION, list_alternatives, setting_location, settings_file
from pipelines.destinations.account_rows import Renaming, RowCounts
from pipelines.destinations.base import AccountEditor, Backend
from pipelines.destinations.duckdb.session import WAREHOUSE_REMEDY, DatabaseError, is_damage
from pipelines.destinations.select import select_backend
from pipelines.errors import DestinationError, NoData, locking_for_command
from sources.sendcloud.errors import SettingsError


class AccountRows(NamedTuple):
    """An account's row counts by table, and whether the settings include the account."""

    account: str
    is_configured: bool
    rows: dict[str, int]


class Change(NamedTuple):
    """The changes that a command made or would make.

    Attributes:
        rows: the account's row counts by table.
        merged: the new name's row counts by table before the change; empty if the new name had no rows.
        is_configured: whether the settings include the account that was changed.
    """

    rows: dict[str, int]
    merged: dict[str, int]
    is_configured: bool


def list_accounts(wait_seconds: float = 0) -> list[AccountRows]:
    """Returns every account that is configured or has rows, sorted by name.

    Raises:
        RunInProgress: a run still holds the lock after `wait_seconds`.
    """
    with project_context() as project:
        names, backend = account_names(), select_backend(project)
        found: RowCounts = {}
        if backend.exists():
            with _reporting_errors(backend), backend.lock(names, wait_seconds):
                found = backend.account_editor().count_rows()
    return [AccountRows(name, name in names, found.get(name, {})) for name in sorted({*names, *found})]


def rename_account(old: str, new: str, *, wait_seconds: float = 0, is_trial: bool = False) -> Change:
    """Moves the rows, states, receipts and position of `old` to `new`, and publishes the result.

    The settings must already contain only the new name. Otherwise, a run could load the account under its old name
    again.

    Args:
        old: the name in the loaded rows.
        new: the name in the settings.
        wait_seconds: how long to wait for a run to end.
        is_trial: whether to change nothing and only raise the errors that the change would raise.

    Raises:
        SettingsError: the settings contain the old name or lack the new name, or `old` has no rows.
        AccountMismatch: the pickups under the two names belong to different accounts.
        RunInProgress: a run still holds the lock after `wait_seconds`.
    """
    with project_context() as project:
        _check_is_renamed(old, new)
        with editing(project, [old, new], wait_seconds) as editor:
            found = _rows_of(editor, old)
            change = Change(found[old], found.get(new, {}), is_configured=False)
            editor.rename(Renaming(old, new), is_trial=is_trial)
            if not is_trial:
                editor.publish()
    return change


def remove_account(account: str, *, wait_seconds: float = 0, is_trial: bool = False) -> Change:
    """Deletes the account's rows and its position, and publishes the result.

    Args:
        account: the name of the account.
        wait_seconds: how long to wait for a run to end.
        is_trial: whether to change nothing.

    Raises:
        SettingsError: the account has no rows.
        RunInProgress: a run still holds the lock after `wait_seconds`.
    """
    with project_context() as project:
        is_configured = account in account_names()
        with editing(project, [account], wait_seconds) as editor:
            change = Change(_rows_of(editor, account)[account], {}, is_configured)
            if not is_trial:
                editor.remove(account)
                editor.publish()
    return change


@contextmanager
def editing(project: Path, accounts: Sequence[str], wait_seconds: float) -> Iterator[AccountEditor]:
    """Yields an editor for the project's destination, and holds the accounts' locks during the block.

    Raises:
        NoData: nothing has been loaded yet.
        RunInProgress: a run still holds a lock after `wait_seconds`.
    """
    backend = select_backend(project)
    if not backend.exists():
        raise NoData(str(backend))
    with _reporting_errors(backend), backend.lock(accounts, wait_seconds):
        with backend.ownership_checked(accounts):
            pass  # the check keeps the warehouse open, but a change may replace the file
        yield backend.account_editor()


@contextmanager
def _reporting_errors(backend: Backend) -> Iterator[None]:
    try:
        with locking_for_command(has_wait_option=True):
            yield
    except DatabaseError as error:
        cause = "Fix the cause (disk, permissions, another program) and try again."
        remedy = f"Nothing was changed. {WAREHOUSE_REMEDY if is_damage(error) else cause}"
        raise DestinationError(str(backend), str(error).split("\n")[0], remedy) from error


def _rows_of(editor: AccountEditor, account: str) -> RowCounts:
    """Returns the row counts by account and table. Raises SettingsError if the account has no rows.

    Before raising the error, calls `publish`: if an earlier command crashed after its change, the change must still be
    published.
    """
    found = editor.count_rows()
    if account not in found:
        editor.publish()
        raise SettingsError(f"Account {account!r} has no rows; {list_alternatives(account, sorted(found))}.")
    return found


def _check_is_renamed(old: str, new: str) -> None:
    names = account_names()
    if old == new:
        raise SettingsError(f"The old and the new name are both {old!r}. Nothing was renamed.")
    if old in names or new not in names:
        raise SettingsError(
            f"{_how_to_rename(old, new)} Then run this command again; a run in the meantime does no harm. Nothing was "
            f"renamed, because the settings name these accounts: {', '.join(names)}."
        )


def _how_to_rename(old: str, new: str) -> str:
    if not configured_accounts():
        return f"First set {setting_location(f'{SOURCE_SECTION}.account')} = {new!r}."
    return (
        f"First rename [{account_section(old)}] to [{account_section(new)}], in {settings_file('config')}, in "
        f"{settings_file('secrets')} and in environment variables."
    )
