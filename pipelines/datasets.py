"""The name under which an account is loaded where each has tables of its own: on a server, and in a lake."""

from __future__ import annotations

import hashlib
import re

from pipelines.store import DATASET

PREFIX = f"{DATASET}_of_"
LONGEST = 24  # with the rest of the name, and of dlt's staging schema's, below PostgreSQL's 63 bytes
PLAIN = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")  # what dlt and the servers leave as it is
STAGING = "_staging"  # dlt's own word: the staging schema of one account must not be another's


def dataset_of(account: str) -> str:
    """One for each account; another spelling than the account's own carries a mark of it."""
    if PLAIN.fullmatch(account) and len(account) <= LONGEST and not account.endswith(STAGING):
        return PREFIX + account
    told = re.sub(r"[^a-z0-9]+", "_", account.lower()[: LONGEST - 9]).strip("_")
    mark = hashlib.sha256(account.encode()).hexdigest()[:8]
    return PREFIX + "_".join(filter(None, [told, mark]))
