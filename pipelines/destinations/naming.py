"""Defines the dataset names in PostgreSQL and Delta lakes, where each account has its own tables."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.config.project import find_project
from pipelines.destinations.base import DATASET, Recovery

if TYPE_CHECKING:
    from dlt.common.destination import Destination

    from pipelines.destinations.schemas import SchemaNames

ACCOUNT_INFIX = "_of_"
MAX_LENGTH = 24  # This limit keeps the full name and the name of dlt's staging schema below PostgreSQL's 63-byte limit.
SAFE_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")  # Neither dlt nor the servers change names of this form.
STAGING_SUFFIX = "_staging"  # dlt adds this suffix to staging schemas, so no account's own schema may end with it.


def account_dataset(account: str, data: str = DATASET) -> str:
    """Returns the name of the account's dataset, which no other account shares.

    If the account's name is too long or can't be used unchanged, a digest of the original name is appended.

    Args:
        account: the name of the account.
        data: the value of `[schemas] data`.
    """
    prefix = data + ACCOUNT_INFIX
    if SAFE_NAME.fullmatch(account) and len(account) <= MAX_LENGTH and not account.endswith(STAGING_SUFFIX):
        return prefix + account
    readable = re.sub(r"[^a-z0-9]+", "_", account.lower()[: MAX_LENGTH - 9]).strip("_")
    mark = hashlib.sha256(account.encode()).hexdigest()[:8]
    return prefix + "_".join(filter(None, [readable, mark]))


class AccountDatasets:
    """Implements the parts of Backend (destinations/base.py) that PostgreSQL servers and lakes share.

    `_locked` contains the accounts whose locks the run holds.
    """

    def __init__(self, destination: Destination[Any, Any], names: SchemaNames) -> None:
        self._destination, self._names = destination, names
        self._locked: list[str] = []

    def dlt_destination(self) -> Destination[Any, Any]:
        return self._destination

    def recovery(self, accounts: Sequence[str], own_runs: Sequence[str] = ()) -> Recovery:  # noqa: ARG002  # as in base.py
        return Recovery()

    def dataset_name(self, account: str) -> str:
        return self._names.of_account(account)

    def is_demo(self) -> bool:
        return False

    def note_published(self) -> None:
        """Does nothing, because there is no published file."""


def working_dir(kind: str, where: str) -> Path:
    """Returns the local folder for dlt's working files. The folder's name contains a digest of the destination."""
    base = Path(os.environ.get("DLT_DATA_DIR") or find_project() / "data")
    return base / "pipelines" / f"{kind}-{hashlib.sha256(where.encode()).hexdigest()[:8]}"
