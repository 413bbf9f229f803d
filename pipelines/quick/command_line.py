"""Recognizes plain command lines of `pickups run`, which are executed without Typer and may lead to a quick run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

# Typer reads all other options of `pickups run`. They ask for something that only an ordinary run can do.
FLAGS = ("--json", "--quiet")
VALUES = ("--account", "--log-format", "--timeout", "--wait")


class RunOptions(NamedTuple):
    """The options of a plain `pickups run`."""

    project_dir: str | None = None
    account: str | None = None
    as_json: bool = False
    is_quiet: bool = False
    wait_seconds: int = 0
    timeout_seconds: int | None = None


def parse_run(words: Sequence[str]) -> RunOptions | None:
    """Returns the options, or None if the words are not a plain `pickups run`.

    Everything that Typer would reject leads to None, so that Typer reports it.
    """
    found: dict[str, str] = {}
    command = ""
    for name, value in _split(words):
        if (command and name in (*FLAGS, *VALUES)) or (name == "--project-dir" and not command):
            found[name] = value
        elif name == "run" and not command:
            command = name
        else:
            return None
    is_complete = all(found[name] for name in found if name not in FLAGS)
    if not command or not is_complete or found.get("--log-format", "text") not in ("text", "json"):
        return None
    if not _is_number(found.get("--wait", "0")) or not _is_number(found.get("--timeout", "1")):
        return None
    timeout = int(found["--timeout"]) if "--timeout" in found else None
    if timeout == 0:
        return None
    return RunOptions(
        found.get("--project-dir"),
        found.get("--account"),
        "--json" in found,
        "--quiet" in found,
        int(found.get("--wait", "0")),
        timeout,
    )


def _split(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields each option with its value. An option without a value, and a word, has the value ``."""
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        takes_value = name in (*VALUES, "--project-dir")
        yield (name, value if equals else next(rest, "")) if takes_value else (word, "")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
