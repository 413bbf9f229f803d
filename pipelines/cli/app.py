"""Defines the `pickups` command line. Each command imports its heavy dependencies only when it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines import json_logs, lean_imports
from pipelines.cli import accounts
from pipelines.cli.backup import backup, restore
from pipelines.cli.reading import commands
from pipelines.cli.reading.options import parse_day
from pipelines.output import print_text
from pipelines.typer_workarounds import defer_pydantic, hide_types_of_flags

defer_pydantic()
hide_types_of_flags()
app = typer.Typer(
    name="pickups",
    help="Load every Sendcloud pickup, and every later change to it, into DuckDB, PostgreSQL or Delta.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Only these commands need pyarrow.dataset. Without it and pandas, `list` takes 2.3 s of CPU, not 4.3 s (2026-11-29).
COMMANDS_WITH_EVERYTHING = ("models",)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text; run prints one object per line.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print_text(f"sendcloud-pickups {version('sendcloud-pickups')}")
        raise typer.Exit


@app.callback()
def project(
    context: typer.Context,
    project_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="DLT_PROJECT_DIR",
            help="The project folder, which contains .dlt; default: the nearest one at or above the current folder.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks and dlt's log.")] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Stores the options that all commands share in environment variables, which dlt's own tools can read."""
    if context.obj["own_process"] and context.invoked_subcommand not in COMMANDS_WITH_EVERYTHING:
        lean_imports.block_unneeded()
    if project_dir:
        os.environ["DLT_PROJECT_DIR"] = str(project_dir.resolve())
    if debug:
        os.environ["PICKUPS_DEBUG"] = "1"
        os.environ["RUNTIME__LOG_LEVEL"] = "INFO"


@app.command()
def run(
    context: typer.Context,
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="Load only this account; default: all accounts.")
    ] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Also read settled pickups again, ideally weekly.")] = False,
    back_to: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Read at least the pickups booked since this day (UTC), settled ones too."),
    ] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for another run to end.", min=0)] = 0,
    timeout: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS", help="End the run with exit code 143 after this time, including any --wait.", min=1
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what a run would read and where it would write. Changes nothing.")
    ] = False,
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors and findings that have changed.")] = False,
    _no_quick: Annotated[
        bool, typer.Option("--no-quick", help="Make an ordinary run, even if nothing is new.")
    ] = False,
    _log_format: Annotated[
        Literal["text", "json"],
        typer.Option(json_logs.OPTION, help="json writes each line on stderr as an object with an event and numbers."),
    ] = "text",
) -> None:
    """Load new and changed pickups, check them, and publish them. For example: pickups run --json"""
    if back_to and (sweep or dry_run):
        raise typer.BadParameter("can't be combined with --sweep or --dry-run", param_hint="--back-to")
    if dry_run:
        from pipelines.cli.dry_run import print_dry_run

        print_dry_run(account, sweep=sweep, as_json=json)
        raise typer.Exit
    from pipelines.cli import termination

    if context.obj["own_process"]:
        termination.end_on_sigterm(timeout)
    elif timeout:
        raise typer.BadParameter("a timeout requires a process that executes only this run", param_hint="--timeout")
    from pipelines.cli.run import RunRequest, run_and_report

    options = RunRequest(account, sweep, parse_day("back-to", back_to), wait, quiet)
    raise typer.Exit(run_and_report(options, as_json=json))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder, which is created if it does not exist.")],
) -> None:
    """Create a project folder with settings, a secrets file and notebooks. For example: pickups init sendcloud"""
    from pipelines.config.scaffold import create_project

    print_text(create_project(folder))


@app.command()
def demo(
    pickups: Annotated[int, typer.Option(help="The number of pickups.", min=1, max=1_000_000)] = 20_000,
    seed: Annotated[int, typer.Option(help="The random seed for the generated pickups.")] = 7,
) -> None:
    """Load pickups from a local sandbox twice and print cancellations. Needs no account; writes only to data/demo."""
    from pipelines.cli.demo import run_demo

    raise typer.Exit(run_demo(pickups, seed))


commands.add_commands(app)


@app.command()
def check(
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="Check only this account; default: all accounts.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Check the settings, credentials, API access, clock, files and disk. Changes nothing."""
    from pipelines.cli.check import run_preflight as look

    raise typer.Exit(look(account, as_json=json))


app.command()(backup)
app.command()(restore)
accounts.add_commands(app)


@app.command()
def status(
    json: AsJson = False,
    form: Annotated[
        Literal["text", "json", "prometheus"],
        typer.Option("--format", help="prometheus prints metrics, and exits 0 even if a run is too old."),
    ] = "text",
    max_age: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS",
            help="The maximum age of the last good run; default: the setting status.max_age_hours.",
            min=0,
        ),
    ] = None,
) -> None:
    """Show each account's last run and the content of its tables. Exit with code 1 if the last good run is too old."""
    from pipelines.cli.status import print_status

    print_status(form="json" if json else form, max_age_hours=max_age)


@app.command()
def schedule(
    kind: Annotated[
        Literal["systemd", "cron", "github", "dagster", "docker", "kubernetes"], typer.Argument(help="The scheduler.")
    ],
    user: Annotated[
        str | None,
        typer.Option(help="The schedule's user (systemd, cron); default: the folder's owner, or pickups for root."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Write the files to this folder instead of stdout.")
    ] = None,
) -> None:
    """Print the files, adapted to this installation, that schedule a run every 15 minutes and a sweep on Sundays.

    systemd: copy the files to /etc/systemd/system. Then run:
    systemctl enable --now sendcloud-pickups.timer sendcloud-pickups-sweep.timer

    cron: run crontab -e as the user who executes the runs, and paste the lines.

    github: commit the file to .github/workflows in a private repository. Use a remote destination instead of DuckDB.

    dagster: copy the files to $DAGSTER_HOME. Then, in that folder, run: dagster dev -f sendcloud_pickups_location.py

    docker: copy the wheel beside the files, build the image, and run docker compose up --detach.

    kubernetes: create the secret, and apply the file with kubectl. Build the image with the Dockerfile of docker.

    For example: pickups schedule systemd --to /etc/systemd/system
    """
    from pipelines.scheduling import render

    texts = render.render_schedule(kind, user)
    print_text(render.write_files(texts, to) if to else render.format_files(texts).removesuffix("\n"))
    if names := render.shell_only_settings():
        print_text(
            f"pickups: scheduled runs do not inherit these settings from this shell: {', '.join(names)}. "
            "Move settings to .dlt/config.toml, and keys to .dlt/secrets.toml.",
            err=True,
        )


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 selects a free port.", min=0, max=65535)] = 8321,
    pickups: Annotated[int, typer.Option(help="The number of pickups.", min=0, max=1_000_000)] = 20_000,
    seed: Annotated[int, typer.Option(help="The random seed for the generated pickups.")] = 7,
) -> None:
    """Serve a local Sendcloud sandbox, and print its address and keys. For example: pickups sandbox --port 0"""
    from pipelines.cli.demo import serve_sandbox

    serve_sandbox(port, pickups, seed)
