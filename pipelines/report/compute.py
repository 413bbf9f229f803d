"""Computes what the page says about each country, one country at a time, so that few rows are in memory at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pipelines.report.gather import Choices, Rates, read_as_of, read_present, read_rates
from pipelines.report.glance.answers import present_answer, rate_answer
from pipelines.report.sections.section import Answer, Section
from pipelines.report.sections.weeks import weeks_answers, weeks_section
from pipelines.report.sections.windows import windows_answers, windows_section
from pipelines.report.store import Store


class Computed(NamedTuple):
    """What the page says, by country in the order of the choices.

    Attributes:
        rows: the rows of each country and period.
        rates: the texts of the rates by country, period and account. None if an account has no pickups there.
        present: the texts of the present by country and account.
        weeks: the section on weeks.
        windows: the section on windows.
    """

    rows: list[list[Rates]]
    rates: list[Any]
    present: list[Any]
    weeks: Section
    windows: Section


def compute(store: Store, choices: Choices, on_progress: Callable[[str], None]) -> Computed:
    """Reads the views for all choices. In the texts, a carrier is its place in `choices.carriers`.

    Args:
        store: the published tables.
        choices: the choices of the page.
        on_progress: called with the name of each country before its views are computed.
    """
    places, as_of = {name: number for number, name in enumerate(choices.carriers)}, read_as_of(store)
    rows, rates, present = [], [], []
    weeks: dict[str, Answer] = {}
    windows: dict[str, Answer] = {}
    sections: list[Section] = []
    for place, country in enumerate(choices.countries):
        on_progress(country or "all countries")
        periods = [read_rates(store, country, since) for since in reversed(choices.periods.values())][::-1]
        now = read_present(store, country, as_of)  # it needs the last selection above
        rows.append(periods)
        rates.append([[rate_answer(found, name, places) for name in choices.accounts] for found in periods])
        present.append([present_answer(now, name, places) for name in choices.accounts])
        weeks |= weeks_answers(choices, now, place)
        windows |= windows_answers(choices, now, place)
        sections = sections or [weeks_section(now), windows_section(choices, now)]
    first, second = sections
    return Computed(rows, rates, present, first._replace(answers=weeks), second._replace(answers=windows))
