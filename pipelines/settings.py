"""What may be set, what it must be, and where it was found. All of it is dlt's configuration, and nothing beside it.

dlt looks for a key in ever shorter sections, so a BASE_URL of somebody else's in the environment named the API (tried
on 1.31, 2026-11). Here a setting is read from its own place only.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from difflib import get_close_matches
from functools import cache, reduce
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

import dlt
from dlt.common.configuration.inject import get_fun_spec
from dlt.common.configuration.specs import RuntimeConfiguration
from dlt.common.configuration.specs.base_configuration import is_secret_hint
from dlt.common.configuration.utils import deserialize_value
from dlt.destinations.impl.duckdb.configuration import DuckDbClientConfiguration

from pipelines.errors import NotConfigured
from sources.sendcloud import SendcloudCredentials, sendcloud_source
from sources.sendcloud.origin import LOOPBACK, as_sent

COMMON, ALL = "sources.sendcloud", "sources.sendcloud.accounts"
NOT_FOR_PEOPLE = ("credentials", "part", "reading")  # of the source's arguments
KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", datetime: "an instant"}
WITH_OFFSET = "with its offset, in the file and without quotes: 2026-01-31T00:00:00Z"
EXAMPLE = "your "  # how the values of example.secrets.toml begin

File = Literal["config", "secrets"]


class Setting(NamedTuple):
    """One setting: its kind, what it is where nobody says otherwise, and what it must be beyond its kind."""

    kind: type[Any]
    default: Any = None
    must_be: str = ""
    fits: Callable[[Any], bool] = lambda _value: True
    is_secret: bool = False


def _may_be_asked(address: str) -> bool:
    """Whether nobody on the way can read it: whoever knows such an address can use it."""
    parts = urlsplit(as_sent(address))
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))


ADDRESS = Setting(str, None, "an address with https (http on loopback only) and no password", _may_be_asked, True)
PLACES = ("duckdb", "postgres", "filesystem")
OURS = {
    "pipeline.destination": Setting(
        str,
        "duckdb",
        f"one of {', '.join(PLACES)}; others of dlt's: python -m pipelines.elsewhere",
        lambda kind: kind in PLACES,
    ),
    "publish.path": Setting(str, "data/pickups.duckdb"),
    "publish.views": Setting(str, "computed", "one of computed, built", lambda how: how in ("computed", "built")),
    "status.max_age_hours": Setting(float, 2.0, "more than 0", lambda hours: hours > 0),
    "alerts.ping_url": ADDRESS,
    "keep.receipt_days": Setting(int, 366, "366 to 36500: the newest year is kept", lambda days: 366 <= days <= 36_500),
    "keep.bookkeeping_days": Setting(int, 30, "1 to 36500", lambda days: 1 <= days <= 36_500),
    "keep.free_share": Setting(float, 0.5, "more than 0 and at most 1", lambda share: 0 < share <= 1),
}


# what dlt's own platform keeps in [runtime] too (dlt 1.31, WorkspaceRuntimeConfiguration)
OF_DLTS_PLATFORM = (
    "workspace_id",
    "organization_id",
    "auth_token",
    "api_key",
    "api_base_url",
    "ai_context_api_url",
    "invite_code",
)
LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")
BY_NAME = {  # of dlt's own, what must be more than its kind
    "slack_incoming_hook": ADDRESS,
    "log_level": Setting(str, "CRITICAL", f"one of {', '.join(LEVELS)}", lambda level: level in LEVELS),
}


@cache
def known() -> dict[str, Setting]:
    """Every setting by its dotted key: ours, the source's, and of dlt's own those of `runtime` and of the destination.

    An account's section may have what the source's has.
    """
    source, keys = get_fun_spec(sendcloud_source)(), SendcloudCredentials().get_resolvable_fields()
    found = dict(OURS)
    theirs = {
        "runtime": RuntimeConfiguration(),
        "destination.duckdb": DuckDbClientConfiguration(),
    }
    for place, spec in theirs.items():
        for name, hint in spec.get_resolvable_fields().items():
            found[f"{place}.{name}"] = BY_NAME.get(name) or Setting(_kind(hint), is_secret=is_secret_hint(hint))
    found |= {f"runtime.{name}": Setting(object, is_secret=True) for name in OF_DLTS_PLATFORM}
    for name, hint in source.get_resolvable_fields().items():
        if name not in NOT_FOR_PEOPLE:
            found[f"{COMMON}.{name}"] = Setting(_kind(hint), getattr(source, name))
    found |= {f"{COMMON}.credentials.{name}": Setting(str, is_secret=True) for name in keys}
    for name in ("initial_value", "end_value"):
        found[f"{COMMON}.pickups.created_at.{name}"] = Setting(
            datetime, None, WITH_OFFSET, lambda at: at.tzinfo is not None
        )
    return found


def setting(key: str) -> Any:
    """The setting's value: of its kind, from the environment, else the files, else its default.

    Raises NotConfigured, naming file, section and key, for a value that can't be.
    """
    value = set_to(key)
    return known()[key].default if value is None else value


def set_to(key: str, like: str | None = None) -> Any:
    """What the environment or a file says, None where neither does; a key of an account is `like` a common one.

    Raises NotConfigured for what can't be.
    """
    wanted = known()[like or key]
    value: object = dlt.secrets.get(key) if wanted.is_secret else None
    value = dlt.config.get(key) if value is None else value
    return None if value is None else _of_its_kind(key, value, wanted)


def readable(key: str, project: Path) -> str | None:
    """What the environment or a file says, even if another file can't be read; None if the value can't be used."""
    *sections, name = key.split(".")
    found: object = os.environ.get(variable_of(key))
    for where in get_args(File) if found is None else ():
        with suppress(OSError, ValueError, AttributeError):
            tree = tomllib.loads((project / ".dlt" / f"{where}.toml").read_text("utf-8"))
            found = reduce(lambda inner, section: inner.get(section, {}), sections, tree).get(name, found)
    return found if isinstance(found, str) and known()[key].fits(found) else None


def file(name: File) -> str:
    return f"{os.environ['DLT_PROJECT_DIR']}/.dlt/{name}.toml"


def file_of(where: File, section: str, name: str) -> str:
    """The file in which it really stands: the project's, or a profile's of dlt's."""
    provider = (dlt.config if where == "config" else dlt.secrets).writable_provider
    location = provider.get_value_location(name, None, *section.split("."))
    return f"{os.environ['DLT_PROJECT_DIR']}/.dlt/{location or f'{where}.toml'}"


def files_read() -> list[str]:
    """The files that settings were read from."""
    providers = dict.fromkeys((dlt.config.writable_provider, dlt.secrets.writable_provider))
    return [str(location) for provider in providers for location in provider.present_locations]


def place_of(key: str) -> str:
    """Where a setting stands, for a person: the variable, else file, section and key."""
    section, name = key.rsplit(".", 1)
    if (variable := variable_of(key)) in os.environ:
        return f"[{section}] {name} ({variable} in the environment)"
    in_secrets, _ = dlt.secrets.writable_provider.get_value(name, Any, None, *section.split("."))
    return f"{file_of('config' if in_secrets is None else 'secrets', section, name)}: [{section}] {name}"


def variable_of(key: str) -> str:
    return key.replace(".", "__").upper()


def there_are(name: str, names: Iterable[str]) -> str:
    """The known ones, and which of them was meant if one looks like the name."""
    close = get_close_matches(name, list(names), 1)
    return f"there are {', '.join(names) or 'none'}" + (f" (did you mean {close[0]}?)" if close else "")


def _kind(hint: Any) -> type[Any]:
    """What a hint of dlt's says; object for what is not of KINDS, which dlt itself checks."""
    return next((kind for kind in (hint, *get_args(hint)) if kind in KINDS), object)


def _of_its_kind(key: str, told: Any, wanted: Setting) -> Any:
    kind, value = wanted.kind, told
    fits = not (value == "" or (isinstance(value, bool) and kind is not bool))
    fits = fits and not (kind in (str, datetime) and not isinstance(value, kind))
    if fits and kind in (int, float, bool):
        try:
            value = deserialize_value(key, value, kind)
        except ValueError:
            fits = False
    if not (fits and wanted.fits(value)):
        place, rule = place_of(key), ", ".join(filter(None, [KINDS.get(kind, "something"), wanted.must_be]))
        is_secret = wanted.is_secret or "secrets.toml: " in place
        shown = "is empty" if told == "" else "can't be used" if is_secret else f"is {told!r}"
        raise NotConfigured(f"{place} {shown}; it must be {rule}.")
    if wanted.is_secret and value.startswith(EXAMPLE):
        raise NotConfigured(f"{place_of(key)} is still the example's, {value!r}. Put your own in.")
    return value
