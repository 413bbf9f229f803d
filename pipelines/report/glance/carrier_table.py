"""Renders the table of carriers. The script fills copies of an empty row with the texts of other choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.output import to_html
from pipelines.report.commands import CANCELLED, list_command
from pipelines.report.glance.carriers import PRESENT_CELLS, RATE_CELLS
from pipelines.report.glance.marks import BAR_WIDTH, HEIGHT, SPARK_WIDTH
from pipelines.report.sections.tables import Column, heading_cell

SHOWN_ROWS = 15  # report.css hides the others until the reader asks for them
COMMANDS = {
    "Cancelled": CANCELLED,
    "Booked a day ahead, and cancelled late": "--mature --late --booked-ahead",
    "Failed": "--mature --state failed",
}
PERIOD_NOTE = '<span class="note period-note" hidden>The change and the early signal don\'t follow the period.</span>'
COLUMNS = [
    Column("Carrier", "text", "Open a carrier to see the commands that list its pickups"),
    Column(
        "Cancelled, with 95% interval",
        about="Share of finished pickups: their window has ended, and they were cancelled or kept. The dashed line is "
        "the rate of all carriers.",
    ),
    Column("Compared with the others", "text", "Whether the rate differs from the other carriers' by more than chance"),
    Column(
        "Change, points",
        about="The latest four whole weeks against the four before, with accounts, countries and "
        "lead times held equal. ▲ and ▼ mark more than chance.",
    ),
    Column(
        "Observed / expected",
        about="Cancellations divided by those expected if each pickup had the rate of all carriers' pickups like it",
        hint="1 = as often as pickups like these",
    ),
    Column(
        "Late",
        about="Of cancelled pickups booked a day or more ahead: cancelled less than 24 hours before the window opened",
        hint="of cancellations",
    ),
    Column(
        "Failed",
        about="Share that the carrier never accepted, of all pickups whose window has ended, except pending ones",
    ),
    Column(
        "Early signal",
        about="Cancelled within 48 hours of booking, in each of the latest 13 complete weeks",
        hint="cancelled within 48 h, by week",
    ),
    Column("Pickups"),
]


def carrier_table(rates: Any, present: Any, names: Sequence[str], carrier_flags: Sequence[str], flags: str) -> str:
    """Returns the table of carriers for the first choices, with an empty row for the script.

    Args:
        rates: the answer of `compute_answers` for the first choices, or None if there is no pickup.
        present: the answer about the present for the first choices.
        names: the carriers' names.
        carrier_flags: for each carrier, the option of `pickups list` that selects it.
        flags: the options of `pickups list` that select the pickups of the page.
    """
    rows = ""
    for row in rates["rows"] if rates else []:
        values = dict(zip(RATE_CELLS, [names[row[0]], *row[1:]], strict=False))
        values |= dict(zip(PRESENT_CELLS, present["rows"].get(row[0], [""] * len(PRESENT_CELLS)), strict=False))
        rows += _row(values, " ".join(filter(None, [flags, carrier_flags[row[0]]])))
    more = ""
    if len(names) > SHOWN_ROWS:
        more = f'<label class="more"><input type="checkbox"> Show all {len(names):,} carriers</label>'
    scale = to_html(f"(scale of the intervals: {rates['scale']})") if rates and rates["scale"] else ""
    return (
        f'{more}<div class="scroll" tabindex="0" role="region" aria-label="Table of carriers">'
        '<table data-csv="carriers" class="carriers">'
        f'<caption>Carriers <span data-fill="scale">{scale}</span> {PERIOD_NOTE}</caption>'
        f"<thead><tr>{''.join(map(heading_cell, COLUMNS))}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"<template>{_row(dict.fromkeys([*RATE_CELLS, *PRESENT_CELLS], ''), '')}</template>"
    )


def _row(values: Mapping[str, str], flags: str) -> str:
    commands = "".join(
        f'<p>{what}: <code data-list="{options}">{to_html(list_command(options, flags))}</code></p>'
        for what, options in COMMANDS.items()
    )
    name = f"<details><summary>{_cell('name', values)}</summary>{commands}</details>"
    bar = _svg("bar", BAR_WIDTH, ("mean", "bar", "dot"), values)
    spark = _svg("spark", SPARK_WIDTH, ("spark",), values)
    tips = "".join(
        f'<td class="number">{_tip(_cell(name, values), name, values)}</td>'
        for name in ("change", "ratio", "late", "failed")
    )
    return (
        f'<tr><th scope="row" class="text">{name}</th>'
        f'<td class="number rate">{_cell("rate", values)}{bar}{_cell("span", values)}</td>'
        f'<td class="text">{_cell("verdict", values)}</td>{tips}'
        f'<td class="number">{_tip(spark, "spark", values)}</td><td class="number">{_cell("pickups", values)}</td></tr>'
    )


def _cell(name: str, values: Mapping[str, str]) -> str:
    return f'<span data-cell="{name}">{to_html(values[name])}</span>'


def _tip(content: str, name: str, values: Mapping[str, str]) -> str:
    """Returns the content with words that appear on hover and on focus."""
    say = f'<span class="say" data-cell="{name}say">{to_html(values[f"{name}say"])}</span>'
    return f'<span class="tip" tabindex="0">{content}{say}</span>'


def _svg(kind: str, width: int, names: Sequence[str], values: Mapping[str, str]) -> str:
    paths = "".join(f'<path class="{name}" data-path="{name}" d="{values[name]}"/>' for name in names)
    size = f'viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}"'
    return f'<svg class="{kind}" aria-hidden="true" {size}>{paths}</svg>'
