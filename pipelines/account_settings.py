"""One account's settings: its own before the common ones of `[sources.sendcloud]`, and keys of its own only.

dlt looks for a key in ever shorter sections, so an account without keys would be given the common ones, and another
account's pickups would be loaded under its name (dlt 1.31). Its keys are read from its own section and nowhere else.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.resolve import resolve_configuration
from dlt.extract import DltSource

from pipelines.accounts import Sections, configured, section
from pipelines.errors import NotConfigured
from pipelines.settings import COMMON, file, known, place_of, set_to, setting, variable_of
from pipelines.verify import verify_account
from sources.sendcloud import NEVER_DROP_SECONDS, Reading, SendcloudCredentials, sendcloud_source
from sources.sendcloud.errors import KeysMissing, Misconfigured, SendcloudError
from sources.sendcloud.origin import origin_of
from sources.sendcloud.walk import Part

WHO_IT_IS = ("public_key", "client_id")  # accounts of one server that share it are one account
BEGIN_AT = "pickups.created_at.initial_value"

Settings = dict[str, Any]


def settings_of(account: str) -> Settings:
    """What `source_of` makes the account's source of.

    Raises NotConfigured for a setting that there isn't or that can't be, and for keys that are not the account's own,
    or another account's too. It names file, section and key. KeysMissing where the one account has none.
    """
    accounts = configured()
    if account not in accounts:
        for name in SendcloudCredentials().get_resolvable_fields():
            set_to(f"{COMMON}.credentials.{name}")
        credentials = resolve_configuration(SendcloudCredentials(), sections=tuple(COMMON.split(".")))
        return {**_settings(), "account": account, "credentials": credentials}
    own = section(account)
    verify_account(own)
    credentials = _own_credentials(account)
    _check_that_nobody_else_has(credentials, account, accounts)
    begin_at = set_to(f"{own}.{BEGIN_AT}", like=f"{COMMON}.{BEGIN_AT}")  # a common one dlt finds itself
    return {**_settings(own), "account": account, "credentials": credentials, "begin_at": begin_at}


def source_of(settings: Settings, part: Part, reading: Reading) -> DltSource:
    """The source with the settings that `settings_of` found."""
    begin_at = settings.get("begin_at")
    arguments = {name: value for name, value in settings.items() if name != "begin_at"}
    source: DltSource = sendcloud_source(**arguments, part=part, reading=reading)
    if begin_at:
        created_at = dlt.sources.incremental[datetime]("created_at", initial_value=begin_at, lag=NEVER_DROP_SECONDS)
        source.resources["pickups"].bind(created_at=created_at)
    return source


def where_to_look(error: Exception, account: str) -> Exception:
    """The source's error, with the place that is to be mended: the account's own section where that is the one."""
    if not isinstance(error, SendcloudError):
        return error
    own = section(account) if account in configured() else COMMON
    text = str(error).replace(f"[{COMMON}.credentials]", f"[{own}.credentials]")
    if isinstance(error, Misconfigured) and (like := f"{COMMON}.{error.setting}") in known():
        text = text.removeprefix(f"[{COMMON}] {error.setting}")
        its_own = own != COMMON and set_to(f"{own}.{error.setting}", like=like) is not None
        text = place_of(f"{own if its_own else COMMON}.{error.setting}") + text
    error.args = (text,)
    return error


def _settings(own: str | None = None) -> Settings:
    """The source's settings: the account's own, in the environment first, else the common ones. A common one in the
    environment doesn't hide the account's, as dlt alone would have it.
    """
    settings = {}
    for key in known():
        name = key.removeprefix(f"{COMMON}.")
        if key != name and "." not in name:
            value = set_to(f"{own}.{name}", like=key) if own else None
            settings[name] = setting(key) if value is None else value
    return settings


def _own_credentials(account: str) -> SendcloudCredentials:
    place = f"{section(account)}.credentials"
    try:
        return resolve_configuration(SendcloudCredentials(), explicit_value=_given(account))
    except KeysMissing as error:
        variable = variable_of(f"{place}.{error.missing[0]}")
        raise NotConfigured(
            f"Account {account!r} has no keys of its own: {', '.join(error.missing)}. Put them into [{place}] of "
            f"{file('secrets')}, or into the environment ({variable}). It is not given those of [{COMMON}.credentials]."
        ) from None
    except ConfigurationException as error:
        raise NotConfigured(f"{file('secrets')}: [{place}] can't be read: {' '.join(str(error).split())}") from None


def _given(account: str) -> str | dict[str, str | None]:
    """One text, or every field, None where it isn't: what dlt is handed, be it None, it doesn't look for."""
    place = f"{section(account)}.credentials"
    whole: object = dlt.secrets.get(place)
    if isinstance(whole, str):
        return whole
    names = SendcloudCredentials().get_resolvable_fields()
    found: dict[str, object] = {name: dlt.secrets.get(f"{place}.{name}") for name in names}
    return {name: None if value is None or value == "" else str(value) for name, value in found.items()}


def _check_that_nobody_else_has(credentials: SendcloudCredentials, account: str, accounts: Sections) -> None:
    for other in accounts.keys() - {account}:
        given, theirs = _given(other), SendcloudCredentials()
        with suppress(ValueError):  # what can't be read is that account's own failure
            theirs.update(given) if isinstance(given, dict) else theirs.parse_native_representation(given)
        same = [name for name in WHO_IT_IS if credentials[name] and credentials[name] == theirs[name]]
        if same and _origin(account) == _origin(other):
            raise NotConfigured(
                f"Accounts {account!r} and {other!r} have the same {same[0]}: the same pickups would be loaded twice. "
                f"Look at [{section(account)}.credentials] and [{section(other)}.credentials] of {file('secrets')}."
            )


def version_used_by(account: str) -> str:
    """`v2` or `v3`, by which the account is read. Raises NotConfigured for what can't be."""
    own = set_to(f"{section(account)}.api_version", like=f"{COMMON}.api_version") if configured() else None
    return str(own or setting(f"{COMMON}.api_version"))


def _origin(account: str) -> str:
    own: str | None = set_to(f"{section(account)}.base_url", like=f"{COMMON}.base_url")
    return origin_of(own or setting(f"{COMMON}.base_url"))
