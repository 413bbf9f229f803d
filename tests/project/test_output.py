"""Tests that only pipelines/output.py prints, and what it makes of text from outside."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.output import csv_cell, print_csv, print_styled, print_table, print_text, to_html, to_json, visible

ROOT = Path(__file__).parents[2]
# output.py prints to the streams of the other two
PRINTERS = {"pipelines/output.py", "pipelines/json_logs.py", "pipelines/cli/streams.py"}
EXAMPLE = {"sources/sendcloud_pipeline.py"}  # the script of `dlt init` is yours to change
PRINTING = re.compile(
    r"print|pprint|(typer|click)\.(echo|secho|echo_via_pager)|.*\.print|.*\.print_json|os\.write|csv\.(writer|DictWriter)"
    r"|sys\.(__)?std(out|err)(__)?\.(write|writelines|buffer\.write)|traceback\.print_\w+|logging\.\w+"
)
QUIET = {"logging.getLogger", "logging.LogRecord", "logging.setLogRecordFactory"}


def test_no_module_prints_except_the_one_that_makes_text_fit() -> None:
    found = []
    for folder in ("pipelines", "sources"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            if path.relative_to(ROOT).as_posix() not in PRINTERS | EXAMPLE:
                named = [ast.unparse(call.func) for call in calls]
                found += [f"{path}: {name}" for name in named if PRINTING.fullmatch(name) and name not in QUIET]

    assert found == []


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("dhl [NL]", "dhl [NL]"),
        ("gls[/it] :boom: \\", "gls[/it] :boom: \\"),
        ("pošta Ελτά 顺丰 🚚 👨\u200d💻", "pošta Ελτά 顺丰 🚚 👨\u200d💻"),
        ("a\x1b[31mb\x07", "a\\x1b[31mb\\x07"),
        ("a\r\nb\tc\x00\x7f", "a\\r\\nb\\tc\\x00\\x7f"),
        ("a\x9b31m\x85", "a\\x9b31m\\x85"),  # C1: one character that begins a control sequence, and a line break
        ("a\u202egpj\u2066\u200e\u061c", "a\\u202egpj\\u2066\\u200e\\u061c"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("a\ufeff\u200b\u2060\xad", "a\\ufeff\\u200b\\u2060\\xad"),
        ("a\ud800\U000e0041", "a\\ud800\\U000e0041"),
    ],
)
def test_control_characters_are_shown_as_text_and_all_others_as_sent(sent: str, shown: str) -> None:
    assert visible(sent) == shown
    assert json.loads(to_json({"carrier": sent})) == {"carrier": sent}
    assert to_json({"carrier": sent}).isprintable() or "\u200d" in sent


def test_text_is_printed_line_by_line_and_cells_and_styles_without_markup() -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        print_text("one\ntwo\x1b[2J\rthree")
        print_styled(("account [bold]x[/bold]", "bold"), (" :boom: \x07", ""))
        print_table("of [b]gls[/b]", ["carrier", "n"], [["gls[/it]\x1b", "1"], [":boom:\nx", "2"]])

    printed = [line.rstrip() for line in out.getvalue().splitlines()]
    assert printed[:4] == ["one", "two\\x1b[2J\\rthree", "account [bold]x[/bold] :boom: \\x07", "of [b]gls[/b]"]
    cells = [line.split() for line in printed if line.endswith(("1", "2"))]
    assert cells == [["gls[/it]\\x1b", "1"], [":boom:\\nx", "2"]]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\\t=1"),
        ("\r=1", "'\\r=1"),
        ("\n=1", "'\\n=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a=1", "a=1"),
        ("dhl\nx", "dhl\\nx"),
        (-1.5, -1.5),
        (-3, -3),
        (None, None),
        (True, True),
        (datetime(2026, 11, 23, 8, tzinfo=UTC), "2026-11-23T08:00:00+00:00"),
    ],
)
def test_a_cell_for_a_spreadsheet_is_no_formula_and_a_number_stays_a_number(value: object, cell: object) -> None:
    assert csv_cell(value) == cell


def test_csv_quotes_what_it_must() -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        print_csv(["=carrier", "rate"], [['a,"b"\r\nc', -0.5]])

    assert out.getvalue() == '\'=carrier,rate\n"a,""b""\\r\\nc",-0.5\n'
    assert list(csv.reader(io.StringIO(out.getvalue())))[1] == ['a,"b"\\r\\nc', "-0.5"]


def test_html_is_escaped_for_a_body_and_for_an_attribute() -> None:
    assert to_html("<b onload='x'>\"&\x1b") == "&lt;b onload=&#x27;x&#x27;&gt;&quot;&amp;\\x1b"
