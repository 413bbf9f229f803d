"""Starts the command line for the `pickups` script and for `python -m pipelines`."""

from __future__ import annotations

import gc


def start() -> None:
    """Runs the command line in a process that does nothing else."""
    # Searching modules for reference cycles took 8 % of the time of a run without changes, although modules are never
    # freed. Importing dlt creates 100,000 objects; a single search of them took 29 ms. Without it, a first load of a
    # million pickups takes no more memory. Before the first import, this saves another 2 ms (2026-11-30).
    gc.set_threshold(1_000_000, 50, 100)
    from pipelines.cli.main import main

    main(own_process=True)


# Since 3.11, Python keeps call frames in chunks of 16 KiB, and frees a chunk as soon as it is empty. A loop whose calls
# cross the end of a chunk allocates and frees a chunk each time. In a run, importing urllib3 thus took 50 instead of
# 10 ms, and importing dlt another 20 ms. A frame of 512 KiB gets a chunk of 1 MiB, which has room for all other frames.
# Memory that is not used is not allocated (2026-11-30).
start.__code__ = start.__code__.replace(co_stacksize=2**16)

if __name__ == "__main__":
    start()
