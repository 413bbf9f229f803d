"""What keeps the process of `pickups run` small and quick to start."""

from __future__ import annotations

import gc
import sys
from types import ModuleType

# found by looking at what a run that finds nothing imports (dlt 1.31, duckdb 1.5.5, pyarrow 26; 2026-11)
NOT_NEEDED = (
    "numpy",  # by pyarrow
    "pandas",  # by pyarrow and duckdb, to ask whether a list or a parameter is a frame
    "pyarrow.dataset",  # by duckdb, to ask whether an Arrow table is one
    "tornado",  # by tenacity, in case somebody retries with it
)


class _NotNeeded:
    """Finds nothing where there is something, as if it were not installed."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: ModuleType | None = None) -> None:
        if name in NOT_NEEDED:
            raise ModuleNotFoundError(f"a run does without {name}", name=name)
        return


def do_with_all() -> None:
    """For a place that needs what a file doesn't: Delta is written and read by pyarrow.dataset (dlt 1.31)."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _NotNeeded)]


def do_without() -> None:
    """Leaves out what other libraries import only because it is there, the notebooks' libraries above all.

    Of a run that finds nothing a fifth of the time and 50 MB (2026-11). Only for a process that does nothing but one
    run, before anything heavy is imported: what was left out stays out.
    """
    sys.meta_path.insert(0, _NotNeeded())
    gc.set_threshold(100_000, 50, 100)  # looking for cycles among imported modules, which stay: 8 % of such a run
