"""Contains the workarounds for dlt 1.31. Each docstring gives the reason for a workaround, and a test fails once dlt
has been fixed.

The tests are in tests/project/test_dlt_workarounds.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sources.sendcloud.errors import SettingsError

if TYPE_CHECKING:
    from dlt.common.configuration.providers import ConfigProvider
    from dlt.common.destination import Destination
    from dlt.common.runtime.exec_info import RunContextBase  # type: ignore[attr-defined]

MISSING_GLOBAL_FOLDER = "no-global-settings"  # this folder in .dlt is never created


def ignore_global_folder(context: RunContextBase, project: Path) -> None:
    """Stops dlt from reading config.toml and secrets.toml in its global folder.

    The folder is `/var/dlt`, `~/.dlt` or, for a user without a home directory, `$TMPDIR/dlt`, where any local user can
    create files. dlt has no argument for choosing another folder.
    """
    context._global_dir = str(project / ".dlt" / MISSING_GLOBAL_FOLDER)


@contextmanager
def read_settings_files(read: Callable[[str], Any]) -> Iterator[None]:
    """Makes dlt call `read` inside the block for the content of each settings file; None means that there is no file.

    dlt reads the files while it constructs a provider, and has no argument to replace the function that reads them.
    """
    from dlt.common.configuration.providers.toml import SettingsTomlProvider

    before = SettingsTomlProvider._read_toml_file
    SettingsTomlProvider._read_toml_file = lambda _, toml_path: read(toml_path)  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        SettingsTomlProvider._read_toml_file = before  # type: ignore[method-assign]


def hide_foreign_keys(
    provider: ConfigProvider, is_read: Callable[..., bool], given: Mapping[str, object] = MappingProxyType({})
) -> None:
    """Makes dlt read only the settings for which `is_read` returns True, and none in a section named after a pipeline.

    dlt looks up a key under progressively shorter section paths, so a REFRESH variable meant for another dlt project
    emptied the tables (2026-11).

    Args:
        provider: the provider that looks up the settings.
        is_read: called with the key and its sections.
        given: values by dotted key, which dlt receives regardless of the configuration.
    """
    from dlt.common.configuration.providers import EnvironProvider

    look_up = provider.get_value

    def get_value(key: str, hint: Any, pipeline_name: str | None, *sections: str) -> tuple[Any, str]:
        if pipeline_name or not is_read(key, *sections):
            return given.get(".".join((*sections, key))), key
        # for a secret type, dlt's provider for environment variables also reads files in /run/secrets
        return look_up(key, Any if isinstance(provider, EnvironProvider) else hint, pipeline_name, *sections)

    provider.get_value = get_value  # type: ignore[method-assign]


def forget_resolved_settings() -> None:
    """Clears the settings that earlier pipelines in this process looked up.

    dlt keeps these settings until the next pipeline finishes, and then writes them, including credentials, to that
    pipeline's trace file.
    """
    from dlt.common.configuration.utils import get_resolved_traces

    get_resolved_traces().clear()


def create_no_anonymous_id() -> None:
    """Stops dlt from creating a file with an anonymous id in its global folder while telemetry is off.

    dlt prepares each telemetry event, including the id, before it checks whether the event should be sent.
    """
    from dlt.common.runtime import anon_tracker

    create = anon_tracker.get_anonymous_id
    if hasattr(create, "__wrapped__"):  # already in place
        return

    @wraps(create)
    def get_anonymous_id() -> str:
        return create() if anon_tracker._ANON_TRACKER_ENDPOINT else ""

    anon_tracker.get_anonymous_id = get_anonymous_id


def whole_document(provider: ConfigProvider) -> dict[str, Any]:
    """Returns the complete contents of the provider's files.

    dlt's `get_value` returns a single value, and its `to_toml` returns text that would have to be parsed again for each
    section.
    """
    document: dict[str, Any] = provider._config_doc  # type: ignore[attr-defined]
    return document


def unsafe_character(folder: Path) -> str | None:
    """Returns a character in the folder's path that dlt can't handle, or None if there is none.

    dlt inserts the path of its working folder into a %-template and into SQL without escaping it.
    """
    return next((character for character in "%'" if character in str(folder)), None)


def cache_capabilities(destination: Destination[Any, Any]) -> Destination[Any, Any]:
    """Caches the destination's capabilities and returns the destination.

    dlt requests the capabilities 50 times per run, and each request resolves the whole configuration. Without a cache,
    these requests take a fifth of the total run time (2026-11).
    """
    resolve, cached = destination.capabilities, dict[Any, Any]()

    def capabilities(config: Any = None, naming: Any = None) -> Any:
        if config is not None:
            return resolve(config, naming)
        if type(naming) not in cached:
            cached[type(naming)] = resolve(None, naming)
        return cached[type(naming)]

    destination.capabilities = capabilities  # type: ignore[method-assign]
    return destination


def check_before_each_job(destination: Destination[Any, Any], check: Callable[[], None]) -> None:
    """Makes dlt call `check` before each job that writes. An exception raised by `check` ends the load.

    A load consists of several jobs, and dlt retries failed ones. For example, dlt would retry a merge that failed
    because another run had written its rows first. dlt has no hook for this check.
    """
    from dlt.common.destination.exceptions import DestinationTerminalException

    create = destination.client

    def client(*args: Any, **named: Any) -> Any:
        created = create(*args, **named)
        prepare = created.prepare_load_job_execution

        def checked(job: Any) -> None:
            try:
                check()
            except Exception as error:
                raise DestinationTerminalException(str(error)) from error
            prepare(job)

        created.prepare_load_job_execution = checked
        return created

    destination.client = client  # type: ignore[method-assign]


def copy_parquet_by_row_group() -> None:
    """Makes dlt copy Parquet files into PostgreSQL one row group at a time.

    If dlt copies a whole file at once, a file without rows can't be loaded, because it contains no batch with the
    column names (2026-11).
    """
    from dlt.destinations.impl.postgres.postgres import PostgresParquetCopyJob

    PostgresParquetCopyJob._ingest_per_rowgroup = True


def resolve_configuration(destination: Destination[Any, Any], dataset: str) -> Any:
    """Returns the destination's configuration for a dataset, which dlt itself resolves only inside a pipeline.

    Raises:
        SettingsError: a setting is missing or invalid.
    """
    from dlt.common.configuration.exceptions import ConfigurationException

    try:
        return destination.configuration(destination.spec()._bind_dataset_name(dataset))
    except ConfigurationException as error:
        raise SettingsError(" ".join(str(error).split())) from None
