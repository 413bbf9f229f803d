"""Lists the variables of libpq, PostgreSQL's client library, that would silently change a run.

If a connection string omits a value, libpq reads the value from an environment variable, which may be meant for another
program (libpq 16, 2026-11). Variables that only make a connection more secure, such as PGSSLMODE, remain in effect.
"""

from __future__ import annotations

LIBPQ_VARIABLES = (
    "PGHOSTADDR",  # sends the password to a server other than the one in the settings
    "PGSERVICE",  # takes settings from a file outside the project
    "PGSERVICEFILE",  # names that file
    "PGCLIENTENCODING",  # stores characters other than those that were sent
    "PGOPTIONS",  # changes how the server reads statements
    "PGDATESTYLE",  # changes how the server reads times
    "PGTZ",  # changes how the server reads times
    "PGGEQO",  # changes how the server plans queries
    "PGTARGETSESSIONATTRS",  # refuses a server
    "PGLOADBALANCEHOSTS",  # chooses another server
)
