"""Distinguishes our tables and views from other people's objects with the same names.

A run creates, replaces and alters objects with these names, so it must not begin if one of them belongs to somebody
else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipelines.analytics.views import DIGEST_IN_COMMENT, SQL
from pipelines.destinations.schemas import SchemaNames
from pipelines.destinations.warehouse_mark import MARK_TABLE
from pipelines.errors import ForeignObject

# Every version of each table has these columns. A table without these columns is not ours.
TABLE_COLUMNS = {
    "pickups": {"account", "id", "carrier", "pickup_status", "created_at", "_dlt_load_id"},
    "pickups_quarantine": {"account", "record_hash", "reason", "record", "_dlt_load_id"},
    "pickup_status_history": {"account", "id", "pickup_status", "observed_at", "_dlt_load_id"},
    "pickup_states_recorded": {"_dlt_load_id"},
    "pickup_loads_shown": {"_dlt_load_id"},
    "pickup_loads_checked": {"_dlt_load_id"},
    "pickup_findings": {"account", "id", "check_name"},
    "pickup_checks": {"check_name", "checks_digest"},
    "pickups_quarantine_resolved": {"account", "record_hash"},  # in a lake only
    "pickups_forgotten": {"account", "id", "forgotten_at"},
    "pickups_swept": {"account", "id", "sweep_began_at"},
    "pickups_unlisted": {"account", "id", "unlisted_since"},
    "pickup_runs": {"run_id", "account", "outcome"},
    MARK_TABLE: {"warehouse_id", "layout_version"},
    "_dlt_loads": {"load_id", "schema_name"},
    "_dlt_version": {"version_hash", "schema_name"},
    "_dlt_pipeline_state": {"pipeline_name", "_dlt_load_id"},
}
DERIVED_TABLES = ("pickup_findings", "pickup_checks", "pickup_loads_checked")  # A run can compute them again.
VIEWS = tuple(sorted(path.stem for path in (SQL / "views").glob("*.sql")))
GRAIN = "One row per "  # In every version, each view's comment begins with these words.
PIPELINE_PREFIX = "sendcloud_pickups_"  # The names of this package's dlt pipelines begin with this prefix.
SCHEMA_REMEDY = "Set another schema name ([schemas] {setting} in .dlt/config.toml), or use another database."
MAX_NAMED = 3


class CatalogObject(NamedTuple):
    """A database object that has one of our names.

    Attributes:
        schema: the schema of the object.
        name: the name, in lower case if the database ignores case.
        kind: the type of the object in words, such as `table` or `view`.
        comment: the object's comment.
        definition: the names of a table's columns, or a view's query.
    """

    schema: str
    name: str
    kind: str
    comment: str | None
    definition: str

    def __str__(self) -> str:
        return f"{self.kind} {self.schema}.{self.name}"


def check_objects(where: str, objects: Sequence[CatalogObject], names: SchemaNames, *, is_ours: bool) -> None:
    """Raises ForeignObject if one of the objects is not ours. The message lists up to MAX_NAMED of the objects.

    Args:
        where: the database, for messages.
        objects: all objects in our schemas that have one of our names.
        names: the names of our schemas.
        is_ours: whether the schema of the tables has our mark, or is recognized without one.
    """
    foreign = [one for one in objects if not _is_own(one, names, is_ours=is_ours)]
    if not foreign:
        return
    settings = {"analytics" if one.schema == names.analytics else "data" for one in foreign}
    remedy = SCHEMA_REMEDY.format(setting=" and ".join(sorted(settings)))
    raise ForeignObject(f"{where}: {first_few(foreign)}", "was not created by this program", remedy)


def first_few(objects: Sequence[object]) -> str:
    """Returns the first MAX_NAMED objects and the number of the others, for a message."""
    more = f" and {len(objects) - MAX_NAMED} more" if len(objects) > MAX_NAMED else ""
    return ", ".join(map(str, objects[:MAX_NAMED])) + more


def is_recognized(objects: Iterable[CatalogObject], data: str) -> bool:
    """Returns whether the schema contains our receipts, which even versions without a mark wrote."""
    return any(one.schema == data and one.name in ("pickup_runs", MARK_TABLE) and _is_own_table(one) for one in objects)


def _is_own(one: CatalogObject, names: SchemaNames, *, is_ours: bool) -> bool:
    if one.schema == names.analytics:
        return one.kind == "view" and is_ours and _is_own_view(one, names)
    # the names of accounts' schemas and dlt's staging schemas are unique, so the columns are sufficient proof
    return _is_own_table(one) and (is_ours or one.schema != names.data)


def _is_own_table(one: CatalogObject) -> bool:
    return one.kind == "table" and TABLE_COLUMNS[one.name] <= set(re.findall(r"\w+", one.definition))


def _is_own_view(one: CatalogObject, names: SchemaNames) -> bool:
    """Returns whether the view has one of our comments and reads our tables or views.

    If the comment contains our digest, the query is not examined.
    """
    tables, views = "|".join(TABLE_COLUMNS), "|".join(VIEWS)
    reads = rf'\b"?{names.data}"?\."?({tables})\b|\b"?{names.analytics}"?\."?({views})\b'
    return (one.comment or "").startswith(GRAIN) and (has_digest(one) or bool(re.search(reads, one.definition)))


def has_digest(one: CatalogObject) -> bool:
    """Returns whether the object's comment contains the digest of our views."""
    return bool(DIGEST_IN_COMMENT.search(one.comment or ""))
