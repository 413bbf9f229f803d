"""Writes names and sentences for charts and for Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.output import visible

LONGEST_NAME = 24
# Everything but letters, digits and harmless signs; an underscore at the edge of a word; and a dot before a letter,
# because a name such as www.x.com would become a link.
MARKUP = re.compile(r"[^\w ,.%():;+\-\u2212–'/·]|_(?![^\W_])|(?<![^\W_])_|\.(?=[^\W\d_])")


class Sentence(str):
    """Text in Markdown, which Jupyter renders. An empty sentence says nothing.

    Attributes:
        headline: the finding, without markup, as the title of a chart.
    """

    headline: str = "There is nothing to show yet"

    def _repr_markdown_(self) -> str:
        return str(self)


def plain(words: object) -> str:
    """Returns words for a sentence. No sign in them is markup, whatever a carrier is called."""
    return MARKUP.sub(lambda found: f"&#{ord(found[0])};", visible(words))


def sentence(texts: Sequence[str], *, is_finding: bool = True) -> Sentence:
    """Returns the texts as one paragraph, the finding in bold.

    Args:
        texts: sentences from `pipelines.wording`. Empty ones are left out.
        is_finding: whether the first one is the finding.
    """
    told = [text for text in texts if text]
    parts = [plain(text) for text in told]
    made = Sentence(" ".join([f"**{parts[0]}**", *parts[1:]] if parts and is_finding else parts))
    if told:
        made.headline = told[0].removesuffix(".")
    return made


def label(name: object) -> str:
    """Returns a name from the data for a chart: short, on one line, and with no formula in it."""
    text = visible(name)
    return (text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…").replace("$", r"\$")
