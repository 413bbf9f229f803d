"""Builds the section on cancellations of pickups that were only moved."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.output import visible
from pipelines.report.gather import Choices
from pipelines.report.glance.marks import scale_end
from pipelines.report.sections.charts import Range, quarters, ranges
from pipelines.report.sections.section import Answer, Section, answer_of, place_of
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import Row, Selection, Store
from pipelines.wording.comparisons import net_rates
from pipelines.wording.numbers import interval, percent

MOST_RANGES = 20
FOLLOWS = (("account", "carrier", "country"),)
ABOUT = (
    "A pickup can't be edited: to move it, a shop cancels it and books another. The net rate leaves out cancellations "
    "that a booking of the same account, carrier, country and contract followed within 24 hours, beyond what chance "
    "explains. The square marks the rate with them."
)
COLUMNS = [
    Column("Carrier", "text"),
    Column("Cancelled"),
    Column("Net", about="Without cancellations that were rebooked on purpose"),
    Column("95% interval"),
    Column("Rebooked", about="A matching booking followed within 24 hours"),
    Column("By chance", about="How many a matching booking would have followed anyway"),
]
Plain = Mapping[tuple[str | None, str | None, str], float]


def rebookings_section(store: Store, choices: Choices, plain: Plain) -> Section:
    """Returns the rates without cancellations of pickups that were only moved.

    Args:
        store: the published tables.
        choices: the choices of the page.
        plain: the cancellation rate by account, country and carrier. None stands for all accounts or countries.
    """
    store.select(Selection())
    rows = {
        (None if row["is_every_account"] else row["account"], None if row["country"] == "all" else row["country"],
         row["carrier"]): row
        for row in store.rows("carrier_net_cancellations")
        if row["net_cancellation_rate"] is not None
    }  # fmt: skip
    found = {place: (row, plain[place]) for place, row in rows.items() if plain.get(place) is not None}
    first = [found[None, None, name] for name in choices.carriers if (None, None, name) in found]
    answer, answers = _answer(first), {}
    for a, account in enumerate(choices.accounts):
        for n, country in enumerate(choices.countries):
            own = [found.get((account, country, name)) for name in choices.carriers]
            for c, chosen in enumerate([own, *([one] for one in own)]):
                if known := [one for one in chosen if one]:
                    answers[place_of(0, a, c, n)] = _answer(known)
    table = Table("rebookings", "Rates without rebookings", COLUMNS, answer.rows[0])
    command = "pickups show carrier_net_cancellations"
    picture = _picture(answer.finding, first)
    return Section(
        "rebookings", "Cancelled or only moved", answer.finding, picture, [table], ABOUT, command, FOLLOWS, answers
    )


def _answer(found: list[tuple[Row, float]]) -> Answer:
    finding = " ".join(net_rates([row for row, _ in found])) or "No cancellation is known yet."
    return answer_of(finding, Table("", "", COLUMNS, [_cells(row, rate) for row, rate in found]))


def _cells(row: Row, rate: float) -> list[str]:
    bounds = interval(row["net_cancellation_rate_low"], row["net_cancellation_rate_high"])
    counts = [f"{row['mature_rebooked']:,}", f"{row['rebooked_by_chance'] or 0:,.0f}"]
    return [visible(row["carrier"]), percent(rate), percent(row["net_cancellation_rate"]), bounds, *counts]


def _picture(finding: str, found: list[tuple[Row, float]]) -> str:
    drawn, values = [], []
    for row, rate in found[:MOST_RANGES]:
        low, net, high = (row[f"net_cancellation_rate{name}"] for name in ("_low", "", "_high"))
        if low is not None:
            words = f"net {percent(net)}, all cancellations {percent(rate)}"
            drawn.append(Range(visible(row["carrier"]), low, net, high, rate, words))
            values += [(max(net, rate), int(row["net_rated"])), (high, int(row["net_rated"] / row["design_effect"]))]
    return ranges(finding, drawn, quarters(scale_end(values))) if drawn else ""
