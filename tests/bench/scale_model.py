"""What a run costs: a handful of constants for each place, fitted to the points of scale.json that are for fitting.

CPU seconds of a process that runs once over some accounts:

    start + account x accounts + (account with news) x those where something was new + (new account) x first loads
    + request x requests + read x rows read + loaded x rows loaded + table x rows in all tables

and the same of a database server, where there is one. Non-negative least squares of relative errors, so that a run that
finds nothing counts as much as a first load.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import mul
from typing import Any, NamedTuple

import numpy as np
from scale_points import Point
from scipy.optimize import nnls


class Work(NamedTuple):
    """What a process has to do in one run."""

    accounts: int
    accounts_with_news: float
    new_accounts: float  # whose tables are made
    requests: float
    rows_read: float
    rows_loaded: float
    table_rows: float

    @classmethod
    def of(cls, point: Point) -> Work:
        news = point.accounts if point.rows_loaded else 0
        made = point.accounts if point.kind == "first" else 0
        table = point.table if point.kind == "nothing" else point.table + point.rows_loaded
        return cls(point.accounts, news, made, point.requests, point.rows_read, point.rows_loaded, table)


class Costs(NamedTuple):
    """CPU seconds of one process, each for one of what its name says."""

    start: float
    account: float
    account_with_news: float
    new_account: float
    request: float
    row_read: float
    row_loaded: float
    table_row: float

    def of(self, work: Work) -> float:
        return sum(map(mul, self, (1, *work)))


class Stored(NamedTuple):
    """Bytes that stay: of an installation, of an account in it, of a pickup with its states."""

    empty: float
    account: float
    pickup: float


class Model(NamedTuple):
    """One place to write: what a run costs our process and a server, and what stays."""

    process: Costs
    server: Costs
    stored: Stored
    pickup_bytes: float  # of the sandbox's pickups, whose texts repeat less than those of listing.py
    receipt_bytes: float
    is_shared: bool  # one place for all processes; else each has a file, and a copy


def fitted(told: Mapping[str, Any], place: str) -> Model:
    """The constants of that place, from the points that are for fitting."""
    points = [point for point in told["points"] if point.place == place and point.is_fitted]
    works = [(1, *Work.of(point)) for point in points]
    server = (
        _fit(works, [point.server_cpu_s for point in points]) if place == "postgres" else [0.0] * len(Costs._fields)
    )
    kept = [point for point in points if point.kind == "first"]
    sizes = [(1, point.accounts, point.given) for point in kept]
    stored = Stored(*_fit(sizes, [point.stored_bytes for point in kept]))
    return Model(
        Costs(*_fit(works, [point.cpu_s for point in points])),
        Costs(*server),
        stored,
        stored.pickup if place == "postgres" else _bytes_of_the_sandbox(told),
        told["receipt_bytes"][place],
        place == "postgres",
    )


def _bytes_of_the_sandbox(told: Mapping[str, Any]) -> float:
    smallest, *_, largest = told["depths"]
    return float((largest["stored_bytes"] - smallest["stored_bytes"]) / (largest["pickups"] - smallest["pickups"]))


def _fit(given: Sequence[Sequence[float]], measured: Sequence[float]) -> list[float]:
    """Constants whose sums come nearest, by relative error; columns scaled, for rows are millions and runs are one."""
    matrix, wanted = np.array(given, float), np.array(measured, float)
    scale = np.maximum(matrix.max(axis=0), 1)
    found, _ = nnls(matrix / scale / wanted[:, None], np.ones(len(wanted)))
    return [float(constant) for constant in found / scale]


def requests_of(rows_again: float, listed: float, rows_a_page: int) -> int:
    """Pages from the newest down to the first that lies before the frontier as a whole; no more than there are."""
    return max(1, min(math.floor(rows_again / rows_a_page) + 2, math.ceil(listed / rows_a_page)))


def days_again(told: Mapping[str, Any]) -> Callable[[float], float]:
    """How many days of bookings a run reads again, by bookings a day: between and beyond what was measured."""
    measured = sorted((math.log10(depth["bookings_a_day"]), depth["days"]) for depth in told["depths"])
    logs, days = zip(*measured, strict=True)
    return lambda bookings: float(np.interp(math.log10(max(bookings, 1e-9)), logs, days))


def seconds_at_pace(requests: int, per_minute: int, delay_seconds: float) -> float:
    """How long the asking takes: so many in any minute, one behind the other (sources/sendcloud/pace.py)."""
    return max(60.0 * ((requests - 1) // per_minute), requests * delay_seconds)
