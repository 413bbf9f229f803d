"""Defines the valid settings and reads each setting only from its own section of dlt's configuration.

dlt itself looks up a key under progressively shorter section paths. For example, dlt took the API's
address from a BASE_URL variable that was meant for another program (tested with dlt 1.31, 2026-11).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from difflib import get_close_matches
from functools import cache, reduce
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from pipelines.config.dlt_settings import use_of
from pipelines.config.schema_rule import SCHEMA_RULE, is_schema_name
from pipelines.config.settings_file import readable_content
from sources.sendcloud.errors import SettingsError

SOURCE_SECTION, ACCOUNTS_SECTION = "sources.sendcloud", "sources.sendcloud.accounts"
INTERNAL_ARGUMENTS = ("credentials", "part", "read_back_to", "stats")  # these arguments of the source are not settings
TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", datetime: "a timestamp"}
INSTANT_RULE = "with a UTC offset and, in the file, without quotes: 2026-01-31T00:00:00Z"
EXAMPLE_PREFIX = "your "  # every value in example.secrets.toml begins with this text

SettingsFile = Literal["config", "secrets"]


class Setting(NamedTuple):
    """The definition of one setting.

    Attributes:
        kind: the type of the setting's value.
        default: the value if the setting is not configured.
        rule: any requirement beyond the type, phrased for an error message.
        is_valid: a function that checks the requirement.
        is_secret: whether the setting belongs in secrets.toml and its value must not be printed.
    """

    kind: type[Any]
    default: Any = None
    rule: str = ""
    is_valid: Callable[[Any], bool] = lambda _value: True
    is_secret: bool = False


def _is_safe_address(address: str) -> bool:
    """Returns whether requests to the address are safe from interception. The address itself is a secret."""
    from sources.sendcloud.http.origins import LOOPBACK, normalize_url

    parts = urlsplit(normalize_url(address))
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))


def _choice(default: str, *others: str, note: str = "") -> Setting:
    """Returns a setting that accepts only the given words."""
    words = (default, *others)
    return Setting(str, default, f"one of {', '.join(words)}{note}", lambda word: word in words)


ADDRESS_SETTING = Setting(str, None, "an https URL (http only on loopback) without a password", _is_safe_address, True)
OWN_SETTINGS = {
    "pipeline.destination": _choice("duckdb", "postgres", "delta", note=" (delta was called filesystem before 0.2)"),
    "pipeline.quick_runs": Setting(bool, True),
    "schemas.data": Setting(str, "sendcloud", SCHEMA_RULE, is_schema_name),
    "schemas.analytics": Setting(str, "analytics", SCHEMA_RULE, is_schema_name),
    "publish.path": Setting(str, "data/pickups.duckdb"),
    "publish.max_age_minutes": Setting(
        float, 0.0, "0 (publish after every run) to 60", lambda minutes: 0 <= minutes <= 60
    ),
    "publish.share_blocks": Setting(bool, False),
    "publish.views": _choice("computed", "built"),
    "status.max_age_hours": Setting(float, 2.0, "more than 0", lambda hours: hours > 0),
    "alerts.ping_url": ADDRESS_SETTING,
    "alerts.on_change": Setting(bool, False),
    "retention.receipt_days": Setting(
        int, 366, "366 to 36500, because the most recent year is kept", lambda days: 366 <= days <= 36_500
    ),
    "retention.bookkeeping_days": Setting(int, 30, "1 to 36500", lambda days: 1 <= days <= 36_500),
    "retention.pickups_months": Setting(int, 0, "0 (keep all pickups) to 1200", lambda months: 0 <= months <= 1200),
    "retention.free_share": Setting(float, 0.5, "more than 0 and at most 1", lambda share: 0 < share <= 1),
}


# Since version 0.2, an old name (the key) stops the command with a message that gives the new name (the value).
RENAMED_SETTINGS = {f"keep.{name}": f"retention.{name}" for name in ("receipt_days", "bookkeeping_days", "free_share")}
DLT_SETTINGS = {  # for these settings, this project's rules are stricter than dlt's
    "slack_incoming_hook": ADDRESS_SETTING,
    "log_level": _choice("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"),
}


@cache
def known_settings() -> dict[str, Setting]:
    """Returns every valid setting by its dotted key.

    These are the project's own settings, the source's settings, and the dlt settings in `[runtime]` and
    `[destination.duckdb]` that have an effect.
    An account's section accepts the same keys as `[sources.sendcloud]`, except `account`.
    """
    # imported here, because commands that read plain settings do not need dlt (plain_settings.py)
    from dlt.common.configuration.inject import get_fun_spec
    from dlt.common.configuration.specs import RuntimeConfiguration
    from dlt.common.configuration.specs.base_configuration import is_secret_hint
    from dlt.destinations.impl.duckdb.configuration import DuckDbClientConfiguration, DuckDbCredentials

    from sources.sendcloud import SendcloudCredentials, sendcloud_source

    source, keys = get_fun_spec(sendcloud_source)(), SendcloudCredentials().get_resolvable_fields()
    found = dict(OWN_SETTINGS)
    specs = {"destination.duckdb": DuckDbClientConfiguration(), "destination.duckdb.credentials": DuckDbCredentials()}
    for place, spec in {"runtime": RuntimeConfiguration(), **specs}.items():
        for name, hint in spec.get_resolvable_fields().items():
            if use_of(f"{place}.{name}") == "read":
                theirs = Setting(_type_of_hint(hint), is_secret=is_secret_hint(hint))
                found[f"{place}.{name}"] = DLT_SETTINGS.get(name, theirs)
    for name, hint in source.get_resolvable_fields().items():
        if name not in INTERNAL_ARGUMENTS:
            found[f"{SOURCE_SECTION}.{name}"] = Setting(_type_of_hint(hint), getattr(source, name))
    found |= {f"{SOURCE_SECTION}.credentials.{name}": Setting(str, is_secret=True) for name in keys}
    bound = Setting(datetime, None, INSTANT_RULE, lambda at: at.tzinfo is not None)
    return found | {f"{SOURCE_SECTION}.pickups.created_at.{name}": bound for name in ("initial_value", "end_value")}


def get_setting(key: str) -> Any:
    """Returns a setting's value from the environment or the files, or its default if the setting is not configured.

    Raises:
        SettingsError: the value is invalid. The message names the file, section and key.
    """
    value = configured_value(key)
    return known_settings()[key].default if value is None else value


def configured_value(key: str, like: str | None = None) -> Any:
    """Returns a setting's value from the environment or the files, or None if the setting is not configured.

    Args:
        key: the dotted key of the setting.
        like: for a key in an account's section, the common key that defines the setting.

    Raises:
        SettingsError: the value is invalid. The message names the file, section and key.
    """
    import dlt

    wanted = known_settings()[like or key]
    value: object = dlt.secrets.get(key) if wanted.is_secret else None
    value = dlt.config.get(key) if value is None else value
    return None if value is None else _validated(key, value, wanted)


def readable_value(key: str, project: Path) -> str | None:
    """Returns a text setting from the environment or the files without using dlt, even if one file is unreadable.

    Args:
        key: the dotted key of the setting.
        project: the project folder.

    Returns:
        The value, or None if there is no valid value.
    """
    *sections, name = key.split(".")
    found: object = os.environ.get(env_variable(key))
    for where in get_args(SettingsFile) if found is None else ():
        with suppress(AttributeError):  # the file may contain a plain value instead of a section
            tree = readable_content(project / ".dlt" / f"{where}.toml")
            found = reduce(lambda inner, section: inner.get(section, {}), sections, tree).get(name, found)
    return found if isinstance(found, str) and known_settings()[key].is_valid(found) else None


def settings_file(name: SettingsFile) -> str:
    """Returns the path of the project's config.toml or secrets.toml. Requires an active project."""
    return f"{os.environ['DLT_PROJECT_DIR']}/.dlt/{name}.toml"


def file_containing(where: SettingsFile, section: str, name: str) -> str:
    """Returns the path of the file that contains the setting: the project's file or a dlt profile's file."""
    import dlt

    provider = (dlt.config if where == "config" else dlt.secrets).writable_provider
    location = provider.get_value_location(name, None, *section.split("."))
    return f"{os.environ['DLT_PROJECT_DIR']}/.dlt/{location or f'{where}.toml'}"


def settings_files_read() -> list[str]:
    """Returns the paths of the files from which settings were read."""
    import dlt

    providers = dict.fromkeys((dlt.config.writable_provider, dlt.secrets.writable_provider))
    return [str(location) for provider in providers for location in provider.present_locations]


def setting_location(key: str) -> str:
    """Returns a setting's location for a message: its environment variable if set, otherwise its file and key.

    Requires an active project.
    """
    import dlt

    section, name = key.rsplit(".", 1)
    for variable in (f"{env_variable(key)}_FILE", env_variable(key)):
        if variable in os.environ:
            return f"[{section}] {name} ({variable} in the environment)"
    in_secrets, _ = dlt.secrets.writable_provider.get_value(name, Any, None, *section.split("."))
    return f"{file_containing('config' if in_secrets is None else 'secrets', section, name)}: [{section}] {name}"


def env_variable(key: str) -> str:
    """Returns the name of the environment variable for a dotted key."""
    return key.replace(".", "__").upper()


def list_alternatives(name: str, names: Iterable[str]) -> str:
    """Returns a phrase for a message that lists the valid names and suggests the name most similar to `name`."""
    close = get_close_matches(name, list(names), 1)
    return f"valid names: {', '.join(names) or 'none'}" + (f" (did you mean {close[0]}?)" if close else "")


def _type_of_hint(hint: Any) -> type[Any]:
    """Returns the type in dlt's type hint, or object if the type is not in TYPE_NAMES. dlt checks all other types."""
    return next((kind for kind in (hint, *get_args(hint)) if kind in TYPE_NAMES), object)


def _validated(key: str, raw: Any, wanted: Setting) -> Any:
    kind, value = wanted.kind, raw
    fits = value != "" and not (isinstance(value, bool) and kind is not bool)
    fits = fits and (kind not in (str, datetime) or isinstance(value, kind))
    if fits and kind in (int, float, bool):
        from dlt.common.configuration.utils import deserialize_value

        try:
            value = deserialize_value(key, value, kind)
        except ValueError:
            fits = False
    if not (fits and wanted.is_valid(value)):
        place, rule = setting_location(key), ", ".join(filter(None, [TYPE_NAMES.get(kind, "something"), wanted.rule]))
        is_secret = wanted.is_secret or "secrets.toml: " in place
        shown = "is empty" if raw == "" else "can't be used" if is_secret else f"is {raw!r}"
        raise SettingsError(f"{place} {shown}; it must be {rule}.")
    if wanted.is_secret and value.startswith(EXAMPLE_PREFIX):
        raise SettingsError(f"{setting_location(key)} is still the example value {value!r}. Replace it with your own.")
    return value
