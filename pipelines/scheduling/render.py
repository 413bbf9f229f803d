"""Renders the files that `pickups schedule` prints from templates/, with the paths of this installation."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pipelines.config.account_settings import api_version_of
from pipelines.config.accounts import configured_accounts
from pipelines.config.project import project_context, warehouse_path
from pipelines.config.scaffold import create_file
from pipelines.config.settings import env_variable
from pipelines.config.validation import OWN_SECTIONS
from pipelines.destinations.select import select_backend
from pipelines.errors import DestinationError
from pipelines.scheduling.keys import key_lines
from sources.sendcloud.errors import SettingsError

Scheduler = Literal["systemd", "cron", "github", "dagster", "docker", "kubernetes"]
CONTAINERS = ("docker", "kubernetes")  # their paths are those in the image

PLACEHOLDER = re.compile(r"@([A-Z]+)@")
SETTING_PREFIXES = (*sorted({f"{env_variable(section.split('.')[0])}__" for section in OWN_SECTIONS}), "DLT_DATA_DIR")
HOME_FOLDERS = ("/home", "/root", "/run/user")


def _escape_systemd(text: str) -> str:
    return re.sub(r'([\\"])', r"\\\1", text).replace("%", "%%")


def _escape_cron(text: str) -> str:
    """Escapes text for use inside double quotes in sh.

    Each % is placed outside the quotes, because some versions of cron keep a backslash that is inside quotes.
    """
    return re.sub(r'([\\"$`])', r"\\\1", text).replace("%", r'"\%"')


def _escape_json(text: str) -> str:
    """Escapes text for use in a double-quoted JSON string, which YAML and Python read in the same way."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


ESCAPES: dict[Scheduler, Callable[[str], str]] = {
    "systemd": _escape_systemd,
    "cron": _escape_cron,
    "github": _escape_json,
    "dagster": _escape_json,
    "docker": _escape_json,
    "kubernetes": _escape_json,
}


def render_schedule(kind: Scheduler, user: str | None = None) -> dict[str, str]:
    """Returns a schedule's files for this project and this installation.

    Args:
        kind: the scheduler.
        user: the system user that runs the schedule; by default, the owner of the project folder, or `pickups` if the
            owner is root.

    Returns:
        The text of each file, by file name.

    Raises:
        SettingsError: the scheduler can't handle a path of the project or the installation, or two accounts would share
            a secret.
    """
    with project_context() as project:
        paths = {
            "COMMAND": Path(sys.executable).with_name("pickups"),
            "PROJECT": project,
            "DATA": warehouse_path(project).parent,
            "PUBLISHED": select_backend(project).data_dir(),
        }
        accounts = list(configured_accounts())
        keys = key_lines(kind, accounts, "" if accounts else api_version_of(""))
    for path in () if kind in CONTAINERS else paths.values():
        _check_path(kind, str(path), is_program=path is paths["COMMAND"])
    if user and not user.isprintable():
        raise SettingsError(
            f"--user {user!r} can't be used in a schedule: it contains a control character. Name the user."
        )
    texts = {name: str(path) for name, path in paths.items()}
    texts |= {"USER": user or _owner(project), "HOMES": _protect_home([*paths.values()])}
    blanks = {name: ESCAPES[kind](text) for name, text in texts.items()}
    blanks |= {"VERSION": version("sendcloud-pickups"), **keys}
    return {
        template.name: PLACEHOLDER.sub(lambda blank: blanks[blank[1]], template.read_text(encoding="utf-8"))
        for template in sorted((Path(__file__).with_name("templates") / kind).iterdir())
        if template.is_file()
    }


def format_files(texts: Mapping[str, str]) -> str:
    """Returns all files as a single text. If there are several files, each is preceded by a line with its name."""
    if len(texts) == 1:
        return "".join(texts.values())
    return "\n".join(f"# {'─' * 8} {name} {'─' * 8}\n{text}" for name, text in texts.items())


def write_files(texts: Mapping[str, str], folder: Path) -> str:
    """Writes the files to a folder. Files that already exist with the same content are kept.

    Args:
        texts: the text of each file, by file name.
        folder: the folder to write to. A missing folder is created.

    Returns:
        One line for each file, with the outcome and the path.

    Raises:
        DestinationError: a file can't be written, or already exists with different content. If a file with
            different content exists, nothing is written.
    """
    remedy = "Nothing was written. Compare the file with this command's output without --to, then move the file."
    try:
        for name, text in texts.items():
            if (folder / name).exists() and (folder / name).read_text(encoding="utf-8") != text:
                raise DestinationError(str(folder / name), "the file exists and differs from the new file", remedy)
        made = {name: create_file(folder / name, text.encode(), 0o666) for name, text in texts.items()}
        return "\n".join(f"{outcome}  {folder / name}" for name, outcome in made.items())
    except OSError as error:
        remedy = "Choose a folder that you can write to."
        raise DestinationError(str(folder), error.strerror or str(error), remedy) from error


def shell_only_settings() -> list[str]:
    """Returns the names of the settings in this shell's environment, which a scheduler doesn't see."""
    names = (name for name in os.environ if name.startswith(SETTING_PREFIXES))
    return sorted(name for name in names if name != "RUNTIME__LOG_LEVEL")  # --debug sets this variable


def _check_path(kind: Scheduler, path: str, *, is_program: bool) -> None:
    # systemd 252 doesn't start a program with a quote in its path.
    forbidden = "\\'\"" if kind == "systemd" and is_program else "\\"
    wrong = sorted({char for char in path if char in forbidden or not char.isprintable()})
    if wrong:
        raise SettingsError(
            f"{path!r} can't be used in a schedule for {kind}: it contains {', '.join(map(repr, wrong))}. "
            "Move or reinstall it in a folder whose path contains none of these characters."
        )


def _owner(project: Path) -> str:
    try:
        owner = project.owner()
    except (KeyError, NotImplementedError):  # the owner's account was deleted, or the system is Windows
        return "pickups"
    return "pickups" if owner == "root" else owner


def _protect_home(paths: list[Path]) -> str:
    """Returns the value of systemd's ProtectHome: `read-only` if a path is in a home folder, else `yes`."""
    ours = [*paths, Path(sys.executable).resolve(), Path(sys.base_prefix)]
    return "read-only" if any(path.is_relative_to(home) for path in ours for home in HOME_FOLDERS) else "yes"
