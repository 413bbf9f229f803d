"""Tests that the notebooks run from top to bottom, that they answer their questions, and that the committed files
contain no account's numbers."""

import ast
import base64
import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import nbformat
import pytest

from tests.support.by_hand import cancelled, fill, many, pickup, run
from tests.support.cases import quick
from tests.support.notebooks import executed

pytestmark = pytest.mark.versions

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
RATES, WINDOWS, HEALTH = "01-cancellation-rates", "02-pickup-windows", "03-is-the-data-healthy"
COMMITTED = {
    path.stem: nbformat.read(path, as_version=nbformat.NO_CONVERT) for path in sorted(NOTEBOOKS.glob("*.ipynb"))
}
LONGEST_CELL = 12

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
KEPT_AND_CANCELLED = (pickup, cancelled)
FUTURE_WINDOW = {"pickup_from": "2026-04-10 09:00Z", "pickup_until": "2026-04-10 12:00Z"}


@pytest.fixture(scope="module")
def executed_notebooks(templates):
    """Returns the notebooks by name and account, executed for a busy account and for an empty one."""
    folder = templates.made("notebooks", execute_all)
    return {(name, account): nbformat.read(folder / f"{name} {account}.ipynb", as_version=4) for name, account in PAIRS}


PAIRS = [(name, "busy") for name in COMMITTED] + [(name, "empty") for name in (RATES, WINDOWS)]


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


@pytest.mark.parametrize("name", COMMITTED)
def test_notebook_runs_without_errors_or_warnings(executed_notebooks, name):
    kinds = {
        output.output_type for cell in executed_notebooks[name, "busy"].cells for output in cell.get("outputs", [])
    }

    assert "execute_result" in kinds <= {"display_data", "execute_result"}


def test_rates_notebook_answers_in_pictures_and_sentences(executed_notebooks):
    notebook = executed_notebooks[RATES, "busy"]
    answers = "\n".join(outputs(notebook, "text/markdown"))

    assert len(outputs(notebook, "image/png")) == 7
    # With ups, 20 of 40 pickups are cancelled; with dpd, 10 of 80. The three failed ups pickups count only in the
    # failure rate.
    assert "**123 pickups** of 2 carriers, as of 2026-04-01 00:00 UTC. 123 are mature" in answers
    assert "**ups is cancelled most often: 50.0% of its pickups.**" in answers
    assert "no other carrier's reaches it. Over all carriers 30 of 120 were cancelled, 25.0%." in answers
    assert "**20 of 30 cancellations (66.7%)** came less than 24 hours before the window opened, 0 of them" in answers
    assert "**dpd differs most: 25.0% in NL, 0.0% in DE** (40 and 40 pickups)" in answers
    # All pickups were booked in one week. 10 were cancelled after 48 hours and 20 after 95, and none were rebooked.
    assert (
        "**There are too few whole weeks to tell a trend**, over all carriers. 1 weeks are whole with every carrier, "
        "0 are not mature yet." in answers
    )
    assert "**Half of the cancellations come within 95 hours of the booking**, of the 30 that came" in answers
    assert "**Bookings are too dense to tell a rebooking from the next day's pickup.** Of dpd, ups it can't" in answers
    assert "Over all carriers 3 of 123 failed, 2.4%; 0 more are stuck" in answers


def test_windows_notebook_answers_in_pictures_and_sentences(executed_notebooks):
    notebook = executed_notebooks[WINDOWS, "busy"]
    answers = "\n".join(outputs(notebook, "text/markdown"))

    assert len(outputs(notebook, "image/png")) == 5
    assert "**123 windows** of 2 carriers. 3 are open-ended (2.4%), 0 invalid" in answers
    assert "and 3 pickups are in a country without a time zone of ours" in answers
    assert (
        "**Most windows open on Tuesday from 10:00 to 11:00**: 80 of 120, 66.7%. 0 (0.0%) open on a Saturday" in answers
    )
    assert "100.0% of its windows open in its commonest hour, from 9:00 to 10:00" in answers
    assert "**The median window lasts 3.0 hours with every carrier.**" in answers
    assert "ups leaves the most windows open-ended, 7.0% of its own" in answers  # 3 of 43
    assert "**The median lead time is 96.0 hours with every carrier.**" in answers
    assert "**Lead time: there is nothing to compare. Window length: there is nothing to compare.**" in answers


def test_health_notebook_answers_in_sentences(executed_notebooks):
    answers = "\n".join(outputs(executed_notebooks[HEALTH, "busy"], "text/markdown"))

    assert "**1 of 1 runs succeeded.** The last success saw the API at 2026-04-01 00:00 UTC" in answers
    assert "No run failed." in answers
    assert "**No sweep has been made yet**" in answers
    assert "**0 records wait in quarantine**; 0 no longer do." in answers
    assert "No check of the last run found anything." in answers


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
    assert "The last success saw the API at 2026-04-01 02:00 UTC" in "".join(outputs(notebook, "text/markdown"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "others"), [(RATES, 27), (WINDOWS, 28)])
def test_charts_show_the_busiest_carriers_and_tables_list_every_one(tmp_path, name, others):
    """12 of 40 carriers are drawn. c49 has few pickups and is drawn too, because a title names it."""
    carriers = [f"c{number}" for number in range(10, 50)]
    rows = [pickup(carrier=carrier) for number, carrier in enumerate(carriers) for _ in range(50 - number)]
    rows += [cancelled(carrier=carrier) for carrier in carriers] + many(cancelled, 5, carrier="c49")
    with duckdb.connect(tmp_path / "p.duckdb") as con:
        fill(con, rows)

    notebook = executed(name, tmp_path / "p.duckdb")

    pictures = outputs(notebook, "image/png")
    heights = [int.from_bytes(base64.b64decode(picture)[20:24]) for picture in pictures]  # in a PNG's first block
    assert pictures
    assert max(heights) < 14 * 120  # inches and pixels per inch; a panel for each carrier took 25
    tables = "".join(outputs(notebook, "text/plain"))
    assert [carrier for carrier in carriers[12:] if carrier not in tables] == []
    assert f"other {others}" in "".join(outputs(notebook, "text/markdown"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [(RATES, "There is nothing to rate yet"), (WINDOWS, "There is nothing to show yet")],
)
def test_notebook_over_an_empty_account_says_so_and_does_not_fail(executed_notebooks, name, sentence):
    notebook = executed_notebooks[name, "empty"]
    answers = outputs(notebook, "text/markdown")

    assert outputs(notebook, "image/png") == []
    assert len(answers) >= 4
    assert answers[0].startswith(sentence)
    assert all(answer.startswith("There is nothing to ") for answer in answers)


@pytest.mark.parametrize("name", COMMITTED)
@pytest.mark.parametrize(
    "pickups",
    quick(
        [
            [pickup()],
            [cancelled()],
            [cancelled(**FUTURE_WINDOW)],
            [pickup(pickup_status="Announcing")],
            [pickup(pickup_status="Failed")],
            [pickup(pickup_from=None, pickup_until=None)],
            [pickup(country="CH")],
            [pickup(pickup_until=None, created_at="2026-03-11 09:00Z")],
            [pickup(pickup_until=None)],
            [pickup(pickup_until="2026-03-10 08:00Z")],
            [pickup(carrier="$\\frac{$ dpd"), cancelled(carrier="$\\frac{$ dpd"), cancelled(carrier="up$")],
            [pickup(carrier=f"carrier {n}") for n in range(3)],
            [
                make(carrier=f"carrier number {n}", pickup_from=f"2026-03-{n:02} {n - 8:02}:00Z")
                for n in range(10, 30)
                for make in KEPT_AND_CANCELLED
            ],
        ],
        only=(1, 5, 10, 11),
    ),
    ids=[
        "one kept",
        "one cancelled",
        "one cancelled, window in the future",
        "one stuck",
        "one failed",
        "one without a window",
        "one without a time zone",
        "one open-ended that opens before its booking",
        "one open-ended",
        "one that ends before it begins",
        "names that look like math markup",
        "three carriers that kept every pickup",
        "twenty carriers at all hours",
    ],
)
def test_notebook_runs_over_unusual_pickups(use_warehouse, name, pickups):
    use_warehouse(pickups)

    execute_and_draw(name)


FINDINGS = json.dumps({"known_carriers": 1})


@pytest.mark.parametrize("name", COMMITTED)
@pytest.mark.parametrize(
    "runs",
    quick(
        [
            [run(outcome="failed")],
            [run(outcome="failed", observed_at=None, started_at="2026-04-01 00:00Z", finished_at="2026-04-01 00:01Z")],
            [
                run(account="old", checks_failed=FINDINGS),
                run(account="older", checks_failed=None),
                run(
                    unexpected_values=json.dumps({"known_carriers": ["dpd"]}),
                    checks_failed=FINDINGS,
                    unknown_fields='{"colour": 2}',
                ),
            ],
        ],
        only=(2,),
    ),
    ids=[
        "a failed first load",
        "a first load that failed before its first page",
        "accounts last read by older versions",
    ],
)
def test_notebook_runs_over_unusual_run_histories(use_warehouse, name, runs):
    use_warehouse([pickup(), cancelled()], runs)

    execute_and_draw(name)


def namespace_of(name, **settings):
    """Executes every cell of the notebook in this process and returns its namespace.

    `settings` replace those in the notebook.
    """
    import matplotlib.pyplot as plt

    known = {}
    plt.switch_backend("agg")
    plt.close("all")
    code = code_of(COMMITTED[name])
    for setting, value in settings.items():
        code = re.sub(rf"^{setting} = .*$", f"{setting} = {value!r}", code, flags=re.MULTILINE)
    exec(compile(code, name, "exec"), known)
    return known


def execute_and_draw(name):
    """Executes the notebook and draws all of its pictures."""
    import matplotlib.pyplot as plt

    namespace_of(name)
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def bookings_of_week(monday, cancelled_of_ten, **changes):
    """Returns ten pickups booked on that Monday for the next day, `cancelled_of_ten` of which are cancelled."""
    booked = datetime.fromisoformat(f"{monday} 09:00Z")
    times = {
        "created_at": booked,
        "pickup_from": booked + timedelta(hours=24),
        "pickup_until": booked + timedelta(hours=27),
    }
    gone = many(cancelled, cancelled_of_ten, **times | {"cancelled_at": booked + timedelta(hours=1)} | changes)
    return gone + many(pickup, 10 - cancelled_of_ten, **times | changes)


MONDAYS = ["2026-02-02", "2026-02-09", "2026-02-16", "2026-02-23", "2026-03-02", "2026-03-09"]


def test_trend_covers_only_weeks_in_which_every_carrier_is_mature(use_warehouse):
    """Two carriers have constant rates, 1 and 3 in 10 each week. The slow carrier's last two weeks are not mature."""
    quick = [made for monday in MONDAYS for made in bookings_of_week(monday, 1)]
    slow = [made for monday in MONDAYS for made in bookings_of_week(monday, 3, carrier="ups")]
    late = [pickup(carrier="ups", created_at=f"{monday} 09:00Z", **FUTURE_WINDOW) for monday in MONDAYS[-2:]]
    use_warehouse(quick + slow + late)

    assert namespace_of(RATES)["movement"]() == (
        "20.0% were cancelled of the last 2 whole weeks' bookings, 20.0% of the 2 before"
    )


@pytest.mark.parametrize(
    ("since", "until", "complete_weeks"),
    quick(
        [
            ("2026-02-08", None, MONDAYS[1:]),
            ("2026-02-09", None, MONDAYS[2:]),
            ("2026-02-11", None, MONDAYS[2:]),
            (None, "2026-03-09", MONDAYS[:5]),
            (None, "2026-03-08", MONDAYS[:4]),
            ("2026-02-08", "2026-03-11", MONDAYS[1:5]),
            (None, None, MONDAYS),
        ],
        only=(1, 5),
    ),
    ids=[
        "a Sunday",
        "a Monday, whose first local hour is Sunday in UTC",
        "a Wednesday",
        "until a Monday",
        "until a Sunday",
        "both",
        "no limit",
    ],
)
def test_week_that_since_or_until_cuts_into_is_incomplete_and_left_out(
    tmp_path, monkeypatch, since, until, complete_weeks
):
    """All windows end on 10 March, which since and until would select by default, but weeks are weeks of booking."""
    with duckdb.connect(tmp_path / "pickups.duckdb") as con:
        every_day = [datetime.fromisoformat(f"{MONDAYS[0]} 09:00Z") + timedelta(days=day) for day in range(42)]
        fill(con, [make(created_at=at) for at in every_day for make in KEPT_AND_CANCELLED])
    monkeypatch.setenv("PUBLISH__PATH", str(tmp_path / "pickups.duckdb"))

    over_all = namespace_of(RATES, since=since, until=until)["over_all"]

    assert [f"{monday:%Y-%m-%d}" for monday in over_all.index] == complete_weeks


@pytest.fixture
def use_warehouse(warehouse, monkeypatch):
    """Returns a function that makes `pipelines.warehouse.read` read the given account, in this process."""

    def use(pickups, runs=None):
        con = warehouse(*pickups, runs=runs)
        monkeypatch.setattr(
            "pipelines.warehouse.read", lambda view, **_: con.execute(f"select * from analytics.{view}").df()
        )

    return use


# --- the committed files


def code_of(notebook):
    """Returns the source of all code cells as one text."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def test_there_are_three_notebooks():
    assert list(COMMITTED) == [RATES, WINDOWS, HEALTH]


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_notebook_has_no_outputs_execution_counts_or_cell_metadata(name):
    for cell in COMMITTED[name].cells:
        assert cell.get("outputs", []) == [], cell.id
        assert cell.get("execution_count") is None, cell.id
        assert cell.metadata == {}, cell.id


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_notebook_is_valid_and_names_its_kernel(name):
    notebook = COMMITTED[name]

    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    ids_as_written = [cell["id"] for cell in json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]]
    assert len(set(ids_as_written)) == len(ids_as_written)  # nbformat repairs duplicate ids as it reads


@pytest.mark.parametrize("name", COMMITTED)
def test_no_cell_is_empty_and_no_code_cell_is_too_long(name):
    for cell in COMMITTED[name].cells:
        lines = cell.source.splitlines()
        assert lines, cell.id
        assert cell.cell_type == "markdown" or len(lines) <= LONGEST_CELL, cell.id


@pytest.mark.parametrize("name", COMMITTED)
def test_notebook_begins_with_a_question_and_ends_with_its_limits(name):
    first, *_, last = COMMITTED[name].cells

    assert first.source.splitlines()[0].startswith("# ")
    assert first.source.splitlines()[0].endswith("?")
    assert last.source.startswith("## What these numbers can't say")


@pytest.mark.parametrize("name", COMMITTED)
def test_notebook_imports_nothing_but_read_from_the_project(name):
    imported = {
        f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(code_of(COMMITTED[name])))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    assert imported - {"json", "pandas"} == {
        "matplotlib.pyplot",
        "IPython.display.Markdown",
        "pipelines.warehouse.read",
    }
