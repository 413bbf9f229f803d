"""Compares the views with an independent pandas calculation, which reads the world itself and uses none of our code.

Counts must be equal. Ratios and quantiles must agree to within 1e-9. A real run loads each of the two seeded worlds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipelines.warehouse import read
from sources.sendcloud.sandbox import World, serve
from tests.support.cases import quick
from tests.support.installation import Installation
from tests.support.regression import effects_like_with_like, expected_change
from tests.support.worlds import NOW

PICKUPS = int(os.environ.get("PICKUPS_IN_A_WORLD", "10000"))  # make soak uses 50,000
ZONES = {
    "NL": "Europe/Amsterdam", "BE": "Europe/Brussels", "DE": "Europe/Berlin", "ES": "Europe/Madrid",
    "FR": "Europe/Paris", "IT": "Europe/Rome", "AT": "Europe/Vienna", "PT": "Europe/Lisbon", "GB": "Europe/London",
}  # fmt: skip
TIMES = ("created_at", "pickup_from", "pickup_until", "cancelled_at")
Views = dict[str, pd.DataFrame]


def expected_pickups(world: World) -> pd.DataFrame:
    """Returns the world's records with the states, maturity, hours and local times that are expected for each."""
    pickups = pd.DataFrame(world.records()).reindex(
        columns=["id", "carrier", "country", "contract", "pickup_status", *TIMES]
    )
    for name in TIMES:
        pickups[name] = pd.to_datetime(pickups[name], utc=True, format="ISO8601")
    status = pickups["pickup_status"].str.lower()
    pickups["cancelled"] = (status == "cancelled") | pickups["cancelled_at"].notna()
    pickups["failed"] = (status == "failed") & ~pickups["cancelled"]
    pickups["pending"] = (status == "announcing") & ~pickups["cancelled"]
    pickups["kept"] = ~(pickups["cancelled"] | pickups["failed"] | pickups["pending"])
    pickups["mature"] = pickups[["pickup_from", "pickup_until"]].max(axis=1) < pd.Timestamp(NOW)
    hour = pd.Timedelta(hours=1)
    pickups["length"] = ((pickups["pickup_until"] - pickups["pickup_from"]) / hour).where(lambda hours: hours > 0)
    pickups["lead"] = ((pickups["pickup_from"] - pickups["created_at"]) / hour).where(lambda hours: hours >= 0)
    for name in ("created_at", "pickup_from"):
        parts = [
            group[name].dt.tz_convert(ZoneInfo(ZONES[str(country)])).dt.tz_localize(None)
            for country, group in pickups.groupby("country")
        ]
        pickups[f"{name}_local"] = pd.concat(parts)
    return pickups


@pytest.fixture(scope="module", params=quick([1, 2]), ids="world {}".format)
def pickups_and_views(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[pd.DataFrame, Views]]:
    """Yields the world's pickups as pandas computes them, and the views after one run."""
    folder = tmp_path_factory.mktemp("blind")
    (folder / ".dlt").mkdir()
    world = World.seeded(PICKUPS, seed=request.param, until=NOW)
    with pytest.MonkeyPatch.context() as patched, serve(world) as api:
        installation = Installation(folder, patched)
        installation.run(api)
        names = ["carrier_cancellations", "carrier_cancellations_weekly", "carrier_windows", "carrier_window_grid"]
        names += ["cancellation_changes", "carrier_expected", "upcoming_pickups"]
        views = {name: read(name, installation.published) for name in names}
        yield expected_pickups(world), {name: view[view["is_every_account"]] for name, view in views.items()}


def wilson(p: Any, n: Any, z: Any) -> tuple[Any, Any]:
    """Returns the bounds of the Wilson interval, from the textbook formulas for its centre and half-width."""
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return centre - half, centre + half


def clustered(days: pd.DataFrame) -> pd.Series:
    """Returns the number of clusters, the design effect and the interval of a group.

    Args:
        days: one row per local day of booking, with k of n pickups cancelled. All pickups belong to one account.
    """
    k, n, clusters = days["k"].sum(), days["n"].sum(), len(days)
    p = k / n
    independent = p * (1 - p) / (n - 1) if n > 1 else float("nan")
    effect, quantile = 1.0, stats.norm.ppf(0.975)
    if clusters < 10:
        effect = 1 + ((days["n"] ** 2).sum() / n - 1) / 3
    else:
        variance = clusters / (clusters - 1) * ((days["k"] - p * days["n"]) ** 2).sum() / n**2
        if variance > independent * (1 + 1e-9):
            effect, quantile = variance / independent, stats.t.ppf(0.975, clusters - 1)
    low, high = wilson(p, n / effect, quantile)
    names = ("clusters", "design_effect", "cancellation_rate_low", "cancellation_rate_high")
    return pd.Series(dict(zip(names, (clusters, effect, low, high), strict=True)))


def expected_rates(pickups: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Returns the counts, cancellation rates and cluster-robust intervals for each combination of the keys."""
    mature = pickups[pickups["mature"]]
    counts = pickups.groupby(keys).agg(pickups=("id", "size"), mature_pickups=("mature", "sum"))
    for state in ("cancelled", "kept", "failed"):
        counts[f"mature_{state}"] = mature.groupby(keys)[state].sum()
    counts = counts.fillna(0)
    counts["rated"] = counts["mature_cancelled"] + counts["mature_kept"]
    counts["cancellation_rate"] = counts["mature_cancelled"] / counts["rated"].where(counts["rated"] > 0)
    rated = mature[mature["cancelled"] | mature["kept"]]
    rated = rated.assign(day=rated["created_at_local"].dt.floor("D"))
    days = rated.groupby([*keys, "day"]).agg(k=("cancelled", "sum"), n=("id", "size")).reset_index()
    return counts.join(days.groupby(keys)[["k", "n"]].apply(clustered))


def assert_equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Asserts that the counts are equal and that all other values agree to within 1e-9."""
    assert len(found) == len(expected) > 0
    found = found[expected.columns].sort_index()
    for name in expected.columns:
        tolerance = 0 if found[name].dtype.kind in "iu" else 1e-9
        wanted = expected[name].sort_index().astype(float)
        pd.testing.assert_series_equal(
            found[name].astype(float), wanted, check_names=False, check_index_type=False, rtol=tolerance, atol=tolerance
        )


def test_rates_by_carrier_and_country_match_pandas(pickups_and_views: tuple[pd.DataFrame, Views]) -> None:
    pickups, views = pickups_and_views
    found = views["carrier_cancellations"].set_index(["carrier", "country"])

    by_carrier = expected_rates(pickups, ["carrier"])
    k, n = by_carrier["mature_cancelled"], by_carrier["rated"]
    others = (k.sum() - k) / (n.sum() - n)
    by_carrier = by_carrier.assign(others_rate=others, difference=by_carrier["cancellation_rate"] - others)
    assert_equal(found.xs("all", level="country"), by_carrier)
    assert_equal(found.drop("all", level="country"), expected_rates(pickups, ["carrier", "country"]))


def test_rates_by_booking_week_match_pandas(pickups_and_views: tuple[pd.DataFrame, Views]) -> None:
    pickups, views = pickups_and_views
    week = "booked_week_local_start"
    monday = pickups["created_at_local"].dt.to_period("W-SUN").dt.start_time.astype("datetime64[us]")
    found = views["carrier_cancellations_weekly"].astype({week: "datetime64[us]"})

    assert_equal(
        found.set_index(["carrier", week]), expected_rates(pickups.assign(**{week: monday}), ["carrier", week])
    )


def test_window_lengths_and_lead_times_match_pandas(pickups_and_views: tuple[pd.DataFrame, Views]) -> None:
    pickups, views = pickups_and_views
    by_carrier = pickups.groupby("carrier")
    expected = pd.DataFrame(
        {
            "pickups": by_carrier.size(),
            "windows_measured": by_carrier["length"].count(),
            "lead_times_measured": by_carrier["lead"].count(),
            "open_ended": (pickups["pickup_from"].notna() & pickups["pickup_until"].isna())
            .groupby(pickups["carrier"])
            .sum(),
            **{
                f"{label}_{column}_hours": by_carrier[measure].quantile(share)
                for label, share in (("p10", 0.1), ("median", 0.5), ("p90", 0.9))
                for measure, column in (("length", "window"), ("lead", "lead_time"))
            },
        }
    )

    assert_equal(views["carrier_windows"].set_index("carrier"), expected)


def test_window_grid_by_local_weekday_and_hour_matches_pandas(pickups_and_views: tuple[pd.DataFrame, Views]) -> None:
    pickups, views = pickups_and_views
    opens = pickups["pickup_from_local"]
    keys = [
        pickups["carrier"],
        opens.dt.day_of_week.add(1).rename("window_opens_isodow_local"),
        opens.dt.hour.rename("window_opens_hour_local"),
    ]
    expected = pickups.groupby(keys).size().to_frame("pickups")

    found = views["carrier_window_grid"].set_index(list(expected.index.names))
    assert_equal(found, expected)


def hours_before(hours: float) -> int | None:
    """Returns the number of hours as which `upcoming_pickups` counts the hours until a window opens."""
    steps = [*range(13), *range(16, 49, 4), *range(60, 97, 12), *range(120, 721, 24)]
    nearest = min(steps, key=lambda step: (abs(step - hours), -step))
    return nearest if hours < 732 else None


def test_expected_cancellations_match_pandas(pickups_and_views: tuple[pd.DataFrame, Views]) -> None:
    """The world has a single account, so that an account's pickups are also those of the carrier over all accounts."""
    pickups, views = pickups_and_views
    hour, opens = pd.Timedelta(hours=1), pickups["pickup_from"]
    past = pickups[pickups["mature"] & ~pickups["failed"] & ~(pickups["cancelled"] & pickups["cancelled_at"].isna())]
    lead = (past["pickup_from"] - past["created_at"]) / hour
    notice = (past["pickup_from"] - past["cancelled_at"]).div(hour).where(past["cancelled"], float("-inf"))

    def chance(carrier: str, before: int | None) -> float:
        if before is None:
            return float("nan")
        alive = past[(lead >= before) & (notice <= before)]
        own = alive[alive["carrier"] == carrier]
        if len(alive) < 30:
            return float("nan")
        of_carrier = (own["cancelled"].sum() + 20 * alive["cancelled"].mean()) / (len(own) + 20)
        return float((own["cancelled"].sum() + 20 * of_carrier) / (len(own) + 20))

    coming = pickups[(opens > pd.Timestamp(NOW)) & ~pickups["cancelled"] & ~pickups["failed"]].copy()
    ahead = ((coming["pickup_from"] - pd.Timestamp(NOW)) / hour).map(hours_before)
    coming["chance"] = [chance(*pair) for pair in zip(coming["carrier"], ahead, strict=True)]
    local = coming["pickup_from_local"]
    keys = [
        coming["carrier"],
        local.dt.floor("D").astype("datetime64[us]").rename("window_opens_day_local"),
        local.dt.hour.rename("window_opens_hour_local"),
    ]
    expected = coming.groupby(keys).agg(
        pickups=("id", "size"),
        pending=("pending", "sum"),
        expected_cancellations=("chance", lambda chances: chances.sum(min_count=1)),
        without_estimate=("chance", lambda chances: chances.isna().sum()),
    )

    found = views["upcoming_pickups"].astype({"window_opens_day_local": "datetime64[us]"})
    assert_equal(found.set_index(list(expected.index.names)), expected)


def test_changes_match_a_regression_in_numpy(pickups_and_views: tuple[pd.DataFrame, Views]) -> None:
    pickups, views = pickups_and_views
    end = pd.Timestamp(NOW).tz_localize(None).to_period("W-SUN").start_time.tz_localize("UTC")
    ends = pickups[["pickup_from", "pickup_until"]].max(axis=1)
    in_period = (ends >= end - pd.Timedelta(weeks=8)) & (ends < end)
    rated = pickups[in_period & pickups["mature"] & (pickups["cancelled"] | pickups["kept"])]
    lead = pd.cut(rated["lead"].fillna(96), [0, 24, 96, np.inf], right=False).cat.codes
    rated = rated.assign(
        is_now=ends >= end - pd.Timedelta(weeks=4),
        stratum=rated["country"].astype("category").cat.codes * 10 + lead,
        day=rated["created_at_local"].dt.floor("D"),
    )
    found = views["cancellation_changes"].set_index("carrier")
    expected = pd.DataFrame({name: expected_change(group) for name, group in rated.groupby("carrier")}).T

    assert set(found["clustered_by"]) == {"account and day"}
    assert_equal(found, expected)


def test_observed_against_expected_match_pandas(pickups_and_views: tuple[pd.DataFrame, Views]) -> None:
    pickups, views = pickups_and_views
    rated = pickups[pickups["mature"] & (pickups["cancelled"] | pickups["kept"])]
    lead = pd.cut(rated["lead"].fillna(96), [0, 24, 96, np.inf], right=False).cat.codes
    length = pd.cut(rated["length"].fillna(-1), [-1, 0, 2, 4, 8, np.inf], right=False).cat.codes
    alike = rated["cancelled"].groupby([rated["country"], lead, length])
    share, size = alike.transform("mean"), alike.transform("size")
    own = rated.groupby([rated["country"], lead, length, rated["carrier"]])["id"].transform("size")
    variance = share * (1 - share) * size / (size - 1) * (1 - own / size)
    by_carrier = rated["carrier"]
    expected = pd.DataFrame(
        {
            "n": rated.groupby("carrier").size(),
            "observed": rated.groupby("carrier")["cancelled"].sum(),
            "expected": share.groupby(by_carrier).sum(),
            "comparable_share": (own < size).groupby(by_carrier).mean(),
        }
    )
    independent = variance.where(own < size, 0).groupby(by_carrier).sum()
    day = rated["created_at_local"].dt.floor("D")
    stratum = rated.groupby([rated["country"], lead, length]).ngroup()
    expected["design_effect"] = effects_like_with_like(rated.assign(stratum=stratum, day=day), independent)
    error = (independent * expected["design_effect"]) ** 0.5
    expected["ratio"] = expected["observed"] / expected["expected"]
    expected["standardized_rate"] = expected["ratio"] * rated["cancelled"].mean()
    expected["score"] = (expected["observed"] - expected["expected"]) / error

    assert_equal(views["carrier_expected"].set_index("carrier"), expected)
