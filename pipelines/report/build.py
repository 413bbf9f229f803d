"""Builds the self-contained page that `pickups report` writes from executed notebooks, for a browser or printer."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines import atomic_file
from pipelines.atomic_file import remove_leftovers, replace_atomically
from pipelines.config.project import environment_variables, notebooks_folder, project_context
from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from pipelines.destinations.select import select_backend
from pipelines.errors import DestinationError, ForeignObject, NotebookFailed
from pipelines.report.html import chapter, is_own_page, render_page
from pipelines.report.settings_cell import fill_settings_cell
from pipelines.warehouse import read_rows
from sources.sendcloud.errors import SettingsError

CELL_TIMEOUT_SECONDS = 600
# prefixes of environment variables that contain secrets
SECRETS = ("SOURCES__", "ALERTS__", "RUNTIME__SLACK_INCOMING_HOOK")
REQUIRED_PACKAGES = ("nbclient", "nbconvert", "matplotlib", "pandas", "ipykernel")


def build_report(
    to: str | Path | None = None,
    *,
    only: PickupFilter = ALL_PICKUPS,
    on_progress: Callable[[str], None] = lambda _name: None,
) -> Path:
    """Executes the notebooks and writes the report. A previous report stays in place until the new report is complete.

    Args:
        to: the file to write; default `data/report/index.html` in the project folder.
        only: the pickups to include; default all.
        on_progress: called with the name of each notebook before it is executed.

    Returns:
        The absolute path of the report.

    Raises:
        NoData: there are no pickups.
        SettingsError: the packages that the notebooks import are not installed, or a notebook is from an older version
            and can't apply the filter.
        NotebookFailed: a cell failed or timed out, or the kernel died.
        DestinationError: the report can't be written.
        ForeignObject: the file exists, and this program did not create it.
        FilterError: `only` names an account, a carrier or a country that no pickup has.
    """
    if missing := [name for name in REQUIRED_PACKAGES if not find_spec(name)]:
        raise SettingsError(
            f"A report needs packages that are not installed: {', '.join(missing)}. "
            "Run: pip install 'sendcloud-pickups[notebooks]'"
        )
    with project_context() as project, warnings.catch_warnings(), _jupyter_folder():
        warnings.filterwarnings("ignore", "IPython (parent|dir)")  # the report stores nothing in IPython's folders
        page, backend = Path(to or project / "data" / "report" / "index.html").absolute(), select_backend(project)
        if page.is_file() and page.stat().st_size and not is_own_page(page):
            raise ForeignObject(str(page), "was not created by this program", "Specify another file (--to FILE).")
        with backend.read_session(only):
            pass  # If there are no pickups, this call raises NoData before a kernel is started.
        try:
            remove_leftovers(page, older_than_seconds=atomic_file.DAY_SECONDS)
            with backend.snapshot() as still, replace_atomically(page) as fresh:
                chapters = []
                for notebook in sorted(notebooks_folder(project).glob("*.ipynb")):
                    on_progress(notebook.stem)
                    chapters.append(chapter(notebook.stem, _execute(notebook, still, only)))
                with environment_variables(still):
                    runs = read_rows("runs", only=only)
                fresh.write_text(render_page(chapters, runs, only), encoding="utf-8")
        except OSError as error:
            raise DestinationError(str(page), str(error), "The previous report is unchanged.") from error
    return page


def _execute(notebook: Path, still: Mapping[str, str], only: PickupFilter) -> Any:
    """Returns the notebook after a new kernel has executed every cell.

    The notebook's settings cell selects the pickups in `only`.
    """
    # jsonschema 4.26 uses rfc3987_syntax to check IRIs. Importing rfc3987_syntax takes 4 s, because of its grammar
    # (2026-11). The import is blocked because notebooks contain no IRIs.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    run = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    fill_settings_cell(run, notebook, only)
    sockets = tempfile.TemporaryDirectory()
    # Unlike the default transport, IPC opens no port.
    settings = Config(AsyncKernelManager={"transport": "ipc", "ip": f"{sockets.name}/kernel"})
    folder = {"metadata": {"path": str(notebook.parent)}}
    client = NotebookClient(run, config=settings, timeout=CELL_TIMEOUT_SECONDS, resources=folder)
    variables = {**_kernel_environment(), **still}
    try:
        # The notebook stores the output of its cells, so stderr would show only ipykernel's errors at shutdown.
        client.execute(env=variables, stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        raise NotebookFailed(notebook, f"{error.ename}: {error.evalue}") from None
    except CellTimeoutError:
        raise NotebookFailed(notebook, f"a cell took longer than {CELL_TIMEOUT_SECONDS} seconds") from None
    except DeadKernelError:
        raise NotebookFailed(notebook, "the kernel died (it was killed, or it ran out of memory)") from None
    finally:
        sockets.cleanup()
    return run


@contextmanager
def _jupyter_folder() -> Iterator[None]:
    """Makes Jupyter and IPython use an empty folder inside the block, instead of the user's own files.

    A kernel, template or start-up script that a user has installed for other work could break the report.
    """
    with tempfile.TemporaryDirectory() as folder:
        used = dict.fromkeys(("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"), folder)
        unused = dict.fromkeys(("JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "PYTHONSTARTUP"))
        with environment_variables({**used, **unused}):
            yield


def _kernel_environment() -> dict[str, str]:
    """Returns a kernel's environment without the API keys and the alert addresses, which no notebook needs.

    Matplotlib's settings are fixed, because an editor's console sets a backend that no other process can use.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(SECRETS)}
    drawing = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MATPLOTLIBRC": os.devnull}
    return {**inherited, **drawing, "PYTHONPATH": _python_path()}


def _python_path() -> str:
    """Returns a PYTHONPATH with this package first, so the kernel can import modules that are not installed."""
    return os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
