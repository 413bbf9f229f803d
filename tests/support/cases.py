"""Selects the test parameters for the default run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def quick(cases: Iterable[Any], *, only: Collection[int] = (0,)) -> list[Any]:
    """Returns the cases, and marks all as slow except those whose numbers (from 0) are in `only`.

    The slow cases only confirm what the other cases show.
    """
    return [case if number in only else _slow(case) for number, case in enumerate(cases)]


def _slow(case: Any) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
