"""Tests that a terminal with 80 columns shows the answer, and never a part of a number or of a name."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pipelines.analytics.column_comments import column_descriptions
from pipelines.analytics.views import view_files
from pipelines.cli.reading.table_layout import lay_out
from pipelines.cli.reading.view_columns import VIEW_ORDERS, order_by
from tests.numbers.test_changes import independent
from tests.support.by_hand import FUTURE, cancelled, many, on_separate_days, pickup
from tests.support.installation import REPOSITORY, Installation

Published = Callable[..., Path]
LONG_NAME = "poste_italiane_business_delivery_2"


def in_terminal(installation: Installation, *words: str, columns: int = 80) -> list[str]:
    """Returns the lines that the command prints to a terminal of this width, without control sequences."""
    ours, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    settings = {"DLT_PROJECT_DIR": str(installation.folder), "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"}
    running = subprocess.Popen(
        [sys.executable, "-m", "pipelines", *words],
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"} | settings,
        stdout=terminal,
        stderr=subprocess.STDOUT,
    )
    os.close(terminal)
    shown = b""
    with suppress(OSError):  # a terminal raises this when its other end is closed
        while said := os.read(ours, 4096):
            shown += said
    os.close(ours)
    assert running.wait(60) == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()


def cells_of(lines: list[str]) -> list[list[str]]:
    """Returns the cells of the rows below the line under a table's head."""
    begin = next(n for n, line in enumerate(lines) if "──" in line) + 1
    end = next(n for n, line in enumerate(lines) if n > begin and not line.strip())
    return [re.split(r" {2,}", line.strip()) for line in lines[begin:end]]


@pytest.fixture
def rated(published: Published) -> None:
    """Publishes pickups of two carriers, no two of which were booked on the same day."""
    published(
        *on_separate_days(
            [
                *many(cancelled, 20, carrier="ups"),
                *many(pickup, 20, carrier="ups"),
                *many(cancelled, 10, carrier="dhl_parcel_iberia"),
                *many(pickup, 70, carrier="dhl_parcel_iberia"),
            ]
        )
    )


@pytest.mark.usefixtures("rated")
def test_carriers_show_rate_interval_and_counts(installation: Installation) -> None:
    lines = in_terminal(installation, "show", "carriers")

    assert all(len(line) <= 80 for line in lines if line.startswith(" "))
    assert [[row[0], row[1], *row[3:]] for row in cells_of(lines)] == [
        ["ups", "50.0%", "20 of 40", "higher", "40", "40"],
        ["dhl_parcel_iberia", "12.5%", "10 of 80", "lower", "80", "80"],
    ]
    assert all(re.fullmatch(r"\d+\.\d to \d+\.\d%", row[2]) for row in cells_of(lines))
    assert "…" not in "".join(lines)
    assert "The same in every row: failed 0.0%, conflicts 0" in lines
    assert not any("not shown" in line for line in lines)


@pytest.mark.usefixtures("rated")
def test_the_first_columns_are_shown_and_the_others_are_counted(installation: Installation) -> None:
    lines = in_terminal(installation, "show", "carriers", columns=60)

    assert [row[:2] for row in cells_of(lines)] == [["ups", "50.0%"], ["dhl_parcel_iberia", "12.5%"]]
    assert lines[-1] == "2 columns not shown; to print everything: pickups show carriers --format csv"
    assert all(len(line) <= 60 for line in lines if line.startswith(" "))


@pytest.mark.usefixtures("rated")
@pytest.mark.parametrize("words", [["show", "windows"], ["list"]])
def test_each_row_takes_one_line(installation: Installation, words: list[str]) -> None:
    lines = in_terminal(installation, *words)

    rows = cells_of(lines)
    assert len(rows) == (50 if words == ["list"] else 2)
    assert {len(row) for row in rows} == {len(rows[0])}
    assert "…" not in "".join(lines)
    assert all(len(line) <= 80 for line in lines if line.startswith(" "))


def test_a_long_name_takes_several_lines_beside_its_numbers(installation: Installation, published: Published) -> None:
    published(*many(cancelled, 2, carrier=LONG_NAME), pickup())

    first, second, third = cells_of(in_terminal(installation, "show", "carriers"))

    assert (first[0] + second[0], first[1], first[3], third[0]) == (LONG_NAME, "100.0%", "2 of 2", "dpd")


def test_a_view_that_does_not_fit_shows_its_answer(installation: Installation, published: Published) -> None:
    """In the later period, 30 of 40 pickups of dpd were cancelled instead of 4 of 40, and as many of ups as before."""
    published(*independent(4, 40, 30, 40), *independent(4, 40, 4, 40, carrier="ups"))

    lines = in_terminal(installation, "show", "cancellation_changes")

    rule = next(n for n, line in enumerate(lines) if "──" in line)
    assert " ".join(lines[rule - 1].split()).startswith("account carrier difference chance alarm rate")
    assert [row[:6] for row in cells_of(lines)] == [
        ["all", "dpd", "0.65", "yes", "yes", "0.75"],
        ["all", "ups", "0", "no", "no", "0.1"],
        ["shop", "dpd", "0.65", "yes", "yes", "0.75"],
        ["shop", "ups", "0", "no", "no", "0.1"],
    ]
    assert any(line.startswith("The same in every row: before_rate 0.1, now_n 40, ") for line in lines)
    assert lines[-1].endswith("columns not shown; to print everything: pickups show cancellation_changes --format csv")


def test_upcoming_pickups_are_in_order_of_time(installation: Installation, published: Published) -> None:
    """The clocks went forward on 29 March, so 09:00 UTC is 11:00 in Amsterdam."""
    later = {"pickup_from": "2026-04-11 09:00Z", "pickup_until": "2026-04-11 12:00Z"}
    early = {"pickup_from": "2026-04-10 07:00Z", "pickup_until": "2026-04-10 12:00Z"}
    published(
        pickup(**later),
        pickup(carrier="ups", **FUTURE),
        pickup(carrier="dhl", **later),
        pickup(carrier="dhl", **FUTURE),
        pickup(carrier="ups", **early),
    )

    rows = cells_of(in_terminal(installation, "show", "upcoming_pickups"))

    assert [row[1:4] for row in rows if row[0] == "all"] == [
        ["2026-04-10", "9", "ups"],
        ["2026-04-10", "11", "dhl"],
        ["2026-04-10", "11", "ups"],
        ["2026-04-11", "11", "dhl"],
        ["2026-04-11", "11", "dpd"],
    ]


# the layout, by hand


def test_a_table_that_fits_stays_as_it_is() -> None:
    """The widths 7 and 4, a gap of 3 and a space at each edge are 16."""
    whole = lay_out(["carrier", "rate"], [["dpd", "0.0%"], ["ups", "0.0%"]], 16)

    assert (whole.heads, whole.widths, whole.common) == (["carrier", "rate"], [7, 4], ())
    assert lay_out(["carrier", "rate"], [["dpd", "0.0%"], ["ups", "0.0%"]], 15).common == [("rate", "0.0%")]


def test_a_table_that_does_not_fit_is_broken_in_its_heads_first() -> None:
    """The widths 3 and 13 ("cancellations"), a gap of 2 and a space at each edge are 20."""
    columns, rows = ["day", "expected_cancellations", "pending"], [["Mon", "0.25", "1"], ["Tue", "0.5", "0"]]

    layout = lay_out(columns, rows, 20)

    assert (layout.heads, layout.widths) == (["day", "expected_\ncancellations"], [3, 13])
    assert (layout.rows, layout.left_out) == ([["Mon", "0.25"], ["Tue", "0.5"]], 1)
    assert lay_out(columns, rows, 19).heads == ["day"]


def test_at_least_one_column_is_shown_within_the_width() -> None:
    layout = lay_out(["error", "n"], [["a" * 40, "1"], ["b", "2"]], 12)

    assert (layout.heads, layout.widths, layout.left_out) == (["error"], [10], 1)


def test_a_single_row_and_equal_rows_keep_their_columns() -> None:
    for rows in ([["abc", "de"]], [["abc", "de"], ["abc", "de"]], []):
        layout = lay_out(["first_name", "second_name"], rows, 17)

        assert (layout.heads, layout.common) == (["first_\nname", "second_\nname"], [])


def test_every_view_has_an_order_and_its_columns_exist() -> None:
    described = column_descriptions()

    assert set(VIEW_ORDERS) == {path.stem for path in view_files()}
    for view, order in VIEW_ORDERS.items():
        assert set(order.columns.split()) <= set(described[view]), view


def test_rows_are_ordered_by_the_columns_that_a_view_of_another_version_has() -> None:
    assert order_by("moved_windows", ["account", "carrier", "moved"]) == " order by account, carrier"
    assert order_by("moved_windows", ["moved"]) == ""
