"""The accounts of an installation, by name: `[sources.sendcloud.accounts.NAME]` in dlt's configuration.

Where none is named, there is one account, whose label is `[sources.sendcloud] account`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import dlt

from pipelines.errors import NotConfigured
from pipelines.settings import ALL, COMMON, File, file, setting, there_are, variable_of
from sources.sendcloud import NAME

VARIABLE = "SOURCES__SENDCLOUD__ACCOUNTS"
RESERVED = ("credentials", "pickups")  # what dlt would look up in its place

Sections = dict[str, dict[str, Any]]


def account_names() -> list[str]:
    """The accounts in the order of the configuration; where none is named, the one label. Call it inside a project.

    Raises NotConfigured for a name that can't be one, and for keys of an account that is not named.
    """
    return list(configured()) or [label()]


def one_of(account: str | None) -> str:
    """The account asked for, else the only one. Raises NotConfigured where there is no such, or a choice."""
    names = list(configured())
    if not names:
        if account not in (None, label()):  # a slip of the keyboard would be an account more, of the same pickups
            raise NotConfigured(f"There is no account {account!r}; {there_are(str(account), [label()])}.")
        return label()
    if account is None and len(names) > 1:
        raise NotConfigured(f"There are several accounts: {', '.join(names)}. Name one, or call run_accounts for all.")
    if account is not None and account not in names:
        raise NotConfigured(
            f"There is no account {account!r} in {file('config')}, [{ALL}]; {there_are(account, names)}."
        )
    return account or names[0]


def configured() -> Sections:
    """Each account's own section as the files have it; empty where no account is named.

    config.toml names the accounts; only where it names none, secrets.toml does. So a name misspelt there, or in the
    environment, makes no account that nobody meant.
    """
    if (told := os.environ.get(VARIABLE)) is not None:
        if told:
            raise NotConfigured(
                f"{VARIABLE} is set in the environment; name accounts in {file('config')}, [{ALL}.NAME]."
            )
        return {}  # an empty one hides the files', as any variable does: the demo has an account of its own
    in_config, in_secrets = _sections("config"), _sections("secrets")
    names = list(in_config or in_secrets)
    _check_names(names, file("config" if in_config else "secrets"))
    for name in in_secrets:
        _check_named(name, names, f"{file('secrets')}: [{ALL}.{name}]")
    for variable in os.environ:
        if variable.startswith(f"{VARIABLE}__"):
            name = variable.split("__")[3]
            _check_named(name, [n.upper() for n in names], f"{variable} in the environment")
    return {name: in_secrets.get(name, {}) | in_config.get(name, {}) for name in names}


def keys_of_nobody() -> str | None:
    """What to tell a person who has named accounts and left the keys of the one before where no account looks."""
    names, keys = list(configured()), f"{COMMON}.credentials"
    there: object = dlt.secrets.get(keys)
    if not names or not there:
        return None
    return (
        f"[{keys}] has keys that no account uses, for there are accounts by name ({', '.join(names)}). If they are "
        f"yet another's, move them to [{section(label())}.credentials]: it goes on with the rows of {label()!r}."
    )


def has_keys() -> bool:
    """Whether anybody has put in keys, or named an account: whether there is something to run."""
    return bool(configured() or dlt.secrets.get(f"{COMMON}.credentials")) or any(
        variable.startswith(f"{variable_of(COMMON)}__CREDENTIALS") for variable in os.environ
    )


def label() -> str:
    """`[sources.sendcloud] account`: what the account is called where none is named."""
    told: str = setting(f"{COMMON}.account")
    return told


def section(account: str) -> str:
    return f"{ALL}.{account}"


def _sections(where: File) -> Sections:
    provider = (dlt.config if where == "config" else dlt.secrets).writable_provider
    found, _ = provider.get_value("accounts", dict, None, *COMMON.split("."))
    sections = found if isinstance(found, dict) else {} if found is None else {"accounts": found}
    for name, own in sections.items():
        if not isinstance(own, dict):
            raise NotConfigured(f"{file(where)}: [{ALL}] {name} is a value; an account is a section, [{ALL}.NAME].")
    return sections


def _check_names(names: Iterable[str], where: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if not NAME.fullmatch(name) or "__" in name or name in RESERVED:
            rule = f"Use 1 to 40 letters, digits, '_' or '-', but not '__' and none of {', '.join(RESERVED)}"
            raise NotConfigured(f"{where}: [{ALL}.{name}]: {name!r} can't be an account's name. {rule}.")
        if other := seen.get(name.upper()):
            why = "the environment and some file systems take them for one"
            raise NotConfigured(f"{where}: [{ALL}.{other}] and [{ALL}.{name}] differ in case only; {why}.")
        seen[name.upper()] = name


def _check_named(name: str, names: Sequence[str], where: str) -> None:
    if name not in names:
        remedy = f"Name it in {file('config')}, [{ALL}.NAME], be the section empty; {there_are(name, names)}"
        raise NotConfigured(f"{where} is of an account that is not named. {remedy}.")
