"""What a run leaves besides the rows: status history, receipt, views and checks, as one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow as pa

from pipelines import history, housekeeping, models, quarantine, sweep
from pipelines.receipt import Receipt
from pipelines.store import DATASET, Connection, Store
from sources.sendcloud import Reading
from sources.sendcloud.rows import INSTANT

_COUNT = f"select count(*) from {DATASET}.pickups where account = ?"  # noqa: S608  # a name of our own
_LAST_VERSION = f"""
    select coalesce(api_version, 'v2') from {DATASET}.pickup_runs
    where account = ? and run_id <> ? and outcome = 'succeeded'
    order by started_at desc limit 1
"""  # noqa: S608  # as above
_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), datetime: INSTANT}
_SQL = dict(zip(_ARROW.values(), ("text", "bigint", "double", "boolean", "timestamptz"), strict=True))


def record_states(store: Store, account: str, observed_at: datetime) -> None:
    """Brings the account's status history up to the table, see history.py; nothing where nothing was loaded yet."""
    with store.opened() as session:
        connection = session.of(account)
        if connection.has_table("pickups"):
            connection.execute("begin")
            history.record(connection, account, observed_at)
            connection.execute("commit")


def conclude(store: Store, accounts: Sequence[tuple[Receipt, Reading]]) -> bool:
    """Writes status history, receipts, views and checks as one transaction; tells whether there is aught to publish.

    Fills the receipts' `checks_failed`, and what a sweep found. Checks see the run's own `as_of`, so the receipts go
    in before them; they go in again with what was found. Afterwards, once a day, what is old goes (housekeeping.py).
    After a failed first run there are no tables, and nothing for readers.
    """
    receipts = [receipt for receipt, _ in accounts]
    with store.opened() as connection:
        connection.execute("begin")
        loaded = [receipt for receipt, reading in accounts if _bookkeep(connection, receipt, reading)]
        if loaded:
            _check(connection.for_checks([receipt.account for receipt in loaded]), receipts)
        for receipt in receipts:
            write_receipt(connection.of(receipt.account), receipt)
        for receipt in loaded:
            connection.show(receipt.account)
        if loaded:
            connection.show_views()
        connection.execute("commit")
        tables = {receipt.account: connection.of(receipt.account) for receipt in loaded}
        for own in dict.fromkeys(tables.values()):
            housekeeping.keep_house(own, [receipt for receipt in receipts if tables.get(receipt.account) is own])
        return bool(loaded)


def _bookkeep(session: Connection, receipt: Receipt, reading: Reading) -> bool:
    """What becomes of one account's tables before anybody looks at them; tells whether it has any."""
    connection = session.of(receipt.account)
    if not connection.has_table("pickups"):
        return False
    history.prepare(connection)
    quarantine.prepare(connection)
    quarantine.supersede(connection)
    sweep.prepare(connection)
    if receipt.observed_at:  # a run that read nothing saw no state; no clock of ours is one to date it by
        history.record(connection, receipt.account, receipt.observed_at)
    _sweep_into(connection, receipt, reading)
    ((receipt.rows_in_table,),) = connection.execute(_COUNT, [receipt.account]).fetchall()
    write_receipt(connection, receipt)  # the check of doubles looks at it
    receipt.api_version_before = receipt.api_version_before or _told_before(connection, receipt)
    connection.show(receipt.account)
    return True


def _check(connection: Connection, receipts: Sequence[Receipt]) -> None:
    results = models.check(connection)
    for receipt in receipts:
        own = [result for result in results if result.account in (receipt.account, None)]
        receipt.checks_failed = {result.name: result.rows for result in own}
        receipt.check_values = {result.name: result.values for result in own if result.values}
        receipt.must_pass_failed = any(result.must_pass for result in own)


def _told_before(connection: Connection, receipt: Receipt) -> str | None:
    """By which version the account's last good run read, where that is another: one that changed over and died when
    all was loaded told nobody.
    """
    if not receipt.observed_at:
        return None
    told = connection.execute(_LAST_VERSION, [receipt.account, receipt.run_id]).fetchall()
    return next((version for (version,) in told if version != receipt.api_version), None)


def _sweep_into(connection: Connection, receipt: Receipt, reading: Reading) -> None:
    is_over = receipt.outcome == "succeeded" and not reading.has_more
    if receipt.outcome != "succeeded" and receipt.sweep is None:
        return  # nothing of it was loaded, so the next run doesn't know of it
    if found := sweep.result(connection, reading, is_over=is_over):
        receipt.sweep = "complete" if is_over else "incomplete"
        receipt.rows_missed, receipt.first_missed, receipt.rows_unlisted = found


def write_receipt(connection: Connection, receipt: Receipt) -> None:
    """The receipt as a row of `sendcloud.pickup_runs`, in place of an earlier one of the same run.

    Columns that a newer version brings are added to an older table.
    """
    schema, table = receipt_schema(), f"{DATASET}.pickup_runs"
    connection.register("receipt", pa.Table.from_pylist([receipt.as_row()], schema=schema))
    connection.execute(f"create schema if not exists {DATASET}")
    connection.execute(f"create table if not exists {table} as select * from receipt limit 0")  # noqa: S608  # a name of our own
    there = connection.columns("pickup_runs")
    for field in schema:
        if field.name not in there:
            connection.execute(f'alter table {table} add column "{field.name}" {_SQL[field.type]}')
    names = ", ".join(f'"{name}"' for name in schema.names)
    connection.execute(f"delete from {table} where run_id in (select run_id from receipt)")  # noqa: S608  # as above
    connection.execute(f"insert into {table} ({names}) select {names} from receipt")  # noqa: S608  # as above
    connection.unregister("receipt")


def write_published(connection: Connection, receipt: Receipt) -> None:
    """What became known after the receipt was written. Two columns in place: the whole row anew costs a tenth of a
    run that finds nothing, and 30 MB (duckdb 1.5.5 keeps a block for each of its columns while it is stored, 2026-11).
    """
    connection.execute(
        f"update {DATASET}.pickup_runs set finished_at = ?, seconds_published = ? where run_id = ?",  # noqa: S608  # as above
        [receipt.finished_at, receipt.seconds_published, receipt.run_id],
    )


def receipt_schema() -> pa.Schema:
    """Column names and Arrow types of `pickup_runs`, from the receipt's own fields; mappings are text."""
    fields: dict[str, Any] = get_type_hints(Receipt)
    return pa.schema([(name, _arrow_type(hint)) for name, hint in fields.items() if name != "failure"])


def _arrow_type(hint: Any) -> pa.DataType:
    kinds = [kind for kind in (hint, *get_args(hint)) if kind in _ARROW]
    return _ARROW[kinds[0]] if kinds and get_origin(hint) not in (dict, list) else pa.string()
