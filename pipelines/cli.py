"""The command `pickups`: a thin door. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines import log_lines

app = typer.Typer(
    name="pickups",
    help="Every Sendcloud pickup, and every later change to it, in DuckDB.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text: one object, or one a line.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sendcloud-pickups {version('sendcloud-pickups')}")
        raise typer.Exit


@app.callback()
def project(
    project_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="DLT_PROJECT_DIR",
            help="Folder with .dlt; default: the nearest at or above this one.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks and dlt's own log.")] = False,
    _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    """What every command needs, handed on in the environment as dlt's own tools read it."""
    if project_dir:
        os.environ["DLT_PROJECT_DIR"] = str(project_dir.resolve())
    if debug:
        os.environ["PICKUPS_DEBUG"] = "1"
        os.environ["RUNTIME__LOG_LEVEL"] = "INFO"


@app.command()
def run(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(help="Only this account; default: all that are configured.")] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Read settled pickups again too: once a week, say.")] = False,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for another run to end.", min=0)] = 0,
    timeout: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS", help="End after so long (exit 143), counted from the start, --wait included.", min=1
        ),
    ] = None,
    json: AsJson = False,
    _log_format: Annotated[
        Literal["text", "json"],
        typer.Option(log_lines.OPTION, help="json: each line on stderr is an object, with event and numbers."),
    ] = "text",
) -> None:
    """Load what is new or changed, check it, and publish it for readers. For example: pickups run --json"""
    from pipelines import ending, lean, screen

    if context.obj["own_process"]:
        ending.listen(timeout)
        lean.do_without()
    elif timeout:
        raise typer.BadParameter("it ends a process, and this one is not the run's own", param_hint="--timeout")
    from pipelines.accounts import keys_of_nobody
    from pipelines.alerts import watched
    from pipelines.errors import worst_of
    from pipelines.pickups import run_accounts

    with watched(account) as the_run:
        if said := keys_of_nobody():
            log_lines.say("notice", said)
        with screen.progress(the_run.accounts) as on_progress:
            the_run.receipts = run_accounts(
                None, the_run.accounts, sweep=sweep, wait_seconds=wait, on_progress=on_progress
            )
        for receipt in the_run.receipts:
            log_lines.note(receipt.outcome, receipt.account, receipt.run_id, error=receipt.error, **receipt.numbers())
    receipts = the_run.receipts
    for receipt in receipts:
        if json:
            typer.echo(receipt.as_json())
        elif not receipt.failure:
            typer.echo(screen.told(receipt, several=len(receipts) > 1))
    if len(receipts) == 1 and receipts[0].failure:
        raise receipts[0].failure
    for failure in {id(r.failure): r.failure for r in receipts if r.failure}.values():
        _tell(failure, ", ".join(r.account for r in receipts if r.failure is failure))
    exit_code = worst_of(receipt.exit_code for receipt in receipts)
    log_lines.note("ended", exit_code=exit_code)
    raise typer.Exit(exit_code)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made where there is none; . is this one.")],
) -> None:
    """Make a project folder: settings, a file for the keys, notebooks. For example: pickups init sendcloud"""
    from pipelines.project_folder import make

    typer.echo(make(folder))


@app.command()
def demo(
    pickups: Annotated[int, typer.Option(help="How many pickups the sandbox holds.", min=1, max=1_000_000)] = 20_000,
    seed: Annotated[int, typer.Option(help="Another seed is another world.")] = 7,
) -> None:
    """Try it without an account: a sandbox, two runs, the table of carriers. Writes to data/demo only."""
    from pipelines.demo import demo as run_demo

    raise typer.Exit(run_demo(pickups, seed))


@app.command()
def show(
    table: Annotated[Literal["carriers", "windows"], typer.Argument(help="carriers: cancellations; windows: hours.")],
    form: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="csv and json hold every column of the view.")
    ] = "table",
    json: AsJson = False,
) -> None:
    """Print one of the main tables. For example: pickups show carriers --format csv"""
    from pipelines.show import show as show_table

    show_table(table, "json" if json else form)


@app.command()
def report(
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to write it; default data/report/index.html.")
    ] = None,
    carrier: Annotated[list[str] | None, typer.Option(help="Only this carrier; may be given more than once.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="Only pickups booked since, such as 2026-01-01.")
    ] = None,
) -> None:
    """Write the notebooks as one page, for a browser or a printer. For example: pickups report --since 2026-01-01"""
    from pipelines import screen
    from pipelines.narrow import Only, UnknownCarrier
    from pipelines.report import report as write_report

    try:
        only = Only.of(carrier or None, since)
    except ValueError:
        raise typer.BadParameter(f"{since!r} is no day, such as 2026-01-01", param_hint="--since") from None
    on_screen = screen.console(stderr=True)
    try:
        page = write_report(to, only=only, on_progress=lambda name: on_screen.print(f"running {name}"))
    except UnknownCarrier as error:
        raise typer.BadParameter(str(error), param_hint="--carrier") from None
    typer.echo(page)


@app.command()
def models(
    engine: Annotated[
        Literal["duckdb", "spark"], typer.Option(help="duckdb: this machine; spark: a cluster, over a lake's files.")
    ] = "duckdb",
    master: Annotated[
        str, typer.Option(metavar="URL", help="Spark's, such as spark://host:7077 or yarn.")
    ] = "local[2]",
    to: Annotated[
        str | None, typer.Option("--to", metavar="FOLDER", help="Where to write; default: analytics in the lake.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write every view as Parquet files, for many readers or large tables. For example: pickups models --to views"""
    from pipelines import screen
    from pipelines.built import build, told

    on_screen = screen.console(stderr=True)
    folder, rows = build(engine, to, master, on_progress=lambda view: on_screen.print(f"built {view}"))
    typer.echo(told(folder, rows, as_json=json))


@app.command()
def check(
    account: Annotated[str | None, typer.Option(help="Only this account; default: all that are configured.")] = None,
    json: AsJson = False,
) -> None:
    """Look at settings, keys, API, clock, files and disk before a run stumbles over them. Writes nothing."""
    from pipelines.check import check as look

    raise typer.Exit(look(account, as_json=json))


@app.command()
def status(
    json: AsJson = False,
    max_age: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS",
            help="How old the last good run may be, else exit 1; default [status] max_age_hours.",
            min=0,
        ),
    ] = None,
) -> None:
    """Tell when the last run was, how it went, and what is in the tables. Exit 1 when the last good one is too old."""
    from pipelines.status import status as tell

    tell(as_json=json, max_age_hours=max_age)


@app.command()
def schedule(
    kind: Annotated[Literal["systemd", "cron", "github", "dagster"], typer.Argument(help="What is to run it.")],
    user: Annotated[
        str | None,
        typer.Option(help="Who runs it (systemd, cron); default: whose the project folder is, `pickups` if root's."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Write the files there in place of printing them.")
    ] = None,
) -> None:
    """Print what runs it every 15 minutes, and the sweep on Sundays, with this installation's paths.

    systemd: to /etc/systemd/system, then: systemctl enable --now sendcloud-pickups.timer sendcloud-pickups-sweep.timer

    cron: paste it into what crontab -e opens, as the user who runs it

    github: to .github/workflows of a private repository, and commit it (writes to a remote destination, no DuckDB file)

    dagster: to the folder that DAGSTER_HOME names, then there: dagster dev -f sendcloud_pickups_location.py

    For example: pickups schedule systemd --to /etc/systemd/system
    """
    from pipelines import schedule as schedules

    texts = schedules.files(kind, user)
    typer.echo(schedules.written(texts, to) if to else schedules.printed(texts), nl=bool(to))
    if names := schedules.only_here():
        typer.echo(
            f"pickups: set in this shell, where no schedule sees it: {', '.join(names)}. "
            "Settings belong in .dlt/config.toml, keys in .dlt/secrets.toml.",
            err=True,
        )


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 8321,
    pickups: Annotated[int, typer.Option(help="How many pickups it holds.", min=0, max=1_000_000)] = 20_000,
    seed: Annotated[int, typer.Option(help="Another seed is another world.")] = 7,
) -> None:
    """Serve a Sendcloud of its own on this machine, and print the address and keys to use."""
    from pipelines.demo import serve_sandbox

    serve_sandbox(port, pickups, seed)


def main(*, own_process: bool = False) -> None:
    """Runs the command line; an error is one line on stderr and its exit code (pipelines/errors.py).

    `own_process` says that nothing else will ever run in this process, see lean.py.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that can't show a dot must not cost a run
    with log_lines.as_asked_for(sys.argv):
        try:
            app(prog_name="pickups", obj={"own_process": own_process})
        except (Exception, KeyboardInterrupt) as error:
            sys.exit(_tell(error))


def _tell(error: BaseException, accounts: str = "") -> int:
    from pipelines.errors import Interrupted, exit_code_of, sentence_of

    if isinstance(error, KeyboardInterrupt):
        error = Interrupted()
    if os.environ.get("PICKUPS_DEBUG"):
        traceback.print_exception(error)
    code = exit_code_of(error)
    log_lines.say("error", f"{accounts}: {sentence_of(error)}" if accounts else sentence_of(error), exit_code=code)
    return code
