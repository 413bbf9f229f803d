"""Keeps the page small: if the sections' answers are too large, the largest sections follow fewer choices."""

from __future__ import annotations

from pipelines.output import to_json
from pipelines.report.sections.section import Section, place_of


def fit(sections: list[Section], most_bytes: int) -> list[Section]:
    """Returns the sections with answers of at most so many bytes together. A section says what it doesn't follow.

    Args:
        sections: the sections.
        most_bytes: the most bytes of all answers as JSON.
    """
    sections = [*sections]
    sizes = [_size(section) for section in sections]
    while sum(sizes) > most_bytes and any(section.answers for section in sections):
        largest = sizes.index(max(sizes))
        sections[largest] = _follow_less(sections[largest])
        sizes[largest] = _size(sections[largest])
    return sections


def _size(section: Section) -> int:
    return len(to_json(section.answers).encode()) if section.answers else 0


def _follow_less(section: Section) -> Section:
    """Returns the section without the choice that has the most entries, in the list that has the most answers."""
    keys = [key.split(".") for key in section.answers]
    which = max(range(len(section.follows)), key=lambda one: sum(key[0] == str(one) for key in keys))
    own = [key[1:] for key in keys if key[0] == str(which)]
    dropped = max(range(len(section.follows[which])), key=lambda at: len({key[at] for key in own}))
    follows = [*section.follows]
    follows[which] = [name for at, name in enumerate(follows[which]) if at != dropped]
    answers = {key: answer for key, answer in section.answers.items() if not key.startswith(f"{which}.")}
    for key in own if follows[which] else []:
        if key[dropped] == "0":
            left = [int(place) for at, place in enumerate(key) if at != dropped]
            answers[place_of(which, *left)] = section.answers[".".join([str(which), *key])]
    return section._replace(follows=follows, answers=answers)
