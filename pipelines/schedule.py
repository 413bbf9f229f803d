"""`pickups schedule`: the files by which a machine runs it, from schedules/, with this installation's paths in them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pipelines.accounts import configured
from pipelines.errors import DestinationFailed, NotConfigured
from pipelines.project import inside, warehouse_path
from pipelines.project_folder import made
from pipelines.settings import ALL, COMMON, variable_of
from pipelines.verify import SECTIONS
from pipelines.which_store import store_of

Kind = Literal["systemd", "cron", "github", "dagster"]

BLANK = re.compile(r"@([A-Z]+)@")
OF_THIS_SHELL = (*sorted({f"{variable_of(section.split('.')[0])}__" for section in SECTIONS}), "DLT_DATA_DIR")
HOMES = ("/home", "/root", "/run/user")


def _in_a_unit(text: str) -> str:
    return re.sub(r'([\\"])', r"\\\1", text).replace("%", "%%")


def _in_a_crontab(text: str) -> str:
    """For sh, in double quotes. The % stands outside of them: some crons take its backslash away, others leave it."""
    return re.sub(r'([\\"$`])', r"\\\1", text).replace("%", r'"\%"')


def _in_json(text: str) -> str:
    """For YAML and Python too, which read JSON's strings as JSON does."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


WRITTEN: dict[Kind, Callable[[str], str]] = {
    "systemd": _in_a_unit,
    "cron": _in_a_crontab,
    "github": _in_json,
    "dagster": _in_json,
}


def files(kind: Kind, user: str | None = None) -> dict[str, str]:
    """The files of a schedule by name, for the project and the installation that this process runs in.

    `user` is who runs it; default the owner of the project's folder, `pickups` where that is root. Raises NotConfigured
    for a path that can't stand in them.
    """
    with inside() as project:
        paths = {
            "COMMAND": Path(sys.executable).with_name("pickups"),
            "PROJECT": project,
            "DATA": warehouse_path(project).parent,
            "PUBLISHED": store_of(project).lies_in(),
        }
        keys = _keys(list(configured()))
    for path in paths.values():
        _check(kind, str(path), is_program=path is paths["COMMAND"])
    texts = {name: str(path) for name, path in paths.items()}
    texts |= {"USER": user or _owner(project), "HOMES": _homes([*paths.values()])}
    blanks = {name: WRITTEN[kind](text) for name, text in texts.items()}
    blanks |= {"VERSION": version("sendcloud-pickups"), "KEYS": keys}
    return {
        template.name: BLANK.sub(lambda blank: blanks[blank[1]], template.read_text(encoding="utf-8"))
        for template in sorted((Path(__file__).with_name("schedules") / kind).iterdir())
        if template.is_file()
    }


def printed(texts: Mapping[str, str]) -> str:
    """All of them as one text; where there are several, each below its name."""
    if len(texts) == 1:
        return "".join(texts.values())
    return "\n".join(f"# {'─' * 8} {name} {'─' * 8}\n{text}" for name, text in texts.items())


def written(texts: Mapping[str, str], folder: Path) -> str:
    """Writes them into the folder; returns what became of each, a line for each.

    Raises DestinationFailed where one is there already and differs, then nothing is written; or where none can be.
    """
    remedy = "Nothing was written. Compare it with what this command prints without --to, and move it away."
    try:
        for name, text in texts.items():
            if (folder / name).exists() and (folder / name).read_text(encoding="utf-8") != text:
                raise DestinationFailed(str(folder / name), "it is there, and differs from this one", remedy)
        return "\n".join(
            f"{made(folder / name, text.encode(), 0o666)}  {folder / name}" for name, text in texts.items()
        )
    except OSError as error:
        remedy = "Name a folder that you may write to."
        raise DestinationFailed(str(folder), error.strerror or str(error), remedy) from error


def only_here() -> list[str]:
    """The settings that this shell's environment has, and no scheduler's."""
    names = (name for name in os.environ if name.startswith(OF_THIS_SHELL))
    return sorted(name for name in names if name != "RUNTIME__LOG_LEVEL")  # --debug sets that itself


def _check(kind: Kind, path: str, *, is_program: bool) -> None:
    # systemd starts no program with a quote in its path (252)
    forbidden = "\\'\"" if kind == "systemd" and is_program else "\\"
    wrong = sorted({char for char in path if char in forbidden or not char.isprintable()})
    if wrong:
        raise NotConfigured(
            f"{path!r} can't stand in a schedule for {kind}: it has {', '.join(map(repr, wrong))}. "
            "Move it to, or install it in, a folder with a plainer name."
        )


def _owner(project: Path) -> str:
    try:
        owner = project.owner()
    except (KeyError, NotImplementedError):  # nobody's any more; Windows
        return "pickups"
    return "pickups" if owner == "root" else owner


def _homes(paths: list[Path]) -> str:
    """What systemd's ProtectHome can be: nobody's home is looked into unless something of ours lies in one."""
    ours = [*paths, Path(sys.executable).resolve(), Path(sys.base_prefix)]
    return "read-only" if any(path.is_relative_to(home) for path in ours for home in HOMES) else "yes"


def _keys(accounts: list[str]) -> str:
    """The lines of the workflow that hand on the keys: GitHub's secrets have letters, digits and _ in their names."""
    lines: dict[str, str] = {}
    for place in [f"{ALL}.{account}" for account in accounts] or [COMMON]:
        for key in ("public_key", "secret_key"):
            variable = f"{place}.credentials.{key}".replace(".", "__").upper()
            secret = variable.removeprefix("SOURCES__").replace("-", "_")
            lines[f"{variable}: ${{{{ secrets.{secret} }}}}"] = secret
    if len({*lines.values()}) < len(lines):
        raise NotConfigured("Two accounts' names differ in '-' and '_' only: GitHub's secrets can't tell them apart.")
    return "\n          ".join(lines)
