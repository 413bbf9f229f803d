"""Views that are computed once and kept as Parquet files, for readers who would otherwise compute them each time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pipelines import models
from pipelines.errors import DestinationFailed, NotConfigured, NothingYet
from pipelines.on_spark import BUILT, BY_MONTH, build_on_spark, receipt
from pipelines.project import environment, inside
from pipelines.settings import setting
from pipelines.store import Connection
from pipelines.warehouse import DatabaseError, reading
from pipelines.which_store import store_of

FOLDER = "analytics"  # below the lake's address, where nobody says otherwise
Engine = Literal["duckdb", "spark"]


def build(
    engine: Engine, to: str | None, master: str, on_progress: Callable[[str], None] = lambda _view: None
) -> tuple[str, dict[str, int]]:
    """Computes every view and writes it to a folder of its own in `to`, by default `analytics` in the lake: where that
    is, and the rows of each. Calls `on_progress` with each view that is written.

    Raises NotConfigured for what can't be, NothingYet without pickups, DestinationFailed for files that can't be read
    or written.
    """
    with inside() as project:
        store = store_of(project)
        is_lake = setting("pipeline.destination") == "filesystem"
    if engine == "spark" and not is_lake:
        raise NotConfigured(
            'Spark reads a lake\'s files: set [pipeline] destination = "filesystem", or --engine duckdb.'
        )
    if not to and not is_lake:
        raise NotConfigured("Where to? --to FOLDER; only a lake has a place for it of its own.")
    place = to or f"{store}/{FOLDER}"
    if "://" not in place:
        place = str(Path(place).resolve())
    if engine == "duckdb":
        return place, build_with_duckdb(place, on_progress)
    from pipelines.lake import lake  # deltalake is an extra
    from pipelines.lake_built import lake_files

    with inside():
        files = lake_files(lake().tables)
    if not files.get("pickups"):
        raise NothingYet(str(store))
    return place, build_on_spark(
        {name: [*map(_of_hadoop, of)] for name, of in files.items()}, _of_hadoop(place), master, on_progress
    )


def told(folder: str, rows: dict[str, int], *, as_json: bool) -> str:
    """For the terminal: the rows of each view, and where they are."""
    if as_json:
        return json.dumps({"folder": folder, "rows": rows}, ensure_ascii=False)
    return "\n".join([*(f"{count:>12,}  {view}" for view, count in rows.items()), f"in {folder}"])


def _of_hadoop(address: str) -> str:
    return f"s3a{address[2:]}" if address.startswith("s3://") else address


def build_with_duckdb(to: str, on_progress: Callable[[str], None] = lambda _view: None) -> dict[str, int]:
    """The same of whatever people read, by DuckDB, to a folder of this machine."""
    if "://" in to:
        raise NotConfigured(f"DuckDB writes to a folder of this machine, not to {to}: --to FOLDER, or --engine spark.")
    folder, mark, counts = Path(to), uuid4().hex[:8], {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with environment({"PUBLISH__VIEWS": "computed"}), reading() as connection:
            for path in models.views():
                counts[path.stem] = _copy(connection, path.stem, folder / f".{path.stem}.{mark}")
                on_progress(path.stem)
            ((as_of,),) = connection.execute("select max(as_of_utc) from analytics.pickups").fetchall()
        for view in counts:
            _replace(folder / f".{view}.{mark}", folder / view)
        (folder / BUILT).write_text(receipt("duckdb", counts, as_of), encoding="utf-8")
    except (OSError, DatabaseError) as error:
        raise DestinationFailed(
            to,
            str(error).split("\n")[0],
            "Each view is whole, the old or the new: mend the cause and build again.",
        ) from error
    finally:
        for left in folder.glob(f".*.{mark}*"):
            shutil.rmtree(left, ignore_errors=True)
    return counts


def _copy(connection: Connection, view: str, to: Path) -> int:
    import pyarrow as pa
    from pyarrow import dataset, parquet

    month = f", strftime({BY_MONTH[view]}, '%Y-%m') as month" if view in BY_MONTH else ""
    rows = connection.sql(f"select *{month} from analytics.{view}").to_arrow_reader()  # noqa: S608  # names of ours
    by_month = dataset.partitioning(pa.schema([("month", pa.string())]), flavor="hive") if month else None
    written: list[int] = []
    to.mkdir()

    def count(file: dataset.WrittenFile) -> None:
        written.append(file.metadata.num_rows)

    dataset.write_dataset(rows, to, format="parquet", partitioning=by_month, file_visitor=count)
    if not written:  # not one month: the columns all the same
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
