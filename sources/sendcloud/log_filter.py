"""Hides a dlt warning that appears in every run and requires no action."""

from __future__ import annotations

import logging

from dlt.common import logger

RESOURCES = ("pickups", "pickups_quarantine")


def _is_shown(record: logging.LogRecord) -> bool:
    """Rejects dlt's warning that the resources' column hints differ from the Arrow schema.

    Three columns contain JSON. dlt 1.31 supports no Arrow type for JSON, so the columns have Arrow's text type
    (2026-11).
    """
    text = record.getMessage()
    is_ours = any(text.startswith(f"In resource: {name}, ") for name in RESOURCES)
    return not (is_ours and "several column hints were different" in text)


def hide_known_warning() -> None:
    """Removes the warning from dlt's log. Other warnings are still logged."""
    if logger.LOGGER:
        logger.LOGGER.addFilter(_is_shown)  # adding the same filter again has no effect
