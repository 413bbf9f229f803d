"""`pickups report`: the notebooks, executed, as one page that needs nothing else, for a browser or a printer."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines import in_place
from pipelines.errors import DestinationFailed, NotConfigured, NotebookFailed
from pipelines.in_place import sweep_leftovers, written_anew
from pipelines.narrow import EVERYTHING, Only
from pipelines.page import chapter, page_of
from pipelines.project import environment, inside, notebooks_folder
from pipelines.warehouse import read_rows
from pipelines.which_store import store_of

SECONDS_A_CELL = 600
NEEDED = ("nbclient", "nbconvert", "matplotlib", "pandas", "ipykernel")


def report(
    to: str | Path | None = None, *, only: Only = EVERYTHING, on_progress: Callable[[str], None] = lambda _name: None
) -> Path:
    """Writes the page; the file that was there stays until the new one is whole. Returns where it is.

    Args:
        to: the file; default `data/report/index.html` of the project.
        only: which pickups the numbers are about.
        on_progress: called with each notebook's name before it is executed.

    Raises:
        NothingYet: there are no pickups to tell of. NotConfigured: the notebooks' libraries are not installed.
        NotebookFailed: a cell failed. DestinationFailed: the file could not be written.
    """
    if missing := [name for name in NEEDED if not find_spec(name)]:
        raise NotConfigured(
            f"A report needs {', '.join(missing)}, not installed here. pip install 'sendcloud-pickups[notebooks]'"
        )
    with inside() as project, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IPython (parent|dir)")  # nothing of it is kept in a home, writable or not
        page, store = Path(to or project / "data" / "report" / "index.html").absolute(), store_of(project)
        with store.readable(only):
            pass  # NothingYet before a kernel is started
        try:
            sweep_leftovers(page, older_than_seconds=in_place.A_DAY)
            with store.held_still() as still, written_anew(page) as fresh:
                chapters = []
                for notebook in sorted(notebooks_folder(project).glob("*.ipynb")):
                    on_progress(notebook.stem)
                    chapters.append(chapter(notebook.stem, _executed(notebook, still, only)))
                with environment(still):
                    runs = read_rows("runs")
                fresh.write_text(page_of(chapters, runs, only), encoding="utf-8")
        except OSError as error:
            raise DestinationFailed(str(page), str(error), "The report that was there is as it was.") from error
    return page


def _executed(notebook: Path, still: Mapping[str, str], only: Only) -> Any:
    """The notebook after a kernel of its own ran every cell; its one cell of settings says what `only` says."""
    # jsonschema checks IRIs with it: 4 s for a grammar at import, and a notebook has none (jsonschema 4.26, 2026-11)
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    run = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    for cell in run.cells:
        if cell.get("id") == "only":
            since = only.since.isoformat() if only.since else None
            cell.source = f"carriers = {list(only.carriers) if only.carriers else None!r}\nsince = {since!r}"
    sockets = tempfile.TemporaryDirectory()
    settings = Config(AsyncKernelManager={"transport": "ipc", "ip": f"{sockets.name}/kernel"})  # no port is opened
    folder = {"metadata": {"path": str(notebook.parent)}}
    client = NotebookClient(run, config=settings, timeout=SECONDS_A_CELL, resources=folder)
    variables = {**os.environ, **still, "PYTHONPATH": _python_path()}
    try:
        # what a cell writes comes back with it; that ipykernel stumbled over its own end is no news
        client.execute(env=variables, stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        raise NotebookFailed(notebook, f"{error.ename}: {error.evalue}") from None
    except CellTimeoutError:
        raise NotebookFailed(notebook, f"a cell that took longer than {SECONDS_A_CELL} seconds") from None
    except DeadKernelError:
        raise NotebookFailed(notebook, "a kernel that died (killed, or out of memory?)") from None
    finally:
        sockets.cleanup()
    return run


def _python_path() -> str:
    """So that the kernel finds these very modules, installed or not."""
    return os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
