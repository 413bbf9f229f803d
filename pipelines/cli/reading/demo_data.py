"""Says that what is shown are the pickups of `pickups demo`."""

from __future__ import annotations

from pipelines.output import print_text
from pipelines.warehouse import is_demo_data
from pipelines.wording.coverage import DEMO, DEMO_EXPLANATION


def demo_words(form: str) -> list[str]:
    """Returns words for the beginning of a title, which are none if the data are the user's own.

    Programs read the formats `csv` and `json`, so the words are then printed to stderr.
    """
    if not is_demo_data():
        return []
    if form in ("csv", "json"):
        print_text(f"{DEMO}: {DEMO_EXPLANATION}", err=True)
        return []
    return [DEMO]
