"""Limits dlt's configuration to one project's `.dlt` folder and the environment.

By default, dlt 1.31 also reads a config.toml and a secrets.toml from a global folder: `/var/dlt`, `~/.dlt` or, for a
user without a home directory, `$TMPDIR/dlt`. Any other user of the machine can create files in `$TMPDIR/dlt`.
dlt_settings.py decides which of dlt's own settings take effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dlt.common.configuration import plugins
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.providers import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from pipelines.config.dlt_settings import GIVEN, use_of
from pipelines.config.settings import ACCOUNTS_SECTION, OWN_SETTINGS, SOURCE_SECTION, known_settings
from pipelines.config.settings_file import read_document
from pipelines.dlt_workarounds import (
    create_no_anonymous_id,
    forget_resolved_settings,
    hide_foreign_keys,
    ignore_global_folder,
    read_settings_files,
)

# a run uses these values for dlt's settings unless the configuration overrides them
DEFAULTS: dict[tuple[str, ...], bool | str] = {
    ("runtime", "dlthub_telemetry"): False,
    ("runtime", "log_level"): "CRITICAL",  # errors are printed as one line; --debug shows dlt's own log
}
_OWN_SECTIONS = {path.split(".")[0] for path in OWN_SETTINGS}


@contextmanager
def dlt_context(project: Path) -> Iterator[None]:
    """Makes dlt use only this project's configuration inside the block, then restores the previous configuration.

    DLT_PROJECT_DIR must be set to the project folder.

    Raises:
        SettingsError: a setting in `[runtime]` is invalid.
        ConfigurationException, ValueError: dlt can't read the configuration for another reason.
    """
    container = Container()
    # `get` would create a context from the files that it finds.
    before = container[PluggableRunContext] if PluggableRunContext in container else None  # noqa: SIM401
    ours = _build_context(project)
    forget_resolved_settings()
    create_no_anonymous_id()
    try:
        _activate(ours)
        yield
    finally:
        # another thread may have activated its own context in the meantime, and that context must stay active
        if PluggableRunContext in container and container[PluggableRunContext] is ours:
            if before:
                container[PluggableRunContext] = before
            else:
                del container[PluggableRunContext]


def _activate(context: PluggableRunContext) -> None:
    try:
        Container()[PluggableRunContext] = context
    except (ConfigurationException, ValueError):
        from pipelines.config.validation import validate_runtime

        # unlike dlt's error, validate_runtime's error names the file and section; any other error is re-raised
        validate_runtime()
        raise


def _build_context(project: Path) -> PluggableRunContext:
    context = plugins.manager().hook.plug_run_context(run_dir=str(project), runtime_kwargs=None)
    ignore_global_folder(context, project)
    with read_settings_files(read_document):
        plugged = PluggableRunContext(context)
    for provider in plugged.providers.providers:
        hide_foreign_keys(provider, _is_read, GIVEN)
    _set_defaults(plugged.providers.providers)
    return plugged


def _set_defaults(providers: Sequence[ConfigProvider]) -> None:
    """Sets DEFAULTS in the last provider, the in-memory copy of config.toml.

    A separate provider for the defaults would account for a tenth of a run's time (dlt 1.31, 2026-11).
    """
    for (*sections, name), value in DEFAULTS.items():
        if all(provider.get_value(name, type(value), "", *sections)[0] is None for provider in providers):
            providers[-1].set_value(name, value, "", *sections)


def _is_read(key: str, *sections: str) -> bool:
    """Returns whether a value that is configured for the key reaches dlt or this project's code."""
    path = ".".join((*sections, key))
    if path.startswith(f"{SOURCE_SECTION}."):
        of_accounts = path == ACCOUNTS_SECTION or path.startswith(f"{ACCOUNTS_SECTION}.")
        return of_accounts or path == f"{SOURCE_SECTION}.credentials" or path in known_settings()
    return path.split(".")[0] in _OWN_SECTIONS or use_of(path) == "read"
