"""Creates dlt's pipeline and its working folder, which contains only temporary files and is emptied before each run."""

from __future__ import annotations

import shutil
from pathlib import Path

import dlt

from pipelines.destinations.base import Backend
from pipelines.destinations.ownership import PIPELINE_PREFIX
from pipelines.dlt_workarounds import cache_capabilities, unsafe_character
from pipelines.file_access import PRIVATE_FOLDER_MODE, create_folder, foreign_owner
from pipelines.quick.marks import left_packages
from pipelines.receipt import Receipt
from sources.sendcloud.errors import SettingsError


def create_pipeline(backend: Backend, receipt: Receipt) -> dlt.Pipeline:
    """Returns the account's pipeline, with an empty working folder and the state stored in the warehouse.

    Only the warehouse records what was read: dlt restores only the state of completed loads, and the merge makes it
    safe to read pickups again. Load packages left behind by a crashed run are therefore set aside, and their pickups
    are read again. A package may be incomplete: if dlt 1.31 is killed while normalizing, the package blocks every later
    run. A package may also belong to a warehouse that has since been deleted or restored from a backup.

    Args:
        backend: the run's destination.
        receipt: the account's receipt. The fields `discarded_packages` and `discarded_dir` are set if packages are set
            aside.

    Raises:
        SettingsError: dlt can't work in the folder because of its path.
    """
    name, folder = PIPELINE_PREFIX + receipt.account, backend.working_dir()
    _check_path(folder)
    _check_owner(folder)
    if left := left_packages(folder / name):
        receipt.discarded_packages = len({package.name for package in left})
        receipt.discarded_dir = _set_aside(folder / name)
    shutil.rmtree(folder / name, ignore_errors=True)
    pipeline: dlt.Pipeline = dlt.pipeline(
        name,
        pipelines_dir=str(folder),
        destination=cache_capabilities(backend.dlt_destination()),
        dataset_name=backend.dataset_name(receipt.account),
    )
    pipeline.sync_destination()
    return pipeline


def delete_empty_packages(pipeline: dlt.Pipeline) -> None:
    """Deletes extracted packages without jobs, which a run that finds nothing new leaves behind.

    dlt 1.31 would read the package and its schema again, and then delete the package too. With the recording of states
    that goes with it, this took 2 % of a run without changes (2026-11-29). If the run is killed before or during the
    deletion, the next run sets the package aside, as it would any other package.
    """
    for load_id in pipeline.list_extracted_load_packages():
        package = Path(pipeline.working_dir, "normalize", "extracted", load_id)
        if not any(package.glob("new_jobs/*")):
            shutil.rmtree(package)


def _set_aside(working: Path) -> str | None:
    """Renames a crashed run's working folder so that you can inspect its packages. Returns the new path.

    Only the folder of the last crashed run is kept. Returns None if the folder can't be renamed.
    """
    aside = working.with_name(working.name + ".left")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        working.rename(aside)
    except OSError:  # for example, the disk is full; nothing is lost, because the pickups are read again
        return None
    return str(aside)


def _check_owner(folder: Path) -> None:
    """Creates the working folder with access for this user only, because the folder briefly contains rows.

    Raises:
        SettingsError: another user created the folder and could place a load package in it.
    """
    create_folder(folder.parent)
    create_folder(folder, PRIVATE_FOLDER_MODE)
    if (owner := foreign_owner(folder)) is not None:
        remedy = "Set DLT_DATA_DIR to a folder that this user owns, or remove it from the environment."
        raise SettingsError(f"dlt's working folder {folder} belongs to another user (id {owner}). {remedy}")


def _check_path(folder: Path) -> None:
    """Raises SettingsError if dlt can't work in the folder because of its path."""
    if found := unsafe_character(folder):
        remedy = "Use a file in another folder ([destination.duckdb] credentials), or set DLT_DATA_DIR to another one."
        raise SettingsError(f"dlt can't work in {folder}, because the path contains {found}. {remedy}")
