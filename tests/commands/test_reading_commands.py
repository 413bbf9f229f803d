"""Tests `pickups list` and `pickups show` on a few pickups, with values worked out by hand."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.analytics.views import view_files
from pipelines.cli.reading import rows
from pipelines.destinations.filter import PickupFilter
from pipelines.export.parquet import export_with_duckdb
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.by_hand import cancelled, many, on_separate_days, pickup, run
from tests.support.cases import quick
from tests.support.installation import Installation, environment

pytestmark = pytest.mark.duckdb2

Published = Callable[..., Path]
FUTURE = {"pickup_from": "2026-04-10 09:00Z", "pickup_until": "2026-04-10 12:00Z"}
# Booked on 6 March for the 10th, 10:00 to 13:00 in Amsterdam. The last run observed them on 1 April.
ONE_OF_EACH = [
    pickup(id=1),
    cancelled(id=2),
    cancelled(id=3, cancelled_at="2026-03-09 21:00Z"),  # 12 hours before its window
    cancelled(id=4, pickup_status="Created"),
    pickup(id=5, pickup_status="Announcing"),
    pickup(id=6, pickup_status="Announcing", **FUTURE),
    pickup(id=7, pickup_status="Failed", carrier="ups", country="DE"),
]


def listed(installation: Installation, *words: str) -> list[int]:
    done = installation.command("list", "--json", *words)
    assert done.returncode == 0, done.stderr
    return sorted(row["pickup_id"] for row in json.loads(done.stdout))


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("", [1, 2, 3, 4, 5, 6, 7]),
        ("--state cancelled", [2, 3, 4]),
        ("--state kept", [1]),
        ("--state failed --state pending", [5, 6, 7]),
        ("--late", [3]),
        ("--stuck", [5]),
        ("--conflict", [4]),
        ("--state pending --immature", [6]),
        ("--mature --state pending --state kept", [1, 5]),
        ("--conflict --late", []),
        ("--carrier ups --country de --account shop", [7]),
        ("--since 2026-04-01", [6]),
        ("--until 2026-03-06 --by booking", []),
    ],
)
def test_list_selects_by_state_and_filter(
    installation: Installation, published: Published, words: str, ids: list[int]
) -> None:
    published(*ONE_OF_EACH)

    assert listed(installation, *words.split()) == ids


def test_list_of_pickups_booked_ahead_leaves_out_those_booked_less_than_a_day_before_their_window(
    installation: Installation, published: Published
) -> None:
    late = {"cancelled_at": "2026-03-10 08:59Z"}
    published(
        cancelled(id=1, created_at="2026-03-09 09:00Z", **late),
        cancelled(id=2, created_at="2026-03-09 09:01Z", **late),
        pickup(id=3, created_at="2026-03-09 09:00Z"),
    )

    assert listed(installation, "--mature", "--late") == [1, 2]
    assert listed(installation, "--mature", "--late", "--booked-ahead") == [1]
    assert listed(installation, "--booked-ahead") == [1, 3]


def cells_of(text: str) -> list[list[str]]:
    """Returns the cells of a printed table's rows, which are at least two spaces apart."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if re.match(r" \w", line)][1:]


def test_list_prints_a_table_with_local_windows_and_the_newest_booking_first(
    installation: Installation, published: Published
) -> None:
    """Berlin and Amsterdam are an hour ahead of UTC in March. No time zone is configured for Switzerland."""
    published(
        cancelled(id=11, carrier="ups", country="DE"),
        pickup(id=12, created_at="2026-03-07 09:00Z", country="CH", pickup_until=None, tracking_number=""),
        pickup(id=13, created_at="2026-03-05 09:00Z", pickup_from=None, pickup_until=None, country=None),
        pickup(id=14, created_at="2026-03-04 09:00Z", pickup_until="2026-03-11 23:30Z"),
    )

    done = installation.command("list")

    assert done.stdout.startswith("Pickups, newest booking first")
    number = "09985053927752"
    assert cells_of(done.stdout) == [
        ["shop", "12", "dpd", "Created", "2026-03-10 09:00 to open UTC", "–", "2026-03-07 09:00", "CH", "–"],
        [
            *["shop", "11", "ups", "Cancelled", "2026-03-10 10:00 to 13:00"],
            *["2026-03-08 09:00", "2026-03-06 09:00", "DE", number],
        ],
        ["shop", "13", "dpd", "Created", "–", "–", "2026-03-05 09:00", "–", number],
        [
            *["shop", "14", "dpd", "Created", "2026-03-10 10:00 to 2026-03-12 00:30"],
            *["–", "2026-03-04 09:00", "NL", number],
        ],
    ]


def test_list_says_how_many_pickups_are_left_out(installation: Installation, published: Published) -> None:
    published(*many(pickup, 53), cancelled())

    in_short, kept, three, all_of_them = (
        installation.command("list", *words).stdout
        for words in ((), ("--state", "kept"), ("--limit", "3"), ("--limit", "54"))
    )

    assert in_short.splitlines()[-1] == "4 more; to print all of them, add --format csv or --limit 54."
    assert kept.splitlines()[-1] == "3 more; to print all of them, add --format csv or --limit 53."
    assert (len(cells_of(in_short)), len(cells_of(three)), len(cells_of(all_of_them))) == (50, 3, 54)
    assert "more" not in all_of_them
    assert len(listed(installation)) == 54
    assert len(listed(installation, "--limit", "2")) == 2


def test_list_of_no_pickups_says_so_and_is_valid_json_and_csv(installation: Installation, published: Published) -> None:
    published(pickup())

    assert installation.command("list", "--late").stdout == "No pickup matches.\n"
    assert json.loads(installation.command("list", "--late", "--json").stdout) == []
    (header,) = csv.reader(io.StringIO(installation.command("list", "--late", "--format", "csv").stdout))
    assert header[:3] == ["account", "pickup_id", "carrier"]


def test_csv_and_json_have_every_column_in_the_same_order(
    installation: Installation, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are fetched in batches, here of two."""
    monkeypatch.setattr(rows, "BATCH_ROWS", 2)
    published(*(pickup(id=n, created_at=f"2026-03-0{n} 09:00Z") for n in range(1, 6)))

    as_csv = list(csv.DictReader(io.StringIO(installation.command("list", "--format", "csv").stdout)))
    as_json = json.loads(installation.command("list", "--format", "json").stdout)

    assert [row["pickup_id"] for row in as_json] == [5, 4, 3, 2, 1]
    assert [row["pickup_id"] for row in as_csv] == ["5", "4", "3", "2", "1"]
    assert list(as_csv[0]) == list(as_json[0])
    assert as_json[0]["created_at_utc"] == as_csv[0]["created_at_utc"] == "2026-03-05T09:00:00"
    assert (as_json[0]["booked_day_local"], as_json[0]["cancelled_at_utc"]) == ("2026-03-05", None)


def test_list_shows_hostile_names_as_text(installation: Installation, published: Published) -> None:
    published(pickup(carrier="a\x1b[31m", tracking_number="=1+1", account="[red]x"), runs=[run(account="[red]x")])

    table, as_csv, as_json = (
        installation.command("list", "--format", form).stdout for form in ("table", "csv", "json")
    )

    assert "\x1b" not in table + as_csv + as_json
    assert "[red]x" in table
    assert "a\\x1b[31m" in table
    assert ",'=1+1," in as_csv
    assert json.loads(as_json)[0]["tracking_number"] == "=1+1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "--mature", "--immature"], "no pickup is both mature and immature"),
        (
            ["list", "--account", "nobody"],
            "Invalid value for --account: unknown account 'nobody'; available accounts: shop",
        ),
        (["list", "--limit", "0"], "--limit"),
        (["show", "carriers", "--country", "FR"], "Invalid value for --country: unknown country 'FR'; available"),
        (["show", "runs", "--since", "2026-03-02", "--until", "2026-03-02"], "Invalid value for --since: since (2026"),
        (
            ["show", "runs", "--until", "soon"],
            "Invalid value for --until: 'soon' is not a day such as 2026-01-01",
        ),
        (["models", "--to", "x", "--carrier", "DPD"], "unknown carrier 'DPD'; available carriers: dpd"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unusable_option_is_a_usage_error_that_names_it(
    installation: Installation, published: Published, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    published(pickup())
    monkeypatch.chdir(installation.folder)

    done = installation.command(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.replace("│", " ").split())


# show


def test_show_refuses_an_unknown_view_and_lists_all_views_with_their_grain(
    installation: Installation, published: Published
) -> None:
    published(pickup())

    done = installation.command("show", "carrier")

    told = " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == 2
    assert "unknown view 'carrier'; available views: carriers: One row per carrier" in told
    for path in view_files():
        assert f" {path.stem}: One row per " in told


def test_the_title_of_a_view_ends_before_the_colon_but_not_in_parentheses(
    installation: Installation, published: Published
) -> None:
    published(pickup())

    shown = {view: installation.command("show", view).stdout for view in ("cancellations_by_booking", "moved_windows")}
    titles = {view: " ".join(text.split()) for view, text in shown.items()}

    assert titles["cancellations_by_booking"].startswith(
        "One row per carrier (is_every_carrier: all carriers), measure and band, for all accounts (is_every_account) "
        "and for each account "
    )
    assert "cancellation rate of mature" not in titles["cancellations_by_booking"]
    assert titles["moved_windows"].startswith("One row per carrier, for all accounts and for each account ")


ALL_VIEWS = [path.stem for path in view_files()]


@pytest.mark.parametrize("view", quick(ALL_VIEWS, only=[ALL_VIEWS.index(name) for name in ("pickups", "runs")]))
def test_show_prints_every_view_in_every_format(installation: Installation, published: Published, view: str) -> None:
    published(*ONE_OF_EACH)

    table, as_csv, as_json, markdown = (
        installation.command("show", view, "--format", form).stdout for form in ("table", "csv", "json", "markdown")
    )

    shown = json.loads(as_json)
    in_csv = list(csv.reader(io.StringIO(as_csv)))
    assert table.startswith("One row per ")
    assert len(in_csv) == len(shown) + 1
    assert not shown or in_csv[0] == list(shown[0])
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) == len(shown) + 2
    assert lines[0] == f"| {' | '.join(in_csv[0])} |"


def test_show_fits_the_width_and_says_what_it_leaves_out(installation: Installation, published: Published) -> None:
    published(*many(pickup, 102))

    out = installation.command("show", "pickups").stdout

    assert max(len(line) for line in out.splitlines() if line.startswith(" ")) <= 160
    assert "The same in every row: account shop, carrier dpd, country NL, pickup_status Created, " in out
    assert len(re.findall(r"^ \d+ ", out, re.MULTILINE)) == 100
    assert re.fullmatch(
        r"2 rows not shown; to print everything: pickups show pickups --format csv",
        out.splitlines()[-1],
    )


def test_show_applies_the_filter_and_names_it(installation: Installation, published: Published) -> None:
    published(*many(pickup, 3), *many(cancelled, 2, account="south"), runs=[run(), run(account="south")])
    words = ("--account", "south", "--since", "2026-03-10", "--until", "2026-03-11")

    out = installation.command("show", "carriers", *words).stdout
    as_markdown = installation.command("show", "carriers", "--format", "markdown", *words).stdout

    title = (
        "Cancellations per carrier, as of 2026-04-01 00:00 UTC · only account south · only pickups that had the end of "
        "their window since 2026-03-10 00:00 UTC and before 2026-03-11 00:00 UTC"
    )
    assert title in " ".join(out.split())
    (row,) = cells_of(out)
    assert [row[1], *row[3:7]] == ["100.0%", "2 of 2", "–", "2", "2"]
    assert re.search(r"^\| dpd \| 100.0% \| [^|]+ \| 2 of 2 \| – \| 2 \| 2 \| ", as_markdown, re.MULTILINE)
    assert as_markdown.startswith(title)


def test_show_as_markdown_keeps_names_as_text(installation: Installation, published: Published) -> None:
    published(*one_a_day({"a|b<i>*c*_d_ `x` dhl_express": (20, 40), "dpd": (10, 80)}))

    out = installation.command("show", "carriers", "--format", "markdown").stdout

    assert r"| a\|b\<i\>\*c\*\_d\_ \`x\` dhl_express | 50.0% |" in out
    assert r"Cancelled more often than the other carriers: a\|b\<i\>\*c\*\_d\_ \`x\` dhl_express (50.0%). Less" in out


def one_a_day(carriers: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """Returns k cancelled ones of n pickups for each carrier, no two of which were booked on the same day."""
    made = [
        made
        for carrier, (k, n) in carriers.items()
        for made in many(cancelled, k, carrier=carrier) + many(pickup, n - k, carrier=carrier)
    ]
    return on_separate_days(made)


@pytest.mark.parametrize(
    ("carriers", "expected", "sentence"),
    [
        (
            {"dpd": (10, 80), "ups": (20, 40)},
            [["ups", "20 of 40", "50.0%", "higher"], ["dpd", "10 of 80", "12.5%", "lower"]],
            "Cancelled more often than the other carriers: ups (50.0%). Less often: dpd (12.5%).",
        ),
        (
            {"alpha": (12, 100), "gls": (5, 40), "zeta": (14, 100)},  # in all, 31 of 240
            [
                ["zeta", "14 of 100", "14.0%", "no"],
                ["gls", "5 of 40", "12.5%", "no"],
                ["alpha", "12 of 100", "12.0%", "no"],
            ],
            "No carrier stands out: 12.9% over all, and the differences can be chance.",
        ),
        ({"dpd": (1, 4)}, [["dpd", "1 of 4", "25.0%", "–"]], "dpd is the only carrier with a rate"),
    ],
    ids=["a clear difference", "no more than chance", "a single carrier"],
)
def test_show_names_a_carrier_only_if_it_stands_out_and_keeps_the_order_of_the_view(
    installation: Installation,
    published: Published,
    carriers: dict[str, tuple[int, int]],
    expected: list[list[str]],
    sentence: str,
) -> None:
    published(*one_a_day(carriers))

    out = installation.command("show", "carriers").stdout

    found = [row for row in cells_of(out) if row[0] in carriers]
    assert [[row[0], row[3], row[1], row[4]] for row in found] == expected
    assert out.splitlines()[-2].startswith(sentence)


def test_show_names_an_account_that_was_last_read_days_before_the_others(
    installation: Installation, published: Published
) -> None:
    published(
        *(pickup(account=name) for name in "abc"),
        runs=[run("a"), run("b", "2026-03-31 12:00Z"), run("c", "2026-03-20 08:00Z")],
    )

    out = installation.command("show", "carriers").stdout

    title = "Cancellations per carrier, as of 2026-03-31 12:00 UTC, account c only as of 2026-03-20 08:00 UTC"
    assert title in " ".join(out.split())


def test_models_exports_the_selected_pickups_and_records_the_filter(tmp_path: Path, published: Published) -> None:
    import pyarrow.parquet as pq

    published(*ONE_OF_EACH)

    counts = export_with_duckdb(str(tmp_path / "views"), only=PickupFilter.parse(carriers=["ups"]))

    assert (counts["pickups"], counts["runs"]) == (1, 1)
    assert pq.read_table(tmp_path / "views" / "carrier_windows")["carrier"].to_pylist() == ["ups", "ups"]
    manifest: dict[str, Any] = json.loads((tmp_path / "views" / "_built.json").read_text())
    assert manifest["only"]["carriers"] == ["ups"]
    assert datetime.fromisoformat(manifest["as_of"]).day == 1


@pytest.mark.parametrize("words", quick([["list"], ["show", "carriers"], ["status"], ["check"]], only=(1, 2)))
def test_a_command_imports_only_what_it_needs(
    installation: Installation, world: World, api: Sandbox, words: list[str]
) -> None:
    """DuckDB and pyarrow import pandas and numpy, which take half the time of a command that prints a few rows.

    Importing dlt takes 0.4 s, and importing Arrow 18 ms.
    """
    world.book()
    installation.loaded(api)
    unneeded = {"pandas", "numpy"} if words == ["check"] else {"pandas", "numpy", "pyarrow", "dlt"}

    script = f"""
import sys
sys.argv = ["pickups", *{words}]
from pipelines.cli.main import main
try:
    main(own_process=True)
finally:
    print("UNNEEDED", sorted({unneeded} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment(api)},
        capture_output=True,
        text=True,
        cwd=installation.folder,
        timeout=60,
    )
    assert done.stdout.endswith("\nUNNEEDED []\n"), done.stdout[-200:] + done.stderr
