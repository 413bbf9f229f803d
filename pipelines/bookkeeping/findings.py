"""Keeps what the checks have found, so that a run checks only the pickups that it has changed.

Reading ten million rows for nine checks takes 0.45 s, which is a quarter of a run with 200 changes (2026-11-29). The
first run of a day and every run of a sweep check all pickups, because other programs may have changed rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from pathlib import Path

from pipelines.analytics import checks
from pipelines.analytics.checks import CheckResult, check_files, run_checks
from pipelines.analytics.views import SQL, query_of
from pipelines.destinations.base import Session
from sources.sendcloud.reading.clocks import machine_time

MAX_KEPT = 100_000  # If a check finds more pickups, its findings are not kept, and every run checks all pickups.
MAX_CHANGED = 100_000  # If more pickups have changed, checking all of them is faster.
# The only check whose result depends on the time: a pickup without a tracking number counts from the end of its window.
# tests/quick/test_time.py runs every check at later times.
TIMED = "missing_tracking_number"
NOT_YET_DUE = """
    select account, pickup_id as id, cast(window_ends_at_utc as timestamptz) as due_at from analytics.pickups
    where tracking_number is null and is_kept and not is_mature
"""
_CREATE_TABLES = """
    create table if not exists sendcloud.pickup_findings (
        account text not null, id bigint not null, check_name text not null, new_word text, due_at timestamptz
    );
    create table if not exists sendcloud.pickup_checks (
        check_name text not null, checks_digest text not null, checked_all_at timestamptz not null
    );
    create table if not exists sendcloud.pickup_loads_checked (_dlt_load_id text not null);
"""
_KEPT = "select check_name, checked_all_at from sendcloud.pickup_checks where checks_digest = $digest"
# `drop table` would drop a table of the user if no temporary table has the name yet.
_CREATE_TEMPORARY = """
    create temp table if not exists changed_pickups (account text, id bigint);
    delete from changed_pickups;
    create temp table if not exists found_pickups (
        account text, id bigint, check_name text, new_word text, due_at timestamptz
    );
    delete from found_pickups;
"""
_NOTE_CHANGED = """
    insert into changed_pickups
    select account, id from sendcloud.pickups where _dlt_load_id in (select unnest($loads))
    union
    select account, id from sendcloud.pickup_findings where due_at is not null
"""
_DELETE_CHANGED = """
    delete from sendcloud.pickup_findings as outdated using changed_pickups as changed
    where outdated.account = changed.account and outdated.id = changed.id
"""
_DELETE_ALL = """
    delete from sendcloud.pickup_findings;
    delete from sendcloud.pickup_checks;
    delete from sendcloud.pickup_loads_checked;
"""
# On PostgreSQL, readers and checks see a load only if its states are recorded (destinations/postgres/publish.py).
_NOTE_ALL = """
    insert into sendcloud.pickup_loads_checked select distinct _dlt_load_id from sendcloud.pickup_states_recorded
"""
_NOTE_LOADS = f"{_NOTE_ALL} where _dlt_load_id in (select unnest($loads))"
_INSERT_FOUND = """
    insert into sendcloud.pickup_findings select account, id, check_name, new_word, due_at from found_pickups
"""
_OF_ACCOUNTS = " where account in (select unnest($accounts))"
_NOTE_KEPT = "insert into sendcloud.pickup_checks select unnest($kept), $digest, $now"
_ADD_FOUND = "insert into found_pickups"
_FIND_NOT_YET_DUE = f"""
    select account, id, '{TIMED}', cast(null as text), due_at from ({NOT_YET_DUE}) as waiting
    where account is not null and id is not null
"""  # noqa: S608  # constants
_COUNTS = """
    select check_name, account, new_word, count(*) from sendcloud.pickup_findings
    where due_at is null group by check_name, account, new_word order by check_name, account, new_word
"""
_DUE = "select account, min(due_at) from sendcloud.pickup_findings where due_at is not null group by account"


def create_tables(connection: Session) -> None:
    """Creates the tables if they do not exist."""
    connection.execute(_CREATE_TABLES)


def check_pickups(
    session: Session, accounts: Sequence[str], unchecked: Mapping[Session, Sequence[str]] | None, *, checks_all: bool
) -> list[CheckResult]:
    """Runs every check in the open transaction and returns the findings by account.

    Args:
        session: the session with the open transaction.
        accounts: the accounts to check.
        unchecked: the loads that are not in `sendcloud.pickup_loads_checked`, by session. If None, nothing is kept,
            because the destination has no transactions.
        checks_all: whether to check all pickups, even those that have not changed.

    Returns:
        One result for each check and account with wrong rows.
    """
    everything = session.for_checks(accounts)
    if unchecked is None:
        return run_checks(everything)
    own = _by_session(session, accounts)
    everything.execute(_CREATE_TEMPORARY)
    kept_by_session = [frozenset[str]() if checks_all else kept_checks(one) for one in own]
    kept = frozenset.intersection(*kept_by_session)
    changed = _note_changed(everything, own, unchecked) if kept else None
    if changed is None or changed > MAX_CHANGED:
        results = run_checks(everything)
        _keep_all(everything, own, results)
        return results
    if changed:
        # a check that only some sessions keep is run for all pickups, but must stay up to date in these sessions
        _keep_changed(session.for_checks(accounts, "changed_pickups"), own, frozenset.union(*kept_by_session))
    for one in own:
        if unchecked[one]:
            one.execute(_NOTE_LOADS, {"loads": list(unchecked[one])})
    results = run_checks(everything, files=[path for path in check_files() if path.stem not in kept])
    results += [result for one in own for result in _kept_results(one, kept)]
    return sorted(results, key=lambda result: (result.name, result.account or ""))


def due_times(session: Session) -> dict[str, datetime]:
    """Returns, by account, when the time alone will next change the result of a check."""
    if TIMED in kept_checks(session):
        return dict(session.execute(_DUE).fetchall())
    found = f"select account, min(due_at) from ({NOT_YET_DUE}) as waiting group by account"  # noqa: S608  # a constant
    return dict(session.execute(found).fetchall())


def _by_session(session: Session, accounts: Sequence[str]) -> dict[Session, list[str]]:
    """Returns the sessions over the accounts' own tables, each with its accounts."""
    own: dict[Session, list[str]] = {}
    for account in accounts:
        own.setdefault(session.for_account(account), []).append(account)
    return own


def kept_checks(session: Session) -> frozenset[str]:
    """Returns the checks whose findings are complete, except for pickups that have changed since."""
    if not session.has_table("pickup_checks"):
        return frozenset()
    today = machine_time().date()  # if the clock is set back, this is another day, too
    kept = session.execute(_KEPT, {"digest": _checks_digest()}).fetchall()
    return frozenset(name for name, checked_at in kept if checked_at.astimezone(UTC).date() == today)


def _checks_digest() -> str:
    files = [*_per_pickup(), SQL / "views" / "pickups.sql"]
    texts = [text for path in files for text in (path.stem, query_of(path))]
    return sha256("\0".join([*texts, NOT_YET_DUE]).encode()).hexdigest()[:16]


def _per_pickup() -> list[Path]:
    return [path for path in check_files() if checks.is_per_pickup(path)]


def _note_changed(everything: Session, own: Iterable[Session], unchecked: Mapping[Session, Sequence[str]]) -> int:
    """Lists the pickups whose findings may have changed in `changed_pickups`, and returns their number.

    Time alone can change the findings of pickups that are due later, so these are always checked again.
    """
    for one in own:
        one.execute(f"{_NOTE_CHANGED} limit {MAX_CHANGED + 1}", {"loads": list(unchecked[one])})
    return _count(everything, "changed_pickups")


def _keep_changed(changed: Session, own: Mapping[Session, Sequence[str]], kept: Collection[str]) -> None:
    """Replaces the findings of the changed pickups."""
    queries = [_found_by(path) for path in _per_pickup() if path.stem in kept]
    if TIMED in kept:
        queries.append(_FIND_NOT_YET_DUE)
    changed.execute(f"{_ADD_FOUND} {' union all '.join(queries)}")  # ten statements take 3 ms longer (2026-11-30)
    for one in own:
        one.execute(_DELETE_CHANGED)
    _insert_found(own)


def _keep_all(everything: Session, own: Mapping[Session, Sequence[str]], results: Sequence[CheckResult]) -> None:
    """Replaces all findings, and records which checks' findings are kept."""
    kept = [path.stem for path in _per_pickup() if _find_all(everything, path, results)]
    for one in own:
        one.execute(_DELETE_ALL)
        one.execute(_NOTE_ALL)
        one.execute(_NOTE_KEPT, {"kept": kept, "digest": _checks_digest(), "now": machine_time()})
    _insert_found(own)


def _find_all(everything: Session, path: Path, results: Sequence[CheckResult]) -> bool:
    """Adds what the check has found to `found_pickups`. Returns whether that can be kept."""
    rows = sum(result.rows for result in results if result.name == path.stem)
    if rows > MAX_KEPT:
        return False
    if rows:
        everything.execute(f"{_ADD_FOUND} {_found_by(path)}")
    if path.stem == TIMED:
        everything.execute(f"{_ADD_FOUND} {_FIND_NOT_YET_DUE}")
    of_check = f"found_pickups where check_name = '{path.stem}'"
    # a row without an account or an id, which only another program can write, is not added
    can_be_kept = (
        _count(everything, f"{of_check} and due_at is null") == rows and _count(everything, of_check) <= MAX_KEPT
    )
    if not can_be_kept:
        everything.execute(f"delete from {of_check}")  # noqa: S608  # the name of a file in this package
    return can_be_kept


def _found_by(path: Path) -> str:
    sql = query_of(path)
    word = "cast(new_word as text)" if checks.WORD in sql else "cast(null as text)"
    return f"""
        select account, id, '{path.stem}', {word}, cast(null as timestamptz) from ({sql}
        ) as wrong where account is not null and id is not null
    """  # noqa: S608  # own SQL


def _insert_found(own: Mapping[Session, Sequence[str]]) -> None:
    """Stores the rows of `found_pickups`."""
    for one, accounts in own.items():
        if len(own) == 1:  # in a file that all accounts share, accounts that are no part of the run are checked too
            one.execute(_INSERT_FOUND)
        else:
            one.execute(_INSERT_FOUND + _OF_ACCOUNTS, {"accounts": list(accounts)})


def _kept_results(session: Session, kept: Collection[str]) -> Iterator[CheckResult]:
    must_pass = {path.stem for path in _per_pickup() if checks.is_must_pass(path)}
    found = [row for row in session.execute(_COUNTS).fetchall() if row[0] in kept]
    for (name, account), group in groupby(found, key=lambda row: row[:2]):
        words, counts = zip(*(row[2:] for row in group), strict=True)
        values = [word for word in words if word is not None][: checks.MAX_VALUES]  # in the order of the database
        yield CheckResult(name, account, sum(counts), name in must_pass, values)


def _count(session: Session, rows: str) -> int:
    ((number,),) = session.execute(f"select count(*) from {rows}").fetchall()  # noqa: S608  # own words
    return int(number)
