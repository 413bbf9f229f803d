"""Defines the names of the schemas with our tables and views, and inserts the names into statements.

All SQL in this package uses the names `sendcloud` and `analytics`. If a database already uses these names for other
schemas, `[schemas]` can replace them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from pipelines.analytics.views import QUERY_CALL, quote
from pipelines.config.settings import get_setting, setting_location
from pipelines.destinations.base import ANALYTICS, DATASET
from pipelines.destinations.naming import ACCOUNT_INFIX, STAGING_SUFFIX, account_dataset
from sources.sendcloud.errors import SettingsError

# Comments and string literals are matched first, so that they stay unchanged.
_OWN_SCHEMAS = re.compile(
    r"('(?:[^']|'')*'|--[^\n]*)"
    r"|\b(sendcloud\.pickups\b|sendcloud\.|analytics\.)"
    r"|(?<=\bschema )(sendcloud|analytics)\b(?!\.)|(?<=\bexists )(sendcloud|analytics)\b(?!\.)",
    re.IGNORECASE,
)


_CREATED_SCHEMA = re.compile(r'create schema if not exists ("?)(\w+)\1', re.IGNORECASE)


class SchemaNames(NamedTuple):
    """The names of the schemas with the tables (`data`) and with the views (`analytics`)."""

    data: str = DATASET
    analytics: str = ANALYTICS

    @property
    def staging(self) -> str:
        """The name of the schema in which dlt prepares a merge."""
        return self.data + STAGING_SUFFIX

    @property
    def account_prefix(self) -> str:
        """The prefix of each account's own schema name in PostgreSQL and Delta lakes."""
        return self.data + ACCOUNT_INFIX

    def of_account(self, account: str) -> str:
        """Returns the name of the account's own schema, in PostgreSQL and Delta lakes."""
        return account_dataset(account, self.data)

    def replacements(self) -> dict[str, str]:
        """Returns the replacements for `rename_schemas`. The default names need no replacements."""
        return {} if self == DEFAULT_NAMES else replacements(f'"{self.data}"', f'"{self.analytics}"')


DEFAULT_NAMES = SchemaNames()


def replacements(data: str, analytics: str) -> dict[str, str]:
    """Returns the replacements that `rename_schemas` needs to insert these schema names."""
    own = {"sendcloud.": f"{data}.", "sendcloud.pickups": f"{data}.pickups", "sendcloud": data}
    return own | {"analytics.": f"{analytics}.", "analytics": analytics}


def rename_schemas(sql: str, words: Mapping[str, str]) -> str:
    """Returns the statements with the schema names replaced. Without replacements, returns the statements unchanged."""

    def replaced(found: re.Match[str]) -> str:
        if found[1] and sql.endswith(QUERY_CALL, 0, found.start()):  # the string is the query of a view
            return quote(rename_schemas(found[1][1:-1].replace("''", "'"), words))
        return found[1] or words.get(found[0], found[0])

    return _OWN_SCHEMAS.sub(replaced, sql) if words else sql


def create_if_missing(sql: str) -> str:
    """Returns the statements for PostgreSQL, with each schema created only if it is missing.

    `create schema if not exists` requires the right to create schemas even if the schema exists.
    """
    return _CREATED_SCHEMA.sub(_CREATED_IF_MISSING, sql) if "schema if" in sql.lower() else sql


_CREATED_IF_MISSING = r"do $$ begin if to_regnamespace('\1\2\1') is null then create schema \1\2\1; end if; end $$"


def configured_names() -> SchemaNames:
    """Returns the names in the setting `[schemas]`. The project must be active.

    Raises:
        SettingsError: a name is invalid, or two schemas would have the same name.
    """
    names = SchemaNames(get_setting("schemas.data"), get_setting("schemas.analytics"))
    if names.analytics in (names.data, names.staging) or names.analytics.startswith(names.account_prefix):
        raise SettingsError(
            f"{setting_location('schemas.analytics')} is {names.analytics!r}, but that schema is reserved "
            f"for the tables of [schemas] data = {names.data!r}. Choose another name."
        )
    return names
