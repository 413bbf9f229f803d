"""What accounts with so many pickups in all need: a cell of scale.md's tables, from the model and the simulation."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from scale_accounts import YEARS_LISTED, Account, Terms, spread, visit
from scale_model import Model, days_again, fitted
from scale_simulate import EVERY_SECONDS, Seen, run_once, simulate

ACCOUNTS = (1, 100, 10_000)
PICKUPS = (10**4, 10**5, 10**6, 10**7, 10**8)
PAGES_OF_100 = Terms(rows_a_page=100)
CORES = 2  # of a machine, as of the one that was measured
FULL = 0.7  # of a server's cores, of a process' time: beyond it, runs wait for one another
HOURS = 2.0
P95_SECONDS = 1800.0  # what is aimed at: two quarters of an hour


class Cell(NamedTuple):
    """One line of a table. Shares are of a quarter of an hour; one process means one installation on one machine."""

    accounts: int
    pickups: int
    largest: float  # pickups of the largest account
    pace_500: float  # of the largest account's requests a minute, by the setting of 400
    pace_100: float
    one_process: float
    of_it_table: float
    requests_a_minute: float
    processes: int
    machines: int
    server_cores: int
    median_s: float
    p95_s: float
    stored_bytes: float
    first_largest_s: float
    first_all_s: float

    @property
    def bites_first(self) -> str:
        if self.pace_500 >= self.one_process:
            return "the API's pace"
        return "checks over all rows" if self.of_it_table > self.one_process / 2 else "one process"


EVERY = [(accounts, pickups) for accounts in ACCOUNTS for pickups in PICKUPS]


def cells(told: Mapping[str, Any], place: str, wanted: Sequence[tuple[int, int]] = EVERY) -> list[Cell]:
    """The cells of a place's table for these numbers of accounts and pickups."""
    model, days = fitted(told, place), days_again(told)
    return [_cell(spread(accounts, pickups, days), pickups, model) for accounts, pickups in wanted]


def _cell(accounts: Sequence[Account], pickups: int, model: Model) -> Cell:
    terms = Terms()
    each, served = zip(*(_seconds(account, model, terms) for account in accounts), strict=True)
    table = (model.process.table_row + model.server.table_row) * pickups
    processes, server_cores, seen = _enough(accounts, each, sum(served), model)
    once = partial(run_once, kind="first", model=model, terms=terms, server_cores=max(server_cores, 1))
    groups = dealt(accounts, [account.listed for account in accounts], processes)
    return Cell(
        accounts=len(accounts),
        pickups=pickups,
        largest=accounts[0].listed,
        pace_500=_pace(accounts[0], terms),
        pace_100=_pace(accounts[0], PAGES_OF_100),
        one_process=(model.process.start + model.server.start + sum(each) + sum(served) + table) / EVERY_SECONDS,
        of_it_table=table / EVERY_SECONDS,
        requests_a_minute=seen.requests_a_minute,
        processes=processes,
        machines=math.ceil(processes / CORES),
        server_cores=server_cores,
        median_s=median(seen.ages),
        p95_s=_p95(seen),
        stored_bytes=after_a_year(len(accounts), pickups, processes, model),
        first_largest_s=once(accounts[:1]).seconds,
        first_all_s=max(once(group).seconds for group in groups),
    )


def _p95(seen: Seen) -> float:
    return seen.ages[int(0.95 * len(seen.ages))]


def _seconds(account: Account, model: Model, terms: Terms) -> tuple[float, float]:
    """CPU seconds of a process and of a server in a busy quarter of an hour, on average."""
    one = visit(account, "usual", model, terms)
    share = one.chance_of_news
    cpu_s, server_s = (
        with_news * share + without * (1 - share) for with_news, without in zip(one.with_news, one.without, strict=True)
    )
    return cpu_s, server_s


def _pace(account: Account, terms: Terms) -> float:
    return account.requests(terms.rows_a_page) / (terms.per_minute * EVERY_SECONDS / 60)


def _enough(accounts: Sequence[Account], each: Sequence[float], served: float, model: Model) -> tuple[int, int, Seen]:
    """The fewest processes, within a fifth, with which the data are as fresh as is aimed at, and a server's cores.

    One an account at most, and no more than make the data fresher.
    """
    pickups = sum(account.listed for account in accounts)
    fewest = sum(each) + model.process.table_row * pickups
    processes, best = min(len(accounts), max(1, math.ceil(fewest / EVERY_SECONDS))), None
    while True:
        a_quarter = served + processes * model.server.start + model.server.table_row * pickups
        cores = math.ceil(a_quarter / EVERY_SECONDS / FULL)
        groups = dealt(accounts, each, processes)
        seen = simulate(groups, model, Terms(), hours=HOURS, server_cores=max(cores, 1))
        if best and _p95(seen) > 0.95 * _p95(best[2]):
            return best
        best = processes, cores, seen
        if processes == len(accounts) or _p95(seen) <= P95_SECONDS:
            return best
        processes = min(len(accounts), math.ceil(processes * 1.2))


def dealt(accounts: Sequence[Account], weights: Sequence[float], processes: int) -> list[list[Account]]:
    """Each to whoever has least so far, the heaviest first."""
    heap = [(0.0, number) for number in range(processes)]
    groups: list[list[Account]] = [[] for _ in range(processes)]
    for weight, account in sorted(zip(weights, accounts, strict=True), key=lambda pair: -pair[0]):
        load, number = heap[0]
        groups[number].append(account)
        heapq.heapreplace(heap, (load + weight, number))
    return groups


def after_a_year(accounts: int, pickups: int, processes: int, model: Model) -> float:
    """Bytes: a third more pickups, receipts of a run each quarter of an hour, and DuckDB's copy for readers."""
    kept = model.pickup_bytes * pickups * (1 + 1 / YEARS_LISTED) + model.stored.account * accounts
    kept += model.stored.empty * (1 if model.is_shared else processes)
    kept += model.receipt_bytes * accounts * 365 * 96
    return kept if model.is_shared else 2 * kept
