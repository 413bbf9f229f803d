"""`pickups init`: a project folder for the installed command, which needs no checkout. What is there stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import DestinationFailed
from pipelines.project import came_with, command_in

SECRETS = ".dlt/secrets.toml"
IGNORED = ".dlt/secrets.toml\n/data/\n/.venv/\n.ipynb_checkpoints/\n__pycache__/\n"


def make(folder: Path) -> str:
    """Makes what is missing of a project folder; returns what was made, what was kept, and what to do next.

    A file that is there is never written to, whatever is in it. Raises DestinationFailed where nothing can be written.
    """
    project = folder.resolve()
    said = [f"{project}"]
    for name, content in _contents():
        try:
            said.append(f"  {made(project / name, content, mode=0o600 if name == SECRETS else 0o666)}  {name}")
        except OSError as error:
            remedy = "What was there is as it was; name a folder that you may write to."
            raise DestinationFailed(str(project / name), error.strerror or str(error), remedy) from error
    if any(line.startswith("  kept") for line in said):
        said.append(
            "Kept is what was there and is not what this version would make. See that .gitignore names secrets.toml."
        )
    return "\n".join([*said, _next_steps(project)])


def _contents() -> Iterator[tuple[str, bytes]]:
    """Every file of a new project, and what is in it."""
    ours = came_with()
    yield ".dlt/config.toml", (ours / ".dlt" / "config.toml").read_bytes()
    yield SECRETS, (ours / ".dlt" / "example.secrets.toml").read_bytes()
    yield ".gitignore", IGNORED.encode()
    for path in [*sorted((ours / "notebooks").glob("*.ipynb")), ours / "notebooks" / "README.md"]:
        yield f"notebooks/{path.name}", path.read_bytes()


def made(path: Path, content: bytes, mode: int) -> str:
    """Writes the file where there is none; tells what became of it. One half written is taken away."""
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
    command, lab = command_in(project), command_in(project, "jupyter")
    return f"""
Next, in {project}:
  own keys   put them into .dlt/secrets.toml (panel: Settings, Integrations, your API integration), then: {command} run
  no keys    {command} demo
  notebooks  {lab} lab notebooks   (needs pip install 'sendcloud-pickups[notebooks]')"""
