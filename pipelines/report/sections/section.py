"""Defines a section of the page, which opens: a sentence, a picture, tables and definitions."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.report.sections.tables import Table


class Section(NamedTuple):
    """A section that opens.

    Attributes:
        name: its anchor.
        title: its heading.
        finding: one sentence.
        drawing: the SVG of its picture, or an empty text.
        tables: its tables.
        about: the definitions that a reader needs, in a fold.
        command: a command that prints its rows.
    """

    name: str
    title: str
    finding: str
    drawing: str
    tables: list[Table]
    about: str
    command: str = ""
