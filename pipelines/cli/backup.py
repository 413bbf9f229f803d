"""Implements `pickups backup` and `pickups restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.reading.options import check_terminal
from pipelines.output import print_text

if TYPE_CHECKING:
    from pipelines.destinations.duckdb.copies import RestorePlan


def backup(
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder for backups; created if missing.")],
    keep: Annotated[
        int | None, typer.Option(metavar="N", help="Keep only the newest N backups in the folder; default: all.", min=1)
    ] = None,
) -> None:
    """Copy the published DuckDB file and check the copy. For example: pickups backup --to /mnt/backup --keep 14"""
    from pipelines.operations.backup import back_up

    made = back_up(to, keep)
    print_text(f"{made.path}: {made.contents}")
    for path in made.removed:
        print_text(f"removed {path}")


def restore(
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="The copy to restore; default: the published file.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replace the warehouse without asking.")] = False,
) -> None:
    """Replace the warehouse with a copy, after showing what would be lost. Keep the old file."""
    from pipelines.operations.backup import restoring

    with restoring(source) as plan:
        print_text("\n".join(_plan_lines(plan)))
        if not yes:
            check_terminal()
            typer.confirm("Replace the warehouse?", abort=True)
        kept = plan.execute()
    if kept:
        print_text(f"The old file is kept as {kept}. Delete that file when you no longer need it.")
    print_text("The warehouse is restored. To load the changes since the copy was made, run: pickups run")


def _plan_lines(plan: RestorePlan) -> list[str]:
    from pipelines.destinations.duckdb.replacement import has_log, log_of

    lines = [f"warehouse  {plan.warehouse}", f"           {_describe_old(plan)}"]
    lines += [f"copy       {plan.source}", f"           {plan.new}"]
    for table, rows in plan.losses().items():
        lines.append(f"lost       {rows:,} rows of {table} that the copy lacks, unless the API still lists them")
    if has_log(plan.warehouse):
        log = log_of(plan.warehouse)
        lines.append(f"lost       any rows that a killed run left in {log}, unless the API still lists them")
    return lines


def _describe_old(plan: RestorePlan) -> str:
    if plan.old is None:
        return "missing"
    if plan.old.damage is None:
        return str(plan.old)
    return f"damaged ({plan.old.damage}); readable: {plan.old if plan.old.rows else 'nothing'}"
