"""Loads Sendcloud pickups into DuckDB: `run()` is one run and returns its `Receipt`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.pickups import run
    from pipelines.receipt import Receipt

__all__ = ["Receipt", "run"]


def __getattr__(name: str) -> Any:
    # on demand: `pickups --help` must not wait 0.6 s for dlt
    if name == "run":
        from pipelines.pickups import run

        return run
    if name == "Receipt":
        from pipelines.receipt import Receipt

        return Receipt
    raise AttributeError(name)
