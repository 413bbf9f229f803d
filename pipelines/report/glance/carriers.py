"""Words the table of carriers: the cells of each row, and the sentence above the table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pipelines.output import visible
from pipelines.report.glance.marks import interval, line_at, scale_end, spark
from pipelines.report.store import Row
from pipelines.report.words import MARKS, NONE, count, names, percent, points, short_day, span

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
    bar, dot = interval(low, rate, high, end) if row["rated"] else ("", "")
    ahead, late = row["mature_cancelled_booked_ahead"], row["mature_late_cancellations_booked_ahead"]
    failed = percent(row["failure_rate"]) + {"higher": " ▲", "lower": " ▼"}.get(row["failure_stands_out"] or "", "")
    return {
        "name": visible(row["carrier"]),
        "pickups": f"{row['pickups']:,}",
        "rate": percent(rate),
        "span": span(low, high) if row["rated"] else "not known yet",
        "bar": bar,
        "dot": dot,
        "mean": mean if row["rated"] else "",
        **_ratio_cells(expected),
        "late": percent(late / ahead) if ahead else NONE,
        "latesay": f"{late:,} of {count(ahead, 'cancelled pickup')} booked at least 24 hours ahead"
        if ahead
        else "No cancelled pickup was booked at least 24 hours ahead",
        "failed": failed,
        "failedsay": f"{row['mature_failed']:,} of {count(row['failure_n'], 'pickup')}"
        + (f", {MARKS[row['failure_stands_out']]} than other carriers" if row["failure_stands_out"] in _SIDES else ""),
        "verdict": MARKS[row["stands_out"]] if row["stands_out"] else NONE,
    }


_SIDES = ("higher", "lower")
WORDS = {"higher": "Cancelled more often than the other carriers", "lower": "Less often"}


def _ratio_cells(expected: Row | None) -> Cells:
    if expected is None or expected["ratio"] is None or expected["ratio_low"] is None:
        return {"ratio": NONE, "ratiosay": "Nothing comparable: no other carrier has pickups like these"}
    low, high = expected["ratio_low"], expected["ratio_high"]
    mark = {"higher": " ▲", "lower": " ▼"}.get(expected["stands_out"] or "", "")
    say = (
        f"{expected['observed']:,} observed, {expected['expected']:.1f} expected; 95% interval {low:.2f} to {high:.2f}"
    )
    return {"ratio": f"{expected['ratio']:.2f}{mark}", "ratiosay": say}


def standing(carriers: list[Row]) -> str:
    """Returns a sentence that names the carriers that stand out, or says that none does."""
    rated = sorted(
        (row for row in carriers if row["rated"]), key=lambda row: -row["difference"] if row["difference"] else 0
    )
    if not rated:
        return "No rate is known yet, because no pickup has finished."
    if len(rated) == 1:
        return f"{visible(rated[0]['carrier'])} is the only carrier with a rate, so there is nothing to compare."
    sides = {side: [row["carrier"] for row in rated if row["stands_out"] == side] for side in _SIDES}
    sides["lower"].reverse()
    unclear = [row["carrier"] for row in rated if row["stands_out"] not in _SIDES]
    if not any(sides.values()):
        return "No carrier stands out: the differences between the carriers can be chance."
    parts = [f"{WORDS[side]}: {names(found)}." for side, found in sides.items() if found]
    return " ".join([*parts, *([f"Can't be told apart from the others: {names(unclear)}."] if unclear else [])])


def present_cells(change: Row | None, weeks: list[Row], last: date | None, end: float) -> Cells:
    """Returns the cells of a carrier's row that do not depend on the period.

    Args:
        change: the carrier's row of `cancellation_changes`, if any.
        weeks: the carrier's rows of `carrier_cancellations_weekly` with a complete early signal.
        last: the Monday of the newest such week of all carriers.
        end: the end of the scale of the sparklines.
    """
    known = [row for row in weeks if row["watched_48_hours"]]
    newest = max(known, key=lambda row: row["booked_week_local_start"], default=None)
    say = "No complete week yet"
    if newest:
        rate = percent(newest["cancelled_within_48_hours_rate"])
        say = (
            f"Week of {short_day(newest['booked_week_local_start'])}: {newest['cancelled_within_48_hours']:,} of "
            f"{newest['watched_48_hours']:,} cancelled within 48 hours of booking ({rate})"
        )
    path = spark(known, last, end) if last else ""
    return {"change": change_text(change), "changesay": change_words(change), "spark": path, "sparksay": say}


def change_text(change: Row | None) -> str:
    """Returns a change in percentage points, with a mark if it is more than chance."""
    if change is None or change["difference"] is None:
        return NONE
    mark = ("▲ " if change["difference"] > 0 else "▼ ") if change["is_more_than_chance"] else ""
    return mark + points(change["difference"])


def change_words(change: Row | None) -> str:
    """Returns the periods, rates and interval of a change."""
    if change is None or change["difference"] is None or change["difference_low"] is None:
        return "Too few pickups in the last eight weeks to compare"
    certain = "more than chance" if change["is_more_than_chance"] else "can be chance"
    return (
        f"{percent(change['before_rate'])} in the four weeks before {short_day(change['now_starts_utc'])}, "
        f"{percent(change['now_rate'])} in the four weeks after; difference at one mix {points(change['difference'])} "
        f"points (95% interval {points(change['difference_low'])} to {points(change['difference_high'])}), {certain}"
    )
