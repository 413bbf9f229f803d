"""Puts numbers and names from the data into words for charts and sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pipelines.output import visible

MOST_NAMES = 12  # a sentence lists this many names, and then how many more there are
LONGEST_NAME = 24
# Everything but letters, digits and harmless signs; an underscore at the edge of a word; and a dot before a letter,
# because a name such as www.x.com would become a link.
MARKUP = re.compile(r"[^\w ,.%():;+\-–']|_(?![^\W_])|(?<![^\W_])_|\.(?=[^\W\d_])")


class Sentence(str):
    """Text in Markdown, which Jupyter renders. An empty sentence says nothing."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return str(self)


def plain(words: object) -> str:
    """Returns words from the data for a sentence. No sign in them is markup, whatever a carrier is called."""
    return MARKUP.sub(lambda found: f"&#{ord(found[0])};", visible(words))


def label(name: object) -> str:
    """Returns a name from the data for a chart: short, on one line, and with no formula in it."""
    text = visible(name)
    return (text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…").replace("$", r"\$")


def some(n: float, one: str, more: str | None = None) -> str:
    """Returns the number with the words for what it counts, in the singular or the plural."""
    return f"{n:,.0f} {one if n == 1 else more or one + 's'}"


def listed(names: Iterable[str], most: int = MOST_NAMES, separator: str = ", ") -> str:
    """Returns the names in a row. Of many, it names the first few and says how many more there are."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return separator.join(names[:most]) + more


def percent(share: float) -> str:
    """Returns a share with one decimal, such as 12.5%."""
    return f"{share:.1%}"


def points(low: float, high: float) -> str:
    """Returns an interval of differences in percentage points, with signs."""
    return f"{100 * low:+.1f} to {100 * high:+.1f}"


def hours(first: float, last: float) -> str:
    """Returns a range of hours over carriers in words."""
    low, high = f"{first:,.1f}", f"{last:,.1f}"
    return f"{low} hours with every carrier" if low == high else f"{low} to {high} hours, depending on the carrier"


def joined(*sentences: str) -> Sentence:
    """Returns the sentences that say something, as one paragraph."""
    return Sentence(" ".join(filter(None, sentences)))


def count_words(counts: Sequence[tuple[float, str, str]]) -> str:
    """Returns the counts that are not zero, such as "1 late, 2 early"."""
    return ", ".join(some(n, one, more) for n, one, more in counts if n)
