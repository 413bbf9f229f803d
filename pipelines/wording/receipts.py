"""Says whether runs succeed, in which order the API lists pickups, and what could not be loaded."""

from __future__ import annotations

import json

from pipelines.output import visible
from pipelines.wording.numbers import age, count, minute
from pipelines.wording.rows import Row, Rows, Texts

NO_RUN = "No run has been recorded yet."
NO_SUCCESS = "No run has succeeded yet."


def in_order(runs: Rows) -> list[Row]:
    """Returns the rows of `runs` in the order in which they took place, which no clock decides."""
    return sorted(runs, key=lambda run: (run["run_number"] or 0, run["started_at_utc"]))


def success(runs: Rows, when: str = "") -> str:
    """Returns how many runs succeeded.

    Args:
        runs: the rows of `runs`.
        when: a period, such as "in four weeks".
    """
    good = sum(bool(run["has_succeeded"]) for run in runs)
    return " ".join(filter(None, [f"{good:,} of {count(len(runs), 'run')}", when, "succeeded."]))


def runs(runs: Rows) -> Texts:
    """Returns how many runs succeeded, how old the data are, and how long a run takes.

    Args:
        runs: the rows of `runs`.
    """
    good = [run for run in in_order(runs) if run["has_succeeded"]]
    if not good:
        return [NO_SUCCESS if runs else NO_RUN]
    last = {run["account"]: run for run in good}.values()
    gaps = [run["hours_since_last_success"] for run in runs if run["hours_since_last_success"] is not None]
    seconds = sorted(run["seconds"] for run in good if run["seconds"] is not None)
    observed = [run["observed_at_utc"] for run in last if run["observed_at_utc"] is not None]
    middle = (seconds[(len(seconds) - 1) // 2] + seconds[len(seconds) // 2]) / 2 if seconds else 0
    return [
        success(runs),
        f"The longest time without news was {age(max(gaps))}." if gaps else "",
        f"The last success saw the API at {minute(max(observed))} UTC." if observed else "",
        f"The median run took {middle:.1f} seconds." if seconds else "",
    ]


def order(runs: Rows) -> Texts:
    """Returns in how many runs the API listed the newest pickups first, and where the runs stopped."""
    seen = [run["is_newest_first"] for run in runs if run["is_newest_first"] is not None]
    if not seen:
        return []
    at_frontier, at_end = (sum(run["stopped_because"] == place for run in runs) for place in ("frontier", "end"))
    return [
        f"{sum(map(bool, seen)):,} of {count(len(seen), 'run')} found the list newest first.",
        f"{at_frontier:,} stopped at the frontier, and {at_end:,} read to the end.",
    ]


def sweeps(runs: Rows) -> Texts:
    """Returns what the newest sweep found, or that there has been none."""
    swept = [run for run in in_order(runs) if run["sweep"] == "complete"]
    if not swept:
        none = "No sweep has been made yet (pickups run --sweep), so changes made long after a window are not known."
        return [none] if runs else []
    missed, unlisted = swept[-1]["rows_missed"] or 0, swept[-1]["rows_unlisted"] or 0
    return [
        f"The newest of {count(len(swept), 'sweep')} found {count(missed, 'pickup')} changed outside the frontier, "
        f"and {unlisted:,.0f} that the API no longer lists."
    ]


def quarantined(records: float) -> str:
    """Returns how many records are in quarantine."""
    if not records:
        return "No record is in quarantine."
    return f"{count(records, 'record is', 'records are')} in quarantine. No number counts what could not be loaded."


def quarantine(quarantine: Rows) -> Texts:
    """Returns how many records could not be loaded.

    Args:
        quarantine: the rows of `quarantine`.
    """
    resolved = sum(bool(row["is_resolved"]) for row in quarantine)
    loaded = count(resolved, "record that was there", "records that were there")
    return [quarantined(len(quarantine) - resolved), f"{loaded} could be loaded later." if resolved else ""]


def unknown_fields(runs: Rows) -> Texts:
    """Returns the names of the fields that this program does not know."""
    found = {field for run in runs if run["unknown_fields"] for field in json.loads(run["unknown_fields"])}
    if not runs:
        return []
    words = f"Unknown fields, kept in the column extra: {', '.join(map(visible, sorted(found)))}."
    return [words if found else "No field is unknown."]


def failed_checks(run: Row) -> dict[str, int]:
    """Returns the number of rows that each check of a run found."""
    found: dict[str, int] = json.loads(run["checks_failed"] or "{}")
    return found
