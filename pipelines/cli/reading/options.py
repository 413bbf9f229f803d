"""Defines the options that select pickups, which the commands that read share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.output import visible

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.destinations.filter import PickupFilter

OPTIONS = {"accounts": "--account", "carriers": "--carrier", "countries": "--country"}

Accounts = Annotated[
    list[str] | None, typer.Option("--account", metavar="NAME", help="Include only this account. Repeatable.")
]
Carriers = Annotated[
    list[str] | None, typer.Option("--carrier", metavar="NAME", help="Include only this carrier. Repeatable.")
]
Countries = Annotated[
    list[str] | None,
    typer.Option("--country", metavar="CODE", help="Include only this country, such as NL, or unknown. Repeatable."),
]
Since = Annotated[
    str | None, typer.Option(metavar="DAY", help="Include only pickups from this day on, such as 2026-01-01 (UTC).")
]
Until = Annotated[str | None, typer.Option(metavar="DAY", help="Include only pickups before this day (UTC).")]
By = Annotated[
    Literal["booking", "window"],
    typer.Option(help="Whether --since and --until limit the booking or the end of the window."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Short for --format json.")]


class MissingOption(typer.BadParameter):
    """Raised when a command needs an option that was not given. `message` is the reason."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message, param_hint=option)

    def format_message(self) -> str:
        return f"Missing option {self.param_hint}: {self.message}"


def check_terminal() -> None:
    """Raises MissingOption if there is no terminal in which a command could ask for confirmation."""
    if not sys.stdin.isatty():
        raise MissingOption("--yes", "without a terminal, this command can't ask for confirmation.")


def parse_filter(
    accounts: list[str] | None,
    carriers: list[str] | None,
    countries: list[str] | None,
    since: str | None,
    until: str | None,
    by: str,
) -> PickupFilter:
    """Returns the filter for the options. An option that is not given includes everything.

    Raises:
        BadParameter: an option can't be read, or the period is empty.
    """
    from pipelines.destinations.filter import PickupFilter

    with usage_errors():
        return PickupFilter.parse(
            accounts=accounts or None,
            carriers=carriers or None,
            countries=countries or None,
            since=since,
            until=until,
            by=by,
        )


def parse_day(option: str, text: str | None) -> datetime | None:
    """Returns the time in UTC that the option (such as `back-to`) names, or None if the option is not given.

    Raises:
        BadParameter: the text is not a time.
    """
    from pipelines.destinations.filter import to_instant

    with usage_errors():
        return to_instant(option, text)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turns a filter that can't be applied into a usage error (exit code 2) that names the option."""
    from pipelines.destinations.filter import FilterError

    try:
        yield
    except FilterError as error:
        option = OPTIONS.get(error.argument, f"--{error.argument}")
        text = str(error).removeprefix(f"{error.argument}: ")
        raise typer.BadParameter(visible(text), param_hint=option) from None
