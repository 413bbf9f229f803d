"""Tests that the notebooks run from top to bottom, that they answer their questions, and that the committed files
contain no account's numbers."""

import ast
import json
from pathlib import Path

import duckdb
import nbformat
import pandas as pd
import pytest

from tests.support.by_hand import FUTURE, cancelled, fill, many, pickup, run
from tests.support.cases import quick
from tests.support.notebooks import executed

pytestmark = pytest.mark.versions

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
RATES, WINDOWS, HEALTH = "01-cancellation-rates", "02-pickup-windows", "03-is-the-data-healthy"
TUTORIAL = "04-your-own-question"
COMMITTED = {
    path.stem: nbformat.read(path, as_version=nbformat.NO_CONVERT) for path in sorted(NOTEBOOKS.glob("*.ipynb"))
}
MOST_CELLS, LONGEST_CELL = 25, 12
SETTINGS = ["accounts", "carriers", "countries", "since", "until", "by", "save_to"]

# Windows open on Tuesday 2026-03-10 at 09:00 UTC, which is 10:00 in Amsterdam and Berlin and 9:00 in London.
# A window lasts three hours and is booked four days ahead.
BUSY = [
    *many(cancelled, 10, country="NL"),
    *many(pickup, 30, country="NL"),
    *many(pickup, 40, country="DE"),
    *many(cancelled, 20, carrier="ups", country="GB", cancelled_at="2026-03-10 08:00Z"),
    *many(pickup, 20, carrier="ups", country="GB"),
    *many(pickup, 3, carrier="ups", country="CH", pickup_until=None, pickup_status="Failed"),
]


@pytest.fixture(scope="module")
def executed_notebooks(templates):
    """Returns the notebooks by name and account, executed for a busy account and for an empty one."""
    folder = templates.made("notebooks", execute_all)
    return {(name, account): nbformat.read(folder / f"{name} {account}.ipynb", as_version=4) for name, account in PAIRS}


PAIRS = [(name, account) for name in COMMITTED for account in ("busy", "empty")]


def execute_all(folder):
    for account, pickups in {"busy": BUSY, "empty": []}.items():
        with duckdb.connect(folder / f"{account}.duckdb") as con:
            fill(con, pickups)
    for name, account in PAIRS:
        nbformat.write(executed(name, folder / f"{account}.duckdb"), folder / f"{name} {account}.ipynb")


def outputs(notebook, kind):
    """Returns the outputs of all cells that have this MIME type."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output.data[kind] for cell in cells for output in cell.outputs if kind in output.get("data", {})]


def answers(notebook):
    return "\n".join(outputs(notebook, "text/markdown"))


@pytest.mark.parametrize("name", COMMITTED)
def test_notebook_runs_without_errors_or_warnings(executed_notebooks, name):
    kinds = {
        output.output_type for cell in executed_notebooks[name, "busy"].cells for output in cell.get("outputs", [])
    }

    assert "display_data" in kinds <= {"display_data", "execute_result"}


@pytest.mark.parametrize(("name", "pictures"), [(RATES, 9), (WINDOWS, 6), (HEALTH, 0), (TUTORIAL, 1)])
def test_notebook_shows_its_pictures_with_a_text_that_states_the_finding(executed_notebooks, name, pictures):
    """With two accounts of one run each, no age of the data can be drawn, and no four weeks can be compared."""
    notebook = executed_notebooks[name, "busy"]
    shown = [output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.data]

    assert len(shown) == pictures
    assert all(output.metadata["image/png"]["alt"] == output.data["text/plain"] != "" for output in shown)


def test_rates_notebook_answers_in_sentences(executed_notebooks):
    said = answers(executed_notebooks[RATES, "busy"])

    # With ups, 20 of 40 pickups are cancelled; with dpd, 10 of 80. All of them were booked on one day, so they are one
    # cluster, and the difference may be chance. The three failed ups pickups count only in the failure rate.
    assert "**123 pickups of 2 carriers, as of 2026-04-01 00:00 UTC.** 123 are mature." in said
    assert "**No carrier stands out: 25.0% over all, and the differences can be chance.**" in said
    assert "Cancelled: 30 of 120 finished pickups, 25.0%." in said
    assert "Fewer than ten clusters, so wide by assumption: ups and dpd." in said
    assert "**20 of 30 cancelled pickups booked at least 24 hours ahead were late (66.7%).**" in said
    assert "**No country stands out with any carrier.** The countries of each carrier" in said
    # All pickups were booked in one week. 10 were cancelled after 48 hours and 20 after 95, and none were rebooked.
    assert "**Complete for every carrier: 1 of 1 week.**" in said
    assert "**Booked in the week of 2 Mar: 10 of 123 pickups cancelled within 48 hours (8.1%).**" in said
    assert "**Half of the cancellations come within 48 to 95 hours of the booking, by carrier.** 30 cancell" in said
    assert "**0 of 30 cancellations were rebooked within a day, beyond chance.** This covers every" in said
    assert "**No carrier stands out: 2.4% over all, and the differences can be chance.**" in said
    assert "Failed: 3 of 123 finished pickups, 2.4%." in said


def test_windows_notebook_answers_in_sentences(executed_notebooks):
    said = answers(executed_notebooks[WINDOWS, "busy"])

    assert "**123 windows of 2 carriers.** 3 are open-ended (2.4%), 3 are in an unknown time zone." in said
    assert "No later pickup is booked." in said
    assert "**The busiest hour is Tuesday from 10:00 to 11:00, with 80 of 120 windows (66.7%).** No window" in said
    assert "**Median length: 3.0 h with every carrier.** Open-ended: 3 of 43 windows with ups (7.0%)." in said
    assert "**Median lead time: 4.0 days with every carrier.**" in said
    assert "**Lead time: there is nothing to compare.**" in said


def test_health_notebook_answers_in_sentences(executed_notebooks):
    said = answers(executed_notebooks[HEALTH, "busy"])

    assert "**1 of 1 run succeeded.**" in said
    assert "The last success saw the API at 2026-04-01 00:00 UTC." in said
    assert "**No sweep has been made yet" in said
    assert "**No record is in quarantine.**" in said
    assert "**No pickup is stuck.**" in said


def test_tutorial_goes_from_a_row_to_as_many_pickups_as_the_row_counts(executed_notebooks):
    """20 of ups' cancellations were made an hour before the window."""
    shown = "\n".join(outputs(executed_notebooks[TUTORIAL, "busy"], "text/plain"))

    assert "'20 pickups, and the view counts 20'" in shown
    assert "One row per carrier" in shown  # the grain of a view
    assert "Friday" in shown  # the weekday of the bookings
    assert "16.7%" in shown  # 20 of the 120 pickups that were cancelled or kept


def test_health_notebook_follows_the_order_of_runs_and_not_a_clock(tmp_path):
    """The first run's clock stood in 2031. What its checks found is over."""
    receipts = [
        run(run_number=1, started_at="2031-05-05 05:05Z", checks_failed='{"known_carriers": 1}'),
        run(run_number=2, observed_at="2026-04-01 02:00Z", checks_failed='{"known_statuses": 2}'),
    ]
    with duckdb.connect(tmp_path / "p.duckdb") as con:
        fill(con, [pickup()], receipts)

    notebook = executed(HEALTH, tmp_path / "p.duckdb")

    (table,) = [text for text in outputs(notebook, "text/plain") if "new words" in text]
    assert "known_statuses" in table
    assert "known_carriers" not in table
    assert "The last success saw the API at 2026-04-01 02:00 UTC" in answers(notebook)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [(RATES, "**There is nothing to rate yet"), (WINDOWS, "**There is nothing to show yet")],
)
def test_notebook_over_an_empty_account_says_so_once_and_does_not_fail(executed_notebooks, name, sentence):
    notebook = executed_notebooks[name, "empty"]

    assert outputs(notebook, "image/png") == []
    (answer,) = outputs(notebook, "text/markdown")
    assert answer.startswith(sentence)


@pytest.mark.parametrize("name", quick([*COMMITTED], only=(0,)), ids=[*COMMITTED])
def test_notebook_over_a_first_week_tells_what_is_known(tmp_path, name):
    with duckdb.connect(tmp_path / "p.duckdb") as con:
        fill(con, many(cancelled, 7, **FUTURE) + many(pickup, 32, **FUTURE))

    notebook = executed(name, tmp_path / "p.duckdb")

    if name == RATES:
        assert "39 pickups booked, 7 cancelled already." in answers(notebook)
        assert len(outputs(notebook, "image/png")) == 2  # the early signal, and cancellations by age


def test_settings_restrict_every_number_and_save_a_table(tmp_path):
    with duckdb.connect(tmp_path / "p.duckdb") as con:
        fill(con, BUSY)
    changes = {"carriers": ["ups"], "since": "2026-03-01", "save_to": str(tmp_path / "carriers.csv")}

    notebook = executed(RATES, tmp_path / "p.duckdb", **changes)

    assert "The numbers cover only ups · only pickups that had the end of their window since" in answers(notebook)
    assert "**43 pickups of 1 carrier" in answers(notebook)
    saved = pd.read_csv(tmp_path / "carriers.csv")
    assert set(saved["carrier"]) == {"ups"}


# --- the committed files


def code_of(notebook):
    """Returns the source of all code cells as one text."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def test_there_are_four_notebooks():
    assert list(COMMITTED) == [RATES, WINDOWS, HEALTH, TUTORIAL]


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_notebook_has_no_outputs_execution_counts_or_cell_metadata(name):
    for cell in COMMITTED[name].cells:
        assert cell.get("outputs", []) == [], cell.id
        assert cell.get("execution_count") is None, cell.id
        assert cell.metadata == ({"tags": ["parameters"]} if cell.id == "only" else {}), cell.id


@pytest.mark.parametrize("name", COMMITTED)
def test_the_parameters_cell_has_every_filter_and_every_filter_is_used(name):
    (cell,) = [cell for cell in COMMITTED[name].cells if "parameters" in cell.metadata.get("tags", [])]
    others = code_of(COMMITTED[name]).replace(cell.source, "")

    assert [line.split(" = ")[0] for line in cell.source.splitlines()] == SETTINGS
    used = {node.id for node in ast.walk(ast.parse(others)) if isinstance(node, ast.Name)}
    assert used.issuperset(SETTINGS)


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_notebook_is_valid_and_names_its_kernel(name):
    notebook = COMMITTED[name]

    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    ids_as_written = [cell["id"] for cell in json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]]
    assert len(set(ids_as_written)) == len(ids_as_written)  # nbformat repairs duplicate ids as it reads


@pytest.mark.parametrize("name", COMMITTED)
def test_a_notebook_is_short_and_so_are_its_cells(name):
    cells = COMMITTED[name].cells

    assert len(cells) <= MOST_CELLS
    for cell in cells:
        lines = cell.source.splitlines()
        assert lines, cell.id
        assert cell.cell_type == "markdown" or len(lines) <= LONGEST_CELL, cell.id
    assert "def " not in code_of(COMMITTED[name])  # helpers are in pipelines.charts, where they are tested


@pytest.mark.parametrize("name", COMMITTED)
def test_notebook_begins_with_a_question_and_ends_with_its_limits(name):
    first, *_, last = COMMITTED[name].cells

    assert first.source.splitlines()[0].startswith("# ")
    assert first.source.splitlines()[0].endswith("?")
    assert last.source.startswith("## What these numbers can't say")


@pytest.mark.parametrize("name", COMMITTED)
def test_notebook_imports_only_what_is_documented(name):
    imported = {
        f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(code_of(COMMITTED[name])))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    from_charts = {f"pipelines.charts.{name}" for name in ("sentences", "show", "tables")}
    assert imported == {"pipelines.charts", "pipelines.warehouse.connect"} | from_charts
