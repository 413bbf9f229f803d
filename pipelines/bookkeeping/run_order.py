"""Defines the order of receipts, for queries that read `sendcloud.pickup_runs`."""

from __future__ import annotations

# This clause sorts an account's receipts from the newest to the oldest. The order does not depend on a clock, because a
# clock may be set back. Receipts from versions before 2026-11-28 have no number and come last.
RUN_ORDER = "coalesce(run_number, 0), started_at, run_id"
LATEST_FIRST = "coalesce(run_number, 0) desc, started_at desc, run_id desc"
