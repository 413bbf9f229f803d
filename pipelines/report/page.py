"""Renders the page's body. The script replaces the texts of the first screen by those of other choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipelines.output import to_html
from pipelines.report.carriers import PRESENT_CELLS, RATE_CELLS
from pipelines.report.commands import CANCELLED, LIST
from pipelines.report.marks import BAR_WIDTH, HEIGHT, SPARK_WIDTH
from pipelines.report.sections import Section
from pipelines.report.tables import Column, heading_cell, render_table

FIGURES = {"rate": "Cancelled", "change": "Change in four weeks", "next": "Tomorrow", "stuck": "Needs attention"}
SHOWN_ROWS = 15
COMMANDS = {"Cancelled": CANCELLED, "Cancelled late": "--mature --late", "Failed": "--mature --state failed"}
COLUMNS = [
    Column("Carrier", "text", "Open a carrier to see the commands that list its pickups"),
    Column("Cancelled, with 95% interval", "number", "Of finished pickups: the window has ended, and the pickup was cancelled or kept. The dashed line is the rate of all carriers."),
    Column("Compared with the others", "text", "Whether the rate differs from that of the other carriers by more than chance"),
    Column("Change", "number", "In percentage points: the latest four whole weeks against the four before, with accounts, countries and lead times held equal"),
    Column("Observed / expected", "number", "Cancellations divided by those expected if each pickup had the rate of all carriers' pickups like it"),
    Column("Late", "number", "Of cancelled pickups booked a day or more ahead: cancelled less than 24 hours before the window opened"),
    Column("Failed", "number", "Of finished pickups: never accepted by the carrier"),
    Column("Early signal", "number", "Cancelled within 48 hours of booking, in the latest 13 complete weeks"),
    Column("Pickups"),
]  # fmt: skip


class Option(NamedTuple):
    """One entry of a list of choices: its label, and the options of `pickups list` that select the same pickups."""

    label: str
    flags: str


def first_screen(
    header: str, options: Mapping[str, Sequence[Option]], rates: Any, present: Any, names: Sequence[str], flags: str
) -> str:
    """Returns the header, the choices, the figures and the table of carriers.

    Args:
        header: HTML about the freshness of the data.
        options: the entries of each list of choices, the first of which is chosen.
        rates: the answer of `compute_answers` for the first choices, or None if there is no pickup.
        present: the answer about the present for the first choices.
        names: the carriers' names.
        flags: the options of `pickups list` for the whole page.
    """
    figures = {
        "rate": rates["rate"] if rates else ("–", "No pickups."),
        **{k: present[k] for k in ("change", "next", "stuck")},
    }
    cards = "".join(
        f'<div class="figure"><h2>{title}</h2><p class="big" data-fill="{name}.0">{to_html(figures[name][0])}</p>'
        f'<p data-fill="{name}.1">{to_html(figures[name][1])}</p></div>'
        for name, title in FIGURES.items()
    )
    say = to_html(rates["say"] if rates else "")
    return (
        f'{header}<form class="choices" hidden>{_selects(options)}</form>\n<section class="figures" aria-label="Figures">{cards}</section>\n'
        f'<section aria-label="Carriers"><p class="say-all" data-fill="say">{say}</p>{_carriers(rates, present, names, flags)}</section>\n'
    )


def _selects(options: Mapping[str, Sequence[Option]]) -> str:
    parts = []
    for name, entries in options.items():
        if len(entries) > 1:
            choices = "".join(
                f'<option value="{number}">{to_html(entry.label)}</option>' for number, entry in enumerate(entries)
            )
            parts.append(f'<label><span>{name.capitalize()} </span><select name="{name}">{choices}</select></label>')
    return "".join(parts)


def _carriers(rates: Any, present: Any, names: Sequence[str], flags: str) -> str:
    heads = "".join(map(heading_cell, COLUMNS))
    rows = [
        row_html(row_values(row, present["rows"].get(row[0], [""] * 10), names), flags)
        for row in (rates["rows"] if rates else [])
    ]
    more = ""
    if len(names) > SHOWN_ROWS:
        more = f'<label class="more"><input type="checkbox" id="every-row"> Show all {len(names):,} carriers</label>'
    empty = row_html(dict.fromkeys([*RATE_CELLS, *PRESENT_CELLS], ""), "")
    return (
        f'{more}<div class="scroll" tabindex="0" role="region" aria-label="Carriers"><table data-csv="carriers" class="carriers">'
        f'<caption>Carriers <span data-fill="scale">{_scale(rates)}</span></caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div><template>{empty}</template>"
    )


def _scale(rates: Any) -> str:
    return to_html(f"(scale of the intervals: {rates['scale']})") if rates and rates["scale"] else ""


def row_values(rate: Sequence[Any], present: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Returns the values of a carrier's row by name, from the rows of the two answers."""
    values = dict(zip(RATE_CELLS, [names[rate[0]], *rate[1:]], strict=False))
    return values | dict(zip(PRESENT_CELLS, present, strict=False))


def row_html(values: Mapping[str, str], flags: str) -> str:
    """Returns a carrier's row. The script fills a copy of an empty row with the values of another choice."""
    commands = "".join(
        f'<p>{what}: <code data-list="{options}">{to_html(_command(options, values["name"], flags))}</code></p>'
        for what, options in COMMANDS.items()
    )
    rule = f'<path class="mean" data-path="mean" d="{values["mean"]}"/>'
    bar = _svg(
        "bar",
        BAR_WIDTH,
        f'{rule}<path class="line" data-path="bar" d="{values["bar"]}"/><path class="dot" data-path="dot" d="{values["dot"]}"/>',
    )
    spark = _svg("spark", SPARK_WIDTH, f'<path data-path="spark" d="{values["spark"]}"/>')
    return (
        f'<tr><th scope="row" class="text"><details><summary data-cell="name">{to_html(values["name"])}</summary>{commands}</details></th>'
        f'<td class="number rate"><b data-cell="rate">{to_html(values["rate"])}</b>{bar}<span data-cell="span">{to_html(values["span"])}</span></td>'
        f'<td class="text" data-cell="verdict">{to_html(values["verdict"])}</td>'
        + "".join(_tip(name, values) for name in ("change", "ratio", "late", "failed"))
        + f'<td class="number"><span class="tip" tabindex="0">{spark}<span class="say" data-cell="sparksay">{to_html(values["sparksay"])}</span></span></td>'
        f'<td class="number" data-cell="pickups">{to_html(values["pickups"])}</td></tr>'
    )


def _command(options: str, carrier: str, flags: str) -> str:
    return " ".join(filter(None, [LIST, options, flags]))


def _svg(name: str, width: int, content: str) -> str:
    return f'<svg class="{name}" aria-hidden="true" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}">{content}</svg>'


def _tip(name: str, values: Mapping[str, str]) -> str:
    say = f'<span class="say" data-cell="{name}say">{to_html(values[f"{name}say"])}</span>'
    return f'<td class="number"><span class="tip" tabindex="0"><span data-cell="{name}">{to_html(values[name])}</span>{say}</span></td>'


def section_html(section: Section) -> str:
    """Returns a section that opens: a sentence, a picture, tables, definitions and a command."""
    about = (
        f"<details><summary>What this means</summary><p>{to_html(section.about)}</p></details>" if section.about else ""
    )
    command = f"<p>All rows: <code>{to_html(section.command)}</code></p>" if section.command else ""
    drawing = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{to_html(section.title)}, picture">{section.drawing}</div>'
        if section.drawing.startswith("<svg")
        else section.drawing
    )
    return (
        f'<details class="section" id="{section.name}"><summary><h2>{to_html(section.title)}</h2> <span>{to_html(section.finding)}</span></summary>'
        f"{drawing}{''.join(map(render_table, section.tables))}{about}{command}</details>\n"
    )
