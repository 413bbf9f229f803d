"""Builds the report on unusual pickups: no exception, and no sentence that is wrong or silly."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.destinations.duckdb.session import open_published
from pipelines.destinations.filter import ALL_PICKUPS
from pipelines.report.compose import compose_page
from pipelines.report.store import copied
from tests.support.by_hand import FUTURE, cancelled, instant, many, pickup, run
from tests.support.cases import quick

SILLY = re.compile(
    r"\b(nan|None|inf)\b|0\.0 to 0\.0%|(?<![\w,.])1 (pickups|cancellations|windows|accounts|hours|weeks|runs)\b"
)
Published = Callable[..., Path]


def text_of(published: Path) -> str:
    """Returns the page's text, without the values for readers who hover over a cell."""
    with open_published(published) as session, copied(session) as store:
        page = compose_page(store, ALL_PICKUPS, 2.0, lambda _name: None, is_demo=False)
    body = page[page.index("<main>") : page.index('<script type="application/json"')]
    body = re.sub(r"<template>.*?</template>", "", body, flags=re.DOTALL)
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
    assert not SILLY.search(text), SILLY.search(text)
    return text


def test_account_without_pickups_says_so(published: Published) -> None:
    text = text_of(published(runs=[run()]))

    assert "There are no pickups yet." in text
    assert "1 of 1 run in four weeks succeeded." in text


def test_account_whose_runs_have_failed_for_months_is_as_of_its_last_good_run(published: Published) -> None:
    """The report reads the receipts of four weeks, and that one."""
    runs = [
        run(run_number=1, observed_at="2026-01-04 08:00Z"),
        run(run_number=2, observed_at="2026-01-05 08:00Z"),
        run(run_number=3, observed_at="2026-01-06 08:00Z", outcome="failed"),
        run(run_number=4, observed_at="2026-04-01 08:00Z", outcome="failed"),
    ]
    text = text_of(published(pickup(), pickup(**FUTURE), runs=runs))

    assert "Data as of 2026-01-05 08:00 UTC." in text
    assert "The last run of account shop failed (2026-04-01 08:00 UTC)." in text
    assert "0 of 1 run in four weeks succeeded." in text


def test_first_week_says_what_is_known_already(published: Published) -> None:
    """Two pickups have windows on 10 April, nine days after the data, and one of them is cancelled."""
    text = text_of(published(pickup(**FUTURE), cancelled(**FUTURE)))

    assert "Not known yet 2 pickups booked, 1 cancelled already. The rate follows when windows have ended." in text
    assert "No rate is known yet, because no pickup has finished." in text
    assert "0 pickups Next: 1 pickup on Fri 10 Apr 2026." in text


def test_single_pickup_has_a_rate_with_a_wide_interval_and_no_comparison(published: Published) -> None:
    text = text_of(published(pickup()))

    assert "0.0% 0 of 1 finished pickup. 95% interval 0.0 to 79.3%." in text
    assert "dpd is the only carrier with a rate, so there is nothing to compare." in text


def test_carriers_that_differ_by_chance_are_not_named(published: Published) -> None:
    text = text_of(
        published(*many(pickup, 9), cancelled(), *many(pickup, 8, carrier="ups"), *many(cancelled, 2, carrier="ups"))
    )

    assert "No carrier stands out: 15.0% over all, and the differences can be chance." in text


def test_pickups_that_are_all_cancelled_or_all_pending_break_nothing(published: Published) -> None:
    assert "100.0% 30 of 30 finished pickups." in text_of(published(*many(cancelled, 30)))
    assert "3 stuck Not accepted by the carrier in time: dpd 3." in text_of(
        published(*many(pickup, 3, pickup_status="Announcing"))
    )


def test_forty_accounts_can_each_be_chosen(published: Published) -> None:
    rows = [(cancelled if n % 7 == 0 else pickup)(account=f"shop{n % 40}") for n in range(400)]

    text = text_of(published(*rows, runs=[run(account=f"shop{n}") for n in range(40)]))

    assert "all accounts shop0 shop1 shop10" in text
    assert "40 accounts, with rates from " in text


@pytest.mark.parametrize("name", quick(["</script><b>", "=1+1", "\"'&", "\u202eabc"]))
def test_names_are_shown_as_they_are(published: Published, name: str) -> None:
    rows = [pickup(carrier=name, country=name, account=name), cancelled(carrier="ups", account=name)]

    text = text_of(published(*rows, runs=[run(account=name)]))

    assert name.replace("\u202e", "\\u202e") in text


def gap(day: str, pickups: int) -> list[dict[str, Any]]:
    booked = instant(f"{day} 09:00Z")
    return [
        (cancelled if n % 5 == 0 else pickup)(created_at=booked + timedelta(hours=n), cancelled_at=None)
        for n in range(pickups)
    ]


def test_months_without_pickups_are_gaps_and_2035_sets_no_scale(published: Published) -> None:
    far = pickup(created_at="2026-03-31 09:00Z", pickup_from="2035-01-03 09:00Z", pickup_until="2035-01-03 12:00Z")
    published_file = published(*gap("2025-03-03", 40), *gap("2025-09-01", 40), *gap("2026-03-02", 40), far)

    text = text_of(published_file)
    with open_published(published_file) as session, copied(session) as store:
        page = compose_page(store, ALL_PICKUPS, 2.0, lambda _name: None, is_demo=False)

    (line,) = re.findall(
        r'<g class="s0"><path class="line" d="([^"]+)"', page.split('id="weeks"')[1].split("</details>")[0]
    )
    assert line.count("M") == 3  # three parts with gaps between them
    assert "Next: 1 pickup on Wed 3 Jan 2035." in text


def test_page_names_the_problems_of_the_data_first(published: Published) -> None:
    failed = run(outcome="failed", error="Unavailable: no answer", must_pass_failed=True)
    runs = [run(observed_at="2026-03-30 00:00Z", error=None, must_pass_failed=False), failed]

    text = text_of(published(pickup(), runs=runs))

    assert "Check first: The last run of account shop failed (2026-04-01 00:00 UTC)." in text
    assert "A must-pass check failed in the last run of account shop." in text
    assert "Unavailable: no answer" in text
