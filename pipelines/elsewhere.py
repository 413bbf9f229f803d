"""One run into any destination of dlt's: `python -m pipelines.elsewhere`, for machines whose disk doesn't last.

It brings the tables as sent, and dlt's own memory of where each account stands; no history of states, views, checks,
receipts or published file: those are made in a DuckDB file by `pickups run`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from typing import Any

import dlt
from dlt.common.destination import Destination
from dlt.common.destination.exceptions import UnknownDestinationModule

from pipelines.account_settings import settings_of, source_of, where_to_look
from pipelines.accounts import account_names
from pipelines.errors import KNOWN, NotConfigured, exit_code_of, worst_of
from pipelines.project import inside
from pipelines.store import DATASET
from pipelines.told import told
from pipelines.verify import verify
from sources.sendcloud import Reading

PLACE = "destination.warehouse"


def load(account: str, *, sweep: bool = False) -> Reading:
    """Loads one account into `[destination.warehouse]`; returns what was read. Call it inside a project.

    Raises NotConfigured for a destination that there isn't, or that can't replace rows by key; whatever dlt raises.
    """
    with tempfile.TemporaryDirectory() as scratch:  # as on a machine that is new each time: the destination remembers
        destination = _destination()
        pipeline: dlt.Pipeline = dlt.pipeline(
            f"sendcloud_pickups_{account}", pipelines_dir=scratch, destination=destination, dataset_name=DATASET
        )
        formats = destination.capabilities().supported_loader_file_formats
        how: dict[str, Any] = {"loader_file_format": "parquet"} if "parquet" in formats else {}
        reading, settings = Reading(account=account), settings_of(account)
        source = source_of(settings, "sweep" if sweep else "head", reading)
        try:
            while True:
                pipeline.run(source, **how)
                if not reading.has_more:
                    return reading
                source = source_of(settings, "history", reading)
        finally:
            reading.let_go()


def _destination() -> Destination[Any, Any]:
    kind: object = dlt.config.get(f"{PLACE}.destination_type")
    if not kind:
        variable = f"{PLACE}.destination_type".replace(".", "__").upper()
        raise NotConfigured(f"No destination: put destination_type into [{PLACE}], or {variable} into the environment.")
    try:
        destination = dlt.destination("warehouse")
    except UnknownDestinationModule:
        raise NotConfigured(f"[{PLACE}] destination_type is {kind!r}, which is no destination that dlt has.") from None
    if "delete-insert" not in (destination.capabilities().supported_merge_strategies or []):
        raise NotConfigured(
            f"[{PLACE}] destination_type {kind!r} can't replace rows by key: each change would be a copy."
        )
    return destination


def main() -> int:
    """All accounts, one after the other; a line for each, and the worst exit code (pipelines/errors.py)."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.elsewhere", description=__doc__.split("\n")[0])
    parser.add_argument("--sweep", action="store_true", help="read settled pickups again too: once a week, say")
    sweep: bool = parser.parse_args().sweep
    try:
        with inside():
            verify()
            return worst_of(_loaded(account, sweep) for account in account_names())
    except KNOWN as error:
        return _tell(error)


def _loaded(account: str, sweep: bool) -> int:
    try:
        read = load(account, sweep=sweep)
    except Exception as error:
        return _tell(where_to_look(told(error, f"[{PLACE}]"), account), f"{account}: ")
    print(f"{account}: {read.rows_read:,} pickups read in {read.pages:,} pages, {read.quarantined:,} unreadable")  # noqa: T201
    return 0


def _tell(error: Exception, whose: str = "") -> int:
    print(f"pickups: {whose}{' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201  # the error's one line
    return exit_code_of(error)


if __name__ == "__main__":
    sys.exit(main())
