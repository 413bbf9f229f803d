"""Loads Sendcloud pickups into DuckDB: `run()` is one run over one account and returns its `Receipt`, `run_accounts()`
one over all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.pickups import run, run_accounts
    from pipelines.receipt import Receipt

__all__ = ["Receipt", "run", "run_accounts"]


def __getattr__(name: str) -> Any:
    # on demand: `pickups --help` must not wait 0.6 s for dlt
    if name in ("run", "run_accounts"):
        from pipelines import pickups

        return getattr(pickups, name)
    if name == "Receipt":
        from pipelines.receipt import Receipt

        return Receipt
    raise AttributeError(name)
