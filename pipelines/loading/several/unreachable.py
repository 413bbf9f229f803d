"""Stops retrying an origin that several accounts of a run have found unreachable."""

from __future__ import annotations

import threading
from collections import Counter

from pipelines.loading.account_run import AccountRun
from sources.sendcloud.errors import OutOfTime, Unavailable
from sources.sendcloud.http.origins import origin_of

SEVERAL = 2  # one account may have its own problem, such as a firewall rule for its keys


class UnreachableOrigins:
    """Counts the accounts that got no response at all from an origin. Once the count reaches SEVERAL, the other
    accounts make only one attempt per request.

    Otherwise, a run of forty accounts would wait for every attempt of every account, one after the other.
    """

    def __init__(self) -> None:
        self._accounts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def load(self, part: AccountRun) -> None:
        """Loads the account, making only one attempt per request if the account's origin is unreachable."""
        origin = origin_of(part.settings["base_url"])
        if self._accounts[origin] >= SEVERAL:
            part.try_once()
        part.load()
        failure = part.receipt.failure
        has_no_answer = isinstance(failure, Unavailable) and (failure.is_unreachable or isinstance(failure, OutOfTime))
        if not failure:
            self._accounts[origin] = 0
        elif has_no_answer and not part.stats.pages:
            with self._lock:
                self._accounts[origin] += 1
