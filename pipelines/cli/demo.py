"""Implements `pickups demo` and `pickups sandbox`, which need no account because they simulate Sendcloud locally."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.cli import run_messages
from pipelines.cli.reading.show import print_view
from pipelines.config.project import command_path, demo_folder, environment_variables, packaged_folder, project_context
from pipelines.destinations.file_lock import exclusive_lock
from pipelines.errors import locking_for_command
from pipelines.loading.run import run
from pipelines.output import print_text
from sources.sendcloud.reading.clocks import simulated_machine_clock
from sources.sendcloud.sandbox import Sandbox, World, serve

BETWEEN_RUNS = timedelta(days=7)


def run_demo(pickups: int, seed: int) -> int:
    """Runs the pipeline twice against a sandbox, with a simulated week between the runs, and prints the carriers table.

    Args:
        pickups: the number of pickups in the sandbox.
        seed: the random seed for the generated pickups.

    Returns:
        The higher of the two runs' exit codes.

    Raises:
        RunInProgress: another demo is running.
    """
    with project_context() as project:
        folder = demo_folder(project)
        with locking_for_command(), exclusive_lock(folder.with_suffix(".duckdb")):
            _remove_earlier_demo(folder)
            return _run_twice(project, folder, pickups, seed)


def _remove_earlier_demo(folder: Path) -> None:
    """Removes the files that an earlier demo wrote to the folder, and keeps all other files."""
    for name in ("warehouse.duckdb", "warehouse.duckdb.wal", "pickups.duckdb"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / ".dlt-pipelines", ignore_errors=True)


def _run_twice(project: Path, folder: Path, pickups: int, seed: int) -> int:
    world = World.seeded(pickups, seed=seed, until=datetime.now(UTC))
    world.clock -= BETWEEN_RUNS
    with (
        serve(world) as api,
        environment_variables(_demo_settings(api, folder)),
        simulated_machine_clock(lambda: world.clock),
    ):
        print_text(f"A sandbox with {pickups:,} pickups is running at {api.base_url_v3}\n")
        first = _run_once("First run: everything")
        world.clock += BETWEEN_RUNS
        second = _run_once("\nA week later, pickups have been booked, cancelled and settled. Second run: the changes")
        print_text()
        print_view("carriers")
    print_text(_next_steps(project, folder.relative_to(project)))
    return max(first, second)


def _run_once(title: str) -> int:
    print_text(title)
    with run_messages.show_progress() as on_progress:
        receipt = run(on_progress=on_progress)
    print_text("  " + run_messages.format_receipt(receipt).replace("\n", "\n  "))
    return receipt.exit_code


def _demo_settings(api: Sandbox, folder: Path) -> dict[str, str]:
    return {
        "SOURCES__SENDCLOUD__API_VERSION": "v3",
        "SOURCES__SENDCLOUD__BASE_URL": api.base_url_v3,
        "SOURCES__SENDCLOUD__ACCOUNT": "demo",
        "SOURCES__SENDCLOUD__ACCOUNTS": "",  # the empty value overrides the project's accounts
        "SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY": api.public_key,
        "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY": api.secret_key,
        "PIPELINE__DESTINATION": "duckdb",
        "DESTINATION__DUCKDB__CREDENTIALS": str(folder / "warehouse.duckdb"),
        "PUBLISH__PATH": str(folder / "pickups.duckdb"),
    }


def _next_steps(project: Path, folder: Path) -> str:
    command = command_path(project)
    if project == packaged_folder():
        keys, lab = "cp .dlt/example.secrets.toml .dlt/secrets.toml, add the keys", "make lab"
    elif (project / "notebooks").is_dir():
        keys, lab = "put them into .dlt/secrets.toml", f"{command_path(project, 'jupyter')} lab notebooks"
    else:
        keys, lab = f"{command} init . (creates .dlt/secrets.toml), add the keys", f"{command} init . creates them"
    return f"""
The tables are in {folder / "pickups.duckdb"} (runs write to {folder / "warehouse.duckdb"}). Next:
  own keys   {keys}, then: {command} run
  schedule   {command} schedule systemd   (or cron, docker, kubernetes, github, dagster; prints the files that it needs)
  notebooks  {lab}   (04-your-own-question is a tutorial)
  report     {command} report --open   (the numbers as one page)"""


def serve_sandbox(port: int, pickups: int, seed: int) -> None:
    """Serves a sandbox until Ctrl-C is pressed. The sandbox uses this machine's clock, so its pickups keep changing.

    Args:
        port: the port on 127.0.0.1; 0 selects a free port.
        pickups: the number of pickups.
        seed: the random seed for the generated pickups.
    """
    world = World.seeded(pickups, seed=seed, until=datetime.now(UTC) + timedelta(days=30), days=210)
    world.clock = datetime.now(UTC)
    with suppress(KeyboardInterrupt), serve(world, port=port) as api:
        print_text(
            f"A Sendcloud sandbox with {pickups:,} pickups. Stop it with Ctrl-C. To use it:\n"
            "  export SOURCES__SENDCLOUD__API_VERSION=v3\n"
            f"  export SOURCES__SENDCLOUD__BASE_URL={api.base_url_v3}\n"
            f"  export SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY={api.public_key}\n"
            f"  export SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY={api.secret_key}\n"
            f"  {command_path(Path.cwd())} run\n"
            "To use API v2 instead of v3:\n"
            "  export SOURCES__SENDCLOUD__API_VERSION=v2\n"
            f"  export SOURCES__SENDCLOUD__BASE_URL={api.base_url}\n"
            "To use OAuth2 instead of the two keys:\n"
            f"  export SOURCES__SENDCLOUD__TOKEN_URL={api.token_url}\n"
            f"  export SOURCES__SENDCLOUD__CREDENTIALS__CLIENT_ID={api.client_id}\n"
            f"  export SOURCES__SENDCLOUD__CREDENTIALS__CLIENT_SECRET={api.client_secret}"
        )
        while True:
            time.sleep(1)
            world.clock = datetime.now(UTC)
