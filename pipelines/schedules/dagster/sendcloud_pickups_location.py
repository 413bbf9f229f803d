"""A Dagster code location, beside dagster.yaml: DAGSTER_HOME=$PWD dagster dev -f sendcloud_pickups_location.py"""

import os

os.environ["DLT_PROJECT_DIR"] = "@PROJECT@"

from pipelines.schedules.dagster_location import defs  # it looks for the project where that says

__all__ = ["defs"]
