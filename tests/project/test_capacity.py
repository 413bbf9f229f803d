"""Tests the capacity script: it rejects incomplete runs, summarizes rounds, and writes settings for a run."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.bench import capacity
from tests.bench.capacity import Case, Measurement

CASE = Case("duckdb", accounts=2, pickups=1_500)


def receipt(rows_in_table: int, rows_new: int, rows_changed: int) -> dict[str, Any]:
    return {"rows_in_table": rows_in_table, "rows_new": rows_new, "rows_changed": rows_changed}


def test_complete_runs_are_accepted() -> None:
    # of 1,500 pickups, the newest 15 are cancelled before the second run, but one of them was cancelled from the start
    capacity.check_receipts([receipt(1_500, 1_500, 0)] * 2, CASE, "first")
    capacity.check_receipts([receipt(1_515, 15, 14)] * 2, CASE, "later")


@pytest.mark.parametrize(
    "receipts",
    [
        [receipt(1_515, 15, 14)],
        [receipt(1_515, 15, 14), receipt(1_514, 15, 14)],
        [receipt(1_515, 15, 14), receipt(1_515, 0, 14)],
        [receipt(1_515, 15, 14), receipt(1_515, 15, 0)],
    ],
    ids=["an account is missing", "a row is missing", "no new pickups", "no cancellations"],
)
def test_incomplete_runs_are_rejected(receipts: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=r"expected \(1515, 15, 14\)"):
        capacity.check_receipts(receipts, CASE, "later")


def test_rounds_become_median_times_and_the_largest_peak() -> None:
    rounds = [
        Measurement(seconds, cpu_seconds, peak_mb, requests=4, rows_loaded=2_000)
        for seconds, cpu_seconds, peak_mb in ((3.0, 2.0, 210.0), (9.0, 1.0, 230.4), (4.0, 3.0, 220.0))
    ]

    row = capacity.table_row(CASE, "first load", capacity.summarize(rounds))

    assert row == "| duckdb | 2 | 1,500 | first load | 4.00 | 2.00 | 230 | 4 | 2,000 |"
    assert row.count("|") == len(capacity.COLUMNS) + 1


def test_every_account_has_its_own_key(tmp_path: Path) -> None:
    capacity.write_settings(tmp_path, accounts=3)

    config = tomllib.loads((tmp_path / ".dlt" / "config.toml").read_text())
    secrets = tomllib.loads((tmp_path / ".dlt" / "secrets.toml").read_text())
    accounts = secrets["sources"]["sendcloud"]["accounts"]
    assert list(config["sources"]["sendcloud"]["accounts"]) == list(accounts) == ["a0", "a1", "a2"]
    assert len({account["credentials"]["public_key"] for account in accounts.values()}) == 3


@pytest.mark.slow
def test_a_measurement_runs_the_commands_and_counts_requests() -> None:
    with capacity.serve_list(CASE.pickups) as address:
        measured = capacity.measure_case(CASE, address)

    counts = {run: (one.requests, one.rows_loaded) for run, one in measured.items()}
    assert counts == {"first load": (6, 3_000), "second run": (4, 58)}
