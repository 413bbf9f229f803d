"""Names the variables of PostgreSQL's client library that would change a run without a word.

libpq fills in whatever a connection string leaves out from such variables, which may be meant for another program
(libpq 16, 2026-11). Variables that only strengthen a connection, such as PGSSLMODE, keep their effect.
"""

from __future__ import annotations

# each variable, and what it would do
LIBPQ_VARIABLES = {
    "PGHOSTADDR": "sends the password to another server than the one in the settings",
    "PGSERVICE": "takes settings from a file outside the project",
    "PGSERVICEFILE": "names that file",
    "PGCLIENTENCODING": "stores other letters than those that were sent",
    "PGOPTIONS": "changes how the server reads statements",
    "PGDATESTYLE": "changes how the server reads times",
    "PGTZ": "changes how the server reads times",
    "PGGEQO": "changes how the server plans queries",
    "PGTARGETSESSIONATTRS": "refuses a server",
    "PGLOADBALANCEHOSTS": "chooses another server",
}


def variables_of_libpq() -> dict[str, None]:
    """Returns the variables that libpq must not see during a command, each with None."""
    return dict.fromkeys(LIBPQ_VARIABLES)
