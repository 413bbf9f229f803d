"""The process of its own that `pickups` and `python -m pipelines` start."""

from __future__ import annotations

from pipelines.cli import main


def start() -> None:
    main(own_process=True)


if __name__ == "__main__":
    start()
