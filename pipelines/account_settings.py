"""One account's settings: its own before the common ones of `[sources.sendcloud]`, and keys of its own only.

dlt looks for a key in ever shorter sections, so an account without keys would be given the common ones, and another
account's pickups would be loaded under its name (dlt 1.31). Its keys are read from its own section and nowhere else.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.inject import get_fun_spec
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.utils import deserialize_value
from dlt.extract import DltSource

from pipelines.accounts import COMMON, Sections, configured, file, section, there_are
from pipelines.errors import NotConfigured
from sources.sendcloud import BASE_URL, NEVER_DROP_SECONDS, Reading, SendcloudCredentials, sendcloud_source
from sources.sendcloud.errors import KeysMissing, Misconfigured, SendcloudError
from sources.sendcloud.origin import origin_of
from sources.sendcloud.walk import Part

WHO_IT_IS = ("public_key", "client_id")  # accounts of one server that share it are one account
NOT_ITS_OWN = ("account", "credentials", "part", "reading")  # of the source's arguments
KINDS = {int: "a whole number", float: "a number", str: "text"}

Settings = dict[str, Any]


def settings_of(account: str) -> Settings:
    """What `source_of` makes the account's source of.

    Raises NotConfigured for a setting that there isn't or that can't be, and for keys that are not the account's own,
    or another account's too. It names file, section and key.
    """
    accounts = configured()
    if account not in accounts:
        return {"account": account}  # the one account: dlt finds the rest itself
    credentials = _own_credentials(account)
    _check_that_nobody_else_has(credentials, account, accounts)
    own = _own_settings(account, accounts[account])  # what it has none of, dlt finds among the common ones
    return {"account": account, "credentials": credentials, "begin_at": _begin_at(account), **own}


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
    """The source's error; it names the account's own section where that is the one to mend, not the common one."""
    own = configured().get(account)
    if own is not None and isinstance(error, SendcloudError):
        text = str(error).replace(f"[{COMMON}.credentials]", f"[{section(account)}.credentials]")
        setting = text.removeprefix(f"[{COMMON}] ").split(" ")[0].split(".")[0]
        if isinstance(error, Misconfigured) and setting in (*own, "credentials"):
            text = text.replace(f"[{COMMON}]", f"[{section(account)}]")
        error.args = (text,)
    return error


def _own_settings(account: str, there: Settings) -> Settings:
    """Those in its own section, in the environment first. A common one in the environment doesn't hide them, as dlt
    alone would have it. `there` is what the files have, misspelt or not.
    """
    fields = get_fun_spec(sendcloud_source)().get_resolvable_fields()
    kinds = {name: kind for name, kind in fields.items() if name not in NOT_ITS_OWN}
    own = {}
    for name in there:
        if name not in (*kinds, "credentials", "pickups"):
            where = f"{file('config')}: [{section(account)}] {name}"
            raise NotConfigured(f"{where} is no setting; {there_are(name, [*kinds])}.")
    for name, kind in kinds.items():
        value: object = dlt.config.get(f"{section(account)}.{name}")
        if value is not None:
            own[name] = _of_its_kind(f"{section(account)}.{name}", value, kind)
    return own


def _of_its_kind(key: str, value: object, kind: type[Any]) -> Any:
    try:
        if value == "" or isinstance(value, bool):
            raise ValueError(value)
        return deserialize_value(key, value, kind)
    except ValueError:
        place, name = key.rsplit(".", 1)
        variable = key.replace(".", "__").upper()
        where = variable if variable in os.environ else f"{file('config')}: [{place}] {name}"
        raise NotConfigured(f"{where} is {value!r}; it must be {KINDS[kind]}.") from None


def _own_credentials(account: str) -> SendcloudCredentials:
    place = f"{section(account)}.credentials"
    try:
        return resolve_configuration(SendcloudCredentials(), explicit_value=_given(account))
    except KeysMissing as error:
        variable = f"{place}.{error.missing[0]}".replace(".", "__").upper()
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


def _origin(account: str) -> str:
    addresses: list[object] = [dlt.config.get(f"{place}.base_url") for place in (section(account), COMMON)]
    return origin_of(str(next(filter(None, addresses), BASE_URL)))


def _begin_at(account: str) -> datetime | None:
    """The account's own start date; a common one dlt finds itself."""
    place = f"{section(account)}.pickups.created_at"
    begin_at: object = dlt.config.get(f"{place}.initial_value")
    if begin_at is None or (isinstance(begin_at, datetime) and begin_at.tzinfo):
        return begin_at
    where = f"{file('config')}: [{place}] initial_value"
    raise NotConfigured(
        f"{where} is {begin_at!r}, no instant with offset. Write it without quotes: 2026-01-31T00:00:00Z."
    )
