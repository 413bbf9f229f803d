"""`pickups demo` and `pickups sandbox`: the whole way without an account, against a Sendcloud on this machine."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines import screen
from pipelines.lock import one_run_at_a_time
from pipelines.pickups import run
from pipelines.project import came_with, command_in, demo_folder, environment, inside
from pipelines.show import show
from sources.sendcloud.sandbox import Sandbox, World, serve

BETWEEN_RUNS = timedelta(days=7)


def demo(pickups: int, seed: int) -> int:
    """Two runs against a sandbox whose world goes on in between, and the table of carriers; returns the exit code."""
    with inside() as project:
        folder = demo_folder(project)
        with one_run_at_a_time(folder.with_suffix(".duckdb")):
            shutil.rmtree(folder, ignore_errors=True)
            return _demo(project, folder, pickups, seed)


def _demo(project: Path, folder: Path, pickups: int, seed: int) -> int:
    out = screen.console()
    world = World.seeded(pickups, seed=seed, until=datetime.now(UTC))
    world.clock -= BETWEEN_RUNS
    with serve(world) as api, environment(_settings(api, folder)):
        out.print(f"A sandbox with {pickups:,} pickups answers at {api.base_url}\n")
        first = _run("First run: everything")
        world.clock += BETWEEN_RUNS
        second = _run("\nA week later: pickups were booked, cancelled, settled. Second run: the changes")
        out.print()
        show("carriers")
    out.print(_next_steps(project, folder.relative_to(project)))
    return max(first, second)


def _run(title: str) -> int:
    screen.console().print(title)
    with screen.progress() as on_progress:
        receipt = run(on_progress=on_progress)
    screen.console().print("  " + screen.told(receipt).replace("\n", "\n  "))
    return receipt.exit_code


def _settings(api: Sandbox, folder: Path) -> dict[str, str]:
    return {
        "SOURCES__SENDCLOUD__BASE_URL": api.base_url,
        "SOURCES__SENDCLOUD__ACCOUNT": "demo",
        "SOURCES__SENDCLOUD__ACCOUNTS": "",  # none of the project's own
        "SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY": api.public_key,
        "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY": api.secret_key,
        "PIPELINE__DESTINATION": "duckdb",
        "DESTINATION__DUCKDB__CREDENTIALS": str(folder / "warehouse.duckdb"),
        "PUBLISH__PATH": str(folder / "pickups.duckdb"),
    }


def _next_steps(project: Path, folder: Path) -> str:
    command = command_in(project)
    if project == came_with():
        keys, lab = "cp .dlt/example.secrets.toml .dlt/secrets.toml, put them in", "make lab"
    elif (project / "notebooks").is_dir():
        keys, lab = "put them into .dlt/secrets.toml", f"{command_in(project, 'jupyter')} lab notebooks"
    else:
        keys, lab = f"{command} init . makes .dlt/secrets.toml, put them in", f"{command} init . makes them"
    return f"""
The tables are in {folder / "pickups.duckdb"} (the runs write {folder / "warehouse.duckdb"}). Next:
  own keys   {keys}, then: {command} run
  schedule   {command} schedule systemd   (or cron, github, dagster: prints what runs it every 15 minutes)
  notebooks  {lab}   (01-cancellation-rates, 02-pickup-windows, 03-is-the-data-healthy)
  report     {command} report   (the three of them as one page)"""


def serve_sandbox(port: int, pickups: int, seed: int) -> None:
    """Serves a seeded world until interrupted; its clock is this machine's, so pickups go on changing."""
    world = World.seeded(pickups, seed=seed, until=datetime.now(UTC) + timedelta(days=30), days=210)
    world.clock = datetime.now(UTC)
    with suppress(KeyboardInterrupt), serve(world, port=port) as api:
        screen.console().print(
            f"A Sendcloud sandbox with {pickups:,} pickups. Stop it with Ctrl-C. To use it:\n"
            f"  export SOURCES__SENDCLOUD__BASE_URL={api.base_url}\n"
            f"  export SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY={api.public_key}\n"
            f"  export SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY={api.secret_key}\n"
            f"  {command_in(Path.cwd())} run\n"
            "As an integration with OAuth2, in place of the two keys:\n"
            f"  export SOURCES__SENDCLOUD__TOKEN_URL={api.token_url}\n"
            f"  export SOURCES__SENDCLOUD__CREDENTIALS__CLIENT_ID={api.client_id}\n"
            f"  export SOURCES__SENDCLOUD__CREDENTIALS__CLIENT_SECRET={api.client_secret}"
        )
        while True:
            time.sleep(1)
            world.clock = datetime.now(UTC)
