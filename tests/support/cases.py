"""Parameters of which only some are in the default run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def quick(cases: Iterable[Any], *, only: Collection[int] = (0,)) -> list[Any]:
    """The cases, all but those numbers (from 0) marked slow: they prove again what those prove."""
    return [case if number in only else _slow(case) for number, case in enumerate(cases)]


def _slow(case: Any) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
