"""Resolves the settings and credentials of one account.

A setting in the account's own section overrides the common setting in `[sources.sendcloud]`. Credentials are read only
from the account's own section. dlt 1.31 looks up a key under progressively shorter section paths. An account without
credentials of its own would therefore use the common ones, so another account's pickups would be loaded under the wrong
name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.resolve import resolve_configuration
from dlt.extract import DltSource

from pipelines.config.accounts import AccountSections, account_section, configured_accounts
from pipelines.config.settings import (
    SOURCE_SECTION,
    configured_value,
    env_variable,
    get_setting,
    known_settings,
    setting_location,
    settings_file,
)
from pipelines.config.validation import validate_account
from sources.sendcloud import ReadStats, SendcloudCredentials, sendcloud_source
from sources.sendcloud.errors import (
    CREDENTIALS_LOCATION,
    ClientAuthError,
    MissingCredentials,
    SendcloudError,
    SettingsError,
    TokenAuthError,
)
from sources.sendcloud.http.credentials import BASIC, OAUTH2
from sources.sendcloud.http.origins import origin_of
from sources.sendcloud.reading.outcome import ReadPart
from sources.sendcloud.settings import NEVER_DROP_SECONDS

IDENTIFYING_KEYS = ("public_key", "client_id")  # two accounts with the same key on the same server are the same account
START_DATE_KEY = "pickups.created_at.initial_value"

SourceSettings = dict[str, Any]
KeyOwners = Mapping[tuple[str, str], Sequence[str]]


def find_key_owners(accounts: AccountSections) -> KeyOwners:
    """Returns the names of the accounts that have each identifying key, such as `("public_key", "abc")`.

    Looks up each account's keys only once, because looking up those of 40 accounts for each account took half a second.
    """
    owners: dict[tuple[str, str], list[str]] = {}
    for account in accounts:
        keys = SendcloudCredentials()
        with suppress(ValueError, ConfigurationException, SettingsError):  # the account's own run reports the error
            given = _configured_credentials(account)
            keys.update(given) if isinstance(given, dict) else keys.parse_native_representation(given)
        for name in IDENTIFYING_KEYS:
            if keys[name]:
                owners.setdefault((name, keys[name]), []).append(account)
    return owners


def resolve_account_settings(account: str, accounts: AccountSections, owners: KeyOwners) -> SourceSettings:
    """Returns the settings from which `build_source` creates the account's source.

    Requires an active project.

    Args:
        account: the name of the account.
        accounts: the sections of all configured accounts; empty if no account is configured by name.
        owners: the result of `find_key_owners` for these accounts.

    Returns:
        The source's arguments by name, plus `begin_at`, which is the account's own start date or None.

    Raises:
        SettingsError: a setting is unknown or invalid, a named account has no credentials of its own, or two accounts
            have the same key. The message names the file, section and key.
        MissingCredentials: no account is configured by name, and the common credentials are incomplete.
    """
    if account not in accounts:
        for name in SendcloudCredentials().get_resolvable_fields():
            configured_value(f"{SOURCE_SECTION}.credentials.{name}")
        credentials = resolve_configuration(SendcloudCredentials(), sections=tuple(SOURCE_SECTION.split(".")))
        return {**_source_settings(), "account": account, "credentials": credentials}
    own = account_section(account)
    validate_account(own)
    credentials = _own_credentials(account)
    _check_not_shared(credentials, account, owners)
    # dlt itself looks up a start date in the common section
    begin_at = configured_value(f"{own}.{START_DATE_KEY}", like=f"{SOURCE_SECTION}.{START_DATE_KEY}")
    return {**_source_settings(own), "account": account, "credentials": credentials, "begin_at": begin_at}


def build_source(settings: SourceSettings, part: ReadPart, stats: ReadStats) -> DltSource:
    """Returns an account's source.

    Args:
        settings: the result of `resolve_account_settings`.
        part: the part of the list to read.
        stats: the statistics that the source updates while reading.
    """
    begin_at = settings.get("begin_at")
    arguments = {name: value for name, value in settings.items() if name != "begin_at"}
    source: DltSource = sendcloud_source(**arguments, part=part, stats=stats)
    if begin_at:
        created_at = dlt.sources.incremental[datetime]("created_at", initial_value=begin_at, lag=NEVER_DROP_SECONDS)
        source.resources["pickups"].bind(created_at=created_at)
    return source


def with_setting_location(error: Exception, account: str) -> Exception:
    """Adds the location of the affected setting to the message of an error from the source, and returns the error.

    The location consists of the file, section and key, or names the environment variables. If the account is configured
    by name and its own section contains the setting, the location names that section. An error that already names the
    location, or that was not raised by the source, is returned unchanged.
    """
    if not isinstance(error, SendcloudError) or (isinstance(error, SettingsError) and not error.setting):
        return error
    own = account_section(account) if account in configured_accounts() else SOURCE_SECTION
    text = str(error).replace(CREDENTIALS_LOCATION, _keys_location(own, error))
    if isinstance(error, SettingsError) and (like := f"{SOURCE_SECTION}.{error.setting}") in known_settings():
        text = text.removeprefix(f"[{SOURCE_SECTION}] {error.setting}")
        its_own = own != SOURCE_SECTION and configured_value(f"{own}.{error.setting}", like=like) is not None
        text = setting_location(f"{own if its_own else SOURCE_SECTION}.{error.setting}") + text
    error.args = (text,)
    return error


def _keys_location(own: str, error: Exception | None = None) -> str:
    """Returns the place of the keys that an error is about: the variables in the environment, or the file and section.

    Args:
        own: the section of the account.
        error: the error, which shows which pair of keys was refused; default the pair of public and secret key.
    """
    section = f"{own}.credentials"
    keys = [f"{section}.{name}" for name in (OAUTH2 if isinstance(error, ClientAuthError | TokenAuthError) else BASIC)]
    names = [(f"{env_variable(key)}_FILE", env_variable(key), env_variable(section)) for key in keys]
    found = [next((name for name in each if name in os.environ), None) for each in names]
    places = [name for name in dict.fromkeys(found) if name]
    where = [f"{' and '.join(places)} in the environment"] if places else []
    if None in found:
        where.append(f"[{section}] in {setting_location(keys[found.index(None)]).partition(': [')[0]}")
    return " and ".join(where)


def _source_settings(own: str | None = None) -> SourceSettings:
    """Returns the source's settings by name. The account's own section takes precedence over the common section.

    Within a section, an environment variable overrides the files. In dlt's own lookup, a common environment variable
    would also override the account's section in the files.
    """
    settings = {}
    for key in known_settings():
        name = key.removeprefix(f"{SOURCE_SECTION}.")
        if key != name and "." not in name:
            value = configured_value(f"{own}.{name}", like=key) if own else None
            settings[name] = get_setting(key) if value is None else value
    return settings


def _own_credentials(account: str) -> SendcloudCredentials:
    place = f"{account_section(account)}.credentials"
    try:
        return resolve_configuration(SendcloudCredentials(), explicit_value=_configured_credentials(account))
    except MissingCredentials as error:
        variable = env_variable(f"{place}.{error.missing[0]}")
        raise SettingsError(
            f"Account {account!r} lacks credentials of its own: {', '.join(error.missing)}. Add them to [{place}] in "
            f"{settings_file('secrets')} or to the environment ({variable}). The account does not inherit "
            f"[{SOURCE_SECTION}.credentials]."
        ) from None
    except ConfigurationException as error:
        problem = f"[{place}] can't be read: {' '.join(str(error).split())}"
        raise SettingsError(f"{settings_file('secrets')}: {problem}") from None


def _configured_credentials(account: str) -> str | dict[str, str | None]:
    """Returns the account's credentials as a single string, or as a dict of all fields, with None for missing fields.

    The dict contains every field, because dlt searches other sections for any field that is absent.
    """
    place = f"{account_section(account)}.credentials"
    whole: object = dlt.secrets.get(place)
    if isinstance(whole, str):
        return whole
    names = SendcloudCredentials().get_resolvable_fields()
    found: dict[str, object] = {name: dlt.secrets.get(f"{place}.{name}") for name in names}
    return {name: None if value is None or value == "" else str(value) for name, value in found.items()}


def _check_not_shared(credentials: SendcloudCredentials, account: str, owners: KeyOwners) -> None:
    for name in IDENTIFYING_KEYS:
        for other in owners.get((name, credentials[name]), ()):
            if other != account and _api_origin(account) == _api_origin(other):
                places = [_keys_location(account_section(one)) for one in (account, other)]
                raise SettingsError(
                    f"Accounts {account!r} and {other!r} have the same {name}, so the same pickups would be loaded "
                    f"twice. Check {' and '.join(places)}."
                )


def api_version_of(account: str) -> str:
    """Returns the API version that is used for the account, `v2` or `v3`.

    Raises:
        SettingsError: the setting is empty or not text, or the configured accounts are invalid.
    """
    return str(
        _setting_of(account, "api_version") if configured_accounts() else get_setting(f"{SOURCE_SECTION}.api_version")
    )


def _api_origin(account: str) -> str:
    return origin_of(_setting_of(account, "base_url"))


def _setting_of(account: str, name: str) -> Any:
    """Returns a setting from the account's own section if it is set there, else from the common section."""
    like = f"{SOURCE_SECTION}.{name}"
    return configured_value(f"{account_section(account)}.{name}", like=like) or get_setting(like)
