"""Hides one warning of dlt's that concerns every run and needs no action."""

from __future__ import annotations

import logging

from dlt.common import logger

RESOURCES = ("pickups", "pickups_quarantine")


class _KnownWarning(logging.Filter):
    """Rejects dlt's warning that the resources' column hints differ from the Arrow schema.

    Three columns contain JSON. Arrow has no such type that dlt 1.31 knows, so their Arrow type is text (2026-11).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        is_ours = any(text.startswith(f"In resource: {name}, ") for name in RESOURCES)
        return not (is_ours and "several column hints were different" in text)


_KNOWN_WARNING = _KnownWarning()


def hide_known_warning() -> None:
    """Makes dlt's log leave out the warning. Other warnings stay."""
    if logger.LOGGER:
        logger.LOGGER.addFilter(_KNOWN_WARNING)  # adding the same filter again has no effect
