"""Docs are tested like code: commands, settings, exit codes, columns, grains."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from pipelines import cli, ending, errors, models
from pipelines.settings import OURS, known
from sources.sendcloud import sendcloud_source
from tests.support.installation import rows_of
from tests.support.templates import Templates

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TABLES = (ROOT / "pipelines" / "README.md").read_text()
READMES = [
    ROOT / "README.md",
    *(ROOT / room / "README.md" for room in ("pipelines", "sources/sendcloud", "notebooks", "tests")),
]
NOT_SETTINGS = {"credentials", "part", "reading"}


def settings() -> dict[str, object]:
    """The source's own settings and their defaults, from its signature."""
    parameters = inspect.signature(sendcloud_source.__wrapped__).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in NOT_SETTINGS}


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(markdown: str) -> list[str]:
    """The names in the first column of the tables, without their back ticks."""
    cells = [line.split("|")[1] for line in markdown.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


COMMANDS = get_command(cli.app).commands  # type: ignore[attr-defined]
CODE = {path: "\n".join(re.findall(r"```.*?```|`[^`\n]+`", path.read_text(), re.DOTALL)) for path in READMES}


def options(command: str) -> set[str]:
    """The long options of a command, but --help."""
    return {opt for param in COMMANDS[command].params for opt in param.opts if opt.startswith("--")} - {"--help"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_row_in_the_readme_with_every_option(command: str) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `pickups {command}")]

    assert COMMANDS[command].help
    assert set(re.findall(r"(--[a-z-]+)", row)) == options(command)


def test_the_options_before_the_command_are_told() -> None:
    for option in ("--project-dir", "--debug", "--install-completion"):
        assert option in README


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_every_command_and_option_that_the_docs_speak_of_is_there(readme: Path) -> None:
    before = {"--project-dir", "--debug", "--install-completion", "--version", "--help"}
    called = r"(?:^|[`/])pickups((?: --[a-z-]+(?: [\w/.$]+)?)*) ([a-z]+)\b([^`\n|;&)]*)"
    for words in re.findall(called, CODE[readme], re.MULTILINE):
        called_with, command, rest = words
        assert command in COMMANDS, words
        assert set(re.findall(r"(--[a-z-]+)", rest)) <= options(command) | before, words
        assert set(re.findall(r"(--[a-z-]+)", called_with)) <= before, words


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_every_setting_that_the_docs_speak_of_is_there(readme: Path) -> None:
    variables = {key.replace(".", "__").upper() for key in known()}
    for variable in re.findall(r"\b(?:SOURCES|PUBLISH|STATUS|ALERTS|KEEP|DESTINATION__DUCKDB)__\w+", CODE[readme]):
        assert re.sub(r"ACCOUNTS__[A-Z]+__", "", variable) in variables, variable
    for section, name in re.findall(r"`\[([\w.]+)\] (\w+)`", CODE[readme]):
        assert f"{section}.{name}" in known(), (section, name)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_every_exit_code_that_the_docs_speak_of_is_there(readme: Path) -> None:
    codes = {0, 2, 137, ending.EXIT_ENDED, errors.EXIT_CHECK_FAILED, errors.EXIT_BUG, *errors.EXIT_CODES.values()}
    told = re.findall(r"(?:exits?|exit codes?)(?: with)? (\d+)", readme.read_text())
    assert {int(code) for code in told} <= codes


def test_the_settings_of_the_readme_are_those_of_the_source_and_ours_with_their_defaults() -> None:
    told = dict(re.findall(r"^\| `([\w.]+)` \| `?([^`|]+?)`? \|", section(README, "Settings"), re.MULTILINE))

    ours = {key: "none" if wanted.default is None else str(wanted.default) for key, wanted in OURS.items()}
    of_the_source = {name: str(default) for name, default in settings().items()}
    assert told == {"destination.duckdb.credentials": "data/warehouse.duckdb"} | ours | of_the_source


def test_config_toml_says_the_defaults_and_nothing_that_is_not_read() -> None:
    configured = tomllib.loads((ROOT / ".dlt" / "config.toml").read_text())

    assert configured["sources"]["sendcloud"] == settings()
    assert configured["destination"]["duckdb"]["credentials"] == "data/warehouse.duckdb"
    for key, wanted in OURS.items():
        place, name = key.split(".")
        assert configured.get(place, {}).get(name) == wanted.default, key
    assert set(configured) == {
        "runtime",
        "normalize",
        "pipeline",
        "destination",
        "publish",
        "status",
        "keep",
        "sources",
    }


def test_the_exit_codes_of_the_readme_are_those_of_the_code() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}

    assert told == {0, 2, errors.EXIT_CHECK_FAILED, errors.EXIT_BUG, ending.EXIT_ENDED, *errors.EXIT_CODES.values()}


@pytest.fixture(scope="module")
def columns(templates: Templates) -> dict[str, set[str]]:
    """Columns by table of a loaded installation."""
    rows = rows_of(
        templates.loaded("ten") / "data" / "pickups.duckdb",
        "select schema_name || '.' || table_name as t, column_name as c from duckdb_columns() "
        "where schema_name in ('sendcloud', 'analytics') and table_name not like '\\_dlt%' escape '\\'",
    )
    return {name: {row["c"] for row in rows if row["t"] == name} for name in {row["t"] for row in rows}}


def test_every_table_and_view_has_its_section_and_its_line_in_the_readme(columns: dict[str, set[str]]) -> None:
    assert set(re.findall(r"^## ((?:sendcloud|analytics)\.\w+)$", TABLES, re.MULTILINE)) == set(columns)
    assert set(first_cells(section(README, "The tables"))) == set(columns)


def test_the_columns_told_are_the_columns_that_there_are(columns: dict[str, set[str]]) -> None:
    for table, there in columns.items():
        told = first_cells(section(TABLES, table))
        assert sorted(told) == sorted(there), table


def test_every_check_is_told_with_its_severity() -> None:
    must_pass, warn = section(TABLES, "Checks").split("The others warn")
    for path in models.checks():
        severity = models.SEVERITY.match(path.read_text())
        assert severity, path.name
        assert f"`{path.stem}`" in (must_pass if severity[1] == "must-pass" else warn), path.stem


def test_every_view_says_its_grain_and_the_database_repeats_it(columns: dict[str, set[str]]) -> None:
    assert {f"analytics.{path.stem}" for path in models.views()} == {t for t in columns if t.startswith("analytics.")}
    for path in models.views():
        assert path.read_text().startswith("-- One row per "), path.name


def test_every_file_of_a_room_is_in_its_readme() -> None:
    tests = ROOT / "tests"
    readmes = {folder: folder for folder in (ROOT / "pipelines", ROOT / "sources" / "sendcloud")}
    for room, readme in (readmes | {tests / "support": tests}).items():
        told = (readme / "README.md").read_text()
        for path in room.glob("*.py"):
            assert path.stem in ("__main__", "conftest") or path.name in told or path.name == "__init__.py", path
    rooms = {path.parent.name for path in tests.rglob("test_*.py")}
    assert rooms <= set(re.findall(r"^\| `(\w+)/` \|", (tests / "README.md").read_text(), re.MULTILINE))


PROMISE = section((ROOT / "tests" / "README.md").read_text(), "The promise, and the tests that hold it")


def test_every_point_of_the_promise_names_its_tests() -> None:
    points = re.findall(r"^\| (\d)\. .* \| (.*) \|$", PROMISE, re.MULTILINE)

    assert [number for number, _ in points] == list("1234567")
    assert all("`test_" in tests for _, tests in points)


def test_every_test_that_the_promise_names_is_there() -> None:
    for file, tests in re.findall(r"`(test_\w+\.py)`: ((?:`test_\w+`(?:, )?)+)", PROMISE):
        (path,) = (ROOT / "tests").rglob(file)
        there = re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
        for name in re.findall(r"`(test_\w+)`", tests):
            assert name in there, f"{file}: {name}"
    assert len(re.findall(r"`test_\w+\.py`: `test_", PROMISE)) == PROMISE.count(".py`")


def test_every_point_of_the_promise_has_a_test_in_the_default_run() -> None:
    for tests in re.findall(r"^\| \d\. .* \| (.*) \|$", PROMISE, re.MULTILINE):
        named = re.findall(r"`(test_\w+)`", tests)
        code = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
        slow = {name for text in code.values() for name in re.findall(r"@pytest.mark.slow\n(?:@.*\n)*def (\w+)", text)}
        assert set(named) - slow, tests


def anchors(markdown: str) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_links_inside_the_docs_lead_somewhere(readme: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", readme.read_text())
    assert links or readme != ROOT / "README.md"
    for file, anchor in links:
        target = readme.parent / file if file else readme
        assert target.exists(), file
        assert not anchor or anchor in anchors(target.read_text()), (file, anchor)


def test_the_docs_speak_of_commands_settings_and_exit_codes() -> None:
    """Or the tests above would look for nothing."""
    code, text = "\n".join(CODE.values()), "\n".join(path.read_text() for path in READMES)

    assert len(re.findall(r"\bpickups [a-z]+", code)) > 50
    assert len(re.findall(r"\b[A-Z]+__\w+", code)) > 5
    assert len(re.findall(r"exits? \d", text)) > 10


def test_the_first_screen_shows_what_the_demo_really_prints() -> None:
    """Receipts, table and next steps, in the shapes that the demo gives them; the numbers are of one real run."""
    block = README.split("This is what the demo prints:\n\n```\n")[1].split("\n```")[0]
    receipts = re.findall(
        r"^  [\d,]+ new, [\d,]+ changed, [\d,]+ unchanged in \d+\.\d s .*newest .* UTC · [\d,]+ open$",
        block,
        re.MULTILINE,
    )
    assert len(receipts) == 2
    assert "Cancellations per carrier, as of " in block
    assert len(re.findall(r"^ \w+ +[\d,]+ +[\d,]+ +[\d,]+ of [\d,]+ +[\d.]+% ", block, re.MULTILINE)) == 9
    assert "own keys   cp .dlt/example.secrets.toml .dlt/secrets.toml" in block
