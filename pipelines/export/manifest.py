"""Defines what all exports have in common: the monthly folders and the manifest, `_built.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from pipelines.errors import ForeignObject

# The largest views are written to folders such as month=2026-11, in UTC. A query for specific months therefore reads
# only their folders. The files don't contain the month, so they have exactly the view's columns.
MONTH_COLUMNS = {"pickups": "created_at_utc", "pickup_slots": "slot_opens_utc", "rebookings": "cancelled_at_utc"}


MANIFEST = "_built.json"


def manifest_text(
    engine: str,
    rows: Mapping[str, int],
    as_of: datetime | None,
    master: str | None = None,
    only: PickupFilter = ALL_PICKUPS,
) -> str:
    """Returns the text of `_built.json`, which describes an export.

    Args:
        engine: the engine that computed the views, `duckdb` or `spark`.
        rows: the number of rows in each view.
        as_of: the newest `as_of_utc` of the exported pickups.
        master: the URL of the Spark master; None for DuckDB.
        only: the pickups that were exported.
    """
    facts: dict[str, object] = {
        "built_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "engine": engine,
        "master": master,
    }
    facts |= {"as_of": f"{as_of:%Y-%m-%dT%H:%M:%SZ}" if as_of else None, "version": version("sendcloud-pickups")}
    facts |= {"only": only.arguments()} if only != ALL_PICKUPS else {}
    return json.dumps({**facts, "rows": dict(rows)}, indent=2) + "\n"


def check_folder(folder: str, there: Iterable[str], manifest: str | None, views: Sequence[str]) -> bool:
    """Returns whether the manifest already lists all the views.

    If some views are not listed, write a new manifest before the first view. Even if the export then crashes between
    two views, the next export recognizes all of its views.

    Args:
        folder: the target of the export.
        there: the names of the files and folders in this folder.
        manifest: the text of its `_built.json`, or None if there is none.
        views: the names of the views to export.

    Raises:
        ForeignObject: the folder contains a file or folder with a view's name that no earlier export has written.
    """
    ours = _exported_views(manifest) if manifest else set()
    for name in there:
        if name in {*views, MANIFEST} and name not in ours:
            remedy = "Specify another folder (--to FOLDER), or move this one away."
            raise ForeignObject(f"{folder}/{name}", "was not written by an earlier export", remedy)
    return ours >= set(views)


def _exported_views(manifest: str) -> set[str]:
    try:
        facts = json.loads(manifest)
        return {*facts["rows"], MANIFEST} if "engine" in facts else set()
    except (ValueError, KeyError, TypeError):
        return set()
