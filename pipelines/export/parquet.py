"""Exports the views as Parquet files, so that readers don't have to compute the views for each query."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pipelines.analytics.views import view_files
from pipelines.config.project import environment_variables, project_context
from pipelines.config.settings import get_setting
from pipelines.destinations.base import Session
from pipelines.destinations.duckdb.session import DatabaseError
from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from pipelines.destinations.schemas import configured_names
from pipelines.destinations.select import select_backend
from pipelines.errors import DestinationError, NoData
from pipelines.export.manifest import MANIFEST, MONTH_COLUMNS, check_folder, manifest_text
from pipelines.export.spark import export_with_spark
from pipelines.output import to_json
from pipelines.warehouse import reading
from sources.sendcloud.errors import SettingsError

Engine = Literal["duckdb", "spark"]


def export_views(
    engine: Engine,
    to: str | None,
    master: str,
    on_progress: Callable[[str], None] = lambda _view: None,
    only: PickupFilter = ALL_PICKUPS,
) -> tuple[str, dict[str, int]]:
    """Computes every view and writes it as Parquet files to its own folder in `to`.

    Args:
        engine: the engine that computes the views. Spark requires a lake.
        to: the folder to write to; default `analytics` in the lake. Other destinations have no default folder.
        master: the URL of the Spark master. DuckDB ignores this argument.
        on_progress: called with the name of each view once it has been computed.
        only: the pickups to export. Only DuckDB can select some, and not into the folder that a lake's readers use.

    Returns:
        The folder, and the number of rows in each view.

    Raises:
        FilterError: the filter names an account, a carrier or a country that no pickup has.
        SettingsError: the engine or the folder is not valid for the configured destination. This error is also raised
            if pyspark or Java is missing.
        NoData: there are no pickups.
        DestinationError: files can't be read or written, or Spark can't start.
    """
    with project_context() as project:
        backend, names = select_backend(project), configured_names()
        is_lake = get_setting("pipeline.destination") == "delta"
    if engine == "spark" and not is_lake:
        raise SettingsError(
            'Spark reads only the files of a lake. Set [pipeline] destination = "delta", or use --engine duckdb.'
        )
    if not to and not is_lake:
        raise SettingsError(
            "The export needs a folder, because only a lake has a default folder. Specify one with --to FOLDER."
        )
    place = to or f"{backend}/{names.analytics}"
    if "://" not in place:
        place = str(Path(place).resolve())
    if only != ALL_PICKUPS:
        _check_selective(engine, place, f"{backend}/{names.analytics}" if is_lake else None)
    if engine == "duckdb":
        return place, export_with_duckdb(place, on_progress, only)
    from pipelines.destinations.delta.backend import delta_backend  # deltalake is an optional extra
    from pipelines.destinations.delta.built_views import parquet_files

    with project_context():
        files = parquet_files(delta_backend(names).tables)
    if not files.get("pickups"):
        raise NoData(str(backend))
    return place, export_with_spark(
        {name: [*map(_hadoop_address, of)] for name, of in files.items()}, _hadoop_address(place), master, on_progress
    )


def _check_selective(engine: Engine, place: str, for_readers: str | None) -> None:
    """Raises SettingsError if an export of some pickups would fail, or would be read as if it held all of them."""
    if engine == "spark":
        raise SettingsError("Spark exports all pickups. To export some of them, use --engine duckdb.")
    if for_readers and place in (for_readers, str(Path(for_readers).resolve())):
        raise SettingsError(
            f'{place} is for all pickups, because readers with [publish] views = "built" use it. To export some '
            "pickups, specify another folder with --to FOLDER."
        )


def format_export(folder: str, rows: dict[str, int], *, as_json: bool) -> str:
    """Returns the number of rows in each view and the folder, as lines for a terminal or as one JSON object."""
    if as_json:
        return to_json({"folder": folder, "rows": rows})
    return "\n".join([*(f"{count:>12,}  {view}" for view, count in rows.items()), f"in {folder}"])


def _hadoop_address(address: str) -> str:
    return f"s3a{address[2:]}" if address.startswith("s3://") else address


def export_with_duckdb(
    to: str, on_progress: Callable[[str], None] = lambda _view: None, only: PickupFilter = ALL_PICKUPS
) -> dict[str, int]:
    """Computes every view from the published tables with DuckDB, and writes Parquet files to a local folder.

    All views are first computed alongside the existing ones, which they then replace one by one.

    Args:
        to: the local folder to write to. A missing folder is created.
        on_progress: called with the name of each view once it has been computed.
        only: the pickups to export.

    Returns:
        The number of rows in each view.

    Raises:
        SettingsError: `to` is a URL.
        NoData: there are no pickups.
        ForeignObject: the folder contains a file or folder with a view's name that no earlier export has written.
        DestinationError: files can't be read or written.
    """
    if "://" in to:
        raise SettingsError(
            f"DuckDB writes only to local folders, not to {to}. Specify one with --to FOLDER, or use --engine spark."
        )
    folder, mark, counts = Path(to), uuid4().hex[:8], {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        manifest = folder / MANIFEST
        text = manifest.read_text(encoding="utf-8", errors="replace") if manifest.is_file() else None
        is_claimed = check_folder(
            to, [path.name for path in folder.iterdir()], text, [path.stem for path in view_files()]
        )
        with environment_variables({"PUBLISH__VIEWS": "computed"}), reading(only=only) as connection:
            for path in view_files():
                counts[path.stem] = _copy(connection, path.stem, folder / f".{path.stem}.{mark}")
                on_progress(path.stem)
            ((as_of,),) = connection.execute("select max(as_of_utc) from analytics.pickups").fetchall()
        if not is_claimed:
            manifest.write_text(manifest_text("duckdb", counts, as_of, only=only), encoding="utf-8")
        for view in counts:
            _replace(folder / f".{view}.{mark}", folder / view)
        manifest.write_text(manifest_text("duckdb", counts, as_of, only=only), encoding="utf-8")
    except (OSError, DatabaseError) as error:
        raise DestinationError(
            to,
            str(error).split("\n")[0],
            "Each view is complete, in either its old or its new version. Fix the cause and export again.",
        ) from error
    finally:
        for left in folder.glob(f".*.{mark}*"):
            shutil.rmtree(left, ignore_errors=True)
    return counts


def _copy(connection: Session, view: str, to: Path) -> int:
    import pyarrow as pa
    from pyarrow import dataset, parquet

    month = f", strftime({MONTH_COLUMNS[view]}, '%Y-%m') as month" if view in MONTH_COLUMNS else ""
    rows = connection.sql(f"select *{month} from analytics.{view}").to_arrow_reader()  # noqa: S608  # the names are constants
    by_month = dataset.partitioning(pa.schema([("month", pa.string())]), flavor="hive") if month else None
    written: list[int] = []
    to.mkdir()

    def count(file: dataset.WrittenFile) -> None:
        written.append(file.metadata.num_rows)

    dataset.write_dataset(rows, to, format="parquet", partitioning=by_month, file_visitor=count)
    if not written:  # a view without rows still needs a file with its columns
        without_month = [field for field in rows.schema if field.name != "month"]
        parquet.write_table(pa.schema(without_month).empty_table(), to / "part-0.parquet")
    return sum(written)


def _replace(fresh: Path, place: Path) -> None:
    old = fresh.with_name(fresh.name + ".old")
    if place.exists():
        place.rename(old)
    try:
        fresh.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)
