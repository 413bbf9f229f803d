"""Writes the receipts of a run that found nothing into the warehouse, and publishes the file.

The module imports neither dlt nor Arrow. It opens the warehouse once, because each opening and closing takes as long as
requesting all pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.atomic_file import replace_atomically
from pipelines.receipt import Receipt

if TYPE_CHECKING:
    import duckdb
else:
    # the modules around the extension module take 30 ms of CPU to import (duckdb 1.5.5, 2026-11)
    import _duckdb as duckdb

# Trying FSST on all texts of a receipt takes 3 ms, but hardly makes them smaller. As an option of `connect`, this
# setting has no effect (duckdb 1.5.5, 2026-11-30).
WITHOUT_FSST = "set disabled_compression_methods = 'fsst'"


def record_and_publish(
    warehouse: Path, published: Path | None, schema: str, receipts: Sequence[Receipt], *, may_share: bool
) -> None:
    """Adds the receipts to `pickup_runs` and, if `published` is given, publishes the warehouse.

    The caller holds the lock, and both files are as the last run left them. If publishing fails, the receipts are
    removed again if possible. `seconds_published` stays null, because storing it would require another connection.

    Args:
        warehouse: the file that runs write to.
        published: the file that people read, or None if it is recent enough.
        schema: the name of the schema with the tables.
        receipts: the receipts, which get the time at which the run ended.
        may_share: whether the published file may share disk blocks with the warehouse.

    Raises:
        OSError, duckdb.Error: a file can't be written. The published file is unchanged.
    """
    runs = f'"{schema}".pickup_runs'
    try:
        with _connected(warehouse) as connection:
            connection.execute("begin")
            for receipt in receipts:
                _insert(connection, runs, receipt)
            connection.execute("commit")
            connection.execute("checkpoint")  # unlike closing, this reports a full disk
        if published:
            _copy(warehouse, published, may_share=may_share)
    except (OSError, duckdb.Error):
        with suppress(OSError, duckdb.Error):
            _remove(warehouse, runs, receipts)
        raise


@contextmanager
def _connected(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(str(warehouse), config={"threads": 1})  # a receipt needs no more
    try:
        connection.execute(WITHOUT_FSST)
        yield connection
    finally:
        connection.close()


def _insert(connection: duckdb.DuckDBPyConnection, runs: str, receipt: Receipt) -> None:
    receipt.finished_at = datetime.now(UTC)
    row = {name: value for name, value in receipt.as_row().items() if value is not None}
    names = ", ".join(f'"{name}"' for name in row)
    connection.execute(f"insert into {runs} ({names}) values ({', '.join('?' * len(row))})", list(row.values()))  # noqa: S608  # the schema's name is checked (config/schema_rule.py)


def _remove(warehouse: Path, runs: str, receipts: Sequence[Receipt]) -> None:
    ids = [receipt.run_id for receipt in receipts]
    with _connected(warehouse) as connection:
        connection.execute(f"delete from {runs} where run_id in ({', '.join('?' * len(ids))})", ids)  # noqa: S608  # as above


def _copy(warehouse: Path, published: Path, *, may_share: bool) -> None:
    """Copies the file as an ordinary run does (publish.py), and compares it with the file that readers have.

    If one of them may be damaged, an ordinary run finds out and reports it.
    """
    from pipelines.destinations.duckdb.blocks import copy_and_verify

    with replace_atomically(published) as fresh, warehouse.open("rb", buffering=0) as file:
        damages = copy_and_verify(file, fresh, published, may_be_shorter=True, may_share=may_share)
        if damages.of_file or damages.of_earlier:
            raise OSError(f"{warehouse} or {published} may be damaged")
