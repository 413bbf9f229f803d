"""Words how fresh and sound the data is, from the receipts of the runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from pipelines.output import visible
from pipelines.report.store import Row
from pipelines.wording.numbers import age, count, minute, names
from pipelines.wording.receipts import NO_SUCCESS, in_order, quarantined


class Health(NamedTuple):
    """How fresh and sound the data is.

    Attributes:
        as_of: the newest time at which a successful run observed an account's list. None before any such run.
        problems: sentences about what makes the numbers incomplete or old. Empty if nothing does.
        headline: one sentence for the top of the page.
        last_runs: the last run of each account.
        good_runs: the last successful run of each account.
    """

    as_of: datetime | None
    problems: list[str]
    headline: str
    last_runs: Mapping[str, Row]
    good_runs: Mapping[str, Row]


def judge(runs: list[Row], quarantine: Mapping[str, int], made_at: datetime, max_age_hours: float) -> Health:
    """Returns how fresh and sound the data is.

    Args:
        runs: rows of `runs`.
        quarantine: the number of unresolved records in quarantine, by account.
        made_at: the time at which the page was made, in UTC without a time zone.
        max_age_hours: `[status] max_age_hours`.
    """
    ordered = in_order(runs)
    last = {run["account"]: run for run in ordered}
    good = {run["account"]: run for run in ordered if run["has_succeeded"] and run["observed_at_utc"]}
    as_of = max((run["observed_at_utc"] for run in good.values()), default=None)
    problems = [words for account, run in sorted(last.items()) for words in _problems(account, run, good.get(account))]
    problems += _old(good, made_at, max_age_hours)
    if refused := sum(quarantine.values()):
        problems.append(quarantined(refused))
    return Health(as_of, problems, _headline(as_of, problems, last, made_at), last, good)


def _problems(account: str, run: Row, good: Row | None) -> list[str]:
    found, name = [], visible(account)
    if not run["has_succeeded"]:
        found.append(f"The last run of account {name} failed ({minute(run['started_at_utc'])} UTC).")
    if run["must_pass_failed"]:
        found.append(f"A must-pass check failed in the last run of account {name}.")
    if good and good["history_complete"] is False:
        found.append(f"The history of account {name} is not loaded completely yet.")
    return found


def _old(good: Mapping[str, Row], made_at: datetime, max_age_hours: float) -> list[str]:
    limit = made_at - timedelta(hours=max_age_hours)
    old = {account: run["observed_at_utc"] for account, run in good.items() if run["observed_at_utc"] < limit}
    if not old:
        return []
    since = min(old.values())
    which = "Last read"
    if len(good) > 1:
        which = (
            "All accounts were last read"
            if len(old) == len(good)
            else f"Account{'' if len(old) == 1 else 's'} {names(sorted(old))} last read"
        )
    hours_old = (made_at - since) / timedelta(hours=1)
    return [f"{which} {age(hours_old)} before this page was made."]


def _headline(as_of: datetime | None, problems: list[str], last: Mapping[str, Row], made_at: datetime) -> str:
    if as_of is None:
        return f"{NO_SUCCESS} Nothing is known for certain."
    if problems:
        return f"Data as of {minute(as_of)} UTC. Check first: {problems[0]}" + (
            f" {count(len(problems) - 1, 'more problem')} under Data health." if len(problems) > 1 else ""
        )
    read = f"read {age((made_at - as_of) / timedelta(hours=1))} before this page was made"
    runs = "the last run succeeded" if len(last) == 1 else f"the last runs of all {len(last)} accounts succeeded"
    return f"Data as of {minute(as_of)} UTC, up to date and checked: {read}; {runs}; every must-pass check passed."
