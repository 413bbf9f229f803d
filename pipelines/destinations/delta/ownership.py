"""Checks that the lake's folders are ours, and stores the lake's mark (destinations/warehouse_mark.py) in a file."""

from __future__ import annotations

from collections.abc import Sequence

from dlt.destinations.impl.filesystem.filesystem import INIT_FILE_NAME

from pipelines.destinations.delta.tables import DeltaTables
from pipelines.destinations.warehouse_mark import MARK_TABLE, WarehouseMark, mark_as_json, mark_from_json, updated
from pipelines.errors import ForeignObject, OtherSchema

MARK_FILE = f"{MARK_TABLE}.json"
REMEDY = (
    "Set another schema name ([schemas] data in .dlt/config.toml), or use another [destination.filesystem] bucket_url."
)
SECOND_WAREHOUSE = "keep a second warehouse at another [destination.filesystem] bucket_url."


def check_lake(tables: DeltaTables, accounts: Sequence[str]) -> None:
    """Raises an error if a run of the accounts would write to a folder that this program did not create.

    An account's folder is ours if dlt created it. The bookkeeping folder is ours if it contains only our folders.

    Raises:
        ForeignObject: a folder is not ours.
        OtherSchema: an account's folder has a name that does not begin with `[schemas] data`.
        NewerLayout: a newer version of this program wrote the tables.
    """
    read_lake_mark(tables)
    names, there = tables.schemas, tables.entries(tables.root)
    for account in accounts:
        dataset = names.of_account(account)
        if (entries := tables.entries(f"{tables.root}/{dataset}")) and INIT_FILE_NAME not in entries:
            raise ForeignObject(f"{tables.address}/{dataset}", "was not created by this program", REMEDY)
        if not entries:
            _check_other_names(tables, there, dataset)
    for name in tables.entries(f"{tables.root}/{tables.own_folder}"):
        if name != MARK_FILE and not name.startswith(names.account_prefix):
            place = f"{tables.address}/{tables.own_folder}/{name}"
            raise ForeignObject(place, "was not created by this program", REMEDY)


def _check_other_names(tables: DeltaTables, there: Sequence[str], dataset: str) -> None:
    """Raises OtherSchema if the account's folder was named after another value of `[schemas] data`."""
    data = tables.schemas.data
    ending = dataset.removeprefix(data)
    for folder in there:
        if folder.endswith(ending) and INIT_FILE_NAME in tables.entries(f"{tables.root}/{folder}"):
            raise OtherSchema(tables.address, data, folder.removesuffix(ending), SECOND_WAREHOUSE)


def read_lake_mark(tables: DeltaTables) -> WarehouseMark | None:
    """Returns the lake's mark, or None if an older version wrote the lake or there is no lake yet.

    Raises:
        NewerLayout: a newer version of this program wrote the tables.
    """
    text = tables.read_text(f"{tables.own_folder}/{MARK_FILE}")
    return mark_from_json(text, tables.address) if text else None


def write_lake_mark(tables: DeltaTables) -> None:
    """Creates the lake's mark, or updates it if one of its values has changed."""
    found = read_lake_mark(tables)
    mark = updated(found, {"analytics_schema": tables.schemas.analytics})
    if mark != found:
        tables.write_text(f"{tables.own_folder}/{MARK_FILE}", mark_as_json(mark))
