"""Computes every part of the page from a copy of the published tables, and puts the parts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from pipelines.destinations.filter import PickupFilter
from pipelines.output import to_html, visible
from pipelines.report.answers import compute_answers
from pipelines.report.commands import filter_options, option
from pipelines.report.gather import Choices, find_choices
from pipelines.report.health import Health, judge
from pipelines.report.html import document
from pipelines.report.lists import next_table, stuck_table
from pipelines.report.more_sections import accounts_section, health_section, windows_section
from pipelines.report.page import Option, first_screen, section_html
from pipelines.report.sections import Section, rebookings_section, timing_section, weeks_section
from pipelines.report.store import Row, Store
from pipelines.report.words import count

DEMO = "<strong class='demo'>DEMO DATA</strong> from `pickups demo`, not from your account. "
REACH = (
    "The sections below cover all pickups of this page, whatever you choose above. The change, tomorrow's pickups and "
    "the stuck pickups do not depend on the period."
)


def compose_page(
    store: Store, only: PickupFilter, max_age_hours: float, is_demo: bool, on_progress: Callable[[str], None]
) -> str:
    """Returns the report as one HTML document.

    Args:
        store: the published tables, already limited to `only`.
        only: the pickups to include.
        max_age_hours: `[status] max_age_hours`.
        is_demo: whether the tables are those of `pickups demo`.
        on_progress: called with the name of each country before its numbers are computed.
    """
    made_at = datetime.now(UTC).replace(tzinfo=None)
    runs, quarantine = store.rows("runs"), _quarantine(store)
    health = judge(runs, quarantine, made_at, max_age_hours)
    choices = find_choices(store)
    rates, present = compute_answers(store, choices, on_progress)
    options, flags = _options(choices), filter_options(only)
    names = [visible(name) for name in choices.carriers]
    sections = _sections(store, choices, health, runs, quarantine)
    body = (
        first_screen(_header(health, only, is_demo), options, rates[0][0][0], present[0][0], names, flags)
        + f"<p class='reach'>{to_html(REACH)}</p>"
        + "".join(map(section_html, sections))
        + f"<footer><p>Made {made_at:%Y-%m-%d %H:%M} UTC by sendcloud-pickups {version('sendcloud-pickups')}.</p></footer>"
    )
    lists = {name: [entry.flags for entry in entries] for name, entries in options.items()}
    data = {"rates": rates, "present": present, "names": names, "options": lists, "flags": flags}
    return document(f"<main>{body}</main>", data | {"made": f"{made_at:%Y-%m-%dT%H:%M:%SZ}"}, made_at)


def _quarantine(store: Store) -> Mapping[str, int]:
    rows = store.rows("quarantine", "not is_resolved group by account", "account, count(*) as records")
    return {row["account"]: row["records"] for row in rows}


def _options(choices: Choices) -> dict[str, list[Option]]:
    every = {
        "account": [Option(name or "all accounts", option("--account", name) if name else "") for name in choices.accounts],
        "carrier": [Option("all carriers", ""), *(Option(name, option("--carrier", name)) for name in choices.carriers)],
        "country": [Option(name or "all countries", option("--country", name) if name else "") for name in choices.countries],
        "period": [
            Option(name, option("--since", since.isoformat(timespec="seconds")) if since else "") for name, since in choices.periods.items()
        ],
    }  # fmt: skip
    return {name: [Option(visible(entry.label), entry.flags) for entry in entries] for name, entries in every.items()}


def _header(health: Health, only: PickupFilter, is_demo: bool) -> str:
    kind, sign = ("problem", "⚠") if health.problems or health.as_of is None else ("sound", "✓")
    words = "".join(f" · {to_html(part)}" for part in only.words())
    demo = DEMO.replace("`pickups demo`", "<code>pickups demo</code>") if is_demo else ""
    return (
        f'<header><h1>Sendcloud pickups{words}</h1><p class="{kind}">{demo}<span aria-hidden="true">{sign}</span> '
        f'{to_html(health.headline)} <span id="opened"></span></p></header>\n'
    )


def _sections(
    store: Store, choices: Choices, health: Health, runs: list[Row], quarantine: Mapping[str, int]
) -> list[Section]:
    stuck, upcoming = stuck_table(store), next_table(store, health.as_of)
    waiting, ahead = len(stuck.rows) + stuck.left_out, len(upcoming.rows) + upcoming.left_out
    to_do = Section(
        "to-do", "Pickups to look at", f"{count(waiting, 'pickup')} stuck; {upcoming.caption}: {ahead:,}.", "",
        [stuck, upcoming],
        "A pickup is stuck if it is still announcing although its window has ended, or if it has waited longer than 99% "
        "of acceptances took. The tracking numbers are not part of this page; the command prints them.",
        "pickups list --stuck",
    )  # fmt: skip
    return [
        to_do,
        weeks_section(store),
        timing_section(store, choices.carriers),
        rebookings_section(store, choices.carriers),
        windows_section(store, choices.carriers),
        accounts_section(store, health, quarantine),
        health_section(runs, health),
    ]
