"""Compares the views of the status history with an independent pandas calculation, over histories that are random."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.support.cases import quick
from tests.support.unlikely_rows import unlikely

HOUR = pd.Timedelta(hours=1)
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module", params=quick([5, 6]), ids="seed {}".format)
def tables(request: pytest.FixtureRequest) -> Tables:
    """Returns the pickups with the states that were observed, and the views of the history, for all accounts."""
    names = ("analytics.pickups", "sendcloud.pickup_status_history", "analytics.acceptance_times",
             "analytics.stuck_pickups", "analytics.moved_windows")  # fmt: skip
    with unlikely(seed=request.param) as connection:
        frames = {
            name.split(".")[1]: connection.sql(f"select * from {name}").to_arrow_table().to_pandas() for name in names
        }
    for frame in frames.values():
        for name in frame.select_dtypes(["datetimetz", "datetime64"]):
            frame[name] = pd.to_datetime(frame[name], utc=True)
    return frames


def observed(tables: Tables) -> pd.DataFrame:
    """Returns the pickups with the times of their first observation and acceptance."""
    history = tables["pickup_status_history"].rename(columns={"id": "pickup_id"})
    keys = ["account", "pickup_id"]
    waits = history["pickup_status"].str.lower().isin(["announcing", "failed", "cancelled"])
    pickups = tables["pickups"].dropna(subset=keys)
    pickups = pickups.join(history.groupby(keys)["observed_at"].min().rename("first"), on=keys)
    pickups = pickups.join(history[~waits].groupby(keys)["observed_at"].min().rename("accepted"), on=keys)
    first_run = history.groupby("account")["observed_at"].min()
    booked = pickups["created_at_utc"]
    pickups["watched"] = (booked >= pickups["account"].map(first_run)) & (pickups["first"] - booked <= 24 * HOUR)
    minutes = (pickups["accepted"] - booked).clip(lower=0 * HOUR).dt.floor("min")
    pickups["hours"] = (minutes / HOUR).where(pickups["watched"])
    return pickups


def test_times_to_acceptance_match_pandas(tables: Tables) -> None:
    pickups = observed(tables)
    times = tables["acceptance_times"].query("is_every_account and carrier != 'unknown'")
    groups = {str(name): group for name, group in pickups.groupby("carrier")} | {"all": pickups}

    assert set(times["carrier"]) == set(groups)
    for row in times.to_dict("records"):
        group = groups[row["carrier"]]
        open_ones = group[group["watched"] & group["hours"].isna()]
        at_first = group["watched"] & (group["accepted"] == group["first"])
        counts = (group["watched"].sum(), group["hours"].count(), at_first.sum())
        assert counts == (row["watched"], row["accepted"], row["accepted_at_first_observation"])
        for state in ("failed", "cancelled", "pending"):
            assert open_ones[f"is_{state}"].sum() == row[state]
        for name, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
            assert row[f"{name}_hours_to_acceptance"] == pytest.approx(group["hours"].quantile(share), rel=1e-9)


def test_stuck_pickups_match_pandas(tables: Tables) -> None:
    pickups = observed(tables)
    hours = pickups["hours"].dropna()
    by_carrier = hours.groupby(pickups["carrier"]).agg(["size", lambda group: group.quantile(0.99)])
    by_carrier.columns = pd.Index(["n", "p99"])
    own = pickups["carrier"].map(by_carrier.query("n >= 100")["p99"])
    limit = own.fillna(hours.quantile(0.99) if len(hours) >= 100 else float("inf"))
    waited = (pickups["as_of_utc"] - pickups["created_at_utc"]) / HOUR
    expected = pickups[pickups["is_pending"] & (pickups["is_mature"] | (waited > limit))]

    found = tables["stuck_pickups"]
    assert sorted(found["pickup_id"]) == sorted(expected["pickup_id"])
    assert found["is_longer_than_p99"].sum() == (pickups["is_pending"] & (waited > limit)).sum()


def test_moved_windows_match_pandas(tables: Tables) -> None:
    history = tables["pickup_status_history"].rename(columns={"id": "pickup_id"})
    states = history.groupby(["account", "pickup_id"])
    first, opens, ends = states["observed_at"].min(), states["pickup_from"], states["pickup_until"]
    counts = pd.DataFrame({"watched": first < opens.min(), "is_other": (opens.nunique() > 1) | (ends.nunique() > 1)})
    counts["moved"] = counts["watched"] & counts["is_other"]
    counts = counts.join(tables["pickups"].set_index(["account", "pickup_id"])["carrier"])

    found = (
        tables["moved_windows"]
        .query("is_every_account and carrier != 'unknown'")
        .set_index("carrier")[["watched", "moved"]]
    )
    expected = counts.groupby("carrier")[["watched", "moved"]].sum()
    pd.testing.assert_frame_equal(found.sort_index(), expected.sort_index(), check_dtype=False)
