"""dlt's pipeline and its working folder: scratch, made afresh for each run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination import Destination

from pipelines.errors import NotConfigured
from pipelines.receipt import Receipt
from pipelines.store import Store


def fresh_pipeline(store: Store, receipt: Receipt) -> dlt.Pipeline:
    """The account's pipeline with an empty working folder and the state that the warehouse holds.

    The warehouse is the only truth about what was read: dlt restores just the state of loads that were completed, and
    the merge makes reading again safe. So what a dead run left in the folder is set aside and read again, instead of
    loaded: a package may be half there (dlt 1.31, killed while normalising, blocks every later run), and may belong
    to a warehouse that has been deleted or restored from a backup since.
    """
    name, folder = f"sendcloud_pickups_{receipt.account}", store.scratch()
    _check(folder)
    left = [*folder.glob(f"{name}/normalize/extracted/*"), *folder.glob(f"{name}/load/normalized/*")]
    if left:
        receipt.discarded_packages = len({package.name for package in left})
        receipt.discarded_to = _set_aside(folder / name)
    shutil.rmtree(folder / name, ignore_errors=True)
    pipeline: dlt.Pipeline = dlt.pipeline(
        name,
        pipelines_dir=str(folder),
        destination=_asked_once(store.destination()),
        dataset_name=store.dataset(receipt.account),
    )
    pipeline.sync_destination()
    return pipeline


def _set_aside(working: Path) -> str | None:
    """Where a dead run's folder is kept, one at a time, for somebody who wants to see why it could not be loaded."""
    aside = working.with_name(working.name + ".left")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        working.rename(aside)
    except OSError:  # a disk that is full: there is nothing to look at then, and all is read again anyway
        return None
    return str(aside)


def _asked_once(destination: Destination[Any, Any]) -> Destination[Any, Any]:
    """The destination, remembering what it is capable of: dlt asks 50 times a run, and each time the whole
    configuration is resolved anew (a fifth of a run, dlt 1.31, 2026-11).
    """
    ask, told = destination.capabilities, dict[Any, Any]()

    def capabilities(config: Any = None, naming: Any = None) -> Any:
        if config is not None:
            return ask(config, naming)
        if type(naming) not in told:
            told[type(naming)] = ask(None, naming)
        return told[type(naming)]

    destination.capabilities = capabilities  # type: ignore[method-assign]
    return destination


def _check(folder: Path) -> None:
    """Raises NotConfigured for a path with a % or a ': dlt puts it unquoted into a template and into SQL (1.31)."""
    if found := {"%", "'"} & {*str(folder)}:
        remedy = "Let [destination.duckdb] credentials name a file elsewhere, or DLT_DATA_DIR a folder."
        raise NotConfigured(f"dlt can't work in {folder}: there is a {found.pop()} in its path. {remedy}")
