"""What is measured: first loads, second runs, tables that grow, and views over many rows. See also quiet.py."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import ask
from listing import PAGE, Account
from measure import WITH_PANDAS, Measured, Summary, is_installed, measure, serving

Report = Callable[[str], None]
Results = dict[str, Summary]
WITHOUT_TABLE = {"empty_dlt", "pages_only", "ask_and_compare"}
BEHIND = {"plain_dlt", "plain_dlt parquet", "dlt_rest_api", "dlt_rest_api parquet"}  # miss cancellations, see check


def first_load(pickups: int, contenders: list[str], rounds: int, report: Report, delay_seconds: float = 0) -> Results:
    """Everything into an empty folder."""
    with serving(pickups, delay_seconds) as address:

        def once(contender: str) -> Measured:
            with temporary_folder() as folder:
                measured = measure(contender, folder, f"{address}/first/api/v2")
                check(contender, folder, Account(pickups), "first")
                return measured

        return in_turns(contenders, rounds, once, report)


def slow_network(pickups: int, contenders: list[str], rounds: int, report: Report, delay_seconds: float) -> Results:
    """Each request takes so long to be answered; and what a first load of one page costs that need not wait."""
    one_page = first_load(PAGE, ["ours"], rounds, report)
    delayed = first_load(pickups, contenders, rounds, report, delay_seconds)
    return {**delayed, "ours, one page at once": one_page["ours"]}


def second_run(pickups: int, contenders: list[str], rounds: int, report: Report) -> Results:
    """A run over a copy of what a first load left: 1 % new and 1 % changed.

    Each copy first makes a run without changes. Otherwise, ours would take 0.04 s to notice that its files moved.
    """
    account = Account(pickups)
    with serving(pickups) as address, temporary_folder() as kept:
        for contender in filter(is_installed, contenders):
            (kept / contender).mkdir()
            measure(contender, kept / contender, f"{address}/first/api/v2")

        def once(contender: str) -> Measured:
            with temporary_folder() as folder:
                shutil.copytree(kept / contender, folder / "copy")
                measure(contender, folder / "copy", f"{address}/first/api/v2")
                measured = measure(contender, folder / "copy", f"{address}/later/api/v2")
                check(contender, folder / "copy", account, "later")
                return measured

        return in_turns(contenders, rounds, once, report)


def growing_table(sizes: list[int], rounds: int, report: Report) -> Results:
    """The same second run of ours (100 new, 100 changed of 10,000) into tables of these sizes."""
    results: Results = {}
    with serving(10_000) as address, temporary_folder() as kept:
        measure("ours", kept, f"{address}/first/api/v2")
        for size in sizes:
            with temporary_folder() as grown:
                shutil.copytree(kept, grown / "kept")
                grow(grown / "kept" / "warehouse.duckdb", size - 10_000)
                measure("ours", grown / "kept", f"{address}/first/api/v2")  # publishes the grown table
                runs = []
                for _ in range(rounds):
                    shutil.copytree(grown / "kept", grown / "copy")
                    measure("ours", grown / "copy", f"{address}/first/api/v2")  # as in second_run
                    runs.append(measure("ours", grown / "copy", f"{address}/later/api/v2"))
                    report(f"{size:,} rows: {runs[-1].cpu_s:.2f} s of CPU")
                    shutil.rmtree(grown / "copy")
                results[f"{size:,} rows"] = Summary.of(runs)
    return results


def views(sizes: list[int], rounds: int, report: Report) -> Results:
    """Each analytics view in full, over tables of these sizes; the published file, one connection a query."""
    results: Results = {}
    with serving(10_000) as address, temporary_folder() as folder:
        measure("ours", folder, f"{address}/first/api/v2")
        warehouse, before = folder / "warehouse.duckdb", 10_000
        for size in sizes:
            grow(warehouse, size - before)
            before = size
            names = ask.rows(
                warehouse, "select view_name from duckdb_views() where schema_name = 'analytics' order by 1"
            )
            for (name,) in names:
                runs = [_timed(warehouse, name) for _ in range(rounds)]
                results[f"{name}, {size:,} rows"] = Summary.of(runs)
                report(f"{name}, {size:,} rows: {min(run.seconds for run in runs):.2f} s")
    return results


VIEWS = "select view_name from duckdb_views() where schema_name = 'analytics' order by 1"
INSTANTS = ("created_at", "pickup_from", "pickup_until", "cancelled_at")
KEPT = ("booked_day_local", "booked_hour_local", "window_opens_hour_local", "window_opens_isodow_local")
# As a schedule leaves them: each 1,000 pickups were booked at any time of an hour, and loaded by a run at its end. The
# first run after a cancellation loaded that pickup again, and observed its second state.
SHIFTED = ", ".join(f"booked_at + (kinds.{name} - kinds.created_at) as {name}" for name in INSTANTS)
GROW = f"""
    begin;
    create temp table kinds as
        select *, row_number() over () - 1 as place from sendcloud.pickups limit 1000;
    create temp table places as
        select number, number % 1000 as place,
            newest_at - to_hours(number // 1000) as loaded_at,
            loaded_at - to_microseconds(cast(hash(number) % 3600000000 as bigint)) as booked_at
        from range($rows) as numbers(number)
        cross join (select min(created_at) - interval 1100 days as newest_at from sendcloud.pickups);
    create temp table grown as
        with shifted as (
            select kinds.* exclude (place, _dlt_load_id, {", ".join([*INSTANTS, *KEPT])}) replace (
                number + 1000000000 + (select count(*) from sendcloud.pickups) as id
            ), {SHIFTED}, number, loaded_at
            from places join kinds on kinds.place = places.place
        ), loaded as (
            select *, case when cancelled_at > loaded_at
                then loaded_at + to_hours(1 + (epoch_us(cancelled_at) - epoch_us(loaded_at)) // 3600000000)
            end as loaded_again_at
            from shifted
        )
        select *, cast(epoch(loaded_at) as bigint) || '.5' as first_load_id,
            cast(epoch(coalesce(loaded_again_at, loaded_at)) as bigint) || '.5' as _dlt_load_id
        from loaded order by number;
    insert into sendcloud.pickups by name
        select * exclude (number, loaded_at, loaded_again_at, first_load_id) from grown;
    insert into sendcloud.pickup_status_history
        select account, id,
            case when loaded_again_at is null then pickup_status else 'Created' end,
            case when loaded_again_at is null then cancelled_at end,
            pickup_from, pickup_until, loaded_at, first_load_id, true
        from grown;
    insert into sendcloud.pickup_status_history
        select account, id, pickup_status, cancelled_at, pickup_from, pickup_until, loaded_again_at, _dlt_load_id, false
        from grown where loaded_again_at is not null;
    insert into sendcloud.pickup_states_recorded
        select first_load_id from grown union select _dlt_load_id from grown
        except select _dlt_load_id from sendcloud.pickup_states_recorded;
    update sendcloud.pickup_runs set rows_in_table = rows_in_table + $rows;
    drop table grown;
    drop table places;
    drop table kinds;
    commit;
"""


def grow(warehouse: Path, rows: int) -> None:
    """Adds that many settled pickups, and their states, from before the account's first to a warehouse of ours.

    In a process of its own: Linux counts what this one's memory was at its start into the peak of each that it starts.
    """
    growing = get_context("spawn").Process(target=_grow, args=(warehouse, rows))
    growing.start()
    growing.join()
    assert growing.exitcode == 0


def _grow(warehouse: Path, rows: int) -> None:
    from pipelines.bookkeeping.kept_columns import fill_kept_columns
    from pipelines.destinations.duckdb.session import open_database

    with open_database(warehouse) as session:
        session.execute("set enable_progress_bar = false")
        session.execute(GROW.replace("$rows", str(rows)))
        fill_kept_columns(session)


def check(contender: str, folder: Path, account: Account, instant: str) -> None:
    """Every contender's table must be right, or its time means nothing. Those that can't see a later cancellation
    must at least have every pickup once."""
    contender = contender.removesuffix(WITH_PANDAS)
    if contender in WITHOUT_TABLE:
        return
    query = """
        select count(*), count(distinct id), count(*) filter (where pickup_status = 'Cancelled')
        from sendcloud.pickups
    """
    ((rows, ids, cancelled),) = ask.rows(folder / "warehouse.duckdb", query)
    expected = account.count(instant)
    assert (rows, ids) == (expected, expected), (contender, rows, ids, expected)
    if contender not in BEHIND or instant == "first":
        assert cancelled == account.cancelled(instant), (contender, cancelled, account.cancelled(instant))


def in_turns(contenders: list[str], rounds: int, once: Callable[[str], Measured], report: Report) -> Results:
    """Round after round, so that a noisy minute hits all alike."""
    runs: dict[str, list[Measured]] = {contender: [] for contender in contenders if is_installed(contender)}
    for _ in range(rounds):
        for contender in runs:
            runs[contender].append(once(contender))
            report(f"{contender}: {runs[contender][-1].cpu_s:.2f} s of CPU")
    return {contender: Summary.of(measured) for contender, measured in runs.items()}


def _timed(warehouse: Path, view: str) -> Measured:
    import duckdb

    with duckdb.connect(str(warehouse), read_only=True) as connection:
        started, cpu_before = time.perf_counter(), time.process_time()
        connection.execute(f"select max(columns(*)) from analytics.{view}").fetchall()
        return Measured(time.perf_counter() - started, 0.0, time.process_time() - cpu_before)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
