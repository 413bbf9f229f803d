"""Reads what the last runs of all accounts recorded.

Each query reads a column of every receipt, so one query per account would take 40 times as long for 40 accounts: 6 s
if each of them has a year of receipts (2026-11-29).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from pipelines.bookkeeping.run_order import LATEST_FIRST
from pipelines.destinations.base import DATASET, Session


class LastRun(NamedTuple):
    """What an account's last runs recorded.

    Attributes:
        run_number: the number of the newest receipt.
        rows_in_table: the last count of the account's pickups, or None if there is none.
        observed_at: when the last good run observed the list, or None if there is none.
        highest_observed_at: the latest such time of any run. It is in the future if a run relied on a wrong clock.
        good: `checks_failed`, `unexpected_values` and `api_version` of the last good run, or None if there is none.
    """

    run_number: int
    rows_in_table: int | None
    observed_at: datetime | None
    highest_observed_at: datetime | None
    good: tuple[str | None, str | None, str] | None


# Old receipts have no number and count as number 0, so several of them may have the wanted number.
_LAST_RECEIPTS = f"""
    with numbered as (
        select account, coalesce(run_number, 0) as number, outcome, observed_at, rows_in_table
        from {DATASET}.pickup_runs
    ),
    numbers as (
        select
            account,
            max(observed_at) as highest_observed_at,
            unnest([
                max(number),
                max(number) filter (where outcome = 'succeeded'),
                max(number) filter (where outcome = 'succeeded' and observed_at is not null),
                max(number) filter (where rows_in_table is not null)
            ]) as number
        from numbered group by account
    ),
    wanted as (select distinct account, number, highest_observed_at from numbers)
    select runs.account, coalesce(run_number, 0), rows_in_table, outcome = 'succeeded', observed_at,
        highest_observed_at, checks_failed, unexpected_values, coalesce(api_version, 'v2')
    from {DATASET}.pickup_runs as runs
    join wanted on wanted.account = runs.account and wanted.number = coalesce(runs.run_number, 0)
    order by runs.account, {LATEST_FIRST}
"""  # noqa: S608  # the names are constants


def last_runs(session: Session) -> dict[str, LastRun]:
    """Returns what the last runs of each account recorded, by account.

    Args:
        session: a session over accounts' own tables, which `migrate` has updated. The tables may be missing.
    """
    if not session.has_table("pickup_runs"):
        return {}
    rows = session.execute(_LAST_RECEIPTS).fetchall()
    return {account: _last_run(list(group)) for account, group in groupby(rows, lambda row: row[0])}


def _last_run(latest_first: Sequence[tuple[Any, ...]]) -> LastRun:
    _, number, _, _, _, highest, *_ = latest_first[0]
    good = [row for row in latest_first if row[3]]
    return LastRun(
        run_number=number,
        rows_in_table=next((row[2] for row in latest_first if row[2] is not None), None),
        observed_at=next((row[4] for row in good if row[4] is not None), None),
        highest_observed_at=highest,
        good=good[0][6:] if good else None,
    )
