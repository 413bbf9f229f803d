"""The Delta tables of a lake, by dataset and name: the only place that knows where they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from dlt.common.libs.deltalake import deltalake_storage_options
from dlt.common.storages.fsspec_filesystem import fsspec_from_config
from dlt.destinations.impl.filesystem.filesystem import INIT_FILE_NAME

OF_DLT = ("pickups", "pickups_quarantine")
NOTES = "sendcloud_notes"  # what a run notes beside them: dlt makes its own folders, and takes none that is there
EVERY = 100  # changes of a table, before its many small files are made few
KEPT = timedelta(days=7)  # what was replaced, for who is still reading it


class Tables:
    """What is below `[destination.filesystem] bucket_url`."""

    def __init__(self, config: Any) -> None:
        self.filesystem, root = fsspec_from_config(config)
        self.is_local: bool = config.is_local_filesystem
        # of a folder dlt makes an address, with what is no plain letter written as %20 (1.31)
        self.root = str(config.make_local_path(config.bucket_url) if self.is_local else root).rstrip("/")
        self.address = self.root if self.is_local else config.bucket_url.rstrip("/")
        self._versions: Mapping[str, int] | None = None
        self._first_seen: dict[str, int] = {}
        self._options = deltalake_storage_options(config.credentials, config.deltalake_storage_options)

    def datasets(self, prefix: str) -> list[str]:
        """The names of the folders there that begin so; none where there is nothing yet."""
        return sorted(name for name in self._entries(self.root) if name.startswith(prefix) and "." not in name)

    def names(self, dataset: str) -> list[str]:
        """The tables of a dataset, dlt's and those of ours."""
        names = [*self._entries(f"{self.root}/{dataset}"), *self._entries(f"{self.root}/{NOTES}/{dataset}")]
        return sorted(name for name in names if not name.startswith("_dlt") and name != INIT_FILE_NAME)

    def _entries(self, folder: str) -> list[str]:
        if not self.filesystem.isdir(folder):
            return []
        return [entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in self.filesystem.ls(folder, detail=True)]

    def clear_away(self, dataset: str) -> None:
        """A folder that a run made which died before dlt's first file was in it: dlt would not take it (1.31)."""
        folder = f"{self.root}/{dataset}"
        if self.filesystem.isdir(folder) and not self._entries(folder):
            self.filesystem.rmdir(folder)

    def table(self, dataset: str, name: str) -> DeltaTable | None:
        """The table as it is now, or as it was when they were held still; None where there is, or was, none."""
        place = self._place(dataset, name)
        if self._versions is not None and f"{dataset}/{name}" not in self._versions:
            return None
        if not DeltaTable.is_deltatable(place, self._options):
            return None
        version = None if self._versions is None else self._versions[f"{dataset}/{name}"]
        table = DeltaTable(place, version=version, storage_options=self._options)
        self._first_seen.setdefault(f"{dataset}/{name}", table.version())
        return table

    def versions(self, datasets: Iterable[str]) -> dict[str, int]:
        """How often each table was changed, by `dataset/name`; files of a version are kept for a week."""
        found = {f"{dataset}/{name}": self.table(dataset, name) for dataset in datasets for name in self.names(dataset)}
        return {place: table.version() for place, table in found.items() if table}

    def hold_still(self, versions: Mapping[str, int]) -> None:
        """From now on, tables are read as they were in these versions."""
        self._versions = versions

    def files(self, table: DeltaTable) -> list[str]:
        """Its Parquet files as it is now."""
        return [unquote(uri.removeprefix("file://")) if self.is_local else uri for uri in table.file_uris()]

    def write(self, dataset: str, name: str, rows: pa.Table, mode: Literal["append", "overwrite"]) -> None:
        """In one step: whoever reads sees the table before or after. Columns that are new are added."""
        kind: Literal["merge", "overwrite"] = "merge" if mode == "append" else "overwrite"
        write_deltalake(self._place(dataset, name), rows, mode=mode, schema_mode=kind, storage_options=self._options)

    def tidy(self, datasets: Iterable[str]) -> None:
        """Every now and then: small files become few, and what was replaced more than a week ago goes."""
        for dataset in datasets:
            for name in self.names(dataset):
                table = self.table(dataset, name)
                if table and table.version() // EVERY > self._first_seen[f"{dataset}/{name}"] // EVERY:
                    table.optimize.compact()
                    table.vacuum(int(KEPT / timedelta(hours=1)), dry_run=False)
                    table.cleanup_metadata()

    def _place(self, dataset: str, name: str) -> str:
        return f"{self.address}/{dataset}/{name}" if name in OF_DLT else f"{self.address}/{NOTES}/{dataset}/{name}"
