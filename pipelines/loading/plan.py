"""Plans a run by resolving its accounts once, before anything is requested or written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pipelines.config.account_settings import KeyOwners, find_key_owners
from pipelines.config.accounts import AccountSections, configured_accounts, default_account, resolve_account


class RunPlan(NamedTuple):
    """The plan for a run.

    Attributes:
        project: the project folder.
        accounts: the names of the accounts to read, in order.
        configured: the names of all configured accounts.
        sections: the sections of all configured accounts.
        key_owners: the result of `find_key_owners` for these accounts.
        read_back_to: the booking time (UTC) that the run must reach, even behind the frontier, or None.
    """

    project: Path
    accounts: list[str]
    configured: list[str]
    sections: AccountSections
    key_owners: KeyOwners
    read_back_to: datetime | None = None


def plan_run(
    project: Path, accounts: Sequence[str | None] | None = None, read_back_to: datetime | None = None
) -> RunPlan:
    """Returns the plan for a run. Requires an active project.

    Args:
        project: the project folder.
        accounts: the names of the accounts to read; default all. An item of None stands for the only account.
        read_back_to: see `RunPlan`.

    Raises:
        UnknownAccount: an account is not configured.
        SettingsError: the configured accounts are invalid, or None is given although there are several accounts.
    """
    sections = configured_accounts()
    names = list(sections) or [default_account()]
    wanted = names if accounts is None else [resolve_account(account, sections) for account in dict.fromkeys(accounts)]
    return RunPlan(project, wanted, names, sections, find_key_owners(sections), read_back_to)
