"""Reads the views for every country and period that the page offers. The rows of each view contain all accounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pipelines.report.store import Row, Selection, Store
from pipelines.wording.numbers import count
from pipelines.wording.window_times import DAY, HOUR

MOST_COUNTRIES = 8
FEWEST_PICKUPS = 20  # countries with fewer pickups are only in the totals; periods that leave out fewer are not offered
MOST_ACCOUNTS = 40
MOST_ROWS = 6_000  # of carriers, over all choices, so that the page stays below 3 MB
GRID = f"account, is_every_account, carrier, {DAY}, {HOUR}, pickups"
WEEKS = (  # the rows of the weekly view are many, and its other columns would take 100 MB of a million pickups
    "account, is_every_account, carrier, booked_week_local_start, pickups, rated, cancellation_rate, "
    "cancellation_rate_low, cancellation_rate_high, is_week_mature, is_early_signal_complete, watched_48_hours, "
    "cancelled_within_48_hours, cancelled_within_48_hours_rate"
)
WHOLE, PERIODS = "all dates", {"last 12 months": 365, "last 13 weeks": 91, "last 4 weeks": 28}


class Choices(NamedTuple):
    """The choices that the page offers. None is the choice of all accounts or countries."""

    accounts: list[str | None]
    countries: list[str | None]
    periods: dict[str, datetime | None]
    carriers: list[str]
    left_out: str


class Rates(NamedTuple):
    """Rows for one country and period. Each list contains the rows of all accounts together and of each account."""

    carriers: list[Row]
    total: list[Row]
    expected: list[Row]


class Present(NamedTuple):
    """Rows for one country that do not depend on the period."""

    changes: list[Row]
    total_changes: list[Row]
    upcoming: list[Row]
    stuck: list[Row]  # counts by account and carrier, without rows for all accounts
    weeks: list[Row]  # of each account, only those with a complete early signal
    all_weeks: list[Row]  # over all carriers
    windows: list[Row]
    grid: list[Row]
    as_of: dict[str | None, datetime]  # by account; of all accounts together, the newest


def plain_rates(choices: Choices, rates: Sequence[Sequence[Rates]]) -> dict[tuple[str | None, str | None, str], float]:
    """Returns the cancellation rates of all dates by account, country and carrier."""
    return {
        (None if row["is_every_account"] else row["account"], country, row["carrier"]): row["cancellation_rate"]
        for country, periods in zip(choices.countries, rates, strict=True)
        for row in periods[0].carriers
    }


def find_choices(store: Store) -> Choices:
    """Returns the choices. The largest accounts and countries come first, and the smallest are left out."""
    store.select(Selection())
    sizes = {name: _sizes(store, name) for name in ("account", "country", "carrier")}
    as_of = read_as_of(store).get(None)
    periods: dict[str, datetime | None] = {WHOLE: None}
    for name, days in PERIODS.items():
        since = as_of - timedelta(days=days) if as_of else None
        if since and _count_before(store, since) >= FEWEST_PICKUPS:
            periods[name] = since
    accounts, carriers = [*sizes["account"]][:MOST_ACCOUNTS], [*sizes["carrier"]]
    countries = [name for name, pickups in sizes["country"].items() if pickups >= FEWEST_PICKUPS][:MOST_COUNTRIES]
    while (1 + len(accounts)) * (1 + len(countries)) * len(periods) * len(carriers) > MOST_ROWS and (
        len(accounts) + len(countries) > 4
    ):
        (accounts if len(accounts) > 2 * len(countries) else countries or accounts).pop()
    return Choices(
        [None, *(sorted(accounts) if len(sizes["account"]) > 1 else [])],
        [None, *(sorted(countries) if len(sizes["country"]) > 1 else [])],
        periods,
        carriers,
        _left_out(len(sizes["account"]) - len(accounts), len(sizes["country"]) - len(countries)),
    )


def _count_before(store: Store, since: datetime) -> int:
    where = f"window_ends_at_utc < timestamp '{since:%Y-%m-%d %H:%M:%S.%f}'"
    (row,) = store.rows("pickups", where, "count(*) as pickups")
    return int(row["pickups"])


def _left_out(accounts: int, countries: int) -> str:
    parts = [count(accounts, "account")] if accounts else []
    return " and ".join([*parts, *([count(countries, "country", "countries")] if countries else [])])


def _sizes(store: Store, column: str) -> dict[str, int]:
    name = f"coalesce({column}, 'unknown')"
    rows = store.rows(
        "pickups", f"true group by {name} order by count(*) desc, {name}", f"{name} as name, count(*) as n"
    )
    return {row["name"]: row["n"] for row in rows}


def read_rates(store: Store, country: str | None, since: datetime | None) -> Rates:
    """Reads the rates of a country and period."""
    store.select(Selection(country, since))
    return Rates(
        store.rows("carrier_cancellations", "country = 'all'"),
        store.rows("rates", "outcome = 'cancelled' and breakdown = 'total'"),
        store.rows("carrier_expected"),
    )


def read_present(store: Store, country: str | None, as_of: dict[str | None, datetime]) -> Present:
    """Reads what is to come, stuck or changing in a country.

    Args:
        store: the published tables.
        country: the country, or None for all countries.
        as_of: the times of the accounts' data (`read_as_of`).
    """
    store.select(Selection(country))
    changes, upcoming = store.rows("cancellation_changes"), store.rows("upcoming_pickups")
    stuck = store.rows("stuck_pickups", "true group by account, carrier", "account, carrier, count(*) as stuck")
    weeks = store.rows("carrier_cancellations_weekly", "is_every_account or is_early_signal_complete", WEEKS)
    windows, grid = store.rows("carrier_windows"), store.rows("carrier_window_grid", columns=GRID)
    store.select(Selection(country, None, is_one_carrier=True))
    total, all_weeks = store.rows("cancellation_changes"), store.rows("carrier_cancellations_weekly", columns=WEEKS)
    return Present(changes, total, upcoming, stuck, weeks, all_weeks, windows, grid, as_of)


def read_as_of(store: Store) -> dict[str | None, datetime]:
    """Returns the time of each account's data, and the newest of them under None."""
    store.select(Selection())
    rows = store.rows("pickups", "as_of_utc is not null group by account", "account, max(as_of_utc) as as_of")
    as_of: dict[str | None, datetime] = {row["account"]: row["as_of"] for row in rows}
    return as_of | ({None: max(as_of.values())} if as_of else {})


def of_account(rows: list[Row], account: str | None) -> Iterator[Row]:
    """Yields the rows for all accounts together if `account` is None, otherwise those for the account."""
    for row in rows:
        if row["is_every_account"] if account is None else not row["is_every_account"] and row["account"] == account:
            yield row
