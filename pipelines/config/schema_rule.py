"""Defines which names are valid for a schema (`[schemas] data` and `analytics`)."""

from __future__ import annotations

import re

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")  # dlt and all supported databases keep names of this form unchanged.
MAX_LENGTH = 27  # This maximum keeps `NAME_of_ACCOUNT_staging` below PostgreSQL's 63-byte limit.
# By default, `main` and `public` contain everyone's tables. The other names belong to databases or this package.
_RESERVED = {"main", "public", "information_schema", "temp", "system", "memory", "published", "for_checks"}
SCHEMA_RULE = (
    f"up to {MAX_LENGTH} lower-case letters, digits and single underscores, beginning with a letter, but not main, "
    "public, another schema of the database itself, or a name that ends in _staging"
)


def is_schema_name(name: str) -> bool:
    """Returns whether the name is valid for a schema of this package."""
    is_free = name not in _RESERVED and not name.startswith("pg_") and not name.endswith("_staging")
    return bool(_NAME.fullmatch(name)) and len(name) <= MAX_LENGTH and is_free
