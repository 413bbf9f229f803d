"""Loads the Dagster code location. In the folder with dagster.yaml, run:

DAGSTER_HOME=$PWD dagster dev -f sendcloud_pickups_location.py
"""

import os

os.environ["DLT_PROJECT_DIR"] = "@PROJECT@"

from pipelines.scheduling.dagster_location import defs  # the import reads DLT_PROJECT_DIR

__all__ = ["defs"]
