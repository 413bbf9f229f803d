"""The views against a second, independent calculation: pandas, from the world itself, nothing of ours in between.

Counts must be equal, ratios and quantiles to 1e-9. Two seeded worlds, each loaded by a real run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from pipelines.warehouse import read
from sources.sendcloud.sandbox import World, serve
from tests.support.cases import quick
from tests.support.installation import Installation
from tests.support.worlds import NOW

PICKUPS = int(os.environ.get("PICKUPS_IN_A_WORLD", "10000"))  # make soak: 50,000
ZONES = {
    "NL": "Europe/Amsterdam", "BE": "Europe/Brussels", "DE": "Europe/Berlin", "ES": "Europe/Madrid",
    "FR": "Europe/Paris", "IT": "Europe/Rome", "AT": "Europe/Vienna", "PT": "Europe/Lisbon", "GB": "Europe/London",
}  # fmt: skip
TIMES = ("created_at", "pickup_from", "pickup_until", "cancelled_at")
Views = dict[str, pd.DataFrame]


def frame_of(world: World) -> pd.DataFrame:
    """The world's records with what a person would work out for each: states, maturity, hours, local times."""
    told = pd.DataFrame(world.records()).reindex(
        columns=["id", "carrier", "country", "contract", "pickup_status", *TIMES]
    )
    for name in TIMES:
        told[name] = pd.to_datetime(told[name], utc=True, format="ISO8601")
    status = told["pickup_status"].str.lower()
    told["cancelled"] = (status == "cancelled") | told["cancelled_at"].notna()
    told["failed"] = (status == "failed") & ~told["cancelled"]
    told["pending"] = (status == "announcing") & ~told["cancelled"]
    told["kept"] = ~(told["cancelled"] | told["failed"] | told["pending"])
    told["mature"] = told[["pickup_from", "pickup_until"]].max(axis=1) < pd.Timestamp(NOW)
    hour = pd.Timedelta(hours=1)
    told["length"] = ((told["pickup_until"] - told["pickup_from"]) / hour).where(lambda hours: hours > 0)
    told["lead"] = ((told["pickup_from"] - told["created_at"]) / hour).where(lambda hours: hours >= 0)
    for name in ("created_at", "pickup_from"):
        parts = [
            group[name].dt.tz_convert(ZoneInfo(ZONES[str(country)])).dt.tz_localize(None)
            for country, group in told.groupby("country")
        ]
        told[f"{name}_local"] = pd.concat(parts)
    return told


@pytest.fixture(scope="module", params=quick([1, 2]), ids="world {}".format)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[pd.DataFrame, Views]]:
    """What pandas makes of the world, and what the views say after one run."""
    folder = tmp_path_factory.mktemp("blind")
    (folder / ".dlt").mkdir()
    world = World.seeded(PICKUPS, seed=request.param, until=NOW)
    with pytest.MonkeyPatch.context() as patched, serve(world) as api:
        installation = Installation(folder, patched)
        installation.run(api)
        names = ["carrier_cancellations", "carrier_cancellations_weekly", "carrier_windows", "carrier_window_grid"]
        yield frame_of(world), {name: read(name, installation.published) for name in names}


def wilson(k: Any, n: Any) -> tuple[Any, Any]:
    """As in any textbook: centre and half width."""
    z = 1.959963984540054
    share = k / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return centre - half, centre + half


def rates(told: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    mature = told[told["mature"]]
    counts = told.groupby(keys).agg(pickups=("id", "size"), mature_pickups=("mature", "sum"))
    for state in ("cancelled", "kept", "failed"):
        counts[f"mature_{state}"] = mature.groupby(keys)[state].sum()
    counts = counts.fillna(0)
    counts["rated"] = counts["mature_cancelled"] + counts["mature_kept"]
    counts["cancellation_rate"] = counts["mature_cancelled"] / counts["rated"].where(counts["rated"] > 0)
    low, high = wilson(counts["mature_cancelled"], counts["rated"].where(counts["rated"] > 0))
    return counts.assign(cancellation_rate_low=low, cancellation_rate_high=high)


def assert_equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Counts exactly, everything else to 1e-9."""
    assert len(found) == len(expected) > 0
    found = found[expected.columns].sort_index()
    for name in expected.columns:
        tolerance = 0 if found[name].dtype.kind in "iu" else 1e-9
        theirs = expected[name].sort_index().astype(float)
        pd.testing.assert_series_equal(
            found[name].astype(float), theirs, check_names=False, check_index_type=False, rtol=tolerance, atol=tolerance
        )


def test_rates_by_carrier_and_by_country(both: tuple[pd.DataFrame, Views]) -> None:
    told, views = both
    found = views["carrier_cancellations"].set_index(["carrier", "country"])

    assert_equal(found.xs("all", level="country"), rates(told, ["carrier"]))
    assert_equal(found.drop("all", level="country"), rates(told, ["carrier", "country"]))


def test_rates_by_week_of_booking(both: tuple[pd.DataFrame, Views]) -> None:
    told, views = both
    week = "booked_week_local_start"
    monday = told["created_at_local"].dt.to_period("W-SUN").dt.start_time.astype("datetime64[us]")
    found = views["carrier_cancellations_weekly"].astype({week: "datetime64[us]"})

    assert_equal(found.set_index(["carrier", week]), rates(told.assign(**{week: monday}), ["carrier", week]))


def test_lengths_and_lead_times(both: tuple[pd.DataFrame, Views]) -> None:
    told, views = both
    by_carrier = told.groupby("carrier")
    expected = pd.DataFrame(
        {
            "pickups": by_carrier.size(),
            "windows_measured": by_carrier["length"].count(),
            "lead_times_measured": by_carrier["lead"].count(),
            "open_ended": (told["pickup_from"].notna() & told["pickup_until"].isna()).groupby(told["carrier"]).sum(),
            **{
                f"{label}_{column}_hours": by_carrier[measure].quantile(share)
                for label, share in (("p10", 0.1), ("median", 0.5), ("p90", 0.9))
                for measure, column in (("length", "window"), ("lead", "lead_time"))
            },
        }
    )

    assert_equal(views["carrier_windows"].set_index("carrier"), expected)


def test_the_grid_of_local_weekdays_and_hours(both: tuple[pd.DataFrame, Views]) -> None:
    told, views = both
    opens = told["pickup_from_local"]
    keys = [
        told["carrier"],
        opens.dt.day_of_week.add(1).rename("window_opens_isodow_local"),
        opens.dt.hour.rename("window_opens_hour_local"),
    ]
    expected = told.groupby(keys).size().to_frame("pickups")

    found = views["carrier_window_grid"].set_index(list(expected.index.names))
    assert_equal(found, expected)
