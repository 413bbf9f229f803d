"""Lists the versions of the API by name."""

from __future__ import annotations

from .v2 import V2
from .v3 import V3

VERSIONS = {version.name: version for version in (V2, V3)}
