"""Starts the command line for the `pickups` script and for `python -m pipelines`."""

from __future__ import annotations

from pipelines.cli.main import main


def start() -> None:
    """Runs the command line in a process that does nothing else."""
    main(own_process=True)


if __name__ == "__main__":
    start()
