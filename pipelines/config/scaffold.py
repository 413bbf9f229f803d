"""Implements `pickups init`, which creates a project folder and never changes an existing file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from pipelines.config.project import command_path, packaged_folder
from pipelines.errors import DestinationError

SECRETS_FILE = ".dlt/secrets.toml"
GITIGNORE = ".dlt/secrets.toml\n/data/\n/.venv/\n.ipynb_checkpoints/\n__pycache__/\n"


def create_project(folder: Path) -> str:
    """Creates the files that are missing from a project folder. Existing files are never changed.

    Args:
        folder: the project folder. If the folder does not exist, it is created.

    Returns:
        Text that lists the created and kept files, followed by the next steps.

    Raises:
        DestinationError: a file can't be written.
    """
    project = folder.resolve()
    lines = [f"{project}"]
    for name, content in _project_files():
        try:
            mode = 0o600 if name == SECRETS_FILE else 0o666
            lines.append(f"  {create_file(project / name, content, mode)}  {name}")
        except OSError as error:
            remedy = "Existing files are unchanged. Choose a folder that you can write to."
            raise DestinationError(str(project / name), error.strerror or str(error), remedy) from error
    if any(line.startswith("  kept") for line in lines):
        lines.append("The kept files already existed and differ from this version's files.")
    if not _is_ignored(project / ".gitignore"):
        lines.append(
            f".gitignore does not list {SECRETS_FILE}. To keep the keys out of Git, add this line to .gitignore."
        )
    return "\n".join([*lines, _next_steps(project)])


def _is_ignored(path: Path) -> bool:
    """Returns whether the .gitignore lists the secrets file or its folder."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip().strip("/") in (SECRETS_FILE, *SECRETS_FILE.split("/")) for line in lines)


def _project_files() -> Iterator[tuple[str, bytes]]:
    """Yields the name and content of every file in a new project."""
    ours = packaged_folder()
    yield ".dlt/config.toml", (ours / ".dlt" / "config.toml").read_bytes()
    yield SECRETS_FILE, (ours / ".dlt" / "example.secrets.toml").read_bytes()
    yield ".gitignore", GITIGNORE.encode()
    for path in [*sorted((ours / "notebooks").glob("*.ipynb")), ours / "notebooks" / "README.md"]:
        yield f"notebooks/{path.name}", path.read_bytes()


def create_file(path: Path, content: bytes, mode: int) -> str:
    """Creates the file unless it already exists. If writing fails, the partly written file is removed.

    Args:
        path: the path of the file. A missing folder is created.
        content: the bytes to write.
        mode: the permissions of a new file, before the umask is applied.

    Returns:
        "made" if the file was created, "same" if it already existed with this content, otherwise "kept".

    Raises:
        OSError: the file can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    except FileExistsError:
        return "same" if path.is_file() and path.read_bytes() == content else "kept"
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        path.unlink()
        raise
    return "made"


def _next_steps(project: Path) -> str:
    command, lab = command_path(project), command_path(project, "jupyter")
    extra = (
        "" if find_spec("jupyterlab") else "   (first install the extra notebooks: see docs/how-to/install.md#extras)"
    )
    return f"""
Next, in {project}:
  own keys   put them into .dlt/secrets.toml (panel: Settings, Integrations, your API integration), then: {command} run
  no keys    {command} demo
  notebooks  {lab} lab notebooks{extra}"""
