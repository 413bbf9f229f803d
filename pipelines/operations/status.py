"""Collects data for `pickups status`: the time and result of each account's last run, and the state of its tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pipelines.config.accounts import account_names, has_credentials, plain_account_names
from pipelines.config.plain_settings import plain_settings
from pipelines.config.project import project_context
from pipelines.config.settings import OWN_SETTINGS, get_setting
from pipelines.destinations.file_lock import Holder, find_holder
from pipelines.errors import NoData
from pipelines.quick.unpublished import unpublished_runs
from pipelines.warehouse import reading

_SUCCEEDED = "outcome = 'succeeded'"
# The time at which a run succeeded, by this machine's clock unless that clock was ahead of the API's or far behind it.
# A time in the future would make the account look up to date until then.
_SUCCEEDED_AT = """
    case
        when finished_at <= now() and finished_at >= observed_at - interval 1 hour then finished_at
        when observed_at <= now() then observed_at
        when finished_at <= now() then finished_at
    end
"""


class _Fact(NamedTuple):
    """An expression over the account's newest receipt that meets the condition.

    Unless `may_be_null`, receipts for which the expression is null are skipped. `is_known` tells cheaply which these
    are. Arithmetic with times in time zones takes 0.4 µs per receipt.
    """

    expression: str
    condition: str = "true"
    may_be_null: bool = False
    is_known: str = ""

    def is_found(self) -> str:
        known = "true" if self.may_be_null else self.is_known or f"({self.expression}) is not null"
        return f"{self.condition} and {known}"

    def latest(self) -> str:
        function = "arg_max_null" if self.may_be_null else "arg_max"
        return f"{function}({self.expression}, place) filter (where {self.condition})"


_FACTS = {
    "last_outcome": _Fact("outcome"),
    "last_error": _Fact("error", may_be_null=True),
    "last_run_at": _Fact("started_at"),
    "last_success_at": _Fact(_SUCCEEDED_AT, _SUCCEEDED, is_known="(finished_at <= now() or observed_at <= now())"),
    "open_pickups": _Fact("open_pickups", _SUCCEEDED),
    "frontier": _Fact("frontier", _SUCCEEDED, may_be_null=True),
    "newest_created_at": _Fact("watermark", _SUCCEEDED),
    "history_complete": _Fact("history_complete"),
    "last_sweep_at": _Fact("observed_at", "sweep = 'complete'"),
    "is_sweep_under_way": _Fact("sweep = 'incomplete'"),
    "checks_failed": _Fact("checks_failed", _SUCCEEDED),
    "refused_share": _Fact("quarantined / nullif(rows_read, 0)", _SUCCEEDED, may_be_null=True),
    "run_seconds": _Fact("epoch(finished_at - started_at)", "finished_at >= started_at", is_known="true"),
}
_COLUMNS = ", ".join(f"{fact.latest()} as {name}" for name, fact in _FACTS.items())
_NUMBERS = ", ".join(dict.fromkeys(f"max(number) filter (where {fact.is_found()})" for fact in _FACTS.values()))
# Only receipts with the number of one of these facts are sorted. Sorting all took 2 s for a year of 40 accounts
# (2026-11-29). Old receipts have no number and count as number 0.
_STATUS_QUERY = f"""
    with numbers as (
        select account, unnest([{_NUMBERS}]) as number
        from (select *, {{number}} as number from sendcloud.pickup_runs) as runs group by account
    ),
    wanted as (select distinct account, number from numbers),
    placed as (
        select runs.*, row_number() over (
            partition by runs.account order by wanted.number, started_at, run_id
        ) as place
        from sendcloud.pickup_runs as runs
        join wanted on wanted.account = runs.account and wanted.number = {{number}}
    )
    select account, {_COLUMNS} from placed group by account
"""  # noqa: S608  # the text is a constant
_OLDEST_QUERY = "select account, min(created_at) from sendcloud.pickups group by account"
_COUNTED = {"pickups": "pickups", "quarantined": "pickups_quarantine"}


def read_status(max_age_hours: float) -> list[dict[str, Any]]:
    """Returns the status of each account that is published or configured, sorted by name.

    Args:
        max_age_hours: the maximum age of the last good run, in hours.

    Returns:
        One dict per account, which includes quick runs that have not been published yet. Timestamps are UTC.
        `is_configured` says whether the account is configured. `age_hours` is the age of the last good run according to
        this machine's clock, or None if there has been no good run.
        `is_stale` is true if the account is configured and its last good run is missing or older than `max_age_hours`.

    Raises:
        SettingsError: the configured accounts or the settings of the destination are invalid.
        DestinationError: the published tables can't be read.
    """
    names, is_demo = _configured_names()
    accounts = {one["account"]: one for one in _read_published()}
    for name in {*names} - accounts.keys():
        accounts[name] = {"account": name, **dict.fromkeys([*_FACTS, "oldest"]), **dict.fromkeys(_COUNTED, 0)}
    for name, ended_at in unpublished_runs().items():
        good_run = {
            "last_outcome": "succeeded",
            "last_error": None,
            "last_run_at": ended_at,
            "last_success_at": ended_at,
        }
        if name in accounts:
            accounts[name] |= good_run
    for name, account in accounts.items():
        account["is_configured"] = is_demo or name in names
        age = _age_hours(account["last_success_at"])
        account["age_hours"] = None if age is None else round(age, 3)
        account["is_stale"] = name in names and (age is None or age > max_age_hours)
    return [accounts[name] for name in sorted(accounts)]


def find_last_command() -> Holder | None:
    """Returns the command that is changing a DuckDB warehouse, or that was killed while it did.

    Returns None if no command does, and for other destinations, whose locks leave nothing behind.

    Raises:
        SettingsError: the settings of the destination are invalid.
    """
    if (plain := plain_settings()) and (warehouse := plain.warehouse_file()):
        return find_holder(warehouse)
    from pipelines.destinations.duckdb.backend import DuckDBBackend
    from pipelines.destinations.select import select_backend

    with project_context() as project:
        backend = select_backend(project)
        return find_holder(backend.warehouse) if isinstance(backend, DuckDBBackend) else None


def max_age_setting() -> float:
    """Returns `[status] max_age_hours`. Raises SettingsError if the setting is invalid."""
    if plain := plain_settings():
        value = plain.value("status.max_age_hours")
        if value is None or (type(value) in (int, float) and value > 0):
            return float(OWN_SETTINGS["status.max_age_hours"].default if value is None else value)
    with project_context():
        return float(get_setting("status.max_age_hours"))


def _configured_names() -> tuple[list[str], bool]:
    """Returns the names of the accounts to list, and whether readers see the demo's account."""
    if (plain := plain_settings()) and plain.published_file() and (names := plain_account_names(plain)):
        return names, False
    from pipelines.destinations.select import select_backend

    with project_context() as project:
        is_demo = select_backend(project).is_demo()  # The demo's account needs no configuration.
        # Without credentials, an installation in which only the demo has run has no account to list.
        return (account_names() if has_credentials() or not is_demo else []), is_demo


def _read_published() -> list[dict[str, Any]]:
    try:
        with reading() as connection:
            # until the first run after an upgrade, receipts may have no run numbers
            has_numbers = "run_number" in connection.columns("pickup_runs")
            query = _STATUS_QUERY.format(number="coalesce(run_number, 0)" if has_numbers else "0")
            names, rows = ["account", *_FACTS], connection.execute(query).fetchall()  # importing Arrow takes 18 ms
            accounts: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in rows]
            oldest = dict(connection.execute(_OLDEST_QUERY).fetchall())
            for account in accounts:
                account["oldest"] = oldest.get(account["account"])
            for name, table in _COUNTED.items():
                count = f"select account, count(*) from sendcloud.{table} group by account"  # noqa: S608  # a constant
                is_there = connection.columns(table)  # in a lake, the tables are views
                counted = dict(connection.execute(count).fetchall()) if is_there else {}
                for account in accounts:
                    account[name] = counted.get(account["account"], 0)
            return accounts
    except NoData:
        return []


def _age_hours(instant: datetime | None) -> float | None:
    return None if instant is None else (datetime.now(UTC) - instant) / timedelta(hours=1)
