"""Converts times and time spans for Arrow."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from ..records.tables import INSTANT


def instant(value: datetime) -> pa.Scalar:
    """Returns the time as an Arrow value."""
    return pa.scalar(value, INSTANT)


def epoch_us(instants: Any) -> Any:
    """Returns instants as integers, because Arrow can't compute a maximum across instant columns."""
    return instants.cast(pa.int64())


def microseconds(span: timedelta) -> int:
    """Returns the length of the time span in microseconds."""
    return span // timedelta(microseconds=1)
