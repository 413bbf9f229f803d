"""Words the table of carriers: the cells of each row, and the sentence above the table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pipelines.output import visible
from pipelines.report.glance.marks import interval_bar, line_at, scale_end, spark
from pipelines.report.store import Row
from pipelines.wording import comparisons, coverage, rates, weekly
from pipelines.wording.numbers import NONE, interval, percent
from pipelines.wording.rows import SIDES

Cells = dict[str, str]
# The values of a row, in the order in which the page's data lists them. `present_cells` fills the others.
RATE_CELLS = ("name", "pickups", "rate", "span", "bar", "dot", "mean", "ratio", "ratiosay", "late", "latesay", "failed",
              "failedsay", "verdict")  # fmt: skip
PRESENT_CELLS = ("change", "changesay", "spark", "sparksay")


def rate_rows(carriers: list[Row], total: Row | None, expected: Mapping[str, Row]) -> tuple[list[Cells], str]:
    """Returns the cells of each carrier's row, the highest rate first, and the words of the scale.

    Args:
        carriers: rows of `carrier_cancellations` of one account, or of all together.
        total: the row of `rates` over all carriers, or None if nothing is rated.
        expected: rows of `carrier_expected` by carrier.
    """
    rated = [row for row in carriers if row["rated"]]
    end = scale_end([(row["cancellation_rate_high"], row["rated"]) for row in rated])
    ordered = sorted(carriers, key=lambda row: (-(row["cancellation_rate_shrunken"] or -1), row["carrier"]))
    mean = line_at(total["rate"], end) if total else ""
    scale = f"0 to {end:.0%}" if rated else ""
    return [_rate_cells(row, end, mean, expected.get(row["carrier"])) for row in ordered], scale


def _rate_cells(row: Row, end: float, mean: str, expected: Row | None) -> Cells:
    low, rate, high = (row[f"cancellation_rate{name}"] for name in ("_low", "", "_high"))
    bar, dot = interval_bar(low, rate, high, end) if row["rated"] else ("", "")
    side = row["failure_stands_out"] if row["failure_stands_out"] in SIDES else ""
    compared = f", {rates.MARKS[side]} than other carriers" if side else ""
    return {
        "name": visible(row["carrier"]),
        "pickups": f"{row['pickups']:,}",
        "rate": percent(rate),
        "span": interval(low, high) if row["rated"] else "not known yet",
        "bar": bar,
        "dot": dot,
        "mean": mean if row["rated"] else "",
        "ratio": comparisons.ratio(expected),
        "ratiosay": comparisons.ratio_words(expected),
        "late": rates.late_share([row]),
        "latesay": rates.late_count([row]),
        "failed": percent(row["failure_rate"]) + {"higher": " ▲", "lower": " ▼"}.get(side, ""),
        "failedsay": rates.k_of_n(row["mature_failed"], row["failure_n"]) + compared,
        "verdict": rates.MARKS[row["stands_out"]] if row["stands_out"] else NONE,
    }


def standing(carriers: list[Row]) -> str:
    """Returns a sentence that names the carriers that stand out, or says that none does."""
    return " ".join(filter(None, [rates.standing(carriers), rates.unclear(carriers)])) or coverage.NO_RATE


def present_cells(change: Row | None, weeks: list[Row], last: date | None, end: float) -> Cells:
    """Returns the cells of a carrier's row that do not depend on the period.

    Args:
        change: the carrier's row of `cancellation_changes`, if any.
        weeks: the carrier's rows of `carrier_cancellations_weekly` with a complete early signal.
        last: the Monday of the newest such week of all carriers.
        end: the end of the scale of the sparklines.
    """
    path = spark(weeks, last, end) if last and weeks else ""
    said = weekly.early_signal(weeks) or ["No complete week yet."]
    change_cells = {"change": comparisons.change_text(change), "changesay": comparisons.change_words(change)}
    return {**change_cells, "spark": path, "sparksay": said[0]}
