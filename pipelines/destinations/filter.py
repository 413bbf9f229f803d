"""Selects pickups by account, carrier, country and time. Every destination applies the same conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple

from pipelines.destinations.base import Session

Bound = str | date | None  # datetime is a subclass of date
Clock = Literal["booking", "window"]
NO_COUNTRY = "unknown"
ARGUMENTS = {"account": "accounts", "carrier": "carriers", "country": "countries"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What each name is compared with. analytics.pickups cleans `country` in the same way.
COUNTRY = f"coalesce(upper(nullif(country, '')), '{NO_COUNTRY}')"
NAMED = {"account": "account", "carrier": "carrier", "country": COUNTRY}
# Microseconds since 1970. The second one is window_ends_at_utc of analytics.pickups; a test compares the expressions.
CLOCKS: Mapping[Clock, str] = {
    "booking": "epoch_us(created_at)",
    "window": "coalesce(epoch_us(greatest(pickup_from, pickup_until)), epoch_us(created_at) + 604800000000)",
}
CLOCK_WORDS: Mapping[Clock, str] = {"booking": "were booked", "window": "had the end of their window"}
_KNOWN = "select distinct {named} as name from {schema}.pickups{more} order by name"
_ACCOUNTS_WITH_RUNS = " union select account from {schema}.pickup_runs"  # an account may have receipts and no pickups


class FilterError(ValueError):
    """Raised when a filter can't be applied. `argument` is the name of the argument of `read` at fault."""

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument


class PickupFilter(NamedTuple):
    """Selects the pickups of some accounts, carriers and countries, from `since` until just before `until`.

    Attributes:
        accounts: the accounts to include. None includes all accounts.
        carriers: the carriers to include. None includes all carriers.
        countries: the countries to include, as in `analytics.pickups`, or "unknown". None includes all countries.
        since: the earliest time to include. None sets no limit.
        until: the first time to leave out. None sets no limit.
        by: whether `since` and `until` mean the booking or the end of the window.
    """

    accounts: Sequence[str] | None = None
    carriers: Sequence[str] | None = None
    countries: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    by: Clock = "window"

    @classmethod
    def parse(
        cls,
        *,
        accounts: Sequence[str] | None = None,
        carriers: Sequence[str] | None = None,
        countries: Sequence[str] | None = None,
        since: Bound = None,
        until: Bound = None,
        by: str = "window",
    ) -> PickupFilter:
        """Returns a filter for the user's input.

        Args:
            accounts: the accounts to include, or None for all accounts.
            carriers: the carriers to include, or None for all carriers.
            countries: the countries to include, as ISO codes or "unknown", or None for all countries.
            since: an ISO 8601 string, a date or a datetime. A date means midnight. The default time zone is UTC.
            until: the same; the period ends just before it.
            by: "booking" or "window".

        Raises:
            FilterError: a name is not in a list, a list is empty, a time can't be read, the period is empty, or `by`
                is neither word.
        """
        for argument, names in (("accounts", accounts), ("carriers", carriers), ("countries", countries)):
            _check_list(argument, names)
        if by not in CLOCKS:
            raise FilterError("by", f"by is {by!r}; it must be {' or '.join(map(repr, CLOCKS))}")
        begin, end = to_instant("since", since), to_instant("until", until)
        if begin and end and begin >= end:
            raise FilterError("since", f"since ({_shown(begin)}) must be before until ({_shown(end)})")
        clock: Clock = "booking" if by == "booking" and (begin or end) else "window"
        return cls(accounts, carriers, _spelled(countries), begin, end, clock)

    def names(self) -> dict[str, Sequence[str]]:
        """Returns the names to include by kind (account, carrier, country), without the kinds that include all."""
        wanted = zip(ARGUMENTS, (self.accounts, self.carriers, self.countries), strict=True)
        return {kind: names for kind, names in wanted if names is not None}

    def condition(self, table: str) -> str:
        """Returns the SQL condition on the rows of `sendcloud.<table>`, in DuckDB's dialect.

        Pickups are selected by every part of the filter, and rows of other tables only by their account. The names of
        each kind are in a table `filter_<kind>`, which the caller creates.
        """
        kinds = [kind for kind in self.names() if table == "pickups" or kind == "account"]
        parts = [f"{NAMED[kind]} in (select name from filter_{kind})" for kind in kinds]  # noqa: S608  # own words
        bounds = {">=": self.since, "<": self.until} if table == "pickups" else {}
        parts += [f"{CLOCKS[self.by]} {sign} {_microseconds(at)}" for sign, at in bounds.items() if at]
        return " and ".join(parts) or "true"

    def arguments(self) -> Mapping[str, object]:
        """Returns the arguments of `read` that select these pickups, as plain texts and lists."""
        names = {
            plural: list(self.names()[kind]) if kind in self.names() else None for kind, plural in ARGUMENTS.items()
        }
        bounds = {"since": self.since, "until": self.until}
        return names | {name: at.isoformat() if at else None for name, at in bounds.items()} | {"by": self.by}

    def words(self) -> Iterator[str]:
        """Yields what the filter includes, in words for a heading, such as "only dhl, ups"."""
        for kind, names in self.names().items():
            yield f"only {'' if kind == 'carrier' else f'{kind} '}{', '.join(names)}"
        period = [("since", self.since), ("before", self.until)]
        if told := " and ".join(f"{word} {_shown(at)}" for word, at in period if at):
            yield f"only pickups that {CLOCK_WORDS[self.by]} {told}"


ALL_PICKUPS = PickupFilter()


def check_names(only: PickupFilter, session: Session, schema: str = "sendcloud") -> None:
    """Raises FilterError if the filter names an account, carrier or country that no row in the schema has."""
    for kind, names in only.names().items():
        more = _ACCOUNTS_WITH_RUNS.format(schema=schema) if kind == "account" else ""
        query = _KNOWN.format(named=NAMED[kind], schema=schema, more=more)
        known = [name for (name,) in session.execute(query).fetchall()]
        if unknown := sorted(set(names) - set(known)):
            plural = ARGUMENTS[kind]
            raise FilterError(plural, f"unknown {kind} {unknown[0]!r}; available {plural}: {', '.join(known)}")


def _check_list(argument: str, names: Sequence[str] | None) -> None:
    if isinstance(names, str):
        raise FilterError(argument, f"{argument} must be a list: [{names!r}]")
    if names is not None and not len(names):
        what = f"{argument} is an empty list, so there is nothing to read; None means all {argument}"
        raise FilterError(argument, what)


def _spelled(countries: Sequence[str] | None) -> list[str] | None:
    return None if countries is None else [name if name == NO_COUNTRY else name.upper() for name in countries]


def to_instant(argument: str, value: Bound) -> datetime | None:
    """Returns the time in UTC, or None if there is none.

    Args:
        argument: the name of the argument, for the message.
        value: an ISO 8601 string, a date or a datetime. A date means midnight. The default time zone is UTC.

    Raises:
        FilterError: the value is not a time.
    """
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        at = at if isinstance(at, datetime) else datetime.combine(at, time())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, AttributeError):
        raise FilterError(argument, f"{argument}: {value!r} is not a day such as 2026-01-01") from None


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
