"""Reads and writes a lake's Delta tables by dataset and name. Only this module knows the tables' locations."""

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

from pipelines.destinations.delta.hidden import hidden_datasets
from pipelines.destinations.schemas import DEFAULT_NAMES, SchemaNames

DLT_TABLES = ("pickups", "pickups_quarantine")
COMPACT_EVERY_VERSIONS = 100  # A table's files are compacted after this many new versions.
RETENTION = timedelta(days=7)  # Replaced files stay available to readers for this long.


class DeltaTables:
    """Accesses the Delta tables under `[destination.filesystem] bucket_url`."""

    def __init__(self, config: Any, names: SchemaNames = DEFAULT_NAMES) -> None:
        self.schemas = names
        self.filesystem, root = fsspec_from_config(config)
        self.is_local: bool = config.is_local_filesystem
        # dlt 1.31 converts a folder to a URL, in which special characters are percent-encoded (a space as %20)
        self.root = str(config.make_local_path(config.bucket_url) if self.is_local else root).rstrip("/")
        self.address = self.root if self.is_local else config.bucket_url.rstrip("/")
        self._versions: Mapping[str, int] | None = None
        self._first_seen: dict[str, int] = {}
        self._options = deltalake_storage_options(config.credentials, config.deltalake_storage_options)

    @property
    def own_folder(self) -> str:
        """The folder of the bookkeeping tables, which is separate because dlt accepts only folders that it created."""
        return f"{self.schemas.data}_notes"

    def datasets(self) -> list[str]:
        """Returns the names of the accounts' folders. The list is empty if there is no lake yet.

        Folders that a command is changing (hidden.py) are omitted.
        """
        prefix, there = self.schemas.account_prefix, self.entries(self.root)
        hidden = hidden_datasets(there)
        return sorted(name for name in there if name.startswith(prefix) and "." not in name and name not in hidden)

    def names(self, dataset: str) -> list[str]:
        """Returns the names of the dataset's tables: the tables that dlt loads and the bookkeeping tables."""
        loaded = self.entries(f"{self.root}/{dataset}")
        if INIT_FILE_NAME not in loaded:  # dlt did not create this folder, so the folder isn't ours
            return []
        names = [*loaded, *self.entries(f"{self.root}/{self.own_folder}/{dataset}")]
        return sorted(name for name in names if not name.startswith("_dlt") and name != INIT_FILE_NAME)

    def entries(self, folder: str) -> list[str]:
        """Returns the names of the files and folders in a folder. The folder may be missing."""
        if not self.filesystem.isdir(folder):
            return []
        return [entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in self.filesystem.ls(folder, detail=True)]

    def read_text(self, name: str) -> str | None:
        """Returns the text of a file in the lake, or None if the file doesn't exist."""
        try:
            return bytes(self.filesystem.cat_file(f"{self.root}/{name}")).decode()
        except FileNotFoundError:
            return None

    def write_text(self, name: str, text: str) -> None:
        """Writes a file in the lake. A missing folder is created."""
        place = f"{self.root}/{name}"
        self.filesystem.makedirs(place.rsplit("/", 1)[0], exist_ok=True)
        self.filesystem.pipe_file(place, text.encode())

    def remove_empty_folder(self, dataset: str) -> None:
        """Removes the dataset's folder if it is empty.

        A run that crashed before dlt wrote its first file leaves an empty folder, which dlt 1.31 refuses to use.
        """
        folder = f"{self.root}/{dataset}"
        if self.filesystem.isdir(folder) and not self.entries(folder):
            self.filesystem.rmdir(folder)

    def files_in(self, dataset: str, folder: str = "") -> list[str]:
        """Returns the paths of all files in the dataset's folder, or in a folder inside it."""
        place = f"{self.root}/{dataset}/{folder}".rstrip("/")
        found: list[str] = self.filesystem.find(place) if self.filesystem.isdir(place) else []
        return found

    def copy_dataset(self, source: str, target: str) -> None:
        """Copies every file of a dataset to another dataset, which must not exist."""
        for before, after in ((source, target), (f"{self.own_folder}/{source}", f"{self.own_folder}/{target}")):
            for path in self.files_in(before):
                copy = f"{self.root}/{after}{path.removeprefix(f'{self.root}/{before}')}"
                self.filesystem.makedirs(copy.rpartition("/")[0], exist_ok=True)
                self.filesystem.cp_file(path, copy)

    def remove_dataset(self, dataset: str) -> None:
        """Deletes the dataset's folders."""
        for folder in (f"{self.root}/{dataset}", f"{self.root}/{self.own_folder}/{dataset}"):
            if self.filesystem.isdir(folder):
                self.filesystem.rm(folder, recursive=True)

    def table(self, dataset: str, name: str) -> DeltaTable | None:
        """Returns the current version of the table, or the version that `pin_versions` set.

        Returns None if the table doesn't exist, or didn't exist when the versions were recorded.
        """
        place, key = self._location(dataset, name), f"{dataset}/{name}"
        if self._versions is not None and key not in self._versions:
            return None
        if not DeltaTable.is_deltatable(place, self._options):
            return None
        table = DeltaTable(place, version=(self._versions or {}).get(key), storage_options=self._options)
        self._first_seen.setdefault(key, table.version())
        return table

    def versions(self, datasets: Iterable[str]) -> dict[str, int]:
        """Returns the current version of each table, keyed by `dataset/name`.

        A version number counts the changes to a table. Replaced files are kept for a week.
        """
        found = {f"{dataset}/{name}": self.table(dataset, name) for dataset in datasets for name in self.names(dataset)}
        return {place: table.version() for place, table in found.items() if table}

    def pin_versions(self, versions: Mapping[str, int]) -> None:
        """Makes `table` return these versions of the tables from now on."""
        self._versions = versions

    def files(self, table: DeltaTable) -> list[str]:
        """Returns the paths or addresses of the Parquet files in this version of the table."""
        return [unquote(uri.removeprefix("file://")) if self.is_local else uri for uri in table.file_uris()]

    def write(self, dataset: str, name: str, rows: pa.Table, mode: Literal["append", "overwrite"]) -> None:
        """Writes the rows atomically, so that readers see either the old or the new table. Adds new columns."""
        kind: Literal["merge", "overwrite"] = "merge" if mode == "append" else "overwrite"
        write_deltalake(self._location(dataset, name), rows, mode=mode, schema_mode=kind, storage_options=self._options)

    def delete_old_files(self, dataset: str, name: str) -> None:
        """Deletes the files that earlier versions of the table need, because those files still contain deleted rows."""
        if table := self.table(dataset, name):
            table.vacuum(0, dry_run=False, enforce_retention_duration=False)

    def compact(self, datasets: Iterable[str]) -> None:
        """Merges each table's small files once every COMPACT_EVERY_VERSIONS versions.

        Deletes files that were replaced more than a week ago.
        """
        for dataset in datasets:
            for name in self.names(dataset):
                table, first_seen = self.table(dataset, name), self._first_seen.get(f"{dataset}/{name}", 0)
                if table and table.version() // COMPACT_EVERY_VERSIONS > first_seen // COMPACT_EVERY_VERSIONS:
                    table.optimize.compact()
                    table.vacuum(int(RETENTION / timedelta(hours=1)), dry_run=False)
                    table.cleanup_metadata()

    def _location(self, dataset: str, name: str) -> str:
        folder = self.address if name in DLT_TABLES else f"{self.address}/{self.own_folder}"
        return f"{folder}/{dataset}/{name}"
