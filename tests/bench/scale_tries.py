"""Every measured figure, and what the model and the simulation say to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from scale_accounts import YEARS_LISTED, Account, Kind, Terms
from scale_model import Model, days_again, fitted, requests_of
from scale_points import UNHURRIED, Point
from scale_simulate import Once, run_once

# listing.py: windows five days after booking and four hours long, settled after seven more, an hour of overlap
DAYS_OPEN = 12.2
QUIET = 2.5  # load average: with more on two cores, seconds of the clock are other work's
DAYS_LATER = 11.0  # between its two instants


class Foretold(NamedTuple):
    """One figure, measured and computed; fitted where the constants were made from it."""

    place: str
    run: str
    what: str
    measured: float
    computed: float
    is_fitted: bool


def foretold(told: Mapping[str, Any]) -> list[Foretold]:
    """Each point by a simulation of it: CPU seconds, requests, bytes; seconds where pace or network decide."""
    models = {place: fitted(told, place) for place in ("duckdb", "postgres")}
    by_points = [one for point in told["points"] for one in _of(point, models[point.place])]
    return by_points + list(_again(told))


def _of(point: Point, model: Model) -> Iterator[Foretold]:
    once = simulated(point, model)
    by_waiting = (point.per_minute != UNHURRIED or point.delay_seconds) and point.load_average <= QUIET
    figures = [
        ("CPU s", point.cpu_s, once.cpu_s, point.is_fitted),
        ("server's CPU s", point.server_cpu_s, once.server_cpu_s, point.is_fitted),
        ("requests", point.requests, once.requests, False),
        ("MB stored", point.stored_bytes / 1e6, _stored(point, model) / 1e6, point.is_fitted),
        ("seconds", point.wall_s, once.seconds, False),
    ]
    for what, measured, computed, is_fitted in figures:
        is_wanted = by_waiting if what == "seconds" else measured and (what != "MB stored" or point.kind == "first")
        if is_wanted:
            yield Foretold(point.place, point.name, what, measured, computed, is_fitted)


def simulated(point: Point, model: Model) -> Once:
    """The same run by the simulation."""
    days = DAYS_OPEN + (DAYS_LATER if point.kind == "later" else 0)
    each = point.listed if point.kind == "first" else point.table / point.accounts
    account = Account(each, point.listed / (365 * YEARS_LISTED), days)
    kind: Kind = point.kind  # type: ignore[assignment]
    terms = Terms(point.rows_a_page, point.per_minute, point.delay_seconds)
    return run_once([account] * point.accounts, kind, model, terms)


def _stored(point: Point, model: Model) -> float:
    empty, account, pickup = model.stored
    return empty + account * point.accounts + pickup * point.given


def _again(told: Mapping[str, Any]) -> Iterator[Foretold]:
    """How many requests a run makes that finds nothing, over the sandbox's accounts."""
    days = days_again(told)
    for depth in told["depths"]:
        rate = depth["bookings_a_day"]
        computed = requests_of(rate * days(rate), rate * 180, 500)
        run = f"nothing, {rate:,.0f} bookings a day"
        yield Foretold("sandbox", run, "requests", depth["requests"], computed, False)
