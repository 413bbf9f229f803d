"""Tests that every workaround in pipelines/dlt_workarounds.py is still needed, by what dlt does without it.

If a test fails, dlt has changed: remove or adapt the workaround.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest
from dlt.common.configuration import configspec, plugins
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.configuration.utils import get_resolved_traces
from dlt.common.runtime import anon_tracker, run_context
from dlt.destinations.impl.duckdb.duck import DuckDbClient
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines import dlt_workarounds


@configspec
class Refresh(BaseConfiguration):
    refresh: str = "never"


def plain_context(project: Path) -> Any:
    return plugins.manager().hook.plug_run_context(run_dir=str(project), runtime_kwargs=None)


def value_in(context: Any, key: str, *sections: str) -> object:
    providers = PluggableRunContext(context).providers.providers
    return next((value for p in providers if (value := p.get_value(key, str, None, *sections)[0]) is not None), None)


def run_plain_pipeline(folder: Path, database: Path, **options: Any) -> None:
    destination = options.pop("destination", dlt.destinations.duckdb(str(database)))
    pipeline = dlt.pipeline("plain", pipelines_dir=str(folder), destination=destination, dataset_name="mine")
    pipeline.run([{"id": 1}], table_name="rows", **options)


def test_dlt_reads_settings_from_its_global_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "global").mkdir()
    (tmp_path / "global" / "config.toml").write_text("[runtime]\nlog_level = 'DEBUG'\n")
    monkeypatch.setattr(run_context, "global_dir", lambda: str(tmp_path / "global"))
    plain, ours = plain_context(tmp_path / "project"), plain_context(tmp_path / "project")
    dlt_workarounds.ignore_global_folder(ours, tmp_path / "project")

    assert value_in(plain, "log_level", "runtime") == "DEBUG"
    assert value_in(ours, "log_level", "runtime") is None


def test_dlt_finds_a_key_that_is_in_no_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRESH", "drop_data")

    assert resolve_configuration(Refresh(), sections=("sources", "sendcloud")).refresh == "drop_data"


def test_dlt_keeps_resolved_settings_for_the_next_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    get_resolved_traces().clear()
    monkeypatch.setenv("REFRESH", "drop_data")
    resolve_configuration(Refresh())

    assert "drop_data" in str(get_resolved_traces().resolved_traces)
    dlt_workarounds.forget_resolved_settings()
    assert not get_resolved_traces().resolved_traces


def test_dlt_creates_an_anonymous_id_even_if_telemetry_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create = getattr(anon_tracker.get_anonymous_id, "__wrapped__", anon_tracker.get_anonymous_id)
    monkeypatch.setattr(anon_tracker, "get_anonymous_id", create)
    monkeypatch.setattr(run_context, "global_dir", lambda: str(tmp_path / "global"))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")

    run_plain_pipeline(tmp_path / "plain", tmp_path / "x.duckdb")
    assert (tmp_path / "global" / ".anonymous_id").exists()

    shutil.rmtree(tmp_path / "global")
    dlt_workarounds.create_no_anonymous_id()
    run_plain_pipeline(tmp_path / "ours", tmp_path / "x.duckdb")
    assert not (tmp_path / "global").exists()


@pytest.mark.parametrize("character", "%'")
def test_dlt_cannot_work_in_a_folder_with_this_character(tmp_path: Path, character: str) -> None:
    folder = tmp_path / f"a{character}b"
    folder.mkdir()

    with pytest.raises(Exception, match=r"."):
        run_plain_pipeline(folder, tmp_path / "x.duckdb", loader_file_format="parquet")
    assert dlt_workarounds.unsafe_character(folder) == character


def test_dlt_resolves_capabilities_repeatedly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    destination = dlt.destinations.duckdb(str(tmp_path / "x.duckdb"))
    resolve = destination.capabilities

    def counted(*words: Any, **named: Any) -> Any:
        calls.append(words)
        return resolve(*words, **named)

    monkeypatch.setattr(destination, "capabilities", counted)

    run_plain_pipeline(tmp_path / "plain", tmp_path / "x.duckdb", destination=destination)
    without = len(calls)
    calls.clear()
    run_plain_pipeline(
        tmp_path / "cached", tmp_path / "x.duckdb", destination=dlt_workarounds.cache_capabilities(destination)
    )

    assert without > 20
    assert len(calls) <= without / 2


def test_dlt_prepares_each_job_through_the_wrapped_method(tmp_path: Path) -> None:
    """dlt has no hook before a job. If dlt no longer called this method, the check would be skipped silently."""
    checks: list[str] = []
    destination = dlt.destinations.duckdb(str(tmp_path / "x.duckdb"))
    dlt_workarounds.check_before_each_job(destination, lambda: checks.append("checked"))

    run_plain_pipeline(tmp_path / "work", tmp_path / "x.duckdb", destination=destination)

    assert checks
    assert hasattr(DuckDbClient, "prepare_load_job_execution")


def test_a_failed_check_ends_the_load(tmp_path: Path) -> None:
    destination = dlt.destinations.duckdb(str(tmp_path / "x.duckdb"))

    def lost() -> None:
        raise RuntimeError("the lock was lost")

    dlt_workarounds.check_before_each_job(destination, lost)

    with pytest.raises(PipelineStepFailed, match="the lock was lost"):
        run_plain_pipeline(tmp_path / "work", tmp_path / "x.duckdb", destination=destination)


@pytest.mark.engines
def test_dlt_cannot_copy_a_parquet_file_without_rows_into_postgresql(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlt.destinations.impl.postgres.postgres import PostgresParquetCopyJob

    from tests.support.destinations import fresh_database

    monkeypatch.setattr(PostgresParquetCopyJob, "_ingest_per_rowgroup", False)
    destination = dlt.destinations.postgres(fresh_database(postgres))
    pipeline = dlt.pipeline("plain", pipelines_dir=str(tmp_path), destination=destination, dataset_name="mine")

    with pytest.raises(PipelineStepFailed):
        pipeline.run(pa.table({"id": pa.array([], pa.int64())}), table_name="rows", loader_file_format="parquet")
