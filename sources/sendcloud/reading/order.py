"""Checks the order of the list.

A run may stop early only while the rows that it has read are sorted from newest to oldest.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from .frontier import Rules
from .instants import epoch_us, instant, microseconds

# In one of 10,000 runs with random accounts, six shuffled rows looked sorted (2026-11). If ten rows are further apart
# than the overlap, only one in 3.6 million shuffles of these rows looks sorted. Sendcloud's pages contain far more than
# ten rows.
MIN_EVIDENCE_ROWS = 10


class OrderCheck:
    """Checks page by page whether the list is sorted from newest to oldest. Once `broken` is true, it stays true."""

    def __init__(self, reference: datetime | None, rules: Rules) -> None:
        self._reference_us: int | None = None if reference is None else epoch_us(instant(reference)).as_py()
        self._overlap_us = microseconds(rules.overlap)
        self._top_us: int | None = None  # The newest booking time on the first page.
        self._lowest_us: int | None = None  # The oldest booking time on all pages so far.
        self._rows = 0
        self.broken = False

    @property
    def newest_first(self) -> bool:
        """Whether the rows read so far prove that the list is sorted. Without this proof, a walk must not stop early.

        Fewer than MIN_EVIDENCE_ROWS rows prove nothing. The reference is the newest row of the previous run, and the
        first page must contain that row or a newer one. A first read with a start date has no reference, so the list
        must span more than the overlap.
        """
        if self.broken or self._top_us is None or self._lowest_us is None or self._rows < MIN_EVIDENCE_ROWS:
            return False
        return self._reference_us is not None or self._top_us - self._lowest_us > self._overlap_us

    def add_page(self, rows: pa.Table) -> None:
        """Checks the rows of one page, in list order. An empty page has no effect."""
        if rows.num_rows == 0:
            return
        self._rows += rows.num_rows
        created_us = epoch_us(rows["created_at"]).combine_chunks()
        if self._top_us is None:
            self._top_us = pc.max(created_us).as_py()
            missing = self._reference_us is not None and self._top_us < self._reference_us - self._overlap_us
            self.broken = self.broken or missing
        lowest = pc.cumulative_min(created_us)
        if self._lowest_us is not None:
            lowest = pc.min_element_wise(lowest, self._lowest_us)
        climb_us = pc.max(pc.subtract(created_us, lowest)).as_py()
        self.broken = self.broken or climb_us > self._overlap_us
        self._lowest_us = lowest[-1].as_py()


def is_before(rows: pa.Table, bound: datetime) -> bool:
    """Returns whether a page has rows and all of the rows were booked before `bound`."""
    newest: datetime | None = pc.max(rows["created_at"]).as_py()
    return newest is not None and newest < bound
