"""Defines a section of the page, which opens: a sentence, a picture, tables and definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from pipelines.report.sections.tables import Table
from pipelines.report.store import Row


class Answer(NamedTuple):
    """What a section says about some choices: its sentence, the rows of its tables, and how many they leave out."""

    finding: str
    rows: list[list[list[str]]]
    left_out: list[int]


class Section(NamedTuple):
    """A section that opens.

    Attributes:
        name: its anchor.
        title: its heading.
        finding: one sentence.
        drawing: the SVG of its picture, or an empty text. It shows all pickups of the page.
        tables: its tables.
        about: the definitions that a reader needs, in a fold.
        command: a command that prints its rows.
        follows: the lists of choices that the section follows. If one list leaves out a choice, another may contain it.
        answers: what the section says about choices, by `place_of` them.
        nothing: what the section says about choices without an answer.
    """

    name: str
    title: str
    finding: str
    drawing: str
    tables: list[Table]
    about: str
    command: str = ""
    follows: Sequence[Sequence[str]] = ((),)
    answers: Mapping[str, Answer] = {}
    nothing: str = "No pickups in this selection."


def place_of(which: int, *choices: int) -> str:
    """Returns the key of an answer: the place of a list in `follows`, and the places of the chosen entries."""
    return ".".join(map(str, (which, *choices)))


def grouped(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Returns the rows by a key, in their order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def answer_of(finding: str, *tables: Table) -> Answer:
    """Returns the answer that shows the tables."""
    return Answer(
        finding, [[list(row) for row in table.rows] for table in tables], [table.left_out for table in tables]
    )
