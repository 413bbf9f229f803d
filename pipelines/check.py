"""`pickups check`: what goes wrong in practice, found before it does. A line each; nothing is loaded or written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from packaging.version import Version

from pipelines.account_settings import version_used_by
from pipelines.accounts import account_names, keys_of_nobody, one_of
from pipelines.check_api import api
from pipelines.errors import NotConfigured, worst_of
from pipelines.finding import Finding, wrong
from pipelines.project import inside
from pipelines.screen import console
from pipelines.settings import file, files_read
from pipelines.verify import verify
from pipelines.which_store import store_of

# what the tests run on (uv.lock, and make test-duckdb2): from, and up to but not
TESTED = {
    "python": ("3.11", "3.15"),
    "dlt": ("1.31", "1.32"),
    "duckdb": ("1.5", "2.1"),
    "sqlglot": ("30", "30.22"),
    "pyarrow": ("19", "27"),
}
STYLE = {"ok": "green", "look": "yellow", "wrong": "bold red"}


def check(account: str | None, *, as_json: bool = False) -> int:
    """Prints what was found, a line or a JSON object of a list each; returns the exit code of the worst."""
    with inside() as project:
        found = []
        for finding in findings(project, account):
            found.append(finding)
            if not as_json:
                _print(finding)
    if as_json:
        print(json.dumps([finding._asdict() for finding in found], ensure_ascii=False))  # noqa: T201  # what was asked for
    return worst_of(finding.exit_code for finding in found)


def findings(project: Path, account: str | None = None) -> Iterator[Finding]:
    """Everything that is looked at, in the order in which a run would stumble over it. Call it inside the project."""
    yield _project(project)
    yield _versions()
    try:
        verify()
        names = [one_of(account)] if account else account_names()
        store = store_of(project)
        read = ", ".join(files_read()) or "no file, so from the environment and defaults"
        yield Finding("settings", "ok", f"accounts: {', '.join(names)}; read from {read}")
    except NotConfigured as error:
        yield wrong("settings", error)
        return
    yield from _secrets()
    for name in names:
        yield from api(name, str(store))
    yield from _api_versions(names)
    yield from store.findings()


def _project(project: Path) -> Finding:
    if (project / ".dlt").is_dir():
        return Finding("project", "ok", str(project))
    remedy = "Go there, name it (--project-dir), or make one: pickups init DIR"
    return Finding(
        "project", "look", f"there is no .dlt in {project} or above: all is default or from variables. {remedy}"
    )


def _versions() -> Finding:
    there = {name: python_version() if name == "python" else version(name) for name in TESTED}
    outside = [
        f"{name} {there[name]} (tested: {first} up to {below})"
        for name, (first, below) in TESTED.items()
        if not Version(first) <= Version(there[name]) < Version(below)
    ]
    if outside:
        return Finding(
            "versions", "look", f"outside what was tested: {', '.join(outside)}. See README, Install and upgrade"
        )
    return Finding("versions", "ok", ", ".join(f"{name} {is_}" for name, is_ in there.items()))


def _api_versions(names: Sequence[str]) -> Iterator[Finding]:
    """Once, however many accounts read v2: that there is another, and what would change."""
    by_v2 = [name for name in names if version_used_by(name) == "v2"]
    if by_v2:
        said = (
            f'{", ".join(by_v2)}: v2, which works on but gets nothing new. With api_version = "v3" the next run reads'
        )
        remedy = "everything again, once; tables and views stay what they are. See pipelines/README.md, From v2 to v3"
        yield Finding("version", "ok", f"{said} {remedy}")


def _secrets() -> Iterator[Finding]:
    path = Path(file("secrets"))
    if os.name == "posix" and path.exists():
        about = path.stat()
        # root's file, for the service's group to read, is how the README installs it
        if about.st_mode & 0o007 or (about.st_mode & 0o070 and about.st_uid != 0):
            remedy = "chmod 640, and chgrp it to the service" if about.st_uid == 0 else "chmod 600"
            yield Finding("secrets", "look", f"others may read {path}: {remedy}")
    if said := keys_of_nobody():
        yield Finding("secrets", "look", said)


def _print(finding: Finding) -> None:
    from rich.text import Text

    whose = f"{finding.account}: " if finding.account else ""
    word = Text(f"{finding.outcome:<6}", style=STYLE[finding.outcome])
    console().print(word + Text(f"{finding.what:<10} {whose}{finding.said}"), soft_wrap=True)
