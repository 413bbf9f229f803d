"""Loads Sendcloud pickups into DuckDB, PostgreSQL or Delta tables.

`run()` loads one account and returns its `Receipt`. `run_accounts()` loads several accounts, by default all of them,
and returns a list of receipts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.loading.run import run, run_accounts
    from pipelines.receipt import Receipt

__all__ = ["Receipt", "run", "run_accounts"]


def __getattr__(name: str) -> Any:
    # these names are imported on demand, because importing dlt takes 0.6 s and `pickups --help` does not need dlt
    if name in ("run", "run_accounts"):
        from pipelines.loading import run

        return getattr(run, name)
    if name == "Receipt":
        from pipelines.receipt import Receipt

        return Receipt
    raise AttributeError(name)
