"""Writes the views as dbt models, so that a dbt project can build them in its own database."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.analytics.column_comments import column_descriptions
from pipelines.analytics.views import SQL_COMMENT, grain_of, query_of, view_files
from pipelines.atomic_file import replace_atomically
from pipelines.dialects.translate import translate
from pipelines.errors import DestinationError, ForeignObject
from pipelines.output import to_json
from pipelines.receipt import program_version
from sources.sendcloud.errors import SettingsError

MARK = "written by sendcloud-pickups"
TABLES = ("pickups", "pickup_status_history", "pickups_quarantine", "pickups_unlisted", "pickup_runs")
JINJA = re.compile(r"\{[{%#]")  # text of the view that dbt would read as a template
REFERENCE = re.compile(r"\b(sendcloud|analytics)\.(\w+)")
# A dbt project sets the variables if the tables are in another database or schema than its models.
SOURCES = """\
version: 2
sources:
  - name: sendcloud
    description: The tables that `pickups run` loads.
    database: "{{ var('sendcloud_database', target.database) }}"
    schema: "{{ var('sendcloud_schema', 'sendcloud') }}"
    tables:
"""


def write_models(to: str | Path, dialect: str) -> list[Path]:
    """Writes a model for each view, `sources.yml` for the tables, and `models.yml` with the descriptions.

    Args:
        to: the folder to write to. A missing folder is created.
        dialect: the SQL dialect of the models, as sqlglot names it. Only duckdb, postgres and spark are tested.

    Returns:
        The files, in the order in which dbt builds them.

    Raises:
        SettingsError: sqlglot does not know the dialect.
        ForeignObject: a file exists that this program did not write.
        DestinationError: a file can't be written.
    """
    folder = Path(to).absolute()
    try:
        texts = {f"{path.stem}.sql": _model(path, dialect) for path in view_files()}
    except ValueError:
        raise SettingsError(f"Unknown SQL dialect {dialect!r}. Use duckdb, postgres or spark.") from None
    texts |= {"sources.yml": _sources(), "models.yml": _descriptions()}
    for name in texts:
        _check_own(folder / name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with replace_atomically(folder / name) as fresh:
                fresh.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DestinationError(str(folder), str(error), "Fix the cause and export again.") from error
    return [folder / name for name in texts]


def _model(path: Path, dialect: str) -> str:
    query = JINJA.sub(r"{{ '\g<0>' }}", SQL_COMMENT.sub("", translate(query_of(path), dialect)))
    lines = [line.rstrip() for line in REFERENCE.sub(_dbt_name, query).splitlines() if line.strip()]
    return "\n".join([f"-- {grain_of(path)}", f"-- {_mark()} for {dialect}", *lines, ""])


def _dbt_name(found: re.Match[str]) -> str:
    schema, name = found.groups()
    return f"{{{{ source('sendcloud', '{name}') }}}}" if schema == "sendcloud" else f"{{{{ ref('{name}') }}}}"


def _sources() -> str:
    return f"# {_mark()}\n{SOURCES}" + "".join(f"      - name: {table}\n" for table in TABLES)


def _descriptions() -> str:
    lines = [f"# {_mark()}", "version: 2", "models:"]
    for path in view_files():
        lines += [f"  - name: {path.stem}", f"    description: {to_json(grain_of(path))}", "    columns:"]
        for column, text in column_descriptions().get(path.stem, {}).items():
            lines += [f"      - name: {column}", f"        description: {to_json(text)}"]
    return "\n".join([*lines, ""])


def _mark() -> str:
    return f"{MARK} {program_version()}"


def _check_own(file: Path) -> None:
    if file.exists() and MARK not in "".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[:2]):
        raise ForeignObject(str(file), "was not created by this program", "Specify another folder (--to FOLDER).")
