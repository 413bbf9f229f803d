"""Kills real processes with SIGKILL, at random and at chosen instants. The accounts live on between the kills.

After some kills, the warehouse is removed or truncated, so that the next run has to restore it, and may be killed then.

Run `make soak KILLS=200` or `python -m tests.soak.kills --kills 200 --seed 1`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.damages import log_of, remove, truncate
from tests.support.installation import Installation, as_rows
from tests.support.instants import OF_EACH_PACKAGE, OF_THE_END
from tests.support.invariants import differences, published_pickups
from tests.support.worlds import NOW

KILLS_IN_A_LIFE = 10
LOSSES_PER_KILL = 0.15
SPAN = 1.2  # seconds from the first request to the end of most of these runs


class Soak:
    """Counts the kills by instant, and collects the differences that the checks find."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.began = time.monotonic()
        self.kills: Counter[str] = Counter()  # by the last instant that the process reached
        self.found: list[str] = []
        self.too_late = 0  # the run had already ended
        self.checks = 0
        self.losses = 0

    def life(self, number: int, kills: int) -> None:
        """Kills that many runs of one account in one installation."""
        pick = self.random.choice
        order = pick(["descending", "offset", "ascending"])
        settings = {"page_size": pick([20, 100, 500]), "pages_per_package": pick([1, 3, 200])}
        world = World.seeded(pick([200, 800, 2_000]), seed=number, until=NOW)
        world.clock = NOW - timedelta(days=30)
        told = f"life {number}: {len(world.records())} pickups, {order}, {settings}"
        with serve(world, order=order) as api, an_installation() as installation:
            Life(self, installation, world, api, settings, told).lead(kills)

    def summary(self) -> str:
        seconds = time.monotonic() - self.began
        total = self.kills.total()
        lines = [f"  {count:5}  {where}" for where, count in sorted(self.kills.items())]
        each = f"{seconds / max(total, 1):.1f} s per kill"
        return "\n".join(
            [
                f"{total} kills in {seconds:.0f} s ({each}), {self.too_late} came too late, "
                f"{self.losses} lost warehouses, {self.checks} checks, differences: {len(self.found)}. "
                "The last instant before the kill:",
                *lines,
                *self.found,
            ]
        )


@contextmanager
def an_installation() -> Any:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        (Path(folder) / ".dlt").mkdir()
        yield Installation(Path(folder), patched)


class Life:
    def __init__(
        self, soak: Soak, installation: Installation, world: World, api: Sandbox, settings: dict[str, int], told: str
    ) -> None:
        self.soak, self.installation, self.world, self.api = soak, installation, world, api
        self.settings, self.told = settings, told
        self.published: list[Any] = [None]  # what readers may see
        self.is_loaded = False

    def lead(self, kills: int) -> None:
        until_check = self.soak.random.randint(1, 4)
        for _ in range(kills):
            self.kill()
            if self.soak.random.random() < LOSSES_PER_KILL and self.installation.warehouse.exists():
                self.lose_the_warehouse()
            until_check -= 1
            if not until_check:
                self.check()
                until_check = self.soak.random.randint(1, 4)
            self.world.advance(hours=self.soak.random.uniform(1, 40))
        self.check()

    def kill(self) -> None:
        """Kills a run, at a chosen instant or at a random time with equal probability.

        Readers must then have the complete old file or the complete new file.
        """
        random = self.soak.random
        if random.random() < 0.5:
            instant = random.choice([*OF_EACH_PACKAGE, *OF_THE_END])
            is_one_of_many = not self.is_loaded and instant in OF_EACH_PACKAGE
            number = random.choice([1, 2]) if is_one_of_many else 1
            where = self.killed(["kill", instant, str(number)], None)
            where = where and instant
        else:
            where = self.killed(["tell", "-", "0"], random.uniform(0, SPAN))
        if where:
            self.soak.kills[where] += 1
        else:
            self.soak.too_late += 1
        self.look()

    def lose_the_warehouse(self) -> None:
        """Removes or truncates the warehouse. A person decides if a killed run has left a log, or nothing else is left.

        The person restores the published copy. If there is none, the next run is a first run.
        """
        self.soak.losses += 1
        warehouse, has_copy = self.installation.warehouse, self.installation.published.exists()
        self.soak.random.choice([remove, truncate])(warehouse)
        if not has_copy:
            for path in (warehouse, log_of(warehouse)):
                path.unlink(missing_ok=True)
            self.is_loaded = False
        elif log_of(warehouse).exists():
            done = self.installation.command("restore", "--yes")
            self.soak.found += [f"{self.told}: {done}"] if done.returncode else []

    def killed(self, words: list[str], delay: float | None) -> str:
        """Returns the last instant that the run reported, or an empty string if the run ended before the kill."""
        asked = threading.Event()
        self.api.on_request = lambda _api, _number: asked.set()
        running = self.installation.begin(*words, "run", api=self.api, module="tests.support.instants", **self.settings)
        if delay is not None:
            asked.wait(60)
            time.sleep(delay)
            running.kill()
        said, wrong = running.communicate(timeout=600)
        if running.returncode == -signal.SIGKILL:
            arrivals = [line for line in said.splitlines() if line.startswith(("entering ", "leaving "))]
            return arrivals[-1] if arrivals else "entering extract"
        self.is_loaded = True
        if running.returncode:
            self.soak.found.append(f"{self.told}: exit {running.returncode}: {wrong.splitlines()[-1:]}")
        return ""

    def look(self) -> None:
        """Checks that readers have the old file or the new file.

        During the first load of a list that is not sorted newest first, changes arrive one run late. In that case this
        only checks that the file is complete.
        """
        found, new = published_pickups(self.installation), as_rows(self.world.records())
        if found not in [*self.published, new] and (self.is_loaded or self.api.order != "ascending"):
            self.soak.found.append(f"{self.told}: readers have neither the old file nor the new file")
        self.published = [found]

    def check(self) -> None:
        if not self.is_loaded and self.api.order == "ascending":
            self.installation.run(self.api, **self.settings)
        self.installation.run(self.api, **self.settings)
        self.is_loaded = True
        self.soak.checks += 1
        self.soak.found += [f"{self.told}: {said}" for said in differences(self.installation, self.world)]
        self.published = [as_rows(self.world.records())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    os.environ |= {"RUNTIME__REQUEST_BACKOFF_FACTOR": "0", "RUNTIME__DLTHUB_TELEMETRY": "false"}
    print(f"{options.kills} kills, seed {options.seed}", flush=True)
    soak, number = Soak(options.seed), options.seed
    while (left := options.kills - soak.kills.total()) > 0 and not soak.found:
        number += 1
        soak.life(number, min(left, KILLS_IN_A_LIFE))
        print(f"  {soak.kills.total()} of {options.kills}, differences: {len(soak.found)}", file=sys.stderr, flush=True)
    print(soak.summary())
    sys.exit(bool(soak.found))


if __name__ == "__main__":
    main()
