"""Reads the account names from the `[sources.sendcloud.accounts.NAME]` sections of dlt's configuration.

If no account is configured by name, `[sources.sendcloud] account` names the only account.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pipelines.config.plain_settings import PlainSettings, look_up
from pipelines.config.project import environment_variables
from pipelines.config.settings import (
    ACCOUNTS_SECTION,
    EXAMPLE_PREFIX,
    SOURCE_SECTION,
    SettingsFile,
    env_variable,
    get_setting,
    list_alternatives,
    settings_file,
)
from sources.sendcloud.errors import SettingsError

ACCOUNTS_VARIABLE = "SOURCES__SENDCLOUD__ACCOUNTS"
DEFAULT_ACCOUNT = "default"  # the source has the same default
RESERVED_NAMES = ("credentials", "pickups")  # dlt looks for its own settings in sections with these names

AccountSections = dict[str, dict[str, Any]]


def account_names() -> list[str]:
    """Returns the account names in configuration order. Requires an active project.

    Returns:
        The configured names or, if no account is configured by name, only the default account's name.

    Raises:
        SettingsError: a name is invalid, or there are settings for an unconfigured account in secrets.toml or in the
            environment.
    """
    return list(configured_accounts()) or [default_account()]


def plain_account_names(settings: PlainSettings) -> list[str] | None:
    """Returns what `account_names` returns, but without dlt. Returns None if dlt must decide or report an error."""

    def sections(where: SettingsFile) -> AccountSections:
        return _as_sections(look_up(getattr(settings, where), ACCOUNTS_SECTION), where)

    try:
        with environment_variables({"DLT_PROJECT_DIR": str(settings.project)}):
            names = list(configured_accounts(sections))
    except SettingsError:
        return None
    only = settings.value(f"{SOURCE_SECTION}.account")
    return names or ([only or DEFAULT_ACCOUNT] if only is None or (only and isinstance(only, str)) else None)


class UnknownAccount(SettingsError):
    """Raised when a command or a caller names an account that is not configured, most likely because of a typo."""


def resolve_account(account: str | None, sections: AccountSections) -> str:
    """Returns the account's name or, if `account` is None, the name of the only account.

    Raises:
        UnknownAccount: the account is not configured.
        SettingsError: `account` is None, but several accounts are configured.
    """
    names = list(sections) or [default_account()]
    if account is None and len(names) > 1:
        raise SettingsError(f"There are several accounts: {', '.join(names)}. Specify one, or call run_accounts.")
    if account is not None and account not in names:
        # accepting the name as a new account would load the same pickups a second time
        place = f" in {settings_file('config')}, [{ACCOUNTS_SECTION}]" if sections else ""
        raise UnknownAccount(f"There is no account {account!r}{place}; {list_alternatives(account, names)}.")
    return account or names[0]


def configured_accounts(sections: Callable[[SettingsFile], AccountSections] | None = None) -> AccountSections:
    """Returns each account's own section, merged from config.toml and secrets.toml. Requires an active project.

    config.toml defines the account names. secrets.toml defines them only if config.toml names no accounts. A misspelled
    name in secrets.toml or in the environment therefore can't create an unintended account.

    Args:
        sections: returns the accounts' sections in one of the files; by default, dlt reads the files.

    Returns:
        The sections by account name; empty if no account is configured by name.

    Raises:
        SettingsError: a name is invalid, or there are settings for an unconfigured account in secrets.toml or in the
            environment.
    """
    if (value := os.environ.get(ACCOUNTS_VARIABLE)) is not None:
        if value:
            raise SettingsError(
                f"{ACCOUNTS_VARIABLE} is set in the environment. Unset it and configure the accounts in "
                f"{settings_file('config')}, [{ACCOUNTS_SECTION}.NAME]."
            )
        return {}  # an empty variable overrides the files; the demo sets one to run only its own account
    sections = sections or _account_sections
    in_config, in_secrets = sections("config"), sections("secrets")
    names = list(in_config or in_secrets)
    _check_names(names, settings_file("config" if in_config else "secrets"))
    for name in in_secrets:
        _check_is_configured(name, names, f"{settings_file('secrets')}: [{ACCOUNTS_SECTION}.{name}]")
    for variable in os.environ:
        if variable.startswith(f"{ACCOUNTS_VARIABLE}__"):
            name = variable.split("__")[3]
            _check_is_configured(name, [n.upper() for n in names], f"{variable} in the environment")
    return {name: in_secrets.get(name, {}) | in_config.get(name, {}) for name in names}


def unused_credentials_warning(sections: AccountSections) -> str | None:
    """Returns a warning if named accounts are configured but the common credentials are still set, else None.

    Named accounts do not use the common credentials, so the account that used them before is no longer loaded.
    """
    import dlt

    names, keys = list(sections), f"{SOURCE_SECTION}.credentials"
    there: object = dlt.secrets.get(keys)
    if not names or not there:
        return None
    return (
        f"[{keys}] has keys that no account uses, because accounts are configured by name ({', '.join(names)}). If the "
        f"keys belong to another account, move them to [{account_section(default_account())}.credentials]. That "
        f"account then keeps the rows already loaded for {default_account()!r}."
    )


def has_credentials() -> bool:
    """Returns whether there is an account to load, that is, whether credentials or named accounts are configured.

    The example keys that `pickups init` writes don't count as credentials.
    """
    import dlt

    keys: Any = dlt.secrets.get(f"{SOURCE_SECTION}.credentials")
    has_keys = any(not str(key).startswith(EXAMPLE_PREFIX) for key in keys.values()) if isinstance(keys, dict) else keys
    return bool(configured_accounts() or has_keys) or any(
        variable.startswith(f"{env_variable(SOURCE_SECTION)}__CREDENTIALS") for variable in os.environ
    )


def default_account() -> str:
    """Returns `[sources.sendcloud] account`, which names the only account if none is configured by name."""
    return str(get_setting(f"{SOURCE_SECTION}.account"))


def account_section(account: str) -> str:
    """Returns the name of the account's own section."""
    return f"{ACCOUNTS_SECTION}.{account}"


def _account_sections(where: SettingsFile) -> AccountSections:
    import dlt

    provider = (dlt.config if where == "config" else dlt.secrets).writable_provider
    found, _ = provider.get_value("accounts", dict, None, *SOURCE_SECTION.split("."))
    return _as_sections(found, where)


def _as_sections(found: Any, where: SettingsFile) -> AccountSections:
    sections = found if isinstance(found, dict) else {} if found is None else {"accounts": found}
    for name, own in sections.items():
        if not isinstance(own, dict):
            raise SettingsError(
                f"{settings_file(where)}: [{ACCOUNTS_SECTION}] {name} is a value; an account is a section, "
                f"[{ACCOUNTS_SECTION}.NAME]."
            )
    return sections


def _check_names(names: Iterable[str], where: str) -> None:
    from sources.sendcloud.settings import ACCOUNT_NAME

    seen: dict[str, str] = {}
    for name in names:
        if not ACCOUNT_NAME.fullmatch(name) or "__" in name or name in RESERVED_NAMES:
            rule = f"Use 1 to 40 letters, digits, '_' or '-', but not '__', {' or '.join(RESERVED_NAMES)}"
            raise SettingsError(f"{where}: [{ACCOUNTS_SECTION}.{name}]: {name!r} is not a valid account name. {rule}.")
        if other := seen.get(name.upper()):
            both = f"[{ACCOUNTS_SECTION}.{other}] and [{ACCOUNTS_SECTION}.{name}]"
            why = "environment variables and some file systems can't distinguish them"
            raise SettingsError(f"{where}: {both} differ only in case; {why}.")
        seen[name.upper()] = name


def _check_is_configured(name: str, names: Sequence[str], where: str) -> None:
    if name not in names:
        place = f"{settings_file('config')}, [{ACCOUNTS_SECTION}.NAME]"
        remedy = f"Configure it in {place} (the section may be empty); {list_alternatives(name, names)}"
        raise SettingsError(f"{where} belongs to an account that is not configured. {remedy}.")
