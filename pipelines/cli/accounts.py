"""Defines `pickups accounts` and `pickups forget`, which change rows that are already loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from pipelines.cli.reading.options import check_terminal
from pipelines.output import print_json, print_text

app = typer.Typer(no_args_is_help=True, help="List, rename or remove accounts in the destination.")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; print what would change.")]
Wait = Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for a run to end.", min=0)]


@app.command("list")
def list_accounts(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False, wait: Wait = 0
) -> None:
    """Print each account, its number of rows by table, and whether the settings name it."""
    from pipelines.operations import accounts

    found = accounts.list_accounts(wait)
    if json:
        print_json([one._asdict() for one in found])
        return
    for one in found:
        word = "configured" if one.is_configured else "not configured"
        print_text(f"{one.account} ({word}): {_format_rows(one.rows)}")


@app.command()
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The name in the loaded rows.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name in the settings.")],
    dry_run: DryRun = False,
    wait: Wait = 0,
) -> None:
    """Move an account's rows, states and receipts to its new name, before or after the first run under that name.

    Rename the account's sections in the settings first. For example: pickups accounts rename south west
    """
    from pipelines.operations import accounts

    change = accounts.rename_account(old, new, wait_seconds=wait, is_trial=dry_run)
    verb = "Would rename" if dry_run else "Renamed"
    print_text(f"{verb} {old} to {new}: {_format_rows(change.rows)}")
    if change.merged:
        print_text(f"  merged with the rows that {new} already has: {_format_rows(change.merged)}")


@app.command()
def remove(
    account: Annotated[str, typer.Argument(metavar="NAME", help="The name of the account to remove.")],
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    wait: Wait = 0,
) -> None:
    """Delete an account's rows, states and receipts. Pickups that the API no longer lists can't be loaded again.

    For example: pickups accounts remove south --dry-run
    """
    from pipelines.operations import accounts

    change = accounts.remove_account(account, wait_seconds=wait, is_trial=True)
    print_text(f"Account {account}: {_format_rows(change.rows)}")
    if change.is_configured:
        print_text(f"  The settings still name {account}, so the next run reloads pickups that the API still lists.")
    if dry_run:
        return
    confirm(f"Delete these rows of {account}?", yes=yes)
    accounts.remove_account(account, wait_seconds=wait)
    print_text(f"Removed {account}.")


def forget(
    tracking_number: Annotated[str, typer.Argument(metavar="TRACKING_NUMBER", help="The number to mask.")],
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Mask without asking.")] = False,
    wait: Wait = 0,
) -> None:
    """Mask a tracking number in all tables and in later runs. The pickups keep their ids, states and times.

    For example: pickups forget JVGL0123456789 --dry-run
    """
    from pipelines.operations.forget import forget_tracking_number

    for account, rows in forget_tracking_number(tracking_number, wait_seconds=wait, is_trial=True).items():
        print_text(f"Account {account}: {_format_rows(rows)}")
    if dry_run:
        return
    confirm("Mask the tracking number in these rows?", yes=yes)
    forget_tracking_number(tracking_number, wait_seconds=wait)
    print_text(
        "Masked and published. Backups, exports and reports still contain the number: "
        "see docs/explanation/personal-data.md"
    )


def add_commands(to: typer.Typer) -> None:
    """Adds this module's commands to the command line."""
    to.add_typer(app, name="accounts")
    to.command()(forget)


def confirm(question: str, *, yes: bool) -> None:
    """Ends the command unless the user confirms. Without a terminal, there is no prompt, so `--yes` is required."""
    if yes:
        return
    check_terminal()
    if not typer.confirm(question):
        print_text("Nothing was changed.")
        raise typer.Exit


def _format_rows(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{table} {count:,}" for table, count in rows.items()) or "no rows"
