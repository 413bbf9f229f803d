"""Tests the help and the usage errors: flags take no value, every option is explained, and messages are for users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from pipelines.cli.app import app
from sources.sendcloud.sandbox import Sandbox
from tests.support.installation import Installation


def commands(group: Any = None, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields every command with its words."""
    group = group or get_command(app)
    yield words, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *words, name)


COMMANDS = dict(commands())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_gives_no_flag_a_type_and_explains_every_option(
    installation: Installation, words: tuple[str, ...]
) -> None:
    done = installation.command(*words, "--help")

    assert done.returncode == 0
    assert "<bool>" not in done.stdout
    assert "<list[" not in done.stdout
    assert [param.name for param in COMMANDS[words].params if not getattr(param, "help", None)] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["list", "--state", "canceled"],
            "'--state': 'canceled' is not one of 'cancelled', 'kept', 'failed', 'pending'.",
        ),
        (["run", "--wait", "abc"], "'--wait': 'abc' should be a valid number"),
        (["sandbox", "--port", "x"], "'--port': 'x' should be a valid integer"),
        (["list", "--limit", "0"], "'--limit': '0' should be greater than or equal to 1"),
        (["show", "carriers", "--since", "yesterday"], "--since: 'yesterday' is not a day such as 2026-01-01"),
        (["models", "--sql", "duckdb"], "Missing option --to: --sql writes files to a folder, such as --to models."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_names_the_option_and_the_value_once(
    installation: Installation, words: list[str], message: str
) -> None:
    done = installation.command(*words)

    told = " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == 2
    assert message in told
    assert "Value error" not in told
    assert "Input should" not in told


def test_a_confirmation_without_a_terminal_says_that_an_option_is_missing(
    installation: Installation, api: Sandbox
) -> None:
    installation.loaded(api)

    for words in (["restore"], ["accounts", "remove", "default"]):
        done = installation.command(*words)

        assert done.returncode == 2
        assert "Missing option --yes: without a terminal, this command can't ask for confirmation." in " ".join(
            done.stderr.replace("│", " ").split()
        )
