"""Checks that a run would not replace other people's objects in the warehouse or the published file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from pipelines.config.settings import setting_location
from pipelines.destinations.duckdb.session import IN_MEMORY, DatabaseError, DuckDBSession, open_database, own_names
from pipelines.destinations.ownership import (
    PIPELINE_PREFIX,
    TABLE_COLUMNS,
    VIEWS,
    CatalogObject,
    check_objects,
    has_digest,
    is_recognized,
)
from pipelines.destinations.schemas import SchemaNames
from pipelines.destinations.warehouse_mark import WarehouseMark, read_mark
from pipelines.errors import ForeignObject, OtherSchema
from pipelines.file_access import file_identity
from sources.sendcloud.errors import SettingsError

DUCKDB_MAGIC = b"DUCK"  # bytes 8 to 11 of every DuckDB file
ATTACHED = "now_published"
SECOND_WAREHOUSE = (
    "keep a second warehouse in another file ([destination.duckdb] credentials, with its own [publish] path)."
)
RESTORE_REMEDY = (
    "If this file is a copy of the missing warehouse {warehouse}, run: pickups restore. Otherwise, set [publish] path "
    "to another file."
)
REPLACED = "which is now another database"
MOVE_REMEDY = (
    "If that database is somebody else's, move it away: the next run continues from the published file. Otherwise, set "
    "[publish] path to another file."
)
PUBLISH_REMEDY = "Set [publish] path to another file, or move this file away."


def check_file_names(files: Files, names: SchemaNames) -> None:
    """Raises SettingsError if a file has the same name as one of our schemas.

    DuckDB names a file's catalog after the file. In a catalog named `analytics`, DuckDB can't tell whether
    `analytics.pickups` starts with the catalog or the schema, so every statement would fail.
    """
    for key, path in {"destination.duckdb.credentials": files.warehouse, "publish.path": files.published}.items():
        if path.name.lstrip(".").split(".")[0].lower() in names:
            problem = "DuckDB can't tell the file from the schema of that name"
            raise SettingsError(f"{setting_location(key)} is {str(path)!r}; {problem}. Choose another file name.")


class Files(NamedTuple):
    """The warehouse and the published file of an installation."""

    warehouse: Path
    published: Path


def check_files(files: Files, names: SchemaNames, session: DuckDBSession | None) -> None:
    """Checks the warehouse, then the published file.

    Args:
        files: the two files.
        names: the names of our schemas.
        session: a session over the warehouse, or None if there is no warehouse yet.

    Raises:
        ForeignObject: another program created the published file or an object in the warehouse.
        OtherSchema: the tables are in a schema other than `[schemas] data`.
        NewerLayout: a newer version of this program wrote one of the files.
    """
    mark = check_warehouse(files.warehouse, names, session) if session else None
    check_published(files, session, mark)


def check_warehouse(warehouse: Path, names: SchemaNames, session: DuckDBSession) -> WarehouseMark | None:
    """Returns the warehouse's mark, or None if an older version wrote the warehouse or the warehouse is empty."""
    mark = read_mark(session, str(warehouse))
    objects = _our_names(names, session)
    is_ours = mark is not None or is_recognized(objects, names.data) or _has_own_pipeline(session, objects, names.data)
    if not is_ours:
        _check_other_schema(warehouse, names, session)
    check_objects(str(warehouse), objects, names, is_ours=is_ours)
    return mark


def _our_names(names: SchemaNames, session: DuckDBSession) -> list[CatalogObject]:
    """Returns the objects that have one of our names. A view's query is only read if a view has no digest of ours.

    DuckDB writes a query anew from its syntax tree. For all views, this takes 4 ms (2026-11-30).
    """
    ours = {names.data: TABLE_COLUMNS, names.staging: TABLE_COLUMNS, names.analytics: VIEWS}

    def find(query: str) -> list[CatalogObject]:
        found = session.execute(_OBJECTS.format(query=query), list(ours)).fetchall()
        # only DuckDB's `lower` turns other letters into ASCII; as names of schemas, they differ
        in_ascii = (one for one in map(CatalogObject._make, found) if one.schema.isascii())
        return [one for one in in_ascii if one.name in ours[one.schema.lower()]]

    objects = find("''")
    return objects if all(one.kind == "table" or has_digest(one) for one in objects) else find("sql")


# DuckDB ignores the case of names, and a table's `sql` contains the column names. Comparing names with lists would take
# 4 ms longer (2026-11-30).
_OBJECTS = """
    select schema_name, lower(name), kind, comment, sql from (
        select schema_name, table_name as name, 'table' as kind, comment, sql
        from duckdb_tables() where database_name = current_database()
        union all
        select schema_name, view_name, 'view', comment, {query}
        from duckdb_views() where database_name = current_database() and not internal
    )
    where lower(schema_name) in (?, ?, ?) order by schema_name, name
"""
_OTHER_SCHEMAS = """
    select schema_name from duckdb_tables()
    where database_name = current_database() and table_name = 'pickup_runs'
        and contains(sql, 'run_id') and contains(sql, 'account') and contains(sql, 'outcome')
    order by schema_name
"""


def _has_own_pipeline(session: DuckDBSession, objects: list[CatalogObject], data: str) -> bool:
    """Returns whether dlt's state belongs to our pipelines, for example after an older version's first load crashed."""
    if not any((one.schema, one.name) == (data, "_dlt_pipeline_state") for one in objects):
        return False
    ours = "select 1 from sendcloud._dlt_pipeline_state where starts_with(pipeline_name, ?) limit 1"
    return bool(session.execute(ours, [PIPELINE_PREFIX]).fetchall())


def _check_other_schema(warehouse: Path, names: SchemaNames, session: DuckDBSession) -> None:
    """Raises OtherSchema if another schema in the file contains our tables, because `[schemas] data` has changed."""
    for (found,) in session.execute(_OTHER_SCHEMAS).fetchall():
        if found != names.data:
            raise OtherSchema(str(warehouse), names.data, found, SECOND_WAREHOUSE)


def check_published(files: Files, warehouse: DuckDBSession | None, mark: WarehouseMark | None) -> None:
    """Raises ForeignObject if the published file exists but this warehouse did not publish it.

    Args:
        files: the two files.
        warehouse: a session over the warehouse, or None if there is no warehouse yet.
        mark: the warehouse's mark.
    """
    # an empty file only determines the permissions of the file that will replace it
    if not files.published.exists() or not files.published.stat().st_size:
        return
    is_known = mark is not None and mark.published_file == file_identity(files.published)
    if is_known and mark and mark.warehouse_path == str(files.warehouse):
        return  # the last run published this file, so it need not be opened
    with ExitStack() as stack:
        connection = warehouse or stack.enter_context(open_database(IN_MEMORY))
        if attached := stack.enter_context(_attached(files.published, connection, mark)):
            problem = _problem(files, attached, warehouse, mark)
            if problem:
                is_lost = warehouse is None and attached.columns("pickup_runs")
                remedy = RESTORE_REMEDY.format(warehouse=files.warehouse) if is_lost else PUBLISH_REMEDY
                raise ForeignObject(str(files.published), problem, MOVE_REMEDY if REPLACED in problem else remedy)


def _problem(
    files: Files, attached: DuckDBSession, warehouse: DuckDBSession | None, mark: WarehouseMark | None
) -> str | None:
    """Returns the reason why the published file is not ours, or None if it is ours."""
    found = own_names(attached, str(files.published))
    other = read_mark(found, str(files.published))
    if other is None:
        return _unmarked_problem(found, warehouse)
    if mark is None or other.warehouse_id != mark.warehouse_id:
        of = other.warehouse_path or "another database"
        if other.warehouse_path == str(files.warehouse) and mark is None and warehouse:
            return f"is the published file of {of}, {REPLACED}"
        return f"is the published file of another warehouse, {of} (created {other.created_at:%Y-%m-%d %H:%M} UTC)"
    if is_published_by_original(files, other):
        return f"is published by {other.warehouse_path}; {files.warehouse} is a copy of that file"
    return None


def is_published_by_original(files: Files, other: WarehouseMark) -> bool:
    """Returns whether this project is a copy of another project that publishes to the same file.

    A project that was moved is not a copy, because the original no longer exists. A copy with its own published file is
    harmless.
    """
    original = Path(other.warehouse_path or files.warehouse)
    return other.published_path == str(files.published) and original != files.warehouse and original.exists()


def _unmarked_problem(published: DuckDBSession, warehouse: DuckDBSession | None) -> str | None:
    """Returns the reason why a file without a mark is not ours, or None if it is ours.

    A published file without a mark is ours if the warehouse contains all its receipts.
    """
    if not {"run_id", "account", "outcome"} <= set(published.columns("pickup_runs")):
        return "was not created by this program"
    known = set(warehouse.execute(_RUN_IDS).fetchall()) if warehouse and warehouse.has_table("pickup_runs") else set()
    if set(published.execute(_RUN_IDS).fetchall()) <= known:
        return None
    return "is the published file of another warehouse"


_RUN_IDS = "select run_id from sendcloud.pickup_runs"


@contextmanager
def _attached(published: Path, connection: DuckDBSession, mark: WarehouseMark | None) -> Iterator[DuckDBSession | None]:
    """Yields a session over the published file, or None if the file is ours but damaged.

    If another program has the file open for writing, a copy of the file is attached instead.
    """
    with published.open("rb") as file:
        is_database = file.read(12)[8:] == DUCKDB_MAGIC
    if not is_database:
        raise ForeignObject(str(published), "is not a DuckDB file", PUBLISH_REMEDY)
    with tempfile.TemporaryDirectory(prefix="pickups-published-") as folder:
        try:
            attached = _attach(connection, published, Path(folder))
        except DatabaseError as error:
            if mark and mark.published_path == str(published):
                yield None  # the run replaces a damaged file with a complete copy of the warehouse
                return
            problem = f"can't be read, so it may belong to somebody else ({str(error).splitlines()[0]})"
            raise ForeignObject(str(published), problem, PUBLISH_REMEDY) from None
        try:
            yield attached
        finally:
            attached.close()
            connection.execute(f"detach {ATTACHED}")


def _attach(connection: DuckDBSession, published: Path, folder: Path) -> DuckDBSession:
    try:
        connection.attach(published, ATTACHED)
    except DatabaseError:
        copy = Path(shutil.copyfile(published, folder / "copy.duckdb"))
        connection.attach(copy, ATTACHED)
    return connection.over_catalog(ATTACHED)
