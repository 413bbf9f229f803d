"""Selects the test parameters of the default run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def quick(cases: Iterable[Any], *, only: Collection[int] = (0,)) -> list[Any]:
    """Returns the cases, and marks all but the numbers in `only` (from 0) as slow.

    The slow cases prove again what the other cases prove.
    """
    return [case if number in only else _slow(case) for number, case in enumerate(cases)]


def _slow(case: Any) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
