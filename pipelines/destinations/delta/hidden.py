"""Hides an account's folders from readers while a command copies, merges or deletes them.

A marker is an empty file beside the account's folder. Readers list the folder and the marker in one request. If a
command is killed, the marker determines what happens to the folder:

- LEFTOVER: the folder is deleted, because its rows are stored elsewhere or unwanted.
- MERGING: the folder is shown again, because its rows may not be in the other folder yet.
- COPY_OF + the original's name: the folder is deleted if the original still exists, and shown if the original is a
  leftover.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.destinations.delta.tables import DeltaTables

LEFTOVER, MERGING, COPY_OF = "leftover", "merging", "copy-of-"


def hidden_datasets(entries: Iterable[str]) -> dict[str, str]:
    """Returns the hidden folders and their markers, based on the names of the entries in the lake.

    A folder can briefly have two markers. LEFTOVER is the later marker and takes precedence.
    """
    marked = sorted((name.partition(".")[::2] for name in entries), key=lambda one: one[1] == LEFTOVER)
    return {dataset: kind for dataset, kind in marked if _is_marker(kind)}


def _is_marker(kind: str) -> bool:
    return kind in (LEFTOVER, MERGING) or kind.startswith(COPY_OF)


def hide(tables: DeltaTables, dataset: str, kind: str) -> None:
    """Hides the folder from readers."""
    tables.filesystem.pipe_file(f"{tables.root}/{dataset}.{kind}", b"")


def show(tables: DeltaTables, dataset: str, kind: str) -> None:
    """Removes the marker, so that readers see the folder if it still exists."""
    tables.filesystem.rm_file(f"{tables.root}/{dataset}.{kind}")


def finish_changes(tables: DeltaTables, datasets: Iterable[str]) -> None:
    """Finishes or undoes the change that a killed command began. The caller must hold the accounts' locks."""
    there = tables.entries(tables.root)
    hidden = hidden_datasets(there)
    for dataset in [name for name in datasets if name in hidden]:
        kind = hidden[dataset]
        is_complete = kind.startswith(COPY_OF) and hidden.get(kind.removeprefix(COPY_OF)) == LEFTOVER
        if kind != MERGING and not is_complete:
            tables.remove_dataset(dataset)
        for marker in [name.partition(".")[2] for name in there if name.startswith(f"{dataset}.")]:
            if _is_marker(marker):
                show(tables, dataset, marker)
