"""One account's settings: its own before the common ones of `[sources.sendcloud]`, and keys of its own only.

dlt looks for a key in ever shorter sections, so an account without keys would be given the common ones, and another
account's pickups would be loaded under its name (dlt 1.31). Its keys are read from its own section and nowhere else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigFieldMissingException, ConfigurationException
from dlt.common.configuration.inject import get_fun_spec
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.utils import deserialize_value
from dlt.extract import DltSource

from pipelines.accounts import COMMON, Sections, configured, file, section, there_are
from pipelines.errors import NotConfigured
from sources.sendcloud import BASE_URL, NEVER_DROP_SECONDS, Reading, SendcloudCredentials, sendcloud_source
from sources.sendcloud.errors import Misconfigured, SendcloudError
from sources.sendcloud.origin import origin_of
from sources.sendcloud.walk import Part

WHO_IT_IS = ("public_key",)  # accounts of one server that share it are one account
NOT_ITS_OWN = ("account", "part", "reading")  # of the source's arguments
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
    _check(account, accounts[account])
    credentials = _own_credentials(account)
    _check_that_nobody_else_has(credentials, account, accounts)
    spec = _spec()
    own = {"account": account, "credentials": credentials}
    try:
        resolved = resolve_configuration(spec, sections=tuple(section(account).split(".")), explicit_value=own)
    except ConfigurationException as error:
        raise NotConfigured(f"A setting of [{section(account)}] can't be: {' '.join(str(error).split())}.") from None
    settings = {name: value for name, value in dict(resolved).items() if name not in ("part", "reading")}
    return settings | {"begin_at": _begin_at(account)}


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


def _spec() -> Any:
    return get_fun_spec(sendcloud_source)()


def _check(account: str, own: Settings) -> None:
    """What dlt would not tell: a misspelt setting, and a value that is not of its kind, with the place where it is."""
    kinds = {name: kind for name, kind in _spec().get_resolvable_fields().items() if name not in NOT_ITS_OWN}
    for name, value in own.items():
        where = f"{file('config')}: [{section(account)}] {name}"
        if name not in (*kinds, "pickups"):
            raise NotConfigured(f"{where} is no setting; {there_are(name, [*kinds])}.")
        if kind := KINDS.get(kinds.get(name)):  # type: ignore[arg-type]
            try:
                if value == "" or isinstance(value, bool):
                    raise ValueError(value)
                deserialize_value(name, value, kinds[name])
            except ValueError:
                raise NotConfigured(f"{where} is {value!r}; it must be {kind}.") from None


def _own_credentials(account: str) -> SendcloudCredentials:
    place = f"{section(account)}.credentials"
    whole: object = dlt.secrets.get(place)
    own = whole if isinstance(whole, str) else _exactly_in(place)
    try:
        return resolve_configuration(SendcloudCredentials(), explicit_value=own)
    except ConfigFieldMissingException as error:
        variable = f"{place}.{error.fields[0]}".replace(".", "__").upper()
        raise NotConfigured(
            f"Account {account!r} has no keys of its own: {', '.join(error.fields)}. Put them into [{place}] of "
            f"{file('secrets')}, or into the environment ({variable}). It is not given those of [{COMMON}.credentials]."
        ) from None
    except ConfigurationException as error:
        raise NotConfigured(f"{file('secrets')}: [{place}] can't be read: {' '.join(str(error).split())}") from None


def _exactly_in(place: str) -> dict[str, str | None]:
    """Every field of the credentials, None where it isn't: what dlt is handed, be it None, it doesn't look for."""
    names = SendcloudCredentials().get_resolvable_fields()
    found: dict[str, object] = {name: dlt.secrets.get(f"{place}.{name}") for name in names}
    return {name: None if value is None or value == "" else str(value) for name, value in found.items()}


def _check_that_nobody_else_has(credentials: SendcloudCredentials, account: str, accounts: Sections) -> None:
    for other in accounts.keys() - {account}:
        theirs = _exactly_in(f"{section(other)}.credentials")
        same = [name for name in WHO_IT_IS if credentials[name] == theirs.get(name)]
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
