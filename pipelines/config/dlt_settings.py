"""Decides which of dlt's settings take effect in this project.

dlt looks up each of its settings in the environment and in the files, under progressively shorter section paths. Most
of these settings are meant for hand-written pipelines, and another dlt project may have set them in the same shell. In
November 2026, a REFRESH variable from another project emptied the pickup tables. Configured values therefore reach dlt
only if DLT_SETTINGS marks the setting as `read`. For all other settings, dlt uses the project's value or its own
default. The project's own settings are defined in settings.py.
"""

from __future__ import annotations

import os
from typing import Literal

SOURCE = "sources.sendcloud"
Use = Literal["read", "given", "ignored", "refused"]

# One entry per use and section. A name also covers the settings below it. The comments give the reasons.
# tests/safety/test_dlt_settings.py sets each of these names.
_OF_ANY_DESTINATION = (  # the settings decide how or where another pipeline's rows are stored
    "dataset_name default_schema_name destination_name destination_type environment replace_strategy "
    "staging_dataset_name_layout enable_dataset_name_normalization info_tables_query_threshold create_indexes "
    "truncate_tables_on_staging_destination_before_load staging_config local_dir pipeline_name "
    "pipeline_working_dir legacy_db_path "
)
# the settings change how files in the working folder are written, and coerce_timestamps would round times
_OF_DATA_WRITERS = (
    "buffer_max_items file_max_items file_max_bytes disable_compression flavor version data_page_size "
    "timestamp_timezone row_group_size coerce_timestamps allow_truncated_timestamps compression "
    "write_page_index use_content_defined_chunking supports_dictionary_encoding use_compliant_nested_type "
    "arrow_concat_promote_options"
)
# dlt gets the configured value
_READ = {
    "runtime": (
        # documented in docs/reference/settings.md
        "request_timeout request_backoff_factor request_max_retry_delay slack_incoming_hook log_level dlthub_telemetry "
        # these settings have an effect only if dlt's log or telemetry is enabled
        "log_format dlthub_telemetry_endpoint dlthub_telemetry_segment_write_key"
    ),
    # the warehouse file
    "destination.duckdb": "credentials",
    "destination.duckdb.credentials": "database",
    # the server
    "destination.postgres": "credentials",
    # the lake's address, the options for accessing it, and the properties of its tables
    "destination.filesystem": (
        "bucket_url credentials kwargs client_kwargs config_kwargs deltalake_storage_options deltalake_configuration"
    ),
    # dlt's workspaces keep their profiles in the project
    "workspace": "profile settings",
}
# dlt's default applies
_IGNORED = {
    "runtime": (
        # the settings send errors or traces, which may quote the API, to another service
        "sentry_dsn dlthub_dsn "
        # the project names pipelines, handles signals and writes error messages; the source has a setting for attempts
        "pipeline_name run_id config_files_storage_path request_max_attempts http_show_error_body "
        "http_max_error_body_length intercept_signals "
        # these settings belong to dlt's own platform, which a run does not use
        "workspace_id organization_id auth_token api_key api_base_url ai_context_api_url invite_code"
    ),
    # credentials belong to a named destination
    "destination": _OF_ANY_DESTINATION + "credentials csv_format",
    "destination.duckdb": _OF_ANY_DESTINATION,
    # the project opens the file itself, in UTC and without extensions; the warehouse has no server or password
    "destination.duckdb.credentials": (
        "read_only extensions global_config local_config pragmas statements session_timezone "
        "host port username password query drivername conn_pool"
    ),
    # rows are sent as Parquet
    "destination.postgres": _OF_ANY_DESTINATION + "csv_format",
    # another layout would hide the stored state; the tables are Delta tables, which the project reads itself
    "destination.filesystem": _OF_ANY_DESTINATION
    + (
        "layout extra_placeholders current_datetime warn_unsafe_layout_separators max_state_files always_refresh_views "
        "read_only deltalake_streamed_exec as_staging_destination iceberg_table_properties "
        "iceberg_namespace_properties iceberg_use_catalog_purge"
    ),
    # the pipeline is created with fixed arguments (loading/dlt_pipeline.py); a refresh would delete rows
    "pipelines": (
        "refresh dev_mode full_refresh pipeline_name pipelines_dir pipeline_salt destination_type destination_name "
        "staging_type staging_name dataset_name dataset_name_layout default_schema_name use_single_dataset "
        "restore_from_destination enable_runtime_trace import_schema_path export_schema_path loader_file_format "
        "progress collector runtime"
    ),
    # the settings affect speed, memory or files in the working folder; no value made a run faster (2026-11)
    "extract": "workers max_parallel_items futures_poll_interval copy_on_fork next_item_mode",
    "normalize": (
        "workers pool_type start_method run_sleep delete_completed_jobs normalize_volume_path load_volume_path "
        "loader_file_format disable_adbc_detection add_dlt_id add_dlt_load_id"
    ),
    SOURCE: "extract normalize load data_writer schema",
    # the tables have their own key
    "normalize.parquet_normalizer": "add_dlt_id",
    # rows are Arrow tables
    "normalize.json_normalizer": "add_dlt_id add_dlt_load_id",
    "normalize.model_normalizer": "add_dlt_id add_dlt_load_id",
    "data_writer": _OF_DATA_WRITERS,
    "normalize.data_writer": _OF_DATA_WRITERS,
    # a run loads all of its rows or none, and cleans up after itself
    "load": (
        "workers parallelism_strategy raise_on_failed_jobs raise_on_max_retries auto_abort_on_terminal_error "
        "truncate_staging_dataset delete_completed_jobs start_new_jobs_on_signal load_volume_path run_sleep pool_type "
        "start_method"
    ),
    # the tables have fixed columns and names; a schema is stored only in the destination
    "schema": (
        "naming json_normalizer allow_identifier_change_on_table_with_data use_break_path_on_normalize "
        "import_schema_path export_schema_path external_schema_format external_schema_format_remove_defaults "
        "schema_volume_path"
    ),
    # settings come only from the project folder and the environment
    "providers": "enable_google_secrets enable_aws_secrets airflow_secrets google_secrets aws_secrets",
}
# the command exits 3
_REFUSED = {
    # these settings decide which rows dlt drops; a run must load every row that it reads
    f"{SOURCE}.pickups.created_at": (
        "cursor_path lag row_order range_start range_end on_cursor_value_missing allow_external_schedulers"
    ),
    # the source has its own settings (settings.py)
    SOURCE: "runtime max_table_nesting schema_contract root_key parallelized name section",
}
# the project provides these values
GIVEN: dict[str, object] = {
    "normalize.parquet_normalizer.add_dlt_load_id": True,  # every row contains the id of its load
    # the files exist only during the run; writing and reading them takes a tenth less time without Snappy (2026-11-30)
    "data_writer.compression": "none",
    "providers.enable_airflow_secrets": False,  # see `providers` above
}
_USES: dict[Use, dict[str, str]] = {"read": _READ, "ignored": _IGNORED, "refused": _REFUSED}
DLT_SETTINGS: dict[str, Use] = {
    **{f"{section}.{name}": use for use, of in _USES.items() for section in of for name in of[section].split()},
    **dict.fromkeys(GIVEN, "given"),
}
_INTERVAL = "each run decides which part of the list it reads"
# dlt 1.31 reads these variables itself, some of them as soon as it is imported (dlt/common/known_env.py)
DLT_VARIABLES: dict[str, tuple[Use, str]] = {
    "DLT_PROJECT_DIR": ("given", "it is the project folder"),
    "DLT_DATA_DIR": ("read", "documented in docs/reference/settings.md"),
    "DLT_LOCAL_DIR": ("ignored", "a lake's relative path is resolved against the project folder"),
    "DLT_INTERVAL_START": ("ignored", _INTERVAL),
    "DLT_INTERVAL_END": ("ignored", _INTERVAL),
    "DLT_INTERVAL_TIMEZONE": ("ignored", _INTERVAL),
    "DLT_ALLOW_EXTERNAL_SCHEDULERS": ("ignored", _INTERVAL),
    "DLT_CONFIG_FOLDER": ("refused", "makes dlt read the settings from another folder"),
    "DLT_DEFAULT_NAMING_NAMESPACE": ("refused", "changes the names of tables"),
    "DLT_DEFAULT_NAMING_MODULE": ("refused", "changes the names of tables"),
    "DLT_JSON_TYPED_PUA_START": ("refused", "makes the stored state unreadable"),
    "DLT_DLT_ID_LENGTH_BYTES": (
        "refused",
        "changes ids that dlt creates, and breaks the import of dlt unless the value is a number",
    ),
    "DLT_USE_JSON": ("read", "harmless, because each of dlt's JSON libraries reads what the other writes"),
    "DLT_DISABLE_PLUGINS": ("read", "harmless, because a run uses no plugin except dlt's own workspaces"),
    "DLT_PIP_TOOL": ("read", "harmless, because a run installs nothing"),
}


def forget_variables() -> None:
    """Unsets the environment variables that would change dlt's behaviour. Call this function before dlt is imported."""
    for name in variables("ignored", "refused"):
        os.environ.pop(name, None)


def check_variables() -> None:
    """Raises SettingsError if an environment variable has already changed dlt's behaviour."""
    for name in filter(os.environ.__contains__, variables("refused")):
        from sources.sendcloud.errors import SettingsError

        raise SettingsError(f"{name} is set in the environment: it {DLT_VARIABLES[name][1]}. Unset it and start again.")


def variables(*uses: Use) -> list[str]:
    """Returns the environment variables that the project treats in one of these ways."""
    return [name for name, (use, _) in DLT_VARIABLES.items() if use in uses]


def use_of(path: str) -> Use | None:
    """Returns how the project treats a dlt setting, or None if dlt has no setting with this name."""
    while path and path not in DLT_SETTINGS:
        path = path.rpartition(".")[0]
    return DLT_SETTINGS.get(path)
