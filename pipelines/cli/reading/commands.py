"""Defines the commands that read what runs have published: show, list, report and models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.cli.reading.options import (
    Accounts,
    AsJson,
    By,
    Carriers,
    Countries,
    MissingOption,
    Since,
    Until,
    parse_filter,
    usage_errors,
)
from pipelines.output import print_text

if TYPE_CHECKING:
    from pipelines.destinations.filter import PickupFilter


class State(StrEnum):
    """The states of a pickup. It is an enumeration because typer reads no list of a Literal."""

    cancelled = "cancelled"
    kept = "kept"
    failed = "failed"
    pending = "pending"


def show(
    view: Annotated[
        str, typer.Argument(metavar="VIEW", help="carriers, windows or any view. Another word prints the list.")
    ],
    form: Annotated[
        Literal["table", "csv", "json", "markdown"],
        typer.Option("--format", help="csv and json print every column of the view."),
    ] = "table",
    json: AsJson = False,
    account: Accounts = None,
    carrier: Carriers = None,
    country: Countries = None,
    since: Since = None,
    until: Until = None,
    by: By = "window",
) -> None:
    """Print cancellations (carriers), pickup windows (windows) or any other view.

    For example: pickups show carriers --since 2026-01-01 --format csv
    """
    only = parse_filter(account, carrier, country, since, until, by)
    from pipelines.cli.reading.show import print_view

    with usage_errors():
        print_view(view, "json" if json else form, only)


def list_pickups(
    state: Annotated[
        list[State] | None,
        typer.Option(
            metavar="STATE", help="Include only pickups that are cancelled, kept, failed or pending. Repeatable."
        ),
    ] = None,
    late: Annotated[bool, typer.Option("--late", help="Include only late cancellations.")] = False,
    booked_ahead: Annotated[
        bool, typer.Option("--booked-ahead", help="Include only pickups booked at least 24 hours before their window.")
    ] = False,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Include only pickups still announcing after their window.")
    ] = False,
    conflict: Annotated[
        bool, typer.Option("--conflict", help="Include only pickups whose status contradicts cancelled_at.")
    ] = False,
    mature: Annotated[bool, typer.Option("--mature", help="Include only pickups whose window is over.")] = False,
    immature: Annotated[bool, typer.Option("--immature", help="Include only the others.")] = False,
    form: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="csv and json print every column.")
    ] = "table",
    json: AsJson = False,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Print at most N pickups; default: 50 in a table, or all.")
    ] = None,
    account: Accounts = None,
    carrier: Carriers = None,
    country: Countries = None,
    since: Since = None,
    until: Until = None,
    by: By = "window",
) -> None:
    """Print the pickups behind a number, the newest booking first. For example: pickups list --state cancelled --late

    The states mean what the columns of analytics.pickups mean.
    """
    if mature and immature:
        raise typer.BadParameter("no pickup is both mature and immature", param_hint="--immature")
    only = parse_filter(account, carrier, country, since, until, by)
    from pipelines.cli.reading.pickup_list import Selection, print_pickups

    conditions = {
        "is_late_cancellation": late,
        "lead_time_hours >= 24": booked_ahead,
        "is_stuck": stuck,
        "has_status_conflict": conflict,
    }
    wanted = [condition for condition, is_wanted in conditions.items() if is_wanted]
    with usage_errors():
        print_pickups(
            Selection(state or (), wanted, mature if mature or immature else None),
            "json" if json else form,
            limit,
            only,
        )


def report(
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="The file to write; default: data/report/index.html.")
    ] = None,
    account: Accounts = None,
    carrier: Carriers = None,
    country: Countries = None,
    since: Since = None,
    until: Until = None,
    by: By = "window",
    is_opened: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
) -> None:
    """Write the numbers as one page for a browser or printer. For example: pickups report --open --since 2026-01-01"""
    only = parse_filter(account, carrier, country, since, until, by)
    from pipelines.report.build import build_report

    with usage_errors():
        page = build_report(to, only=only, on_progress=lambda name: print_text(f"computing {name}", err=True))
    print_text(page)
    if is_opened:
        from pipelines.cli.reading.browser import open_page

        open_page(page)


def models(
    engine: Annotated[
        Literal["duckdb", "spark"],
        typer.Option(help="duckdb runs on this machine; spark runs on a cluster and needs Delta tables."),
    ] = "duckdb",
    master: Annotated[
        str, typer.Option(metavar="URL", help="The Spark master, such as spark://host:7077 or yarn.")
    ] = "local[2]",
    to: Annotated[
        str | None, typer.Option("--to", metavar="FOLDER", help="The target folder; default: analytics in the lake.")
    ] = None,
    sql: Annotated[
        str | None,
        typer.Option(metavar="DIALECT", help="Write dbt models in this dialect instead, such as duckdb or postgres."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    account: Accounts = None,
    carrier: Carriers = None,
    country: Countries = None,
    since: Since = None,
    until: Until = None,
    by: By = "window",
) -> None:
    """Export every view as Parquet files, for large tables or many readers. For example: pickups models --to views"""
    only = parse_filter(account, carrier, country, since, until, by)
    if sql:
        _write_models(sql, to, only)
        return
    from pipelines.export.parquet import export_views, format_export

    with usage_errors():
        folder, rows = export_views(
            engine, to, master, only=only, on_progress=lambda view: print_text(f"built {view}", err=True)
        )
    print_text(format_export(folder, rows, as_json=json))


def _write_models(dialect: str, to: str | None, only: PickupFilter) -> None:
    from pipelines.destinations.filter import ALL_PICKUPS
    from pipelines.export.dbt import write_models

    if not to:
        raise MissingOption("--to", "--sql writes files to a folder, such as --to models.")
    if only != ALL_PICKUPS:
        raise typer.BadParameter("models contain no pickups, so none can be selected", param_hint="--sql")
    files = write_models(to, dialect)
    print_text(f"{len(files)} files in {files[0].parent}")


def add_commands(to: typer.Typer) -> None:
    """Adds the commands of this module."""
    to.command()(show)
    to.command("list")(list_pickups)
    to.command()(report)
    to.command()(models)
