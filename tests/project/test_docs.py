"""Tests the documentation like code: commands, settings, exit codes, columns, checks, packages, links and sizes."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pipelines import errors
from pipelines.analytics.checks import SEVERITY, check_files
from pipelines.analytics.views import view_files
from pipelines.cli import app, termination
from pipelines.config.secret_files import is_secret_file_variable
from pipelines.config.settings import OWN_SETTINGS, known_settings
from sources.sendcloud import sendcloud_source
from tests.project.test_doors import LAYERS, imported_by, product
from tests.support.installation import rows_of
from tests.support.templates import Templates

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGES = sorted(
    path.parent for room in ("pipelines", "sources/sendcloud") for path in (ROOT / room).glob("*/__init__.py")
)
READMES = [ROOT / room / "README.md" for room in (".", "pipelines", "sources/sendcloud", "notebooks", "tests")]
PAGES = [
    *READMES,
    *(package / "README.md" for package in PACKAGES),
    *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "tests/bench/README.md")),
    *sorted(DOCS.rglob("*.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
NOT_SETTINGS = {"credentials", "part", "read_back_to", "stats"}


def reference(name: str) -> str:
    return (DOCS / "reference" / f"{name}.md").read_text()


def columns_told(schema: str) -> str:
    """Returns the pages that list the columns of a schema's tables or views."""
    pages = ["tables", "working-tables"] if schema == "sendcloud" else ["views", "rate-views", "current-views"]
    return "\n## \n".join(map(reference, pages))


def settings() -> dict[str, object]:
    """Returns the source's own settings and their defaults, from its signature."""
    parameters = inspect.signature(sendcloud_source.__wrapped__).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in NOT_SETTINGS}


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(markdown: str) -> list[str]:
    """Returns the names in the first column of the tables, without their back ticks."""
    cells = [line.split("|")[1] for line in markdown.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


COMMANDS = get_command(app.app).commands  # type: ignore[attr-defined]
TEXT = {page: page.read_text() for page in PAGES if page.exists()}
CODE = {page: "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)) for page, text in TEXT.items()}


def options(command: str) -> set[str]:
    """Returns the long options of a command and of the commands below it, except --help."""
    group = [COMMANDS[command], *getattr(COMMANDS[command], "commands", {}).values()]
    return {opt for one in group for param in one.params for opt in param.opts if opt.startswith("--")} - {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_page_exists_and_is_short(page: Path) -> None:
    assert len(TEXT[page].splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_page_tells_to_delete_the_data(page: Path) -> None:
    """The folder may hold the last copy of pickups that the API no longer lists."""
    advice = re.findall(r"(?i)\b(\w+ (?:delete|remove)|rm -\w+)\b[^.|]{0,60}\bdata/(?![\w.-])", TEXT[page])

    assert {words.lower() for words in advice} <= {"never delete"}


def test_every_page_is_in_the_contents_of_the_built_documentation() -> None:
    contents = re.findall(r"```\{toctree\}\n(.*?)```", TEXT[DOCS / "index.md"], re.DOTALL)
    listed = [line for block in contents for line in block.splitlines() if line and not line.startswith(":")]
    pages = [str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")]

    assert sorted(listed) == sorted(page for page in pages if page != "index")


def test_the_readme_is_short() -> None:
    readme = TEXT[ROOT / "README.md"]
    assert len(readme.splitlines()) <= 120
    assert len(readme.split()) <= 900


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_row_with_every_option(command: str) -> None:
    (row,) = [line for line in reference("commands").splitlines() if line.startswith(f"| `pickups {command}")]

    assert COMMANDS[command].help
    assert set(re.findall(r"(--[a-z-]+)", row)) == options(command)


def test_the_options_before_the_command_are_documented() -> None:
    told = first_cells(section(reference("commands"), "Options before the command"))
    assert {name.split()[0] for name in told} == {"--project-dir", "--debug", "--version", "--install-completion"}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    before = {"--project-dir", "--debug", "--install-completion", "--version", "--help"}
    called = r"(?:^|[`/]|\$ )pickups((?: --[a-z-]+(?: [\w/.$]+)?)*) ([a-z]+)\b([^`\n|;&)]*)"
    for words in re.findall(called, CODE[page], re.MULTILINE):
        called_with, command, rest = words
        assert command in COMMANDS, words
        assert set(re.findall(r"(--[a-z-]+)", rest)) <= options(command) | before, words
        assert set(re.findall(r"(--[a-z-]+)", called_with)) <= before, words


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    variables = {key.replace(".", "__").upper() for key in known_settings()}
    own = r"\b(?:SOURCES|PIPELINE|PUBLISH|STATUS|ALERTS|RETENTION|RUNTIME|DESTINATION__DUCKDB)__\w+"
    for variable in re.findall(own, CODE[page]):
        is_known = re.sub(r"ACCOUNTS__[A-Z]+__", "", variable) in variables
        assert is_known or is_secret_file_variable(variable), variable
    for place, name in re.findall(r"`\[([\w.]+)\] (\w+)`", CODE[page]):
        assert f"{place}.{name}" in known_settings() or is_dlts_destination(place), (place, name)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_setting_in_an_example_file_exists(page: Path) -> None:
    for block in re.findall(r"```toml\n(.*?)```", TEXT[page], re.DOTALL):
        for key in keys_of(tomllib.loads(block)):
            common = re.sub(r"^(sources\.sendcloud\.)accounts\.[\w-]+\.", r"\1", key)
            assert common in known_settings() or is_dlts_destination(key), key


def keys_of(tree: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from keys_of(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def is_dlts_destination(key: str) -> bool:
    return key.startswith(("destination.postgres", "destination.filesystem"))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_exit_code_that_a_page_names_exists(page: Path) -> None:
    codes = {
        0,
        2,
        137,
        termination.EXIT_TERMINATED,
        errors.EXIT_CHECK_FAILED,
        errors.EXIT_BUG,
        *errors.EXIT_CODES.values(),
    }
    told = re.findall(r"(?:exits?|exit codes?)(?: with)? (\d+)", TEXT[page])
    assert {int(code) for code in told} <= codes


def test_the_settings_are_those_of_the_source_and_our_own_with_their_defaults() -> None:
    told = dict(re.findall(r"^\| `([\w.]+)` \| `?([^`|]+?)`? \|", reference("settings"), re.MULTILINE))

    words = {None: "none", False: "false", True: "true"}  # as in TOML
    ours = {
        key: words[wanted.default] if wanted.default is None or wanted.kind is bool else str(wanted.default)
        for key, wanted in OWN_SETTINGS.items()
    }
    of_the_source = {name: str(default) for name, default in settings().items()}
    assert told == {"destination.duckdb.credentials": "data/warehouse.duckdb"} | ours | of_the_source


def test_config_toml_contains_the_defaults_and_nothing_that_is_not_read() -> None:
    configured = tomllib.loads((ROOT / ".dlt" / "config.toml").read_text())

    first, default = configured["sources"]["sendcloud"], settings()
    assert (first.pop("api_version"), default.pop("api_version")) == ("v3", "v2")  # new accounts have only v3
    default.pop("base_url")  # follows the version
    assert first == default
    assert configured["destination"]["duckdb"]["credentials"] == "data/warehouse.duckdb"
    for key, wanted in OWN_SETTINGS.items():
        place, name = key.split(".")
        assert configured.get(place, {}).get(name) == wanted.default, key
    assert set(configured) == {
        "runtime",
        "normalize",
        "pipeline",
        "destination",
        "publish",
        "schemas",
        "status",
        "alerts",
        "retention",
        "sources",
    }


def test_the_exit_codes_are_those_of_the_code() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", reference("exit-codes"), re.MULTILINE)}

    assert told == {
        0,
        2,
        errors.EXIT_CHECK_FAILED,
        errors.EXIT_BUG,
        termination.EXIT_TERMINATED,
        *errors.EXIT_CODES.values(),
    }


def test_every_error_class_has_its_exit_code() -> None:
    rows = re.findall(r"^\| (`.*) \| (\d+) \|", section(reference("exit-codes"), "Errors in Python"), re.MULTILINE)
    told = {name: int(code) for names, code in rows for name in re.findall(r"`(\w+)`", names)}

    assert told.keys() >= {kind.__name__ for kind in errors.EXIT_CODES}
    for name, code in told.items():
        kind = getattr(errors, name, None) or getattr(__import__("sources.sendcloud.errors", fromlist=[name]), name)
        assert errors.exit_code_of(kind.__new__(kind)) == code, name


@pytest.fixture(scope="module")
def columns(templates: Templates) -> dict[str, set[str]]:
    """Columns by table of a loaded installation."""
    rows = rows_of(
        templates.loaded("ten") / "data" / "pickups.duckdb",
        "select schema_name || '.' || table_name as t, column_name as c from duckdb_columns() "
        "where schema_name in ('sendcloud', 'analytics') and table_name not like '\\_dlt%' escape '\\'",
    )
    return {name: {row["c"] for row in rows if row["t"] == name} for name in {row["t"] for row in rows}}


@pytest.mark.parametrize(("page", "schema"), [("tables", "sendcloud"), ("views", "analytics")])
def test_every_table_and_view_has_its_section_and_its_grain(
    columns: dict[str, set[str]], page: str, schema: str
) -> None:
    there = {table for table in columns if table.startswith(f"{schema}.")}
    there |= {"sendcloud.pickups_forgotten"} if schema == "sendcloud" else set()  # `pickups forget` creates it
    assert set(re.findall(r"^## ((?:sendcloud|analytics)\.\w+)$", columns_told(schema), re.MULTILINE)) == there
    pages = [page, "working-tables"] if page == "tables" else [page]
    grains = "".join(reference(each).split("\n## ")[0].split("| one row per |")[1] for each in pages)
    assert set(first_cells(grains)) >= there


def test_the_documented_columns_are_the_columns_of_the_database(columns: dict[str, set[str]]) -> None:
    for table, there in columns.items():
        told = first_cells(section(columns_told(table.split(".")[0]), table))
        assert sorted(told) == sorted(there), table


def test_every_check_is_documented_with_its_severity() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (must-pass|warn) \|", reference("checks"), re.MULTILINE))
    severities = {path.stem: SEVERITY.match(path.read_text()) for path in check_files()}

    assert told == {name: severity[1] if severity else None for name, severity in severities.items()}
    advice = " ".join(re.findall(r"^### (.*)$", reference("checks"), re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", advice)) == told.keys()


def test_every_view_says_its_grain_and_the_database_repeats_it(columns: dict[str, set[str]]) -> None:
    assert {f"analytics.{path.stem}" for path in view_files()} == {t for t in columns if t.startswith("analytics.")}
    for path in view_files():
        assert path.read_text().startswith("-- One row per "), path.name


def test_every_file_of_a_folder_is_in_its_readme() -> None:
    tests = ROOT / "tests"
    readmes = {folder: folder for folder in (ROOT / "pipelines", ROOT / "sources" / "sendcloud", tests / "bench")}
    for room, readme in (readmes | {tests / "support": tests}).items():
        told = (readme / "README.md").read_text()
        for path in room.glob("*.py"):
            assert path.stem == "conftest" or path.name in told or path.name == "__init__.py", path
        for path in room.glob("*/__init__.py"):
            assert f"`{path.parent.name}" in told, path.parent
    rooms = {path.parent.name for path in tests.rglob("test_*.py")}
    assert rooms <= set(re.findall(r"^\| `(\w+)/` \|", (tests / "README.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_package_says_which_packages_it_may_import(package: Path) -> None:
    """A package of `pipelines` names those of its layer and below; one of the source names what it does import."""
    text = (package / "README.md").read_text()
    told = set(re.findall(r"`(\w+)`", text.split("may import ")[1])) if "may import " in text else set()

    assert 3 <= len(text.splitlines()) <= 8
    if package.parent.name == "pipelines":
        (floor,) = [number for number, names in enumerate(LAYERS) if package.name in names]
        below = {name for names in LAYERS[floor:] for name in names} - {package.name}
        assert told == below & {each.name for each in PACKAGES if each.parent == package.parent}
    else:
        assert imports_of_package(package) <= told


def imports_of_package(package: Path) -> set[str]:
    """Returns the packages and modules of the source that a package of the source imports."""
    modules, own = product(), f"sources.sendcloud.{package.name}"
    mine = {name: path for name, path in modules.items() if name == own or name.startswith(f"{own}.")}
    found = {other for name, path in mine.items() for other in imported_by(name, path, modules)}
    return {name.split(".")[2] for name in found if name.count(".") >= 2} - {package.name}


def test_the_layers_are_those_of_the_code() -> None:
    for page in (DOCS / "explanation" / "packages.md", ROOT / "pipelines" / "README.md"):
        rows = re.findall(r"^\| (\d) \| ([^|]*)", page.read_text(), re.MULTILINE)
        told = [{name.removesuffix(".py") for name in re.findall(r"`([\w.]+)`", names)} for _, names in rows]
        assert told == [set(names) for names in LAYERS], page


PROMISE = section((ROOT / "tests" / "README.md").read_text(), "The promise, and the tests that hold it")


def test_every_point_of_the_promise_names_its_tests() -> None:
    points = re.findall(r"^\| (\d)\. .* \| (.*) \|$", PROMISE, re.MULTILINE)

    assert [number for number, _ in points] == list("123456789")
    assert all("`test_" in tests for _, tests in points)


def test_every_test_that_the_promise_names_exists() -> None:
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


def test_every_slow_test_that_catches_a_mutation_exists() -> None:
    mutations = section((ROOT / "tests" / "README.md").read_text(), "What only a slow test catches")
    named = re.findall(r"`(\w+/test_\w+\.py)`: `(test_\w+)`", mutations)

    assert named
    for file, name in named:
        assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text(), name


def anchors(markdown: str) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", markdown, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=[*NAMES, "CHANGELOG.md"])
def test_links_lead_to_existing_files_and_headings(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", prose)
    assert links or page != ROOT / "README.md"
    for file, anchor in links:
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not anchor or anchor in anchors(target.read_text()), (file, anchor)


def test_the_documents_name_commands_settings_and_exit_codes() -> None:
    """Otherwise the tests above would find nothing to test."""
    code, text = "\n".join(CODE.values()), "\n".join(TEXT.values())

    assert len(re.findall(r"\bpickups [a-z]+", code)) > 100
    assert len(re.findall(r"\b[A-Z]+__\w+", code)) > 10
    assert len(re.findall(r"exits? \d", text)) > 10
    assert len(re.findall(r"```toml\n", text)) > 5


RECEIPT = re.compile(
    r"^ *[\d,]+ new, [\d,]+ changed, [\d,]+ unchanged in \d+\.\d s"
    r"(?: · [\d,]+ cancelled since the last run)? · newest \d{4}-\d\d-\d\d \d\d:\d\d UTC · [\d,]+ open$"
)
CARRIER = re.compile(r"^ \w+ +[\d.]+% +[\d.]+ to [\d.]+% +[\d,]+ of [\d,]+ +\w+ +[\d,]+ +[\d,]+ ")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_a_page_shows_of_a_run_has_the_form_that_a_run_prints(page: Path) -> None:
    """The numbers are those of one real run."""
    lines = "\n".join(re.findall(r"^```(?:text|console)?\n.*?^```", TEXT[page], re.DOTALL | re.MULTILINE)).splitlines()
    for line in lines:
        if " unchanged in " in line:
            assert RECEIPT.match(line), line
        if re.search(r"\d of \d", line):
            assert CARRIER.match(line), line
