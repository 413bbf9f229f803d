"""Builds the self-contained page that `pickups report` writes, directly from the views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipelines import atomic_file
from pipelines.atomic_file import remove_leftovers, replace_atomically
from pipelines.config.project import environment_variables, project_context
from pipelines.config.settings import get_setting
from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from pipelines.destinations.select import select_backend
from pipelines.errors import DestinationError, ForeignObject
from pipelines.report.compose import compose_page
from pipelines.report.html import is_own_page
from pipelines.report.store import Store, copied


def build_report(
    to: str | Path | None = None,
    *,
    only: PickupFilter = ALL_PICKUPS,
    on_progress: Callable[[str], None] = lambda _name: None,
) -> Path:
    """Writes the report. A previous report stays in place until the new report is complete.

    Args:
        to: the file to write; default `data/report/index.html` in the project folder.
        only: the pickups to include; default all.
        on_progress: called with the name of each country before its numbers are computed.

    Returns:
        The absolute path of the report.

    Raises:
        NoData: there are no pickups.
        DestinationError: the report can't be written.
        ForeignObject: the file exists, and this program did not create it.
        FilterError: `only` names an account, a carrier or a country that no pickup has.
    """
    with project_context() as project:
        page, backend = Path(to or project / "data" / "report" / "index.html").absolute(), select_backend(project)
        if page.is_file() and page.stat().st_size and not is_own_page(page):
            raise ForeignObject(str(page), "was not created by this program", "Specify another file (--to FILE).")
        max_age_hours: float = get_setting("status.max_age_hours")
        with backend.read_session(only):
            pass  # If there are no pickups, this call raises NoData before a snapshot is made.
        try:
            remove_leftovers(page, older_than_seconds=atomic_file.DAY_SECONDS)
            with replace_atomically(page) as fresh, _snapshot_store(project, only) as store:
                html = compose_page(store, only, max_age_hours, on_progress, is_demo=backend.is_demo())
                fresh.write_text(html, encoding="utf-8")
        except OSError as error:
            raise DestinationError(str(page), str(error), "The previous report is unchanged.") from error
    return page


@contextmanager
def _snapshot_store(project: Path, only: PickupFilter) -> Iterator[Store]:
    """Yields a copy of the published tables as they are now. The snapshot ends as soon as it has been copied."""
    with ExitStack() as stack:
        with (
            select_backend(project).snapshot() as still,
            environment_variables(still),
            select_backend(project).read_session(only) as session,
        ):
            store = stack.enter_context(copied(session))
        yield store
