"""Tests that charts, sentences and tables say what the views say, also about unusual pickups."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines import charts
from pipelines.charts import sentences, tables
from pipelines.charts.rows import whole_weeks
from pipelines.charts.words import plain, sentence
from tests.support.by_hand import FUTURE, cancelled, many, on_separate_days, pickup, run
from tests.support.cases import quick
from tests.support.frames import Frames, every_chart, every_sentence, every_table

pytestmark = pytest.mark.versions

Warehouse = Callable[..., Any]
KEPT_AND_CANCELLED = (pickup, cancelled)
NAMES = ["$\\frac{$ dpd", "<b>up$</b>", "**x** [a](http://b.c)", "a\x1b[31m\nb", "x" * 300]
UNUSUAL = {
    "nothing": [],
    "one kept": [pickup()],
    "one cancelled": [cancelled()],
    "none mature": many(cancelled, 7, **FUTURE) + many(pickup, 32, **FUTURE),
    "names like markup": [make(carrier=name) for name in NAMES for make in KEPT_AND_CANCELLED],
    "one stuck": [pickup(pickup_status="Announcing")],
    "one failed": [pickup(pickup_status="Failed")],
    "one without a window": [pickup(pickup_from=None, pickup_until=None)],
    "one without a time zone": [pickup(country="CH")],
    "one open-ended": [pickup(pickup_until=None)],
    "one that ends before it begins": [pickup(pickup_until="2026-03-10 08:00Z")],
    "one in 2035": [pickup(), pickup(pickup_from="2035-01-01 09:00Z", pickup_until="2035-01-01 10:00Z")],
    "all cancelled": on_separate_days(many(cancelled, 40) + many(cancelled, 40, carrier="ups")),
    "a gap of a year": [pickup(), cancelled(created_at="2025-01-01 09:00Z", pickup_from="2025-01-02 09:00Z")],
    "300 carriers": [make(carrier=f"carrier {n}") for n in range(300) for make in KEPT_AND_CANCELLED],
}


@pytest.mark.parametrize("pickups", quick([*UNUSUAL.values()], only=(0, 3, 4)), ids=[*UNUSUAL])
@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")  # other tests' objects can be freed during this one
def test_every_chart_sentence_and_table_is_made_over_unusual_pickups(
    warehouse: Warehouse, pickups: list[dict[str, Any]]
) -> None:
    frames = Frames(warehouse(*pickups))

    made = [draw() for draw in every_chart(frames)]
    said = every_sentence(frames)
    shown = every_table(frames)

    heights = [int.from_bytes(chart.png()[20:24]) for chart in made]  # in a PNG's first block
    assert max(heights) < 14 * 120  # inches and pixels per inch
    assert all(chart.alt for chart in made)
    assert all(isinstance(table, pd.DataFrame) for table in shown)
    text = " ".join(said)
    assert not re.search(r"nan|None|NaT|\b0 of 0\b|<b>|\$|\x1b|\]\(", text), text


@pytest.mark.parametrize(
    "runs",
    [
        [run(outcome="failed")],
        [run(outcome="failed", observed_at=None, started_at="2026-04-01 00:00Z", finished_at="2026-04-01 00:01Z")],
        [run(account="older", checks_failed=None), run(unknown_fields='{"colour": 2}', checks_failed='{"known": 1}')],
    ],
    ids=["a failed first load", "a first load that failed before its first page", "a run of an older version"],
)
def test_runs_of_every_kind_are_described(warehouse: Warehouse, runs: list[dict[str, Any]]) -> None:
    frames = Frames(warehouse(pickup(), runs=runs))

    said = " ".join(every_sentence(frames))

    assert all(draw().png() for draw in every_chart(frames)[-4:-2])
    assert ("No run has succeeded yet" in said) == (len(runs) == 1)
    assert len(tables.failed_runs(frames.runs)) == (1 if len(runs) == 1 else 0)
    assert len(tables.findings(frames.runs)) == (0 if len(runs) == 1 else 1)


def one_a_day(*groups: tuple[Any, int, int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns k of n pickups with an outcome for each group, no two of which were booked on the same day."""
    return on_separate_days(
        [made for make, k, n, changes in groups for made in many(make, k, **changes) + many(pickup, n - k, **changes)]
    )


def failed(**changes: Any) -> dict[str, Any]:
    return pickup(pickup_status="Failed", **changes)


HIGH_AND_LOW = "**{} more often than the other carriers: ups (50.0%). Less often: dpd (12.5%).**"
# Wilson: 20 of 40 is 0.351995 to 0.648005, and 10 of 80 is 0.069336 to 0.215028. Newcombe:
# 0.375 - sqrt(0.148005² + 0.090028²) = 0.201765, and 0.375 + sqrt(0.148005² + 0.055664²) = 0.533126
NEWCOMBE = (
    "Difference from the others: ups +37.5 percentage points (95% interval +20.2 to +53.3) and "
    "dpd −37.5 percentage points (95% interval −53.3 to −20.2)."
)


def test_carriers_that_clearly_differ_are_named_with_the_interval_of_the_difference(warehouse: Warehouse) -> None:
    con = warehouse(*one_a_day((cancelled, 10, 80, {"carrier": "dpd"}), (cancelled, 20, 40, {"carrier": "ups"})))
    cancellations = Frames(con).carrier_cancellations

    said = sentences.cancellation_rates(cancellations)
    chart = charts.cancellation_rates(cancellations)

    finding = HIGH_AND_LOW.format("Cancelled")
    assert said.startswith(f"{finding} {NEWCOMBE} Cancelled: 30 of 120 finished pickups, 25.0%.")
    assert chart.alt.startswith(finding[2:-3])
    (axes,) = chart.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["ups   n = 40", "dpd   n = 80"]
    assert {line.get_marker() for line in axes.lines} == {"^", "v"}  # a shape, and not only a colour


def test_failures_are_compared_like_cancellations(warehouse: Warehouse) -> None:
    con = warehouse(*one_a_day((failed, 10, 80, {"carrier": "dpd"}), (failed, 20, 40, {"carrier": "ups"})))

    said = sentences.failure_rates(Frames(con).carrier_cancellations)

    assert said == f"{HIGH_AND_LOW.format('Failed')} Failed: 30 of 120 finished pickups, 25.0%."


@pytest.mark.parametrize(
    ("rates", "order", "over_all"),
    [
        ({"dpd": (10, 40), "ups": (10, 40)}, ["dpd", "ups"], "25.0%"),
        ({"zeta": (14, 100), "gls": (5, 40), "alpha": (12, 100)}, ["zeta", "gls", "alpha"], "12.9%"),  # 31 of 240
    ],
    ids=["equal rates", "rates that differ no more than by chance"],
)
def test_no_carrier_is_named_without_evidence_and_the_view_decides_the_order(
    warehouse: Warehouse, rates: dict[str, tuple[int, int]], order: list[str], over_all: str
) -> None:
    con = warehouse(*one_a_day(*[(cancelled, k, n, {"carrier": name}) for name, (k, n) in rates.items()]))
    cancellations = Frames(con).carrier_cancellations

    assert sentences.cancellation_rates(cancellations).startswith(
        f"**No carrier stands out: {over_all} over all, and the differences can be chance.** Canc"
    )
    assert [*tables.carriers(cancellations).index] == order


@pytest.mark.parametrize(
    ("germans", "told"),
    [
        (
            10,
            "**Cancelled more often than the same carrier's other countries: dpd in NL (50.0%). Less often: dpd in DE "
            "(12.5%).** Difference",
        ),
        (38, "**No country stands out with any carrier.** The countries"),  # 50.0 and 47.5 %
    ],
)
def test_countries_are_named_only_if_they_stand_out(warehouse: Warehouse, germans: int, told: str) -> None:
    con = warehouse(*one_a_day((cancelled, 20, 40, {"country": "NL"}), (cancelled, germans, 80, {"country": "DE"})))

    assert sentences.country_rates(Frames(con).carrier_cancellations).startswith(told)


@pytest.mark.parametrize(
    ("of_eighty", "told"),
    [
        (10, "**Lead time: 0 to 6 h is higher (50.0%) and 96 h or more is lower (12.5%).** Difference"),
        (38, "**Lead time: no band stands out, 48.3% over all.**"),  # 58 of 120
    ],
)
def test_lead_times_are_named_only_if_they_stand_out(warehouse: Warehouse, of_eighty: int, told: str) -> None:
    pickups = one_a_day((cancelled, 20, 40, {}), (cancelled, of_eighty, 80, {}))
    hours = [3] * 40 + [100] * 80
    starts = [made["created_at"] + timedelta(hours=lead) for made, lead in zip(pickups, hours, strict=True)]
    con = warehouse(
        *(
            made | {"pickup_from": start, "pickup_until": start + timedelta(hours=3)}
            for made, start in zip(pickups, starts, strict=True)
        )
    )

    assert sentences.bands(Frames(con).cancellations_by_booking, "lead time").startswith(told)


def test_changed_rates_are_named_with_the_interval() -> None:
    row = {"carrier": "dhl", "is_every_account": True, "is_more_than_chance": True, "before_n": 900, "now_n": 800}
    row |= {"before_rate_at_one_mix": 0.08, "now_rate_at_one_mix": 0.121, "difference": 0.041}
    row |= {"difference_low": 0.022, "difference_high": 0.06, "now_starts_utc": datetime(2026, 3, 2)}  # noqa: DTZ001
    changes = pd.DataFrame([row | {"now_ends_utc": datetime(2026, 3, 30)}])  # noqa: DTZ001

    assert sentences.changes(changes) == (
        "**Changed by more than chance: dhl 8.0% before, 12.1% now.** This compares the windows that ended from Mon 2 "
        "Mar 2026 until Mon 30 Mar 2026 with those of the four weeks before. Difference: dhl +4.1 percentage points "
        "(95% interval +2.2 to +6.0)."
    )
    assert "No carrier's rate has changed" in sentences.changes(changes.assign(is_more_than_chance=False))
    assert charts.changes(changes).png()


def test_expected_cancellations_name_only_carriers_that_stand_out() -> None:
    row = {"is_every_account": True, "n": 400, "comparable_share": 1.0, "ratio_low": 1.1, "ratio_high": 1.5}
    row |= {f"funnel_{limit}_{end}": 0.9 for limit in ("95", "998") for end in ("low", "high")}
    rows = [row | {"carrier": "dhl", "ratio": 1.25, "stands_out": "higher"}]
    rows += [row | {"carrier": "ups", "ratio": 0.97, "stands_out": "no"}]

    said = sentences.expected(pd.DataFrame(rows))

    assert said == "**More cancellations than expected: dhl (1.25 times, 95% interval 1.10 to 1.50).**"


def test_a_picture_has_an_alternative_text_without_markup(warehouse: Warehouse) -> None:
    con = warehouse(*(make(carrier='<b>"x"') for make in KEPT_AND_CANCELLED))
    chart = charts.cancellation_rates(Frames(con).carrier_cancellations)

    shown, _ = chart._repr_mimebundle_()

    assert shown["text/plain"].startswith('<b>"x" is the only carrier with a rate, so there is nothing to compare.')
    assert shown["text/html"].startswith('<img alt="&lt;b&gt;&quot;x&quot; is the only carrier with a rate, so')


def test_a_carrier_with_two_pickups_does_not_set_the_scale(warehouse: Warehouse) -> None:
    groups = [(cancelled, 10, 100, {"carrier": "dpd"}), (cancelled, 8, 100, {"carrier": "ups"})]
    con = warehouse(*one_a_day(*groups, (cancelled, 1, 2, {"carrier": "small"})))

    (axes,) = charts.cancellation_rates(Frames(con).carrier_cancellations).axes

    assert axes.get_xlim()[1] < 25  # dpd's interval ends below 20 %, and that of 1 of 2 at 91 %
    assert "50.0 % " in [text.get_text() for text in axes.texts]  # the rate beyond the scale is written there


# --- weeks

MONDAYS = ["2026-02-02", "2026-02-09", "2026-02-16", "2026-02-23", "2026-03-02", "2026-03-09"]


def bookings_of_week(monday: str, cancelled_of_ten: int, **changes: Any) -> list[dict[str, Any]]:
    """Returns ten pickups booked on that Monday for the next day, `cancelled_of_ten` of which are cancelled."""
    booked = datetime.fromisoformat(f"{monday} 09:00Z")
    times = {
        "created_at": booked,
        "pickup_from": booked + timedelta(hours=24),
        "pickup_until": booked + timedelta(hours=27),
    }
    gone = many(cancelled, cancelled_of_ten, **times | {"cancelled_at": booked + timedelta(hours=1)} | changes)
    return gone + many(pickup, 10 - cancelled_of_ten, **times | changes)


def test_a_week_is_complete_only_if_every_carrier_is_mature(warehouse: Warehouse) -> None:
    """The last two weeks of the slow carrier are not mature: one of its eleven pickups has a window in the future."""
    quickly = [made for monday in MONDAYS for made in bookings_of_week(monday, 1)]
    slowly = [made for monday in MONDAYS for made in bookings_of_week(monday, 3, carrier="ups")]
    late = [pickup(carrier="ups", created_at=f"{monday} 09:00Z", **FUTURE) for monday in MONDAYS[-2:]]
    weekly = Frames(warehouse(*quickly, *slowly, *late)).carrier_cancellations_weekly

    assert sentences.weeks(weekly) == "**Complete for every carrier: 4 of 6 weeks.**"


def test_weeks_without_pickups_are_a_gap_in_the_line(warehouse: Warehouse) -> None:
    weeks = (MONDAYS[0], MONDAYS[1], MONDAYS[5])
    con = warehouse(*(made for monday in weeks for made in bookings_of_week(monday, 1)))

    (axes,) = charts.weekly_rates(Frames(con).carrier_cancellations_weekly).axes

    line = [float(rate) for rate in axes.lines[0].get_ydata()]  # type: ignore[union-attr]
    assert [None if rate != rate else round(rate, 9) for rate in line] == [10, 10, None, None, None, 10]


@pytest.mark.parametrize(
    ("since", "until", "complete_weeks"),
    quick(
        [
            ("2026-02-08", None, MONDAYS[1:]),
            ("2026-02-09", None, MONDAYS[2:]),  # its first local hour is Sunday in UTC
            ("2026-02-11", None, MONDAYS[2:]),
            (None, "2026-03-09", MONDAYS[:5]),
            (None, "2026-03-08", MONDAYS[:4]),
            ("2026-02-08", "2026-03-11", MONDAYS[1:5]),
            (None, None, MONDAYS),
        ],
        only=(1, 5),
    ),
)
def test_a_week_that_since_or_until_cuts_into_is_incomplete(
    warehouse: Warehouse, since: str | None, until: str | None, complete_weeks: list[str]
) -> None:
    con = warehouse(*(made for monday in MONDAYS for made in bookings_of_week(monday, 1)))

    rows = whole_weeks(Frames(con).carrier_cancellations_weekly, since, until)

    assert [f"{monday:%Y-%m-%d}" for monday in rows[rows["is_whole"]]["booked_week_local_start"]] == complete_weeks


# --- words and tables


def test_an_account_that_was_last_read_days_ago_is_named(warehouse: Warehouse) -> None:
    runs = [run("a"), run("b", "2026-03-31 12:00Z"), run("c", "2026-03-20 08:00Z")]
    con = warehouse(*(pickup(account=name) for name in "abc"), runs=runs)

    assert sentences.overview(Frames(con).carrier_cancellations) == (
        "**3 pickups of 1 carrier, as of 2026-03-31 12:00 UTC, account c only as of 2026-03-20 08:00 UTC.** "
        "3 are mature."
    )


def test_the_first_week_of_a_shop_tells_what_is_known_already(warehouse: Warehouse) -> None:
    con = warehouse(*many(cancelled, 7, **FUTURE), *many(pickup, 32, **FUTURE))
    frames = Frames(con)

    assert sentences.overview(frames.carrier_cancellations) == (
        "**No rate is known yet, because no pickup has finished.** 39 pickups of 1 carrier, as of 2026-04-01 00:00 "
        "UTC. 39 pickups booked, 7 cancelled already."
    )
    assert sentences.upcoming(frames.upcoming_pickups) == (
        "**Next: 32 pickups on Fri 10 Apr 2026.** Too few past pickups to say how many will be cancelled. In all, 32 "
        "pickups are to come until Fri 10 Apr 2026."
    )


def test_words_from_the_data_are_never_markup() -> None:
    assert plain("a_b _c_ www.x.com 12.5% <b>") == "a_b &#95;c&#95; www&#46;x&#46;com 12.5% &#60;b&#62;"
    assert sentence(["<b> is x.", "", "y."]) == "**&#60;b&#62; is x.** y."


def test_a_table_is_saved_as_parquet_and_as_csv_without_formulas(tmp_path: Path) -> None:
    at = pd.Timestamp("2026-03-10 12:00")
    rows = pd.DataFrame(
        {"name": ["=1+1", "a<b"], "n": [1, 2], "rate": [0.5, None], "at": [at, None], "is": [True, False]}
    )

    tables.save(rows, tmp_path / "t.csv")
    tables.save(rows, tmp_path / "t.parquet")

    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "name,n,rate,at,is",
        "'=1+1,1,0.5,2026-03-10T12:00:00,True",
        "a<b,2,,,False",
    ]
    assert pd.read_parquet(tmp_path / "t.parquet").equals(rows)
    with pytest.raises(ValueError, match=r"must end in \.csv"):
        tables.save(rows, tmp_path / "t.txt")
