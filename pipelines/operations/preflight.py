"""Implements `pickups check`, which finds common problems before a run encounters them. Writes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from platform import python_version

from packaging.version import Version

from pipelines.config.account_settings import api_version_of
from pipelines.config.accounts import configured_accounts, unused_credentials_warning
from pipelines.config.secret_files import secret_file_paths
from pipelines.config.settings import settings_file, settings_files_read
from pipelines.config.validation import ignored_settings, validate_settings
from pipelines.destinations.select import select_backend
from pipelines.file_access import is_open_to_others
from pipelines.finding import Finding, error_finding
from pipelines.loading.plan import plan_run
from pipelines.operations.preflight_api import api_findings
from sources.sendcloud.errors import SettingsError

DISTRIBUTION = "sendcloud-pickups"
TOP_LEVEL_NAMES = ("pipelines", "sources")

# The tests run with these versions (uv.lock and make test-duckdb2). Each range includes its first version but not its
# second.
TESTED_VERSIONS = {
    "python": ("3.11", "3.15"),
    "dlt": ("1.31", "1.32"),
    "duckdb": ("1.5", "2.1"),
    "sqlglot": ("30", "30.22"),
    "pyarrow": ("19", "27"),
}


def preflight_findings(project: Path, account: str | None = None) -> Iterator[Finding]:
    """Yields the findings in the order in which a run would encounter the problems. Requires an active project.

    If the project's settings are invalid, later checks are skipped.

    Args:
        project: the project folder.
        account: the name of the account to check; default all.
    """
    yield _project_finding(project)
    yield _versions_finding()
    yield from _name_findings()
    try:
        validate_settings()
        plan = plan_run(project, [account] if account else None)
        names = plan.accounts
        backend = select_backend(project)
        read = ", ".join(settings_files_read()) or "the environment and defaults, because there is no file"
        yield Finding("settings", "ok", f"accounts: {', '.join(names)}; read from {read}")
    except SettingsError as error:
        yield error_finding("settings", error)
        return
    yield from _ignored_findings()
    yield from _access_findings(project, backend.data_dir())
    yield from _secrets_findings()
    for name in names:
        yield from api_findings(name, plan, str(backend))
    yield from _api_version_findings(names)
    yield from backend.findings(names)


def _project_finding(project: Path) -> Finding:
    if (project / ".dlt").is_dir():
        return Finding("project", "ok", str(project))
    problem = f"there is no .dlt in or above {project}, so all settings come from defaults or the environment"
    remedy = "Change to the project folder, specify it (--project-dir), or create one: pickups init DIR"
    return Finding("project", "warning", f"{problem}. {remedy}")


def _versions_finding() -> Finding:
    there = {name: python_version() if name == "python" else version(name) for name in TESTED_VERSIONS}
    outside = [
        f"{name} {there[name]} (tested: >={first}, <{below})"
        for name, (first, below) in TESTED_VERSIONS.items()
        if not Version(first) <= Version(there[name]) < Version(below)
    ]
    if outside:
        return Finding("versions", "warning", f"not tested with {', '.join(outside)}. See docs/how-to/upgrade.md")
    return Finding("versions", "ok", ", ".join(f"{name} {is_}" for name, is_ in there.items()))


def _name_findings() -> Iterator[Finding]:
    """Yields a warning if another distribution installs packages with this project's names. pip does not warn."""
    installed = packages_distributions()
    others = {name: sorted({*installed.get(name, [])} - {DISTRIBUTION}) for name in TOP_LEVEL_NAMES}
    if named := [f"{name} ({', '.join(whose)})" for name, whose in others.items() if whose]:
        problem = f"other distributions in this environment contain packages with the same names: {', '.join(named)}"
        remedy = "Files may have been overwritten. Install sendcloud-pickups into an environment of its own"
        yield Finding("packages", "warning", f"{problem}. {remedy}. See docs/how-to/install.md")


def _access_findings(project: Path, data: Path) -> Iterator[Finding]:
    """Yields a warning if another user can change the settings or replace the data."""
    places = [project / ".dlt", *map(Path, settings_files_read()), data]
    if open_places := [str(place) for place in places if place.exists() and is_open_to_others(place)]:
        problem = f"every user of this machine can write to {', '.join(open_places)}"
        remedy = "To keep other users from redirecting the keys or replacing the data, use chmod o-w"
        yield Finding("access", "warning", f"{problem}. {remedy}")


def _ignored_findings() -> Iterator[Finding]:
    if ignored := ignored_settings():
        about = "dlt settings that have no effect here (docs/reference/settings.md)"
        yield Finding("settings", "warning", f"{about}: {', '.join(ignored)}")


def _api_version_findings(names: Sequence[str]) -> Iterator[Finding]:
    """Yields one finding that covers all accounts on API v2 and explains what switching to v3 would do."""
    if by_v2 := [name for name in names if api_version_of(name) == "v2"]:
        message = f"{', '.join(by_v2)}: API v2, which works but gets no new features."
        remedy = 'With api_version = "v3", the next run reads all pickups again; tables and views stay the same.'
        yield Finding("version", "ok", f"{message} {remedy} See docs/how-to/api-v3.md")


def _secrets_findings() -> Iterator[Finding]:
    here = Path(settings_file("secrets"))
    for path in (here, *secret_file_paths(here.parents[1])) if os.name == "posix" else ():
        if not path.exists():
            continue
        about = path.stat()
        # in the documented installation, root owns the file and the service's group can read it
        if about.st_mode & 0o007 or (about.st_mode & 0o070 and about.st_uid != 0):
            remedy = "chmod 640, and chgrp to the service's group" if about.st_uid == 0 else "chmod 600"
            yield Finding("secrets", "warning", f"other users can read {path}: {remedy}")
    if message := unused_credentials_warning(configured_accounts()):
        yield Finding("secrets", "warning", message)
