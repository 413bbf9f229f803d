"""Computes every part of the page from a copy of the published tables, and puts the parts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from pipelines.destinations.filter import PickupFilter
from pipelines.output import to_html, to_json, visible
from pipelines.quick.unpublished import nothing_new_until
from pipelines.report.commands import filter_options
from pipelines.report.compute import compute
from pipelines.report.gather import WHOLE, Choices, find_choices, plain_rates
from pipelines.report.glance.carrier_table import carrier_table
from pipelines.report.glance.page import choice_form, figure_cards, header, list_options, section_html
from pipelines.report.health import Health, judge
from pipelines.report.html import document
from pipelines.report.sections.accounts import accounts_section
from pipelines.report.sections.budget import fit
from pipelines.report.sections.lists import to_do_section
from pipelines.report.sections.rebookings import rebookings_section
from pipelines.report.sections.runs import health_section
from pipelines.report.sections.timing import timing_section
from pipelines.report.store import Row, Store
from pipelines.wording.numbers import day, minute

MOST_BYTES = 2_900_000  # of the page, without its script and style
RUN_COLUMNS = (
    "account, run_number, started_at_utc, observed_at_utc, has_succeeded, error, history_complete, must_pass_failed, "
    "checks_failed"
)
NOTE = "This part doesn't follow all of your choices. It includes {}."
NO_PICTURE = "The picture is hidden, because it shows all pickups of this page."


def compose_page(
    store: Store, only: PickupFilter, max_age_hours: float, on_progress: Callable[[str], None], *, is_demo: bool
) -> str:
    """Returns the report as one HTML document.

    Args:
        store: the published tables, already limited to `only`.
        only: the pickups to include.
        max_age_hours: `[status] max_age_hours`.
        on_progress: called with the name of each country before its numbers are computed.
        is_demo: whether the tables are those of `pickups demo`.
    """
    made_at = datetime.now(UTC).replace(tzinfo=None)
    runs, quarantine = store.rows("runs", columns=RUN_COLUMNS), _quarantine(store)
    by_account: dict[str, list[Row]] = {}
    for run in runs:
        by_account.setdefault(run["account"], []).append(run)

    def judge_account(name: str) -> Health:
        own = by_account.get(name, [])
        return judge(own, {name: quarantine.get(name, 0)}, made_at, max_age_hours)

    health = judge(runs, quarantine, made_at, max_age_hours)
    if until := nothing_new_until():
        health = health._replace(headline=f"{health.headline} Runs until {minute(until)} UTC found nothing new.")
    choices = find_choices(store)
    rows, rates, present, weeks, windows = compute(store, choices, on_progress)
    options, flags = list_options(choices), filter_options(only)
    names, lists = [visible(name) for name in choices.carriers], {k: [o.flags for o in v] for k, v in options.items()}
    first, now = rates[0][0][0], present[0][0]
    say = to_html(first["say"] if first else "There are no pickups yet.")
    table = carrier_table(first, now, names, lists["carrier"][1:], flags)
    sections = [
        to_do_section(store, choices, health.as_of),
        weeks,
        timing_section(store, choices),
        rebookings_section(store, choices, plain_rates(choices, rows)),
        windows,
        accounts_section(choices, rows, health, quarantine),
        health_section(choices, runs, health, judge_account),
    ]
    body = [
        header(health, only, is_demo=is_demo),
        choice_form(options),
        figure_cards(first, now, _next_title(health.as_of, made_at)),
        f'<section aria-label="Carriers"><p class="say-all" data-fill="say">{say}</p>{table}</section>\n',
        *_left_out(choices),
        *map(section_html, sections),
        f"<footer><p>Made {minute(made_at)} UTC by sendcloud-pickups {version('sendcloud-pickups')}.</p></footer>",
    ]
    data = {"rates": rates, "present": present, "names": names, "options": lists, "flags": flags}
    data |= {"made": f"{made_at:%Y-%m-%dT%H:%M:%SZ}", "note": NOTE, "noPicture": NO_PICTURE}
    data["everything"] = {kind: entries[0].label for kind, entries in options.items()} | {"period": WHOLE}
    left = MOST_BYTES - len("".join([*body, to_json(data)]).encode())
    data["sections"] = {
        one.name: {"follows": one.follows, "answers": one.answers, "nothing": one.nothing}
        for one in fit(sections, left)
    }
    return document(f"<main>{''.join(body)}</main>", data, made_at)


def _quarantine(store: Store) -> Mapping[str, int]:
    rows = store.rows("quarantine", "not is_resolved group by account", "account, count(*) as records")
    return {row["account"]: row["records"] for row in rows}


def _next_title(as_of: datetime | None, made_at: datetime) -> str:
    """Returns the title of the figure about the day after the data, which is tomorrow only if the data is of today."""
    if as_of is None:
        return "To come"
    following = as_of.date() + timedelta(days=1)
    return f"{'Tomorrow, ' if as_of.date() == made_at.date() else ''}{day(following)}"


def _left_out(choices: Choices) -> list[str]:
    words = f"The totals also include {choices.left_out} that you can't choose above."
    return [f'<p class="reach">{to_html(words)}</p>\n'] if choices.left_out else []
