"""Builds the section on cancellations of pickups that were only moved."""

from __future__ import annotations

from pipelines.output import visible
from pipelines.report.glance.marks import scale_end
from pipelines.report.sections.charts import Range, quarters, ranges
from pipelines.report.sections.section import Section
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import Row, Selection, Store
from pipelines.report.words import count, names, percent, span

MOST_RANGES = 20
MOSTLY_CHANCE = 0.8  # of the cancellations; above it, the net rate is hardly known
WHERE = "is_every_account and country = 'all'"
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


def rebookings_section(store: Store, carriers: list[str]) -> Section:
    """Returns the rates without cancellations of pickups that were only moved."""
    store.select(Selection())
    rows = {row["carrier"]: row for row in store.rows("carrier_net_cancellations", WHERE)}
    plain = {row["carrier"]: row["cancellation_rate"] for row in store.rows("carrier_cancellations", WHERE)}
    found = [rows[name] for name in carriers if name in rows and rows[name]["net_cancellation_rate"] is not None]
    finding = _finding(found)
    table = Table(
        "rebookings", "Rates without rebookings", COLUMNS, [_cells(row, plain[row["carrier"]]) for row in found]
    )
    command = "pickups show carrier_net_cancellations"
    return Section(
        "rebookings", "Cancelled or only moved", finding, _picture(finding, found, plain), [table], ABOUT, command
    )


def _finding(found: list[Row]) -> str:
    cancelled, rebooked = (sum(row[name] for row in found) for name in ("mature_cancelled", "mature_rebooked"))
    if not cancelled:
        return "No cancellation is known yet."
    was = "was" if rebooked == 1 else "were"
    told = f"{rebooked:,} of {count(cancelled, 'cancellation')} {was} followed by a matching booking within 24 hours."
    if rebooked:
        told += f" About {sum(row['rebooked_by_chance'] or 0 for row in found):,.0f} would have been followed anyway."
    unknown = [row["carrier"] for row in found if (row["rebooked_by_chance_share"] or 0) > MOSTLY_CHANCE]
    return f"{told} The net rate of {names(unknown)} is hardly known." if unknown else told


def _cells(row: Row, rate: float) -> list[str]:
    interval = span(row["net_cancellation_rate_low"], row["net_cancellation_rate_high"])
    counts = [f"{row['mature_rebooked']:,}", f"{row['rebooked_by_chance'] or 0:,.0f}"]
    return [visible(row["carrier"]), percent(rate), percent(row["net_cancellation_rate"]), interval, *counts]


def _picture(finding: str, found: list[Row], plain: dict[str, float]) -> str:
    drawn, values = [], []
    for row in found[:MOST_RANGES]:
        low, net, high = (row[f"net_cancellation_rate{name}"] for name in ("_low", "", "_high"))
        if low is not None:
            rate = plain[row["carrier"]]
            words = f"net {percent(net)}, all cancellations {percent(rate)}"
            drawn.append(Range(visible(row["carrier"]), low, net, high, rate, words))
            values += [(max(net, rate), int(row["net_rated"])), (high, int(row["net_rated"] / row["design_effect"]))]
    return ranges(finding, drawn, quarters(scale_end(values))) if drawn else ""
