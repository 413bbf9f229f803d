"""Configures several accounts in one installation. Each has its own keys and sandbox, but their pickup ids collide."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.installation import Installation, as_rows


@contextmanager
def serving(worlds: Mapping[str, World]) -> Iterator[dict[str, Sandbox]]:
    """Starts a sandbox for each world, and yields the sandboxes by account name."""
    with ExitStack() as open_until_the_end:
        yield {
            name: open_until_the_end.enter_context(
                serve(world, public_key=f"public-{name}", secret_key=f"secret-key-of-{name}")
            )
            for name, world in worlds.items()
        }


def section(api: Sandbox, **settings: object) -> dict[str, object]:
    return {"base_url": api.base_url, **settings}


def configure(
    installation: Installation,
    apis: Mapping[str, Sandbox],
    *,
    common: Mapping[str, object] = {},
    own: Mapping[str, Mapping[str, object]] = {},
    keys: Mapping[str, str | None] = {},
) -> None:
    """Writes config.toml and secrets.toml.

    `own` holds the settings of individual accounts. `keys` maps an account to the account whose keys it uses, or to
    None to leave its keys out.
    """
    config = ["[sources.sendcloud]", *(f"{name} = {value!r}" for name, value in common.items())]
    secrets = []
    for name, api in apis.items():
        config += [f"[sources.sendcloud.accounts.{name}]"]
        config += [f"{key} = {json.dumps(value)}" for key, value in section(api, **own.get(name, {})).items()]
        if whose := keys.get(name, name):
            secrets += [f"[sources.sendcloud.accounts.{name}.credentials]", *keys_of(apis[whose])]
    folder = installation.folder / ".dlt"
    (folder / "config.toml").write_text("\n".join(config))
    (folder / "secrets.toml").write_text("\n".join(secrets))


def keys_of(api: Sandbox) -> list[str]:
    return [f"public_key = '{api.public_key}'", f"secret_key = '{api.secret_key}'"]


def add(installation: Installation, file: str, *lines: str) -> None:
    with (installation.folder / ".dlt" / file).open("a") as opened:
        opened.write("\n".join(["", *lines, ""]))


def rows_of_worlds(apis: Mapping[str, Sandbox]) -> list[dict[str, Any]]:
    return [row for name in sorted(apis) for row in as_rows(apis[name].world.records(), name)]


def oldest(api: Sandbox) -> int:
    return int(api.world.records()[-1]["id"])


def outcomes(installation: Installation) -> dict[str, str]:
    query = "select account, arg_max(outcome, started_at) as outcome from sendcloud.pickup_runs group by account"
    return {row["account"]: row["outcome"] for row in installation.rows(query)}


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("pickups: ")]
