"""Compares rebookings and net rates with an independent pandas calculation, which looks at each cancellation alone."""

from __future__ import annotations

import duckdb
import pandas as pd
import pytest
from scipy import stats

from tests.soak.simulation import KINDS, shop
from tests.support.by_hand import fill, run
from tests.support.cases import quick

pytestmark = pytest.mark.duckdb2

BEGAN = pd.Timestamp("2026-01-05", tz="UTC")
AS_OF = BEGAN + pd.Timedelta(days=123, hours=6)
DAY = pd.Timedelta(days=1)
KEY = ["account", "carrier", "country", "contract"]
Tables = dict[str, pd.DataFrame]


def simulated(seed: int) -> pd.DataFrame:
    """Returns the bookings of a shop that cancels whole days, as records of the API."""
    import numpy as np

    found = pd.DataFrame(shop(KINDS[2], "shop", np.random.default_rng(seed)))
    for name in ("created", "opens", "cancelled"):
        found[name] = (BEGAN + pd.to_timedelta(found[name], unit="h")).astype("datetime64[us, UTC]")
    found["ends"] = found["opens"] + pd.to_timedelta(found["hours"], unit="h")
    found["cancelled"] = found["cancelled"].where(found["cancelled"] <= AS_OF)
    found["id"] = range(1, len(found) + 1)
    found.loc[found["id"] % 50 == 0, "country"] = None
    found.loc[found["id"] % 7 == 0, "contract"] = None
    return found[found["created"] < AS_OF].reset_index(drop=True)


@pytest.fixture(scope="module", params=quick([1, 2]), ids="seed {}".format)
def tables(request: pytest.FixtureRequest) -> Tables:
    booked = simulated(request.param)
    renamed = {"created": "created_at", "opens": "pickup_from", "ends": "pickup_until", "cancelled": "cancelled_at"}
    records = booked.rename(columns=renamed)
    records["pickup_status"] = records["cancelled_at"].notna().map({True: "Cancelled", False: "Created"})
    records = records[["account", "id", "carrier", "country", "contract", "pickup_status", *renamed.values()]]
    with fill(duckdb.connect(), [], [run(observed_at=AS_OF.to_pydatetime())]) as con:
        con.register("records", records)
        con.execute("insert into sendcloud.pickups by name select *, 'v2' as api_version from records")
        names = ("rebookings", "carrier_net_cancellations")
        views = {name: con.execute(f"select * from analytics.{name}").df() for name in names}
    return views | {"booked": booked}


def with_rebookings(booked: pd.DataFrame) -> pd.DataFrame:
    """Returns the cancellations, whether each was rebooked, and how often comparable bookings were followed."""
    keys = booked[KEY].astype(object).apply(tuple, axis=1).map(repr)
    gone = booked[booked["cancelled"].notna()].copy()
    for index, one in gone.iterrows():
        alike = booked[keys == keys[index]]
        kept = alike["created"][alike["cancelled"].isna()]
        delay = max(one["cancelled"] - one["created"], pd.Timedelta(minutes=10))
        followed = [_is_followed(alike, kept_at + delay) for kept_at in _comparable(one["created"], delay, kept)]
        gone.loc[index, "is_rebooked"] = _is_followed(alike, one["created"] + delay)
        gone.loc[index, "by_chance"] = sum(followed) / len(followed) if followed else 0.0
    return gone


def _is_followed(alike: pd.DataFrame, since: pd.Timestamp) -> bool:
    return bool(((alike["created"] > since) & (alike["created"] <= since + DAY)).any())


def _comparable(created: pd.Timestamp, delay: pd.Timedelta, kept: pd.Series) -> list[pd.Timestamp]:
    """Returns the first kept booking from whole weeks before, and the first from a week after, if they can tell."""
    day = created.floor("D")
    weeks = -(-(delay // DAY + 2) // 7)  # rounded up
    before, after = (kept[kept >= day + shift * DAY].min() for shift in (-7 * weeks, 7))
    usable = [before] if before.floor("D") + (delay // DAY + 2) * DAY <= day else []
    return usable + ([after] if after + delay + DAY <= AS_OF else [])


def test_rebookings_match_pandas(tables: Tables) -> None:
    expected = with_rebookings(tables["booked"]).set_index("id").sort_index()
    found = tables["rebookings"].set_index("pickup_id").sort_index()  # a view has no order

    assert len(found) == len(expected) > 100
    assert (found["is_rebooked"] == expected["is_rebooked"].astype(bool)).all()
    assert found["chance_of_a_booking"].to_dict() == expected["by_chance"].to_dict()
    assert 0.1 < found["is_rebooked"].mean() < 0.9
    assert found["chance_of_a_booking"].nunique() == 3


def net_rate(mature: pd.DataFrame) -> pd.Series:
    """Returns the net rate of a carrier with its interval, by the residual of each day."""
    day = mature["created"].dt.tz_convert("Europe/Amsterdam").dt.date  # Berlin has the same time
    day = day.where(mature["country"].notna(), mature["created"].dt.date)
    is_gone = mature["cancelled"].notna()
    counts = pd.DataFrame({"n": 1, "k": is_gone, "seen": mature["is_rebooked"], "chance": mature["by_chance"]})
    days = counts.fillna(0).astype(float).groupby(day).sum()
    n, k, seen, chance = days.sum()
    share = max((seen - chance) / (k - chance), 0)
    net_n = n - share * k
    p = (k - share * k) / net_n
    excess = days["seen"] - days["chance"]
    residual = days["k"] - p * days["n"] - (1 - p) * k / (k - chance) * excess
    factor = len(days) / (len(days) - 1)
    effect = max(factor * (residual**2).sum() / net_n**2 / (p * (1 - p) / (net_n - 1)), 1)
    z = stats.t.ppf(0.975, len(days) - 1) if effect > 1 else stats.norm.ppf(0.975)
    size = net_n / effect
    centre, half = p + z**2 / (2 * size), z * (p * (1 - p) / size + z**2 / (4 * size**2)) ** 0.5
    of_share = excess - share * (days["k"] - days["chance"])
    error = stats.t.ppf(0.975, len(days) - 1) * (factor * (of_share**2).sum()) ** 0.5 / (k - chance)
    values = {"rebooked_by_chance": chance, "rebooked_beyond_chance_share": share, "net_cancellation_rate": p}
    values |= {"design_effect": effect, "clusters": len(days)}
    values |= {"rebooked_beyond_chance_share_low": max(share - error, 0), "net_rated": net_n}
    values |= {f"net_cancellation_rate_{end}": (centre + sign * half) / (1 + z**2 / size) for end, sign in ENDS}
    return pd.Series(values)


ENDS = (("low", -1), ("high", 1))


def test_net_rates_match_pandas(tables: Tables) -> None:
    booked = tables["booked"]
    cancelled = with_rebookings(booked)[["id", "is_rebooked", "by_chance"]]
    mature = booked[booked["ends"] < AS_OF].merge(cancelled, on="id", how="left")
    expected = pd.DataFrame({carrier: net_rate(group) for carrier, group in mature.groupby("carrier")}).T

    found = tables["carrier_net_cancellations"].query("is_every_account and country == 'all'").set_index("carrier")

    pd.testing.assert_frame_equal(
        found[expected.columns].astype(float).sort_index(), expected.sort_index(), check_names=False, rtol=1e-9
    )
