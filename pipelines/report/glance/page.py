"""Renders the page's body around the table of carriers: the header, the choices, the figures and the sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipelines.destinations.filter import PickupFilter
from pipelines.output import to_html, visible
from pipelines.report.commands import option
from pipelines.report.gather import Choices
from pipelines.report.health import Health
from pipelines.report.sections.section import Section
from pipelines.report.sections.tables import render_table
from pipelines.wording.coverage import DEMO, DEMO_EXPLANATION
from pipelines.wording.numbers import minute

FIGURES = {"rate": "Cancelled", "change": "Change in four weeks", "next": "Tomorrow", "stuck": "Needs attention"}


PERIOD_NOTE = '<p class="note period-note" hidden>The period doesn\'t change this.</p>'


class Option(NamedTuple):
    """One entry of a list of choices: its label, and the option of `pickups list` that selects the same pickups."""

    label: str
    flags: str


def list_options(choices: Choices) -> dict[str, list[Option]]:
    """Returns the entries of the page's lists of choices. The first entry of each list includes everything."""
    kinds = {"account": choices.accounts, "carrier": [None, *choices.carriers], "country": choices.countries}
    plurals = {"account": "all accounts", "carrier": "all carriers", "country": "all countries"}
    options = {
        kind: [
            Option(visible(name), option(f"--{kind}", name)) if name else Option(plurals[kind], "") for name in names
        ]
        for kind, names in kinds.items()
    }
    periods = [(name, since.isoformat() if since else "") for name, since in choices.periods.items()]
    return options | {"period": [Option(name, option("--since", since) if since else "") for name, since in periods]}


def header(health: Health, only: PickupFilter, *, is_demo: bool) -> str:
    """Returns the heading, and how fresh and sound the data is."""
    kind, sign = ("problem", "⚠") if health.problems or health.as_of is None else ("sound", "✓")
    words = "".join(f" · {to_html(part)}" for part in only.words())
    state = f'<p class="{kind}"><span aria-hidden="true">{sign}</span> {to_html(health.headline)}'
    if is_demo:  # how fresh and sound invented pickups are says nothing about the user's account
        when = f"{to_html(DEMO_EXPLANATION.capitalize())} They end at {minute(health.as_of)} UTC."
        state = f'<p><strong class="demo">{DEMO}</strong> {when}'
    return f'<header><h1>Sendcloud pickups{words}</h1>{state} <span id="opened"></span></p></header>\n'


def choice_form(options: Mapping[str, Sequence[Option]]) -> str:
    """Returns the lists of choices, which the script shows. A list with a single entry is left out."""
    labels = ""
    for name, entries in options.items():
        if len(entries) > 1:
            listed = "".join(
                f'<option value="{place}">{to_html(one.label)}</option>' for place, one in enumerate(entries)
            )
            labels += f'<label><span>{name.capitalize()} </span><select name="{name}">{listed}</select></label>'
    return f'<form class="choices" hidden>{labels}</form>\n'


def figure_cards(rates: Any, present: Any, next_title: str) -> str:
    """Returns the four figures for the first choices."""
    figures = {"rate": rates["rate"] if rates else ("–", "No pickups."), **present}
    titles = FIGURES | {"next": next_title}
    cards = "".join(
        f'<div class="figure"><h2>{to_html(titles[name])}</h2><p class="big" data-fill="{name}.0">'
        f'{to_html(figures[name][0])}</p><p data-fill="{name}.1">{to_html(figures[name][1])}</p>'
        f"{PERIOD_NOTE if name != 'rate' else ''}</div>"
        for name in FIGURES
    )
    return f'<section class="figures" aria-label="Figures">{cards}</section>\n'


def section_html(section: Section) -> str:
    """Returns a section that opens: a sentence, a picture, tables, definitions and a command."""
    about, drawing = "", section.drawing
    if section.about:
        about = f"<details><summary>What this means</summary><p>{to_html(section.about)}</p></details>"
    if drawing.startswith("<svg"):
        region = f'tabindex="0" role="region" aria-label="{to_html(section.title)}, picture"'
        drawing = f'<div class="scroll" {region}>{drawing}</div>'
    return (
        f'<details class="section" id="{section.name}"><summary><h2>{to_html(section.title)}</h2> '
        f'<span class="finding">{to_html(section.finding)}</span> <span class="note"></span></summary>'
        f'<div class="picture">{drawing}</div><p class="hidden-picture"></p>'
        f"{''.join(map(render_table, section.tables))}"
        f"{about}<p>All rows: <code>{to_html(section.command)}</code></p></details>\n"
    )
