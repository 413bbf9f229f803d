"""dlt's configuration for one project: its `.dlt` folder and the environment, and nothing that lies elsewhere.

dlt also reads a config.toml and a secrets.toml from a global folder: `/var/dlt`, `~/.dlt`, or `$TMPDIR/dlt` for a user
without a home, where any other user of the machine can put them (dlt 1.31). And it looks for a key in ever shorter
sections down to none, so that a REFRESH meant for another dlt project emptied our tables (2026-11).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlt.common.configuration import plugins
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.providers import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.configuration.utils import get_resolved_traces

# what a run needs of dlt where the configuration doesn't say otherwise
DEFAULTS: dict[tuple[str, ...], bool | str] = {
    ("runtime", "dlthub_telemetry"): False,
    ("runtime", "log_level"): "CRITICAL",  # an error is one line of ours; --debug shows dlt's own
    ("normalize", "parquet_normalizer", "add_dlt_load_id"): True,
}
NO_GLOBAL_FOLDER = "no-global-settings"  # below .dlt, and never made


@contextmanager
def settings_of_project(project: Path) -> Iterator[None]:
    """Inside the block, dlt's configuration is this project's; after it, what it was before.

    Raises NotConfigured, or what dlt raises, where they can't be read. Call it with DLT_PROJECT_DIR set to the project.
    """
    container = Container()
    # not `get`, which makes one, from the files that it finds
    before = container[PluggableRunContext] if PluggableRunContext in container else None  # noqa: SIM401
    ours = _context_of(project)
    # what an earlier pipeline of this process looked up, and never wrote down, would go into the next one's trace file
    get_resolved_traces().clear()
    try:
        _use(ours)
        yield
    finally:
        # another thread may have entered since: what is in use there stays
        if PluggableRunContext in container and container[PluggableRunContext] is ours:
            if before:
                container[PluggableRunContext] = before
            else:
                del container[PluggableRunContext]


def _use(context: PluggableRunContext) -> None:
    try:
        Container()[PluggableRunContext] = context
    except (ConfigurationException, ValueError):
        from pipelines.verify import verify_runtime

        verify_runtime()  # which of them it is; dlt names neither file nor section, and not every error is its own
        raise


def _context_of(project: Path) -> PluggableRunContext:
    context = plugins.manager().hook.plug_run_context(run_dir=str(project), runtime_kwargs=None)
    context._global_dir = str(project / ".dlt" / NO_GLOBAL_FOLDER)  # dlt 1.31 has no argument for it
    plugged = PluggableRunContext(context)
    for provider in plugged.providers.providers:
        _hide_what_is_not_ours(provider)
    _set_defaults(plugged.providers.providers)
    return plugged


def _set_defaults(providers: Sequence[ConfigProvider]) -> None:
    """In the last of them, config.toml in memory: one more provider costs a tenth of a run (dlt 1.31, 2026-11)."""
    for (*sections, name), value in DEFAULTS.items():
        if all(provider.get_value(name, type(value), "", *sections)[0] is None for provider in providers):
            providers[-1].set_value(name, value, "", *sections)


def _hide_what_is_not_ours(provider: ConfigProvider) -> None:
    """Hides keys in no section, as none of ours is, and `[pipelines]`: what a pipeline of ours is, it is told."""
    look_up = provider.get_value

    def get_value(key: str, hint: Any, pipeline_name: str | None, *sections: str) -> tuple[Any, str]:
        if not sections or sections[0] == "pipelines":
            return None, key
        return look_up(key, hint, pipeline_name, *sections)

    provider.get_value = get_value  # type: ignore[method-assign]
