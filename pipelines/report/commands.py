"""Writes the commands that list the pickups behind a number of the report."""

from __future__ import annotations

import shlex

from pipelines.destinations.filter import PickupFilter
from pipelines.output import visible

LIST = "pickups list"
CANCELLED = "--mature --state cancelled"


def option(name: str, value: str) -> str:
    """Returns an option with its value, quoted for a shell and with visible control characters."""
    return f"{name} {shlex.quote(visible(value))}"


def filter_options(only: PickupFilter) -> str:
    """Returns the options of `pickups report` that select the same pickups as the filter."""
    flags = {"account": "--account", "carrier": "--carrier", "country": "--country"}
    parts = [option(flags[kind], name) for kind, names in only.names().items() for name in names]
    bounds = {"--since": only.since, "--until": only.until}
    parts += [option(flag, at.isoformat()) for flag, at in bounds.items() if at]
    return " ".join([*parts, *(["--by booking"] if only.by == "booking" else [])])


def list_command(options: str, flags: str) -> str:
    """Returns the command that lists the pickups of some state and selection."""
    return " ".join(filter(None, [LIST, options, flags]))
