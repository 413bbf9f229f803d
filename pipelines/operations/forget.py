"""Implements `pickups forget`, which masks a tracking number in every table of every account."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import partial

from pipelines.config.accounts import account_names
from pipelines.config.project import project_context
from pipelines.destinations.base import Backend
from pipelines.destinations.forgotten import count_matches, forget_number
from pipelines.destinations.ownership import PIPELINE_PREFIX
from pipelines.destinations.select import select_backend
from pipelines.operations.accounts import editing
from sources.sendcloud.errors import SettingsError


def forget_tracking_number(
    number: str, *, wait_seconds: float = 0, is_trial: bool = False
) -> dict[str, dict[str, int]]:
    """Masks the tracking number and publishes the result. Returns the number of changed rows by account and table.

    Args:
        number: the tracking number.
        wait_seconds: how long to wait for a run to end.
        is_trial: whether to change nothing and only return the numbers.

    Raises:
        SettingsError: no row has this tracking number.
        RunInProgress: a run still holds the lock after `wait_seconds`.
    """
    with project_context() as project, editing(project, account_names(), wait_seconds) as editor:
        matches = {
            account: editor.query(account, partial(count_matches, account=account, number=number))
            for account in editor.count_rows()
        }
        found = {account: rows for account, rows in matches.items() if rows}
        if not found:
            editor.publish()
            raise SettingsError(f"No pickup or rejected record has the tracking number {number!r}.")
        for account in () if is_trial else found:
            editor.edit(account, partial(forget_number, account=account, number=number))
        if not is_trial:
            editor.publish()
            _remove_packages(select_backend(project), found)
    return found


def _remove_packages(backend: Backend, accounts: Iterable[str]) -> None:
    """Deletes the load packages of the accounts' last runs and of crashed runs. No later run needs these packages."""
    for account in accounts:
        for folder in backend.working_dir().glob(f"{PIPELINE_PREFIX}{account}*"):
            if folder.name in (f"{PIPELINE_PREFIX}{account}", f"{PIPELINE_PREFIX}{account}.left"):
                shutil.rmtree(folder, ignore_errors=True)
