"""Installs the built wheel alone on several Pythons and version sets, and uses every command that a new user needs.

Every command must exit 0 and write no warning to stderr. The module needs only the standard library and uv, so it also
runs on a machine that has nothing but another Python.

Run `make test-wheel`, or `python -m tests.wheel.tour --wheel FILE --uv uv --python 3.13 --set newest`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.wheel.interpreters import VERSIONS, find_python

SETS = ("lowest", "tested", "newest")
PROGRESS = re.compile(r"[\d-]+ [\d:]+Z (reading|loading|publishing): |computing [\w ]+$")
OURS = re.compile(r"/(pipelines|sources)/\S+\.py:\d+: \w*Warning")
QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false"}
KINDS = ("systemd", "cron", "github", "docker", "kubernetes")
COMMANDS = (
    "init shop",
    "demo --pickups 300",
    "--project-dir shop run",
    "--project-dir shop run --sweep",
    "--project-dir shop show carriers",
    "--project-dir shop report",
    "--project-dir shop status",
)
WITH_ALL_WARNINGS = ("--project-dir shop run", "--project-dir shop show windows", "--project-dir shop report")


class Failed(Exception):
    """A step of the tour failed. The text says which one and shows its output."""


class Tour(NamedTuple):
    """An environment with the installed wheel, and an empty folder to work in."""

    folder: Path

    def environment(self, **variables: str) -> dict[str, str]:
        plain = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder / "home")}
        return plain | variables

    def command(self, words: str, **variables: str) -> str:
        """Runs `pickups …` and returns its stderr without the lines that show progress."""
        done = subprocess.run(
            [str(self.folder / "env" / "bin" / "pickups"), *words.split()],
            env=self.environment(**variables),
            cwd=self.folder / "elsewhere",
            capture_output=True,
            text=True,
            timeout=300,
        )
        told = [line for line in done.stderr.splitlines() if not PROGRESS.match(line)]
        if done.returncode:
            raise Failed(f"pickups {words}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return "\n".join(told)


def install(folder: Path, python: str, version_set: str, wheel: Path, uv: str) -> Tour:
    """Creates an empty environment and installs the wheel and nothing else, without a compiler."""
    for name in ("home", "elsewhere"):
        (folder / name).mkdir()
    with zipfile.ZipFile(wheel) as archive:
        (folder / "tested.txt").write_bytes(archive.read("pipelines/tested-versions.txt"))
    lowest = ["--resolution", "lowest-direct", *direct_requirements(wheel)]
    options = {"lowest": lowest, "tested": ["-c", str(folder / "tested.txt")], "newest": []}
    target = folder / "env" / "bin" / "python"
    only_wheels = ["--only-binary", ":all:", "--compile-bytecode"]
    for words in (
        ["venv", "--python", python, str(folder / "env")],
        ["pip", "install", "--python", str(target), *only_wheels, *options[version_set], str(wheel)],
    ):
        done = subprocess.run([uv, *words, "--quiet", "--no-config"], capture_output=True, text=True, cwd=folder)
        if done.returncode:
            raise Failed(f"uv {words[0]}:\n{done.stderr}")
    return Tour(folder)


def direct_requirements(wheel: Path) -> list[str]:
    """Returns the wheel's requirements without extras. uv lowers only the versions of what it is asked to install."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(name).decode().splitlines()
    return [
        line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist") and ";" not in line
    ]


@contextmanager
def sandbox(tour: Tour) -> Iterator[dict[str, str]]:
    """Starts `pickups sandbox` and yields the variables that it tells the user to set."""
    words = [str(tour.folder / "env" / "bin" / "pickups"), "sandbox", "--port", "0", "--pickups", "300"]
    with subprocess.Popen(
        words, env=tour.environment(**QUIET), cwd=tour.folder, stdout=subprocess.PIPE, text=True
    ) as serving:
        try:
            assert serving.stdout
            told: dict[str, str] = {}
            for line in serving.stdout:
                if line.startswith("  export "):
                    name, _, value = line.removeprefix("  export ").strip().partition("=")
                    told[name] = value
                elif "API v2" in line:  # the lines above use v3
                    break
            yield told
        finally:
            serving.terminate()


def expect_silence(tour: Tour, words: str, **variables: str) -> None:
    if told := tour.command(words, **variables):
        raise Failed(f"pickups {words} wrote to stderr:\n{told}")


def take(tour: Tour) -> str:
    """Executes every command and returns the versions that were used."""
    with sandbox(tour) as variables:
        for words in COMMANDS:
            expect_silence(tour, words, **variables, **QUIET)
        for words in WITH_ALL_WARNINGS:
            told = tour.command(words, **variables, **QUIET, PYTHONWARNINGS="always")
            if ours := [line for line in told.splitlines() if OURS.search(line)]:
                raise Failed(f"pickups {words} with all warnings:\n" + "\n".join(ours))
    for kind in KINDS:  # warns about settings that only this shell has, so it gets none
        expect_silence(tour, f"--project-dir shop schedule {kind}")
    return versions(tour)


def versions(tour: Tour) -> str:
    names = ("dlt", "duckdb", "sqlglot", "pyarrow", "msgspec", "typer", "rich")
    code = f"import importlib.metadata as m; print(', '.join(f'{{n}} {{m.version(n)}}' for n in {names}))"
    python = str(tour.folder / "env" / "bin" / "python")
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def one(version: str, python: str, version_set: str, wheel: Path, uv: str) -> bool:
    """Takes one tour, prints its line, and returns whether the tour succeeded."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            told, passed = take(install(Path(folder), python, version_set, wheel, uv)), True
        except Failed as failed:
            told, passed = str(failed), False
    took = time.monotonic() - started
    print(f"Python {version}, {version_set}: {'passed' if passed else 'FAILED'} in {took:.0f} s: {told}", flush=True)
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--uv", default="uv")
    parser.add_argument("--python", nargs="*", default=[], help="versions that must exist; default: all that exist")
    parser.add_argument("--set", nargs="*", default=[], choices=SETS)
    options = parser.parse_args()
    if not (uv := shutil.which(options.uv)):
        parser.error(f"{options.uv} is not installed")
    results = []
    for version in options.python or VERSIONS:
        if python := find_python(version):
            sets = options.set or SETS
            results += [one(version, python, each, options.wheel.resolve(), str(Path(uv).resolve())) for each in sets]
        else:
            print(f"Python {version}: not tested, because python{version} is not installed", flush=True)
            results += [False] if options.python else []
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    sys.exit(not results or not all(results))


if __name__ == "__main__":
    os.umask(0o022)
    main()
