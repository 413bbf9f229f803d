"""Draws the pictures of the sections as inline SVG. Each picture has a text alternative that states its finding.

Series differ by colour (the palette of Okabe and Ito), by dashes and by the shape of their points, so that a picture
also holds in grey. Every point shows its value if a reader hovers over it or moves the keyboard's focus to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipelines.output import to_html
from pipelines.wording.numbers import percent

WIDTH, LABELS, ROW = 640, 170, 26
LEFT, RIGHT, TOP, BOTTOM, PLOT = 46, 150, 12, 34, 190
SHAPES = (
    '<circle cx="{x}" cy="{y}" r="4"/>',
    '<rect x="{left}" y="{top}" width="8" height="8"/>',
    '<path d="M{x} {top}l5 8h-10z"/>',
    '<path d="M{x} {top}l5 5l-5 5l-5 -5z"/>',
)


class Range(NamedTuple):
    """One row of `ranges`: a label, an interval around a value, and an earlier value to compare, all as shares."""

    label: str
    low: float
    value: float
    high: float
    other: float | None
    text: str


class Series(NamedTuple):
    """One line: its name, and points (x, y, text) in the order of x. A point with the y None leaves a gap."""

    name: str
    points: list[tuple[float, float | None, str]]


def picture(finding: str, width: int, height: int, content: str) -> str:
    """Returns an SVG element with the finding as its text alternative."""
    return (
        f'<svg class="chart" role="group" aria-label="{to_html(finding)}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">{content}</svg>'
    )


def ranges(finding: str, rows: Sequence[Range], ticks: Sequence[tuple[float, str]]) -> str:
    """Returns a picture with a row for each range. A hollow square marks the value to compare.

    Args:
        finding: the text alternative.
        rows: the ranges. A range beyond the last tick ends at the edge, with an arrow.
        ticks: values of the scale with their labels. The first and the last are its ends.
    """
    start, end = ticks[0][0], ticks[-1][0]

    def at(value: float) -> int:
        return LABELS + round(min(max(value - start, 0) / (end - start), 1) * (WIDTH - LABELS - 20))

    height = len(rows) * ROW + BOTTOM
    parts = [
        f'<path class="rule" d="M{at(x)} 4V{height - BOTTOM}"/>{_text(at(x), height - 14, words, "middle")}'
        for x, words in ticks
    ]
    for number, row in enumerate(rows):
        y = number * ROW + ROW // 2
        arrow = "m-5 -4l5 4l-5 4" if row.high > end else ""
        other = ""
        if row.other is not None:
            other = f'<rect class="other" x="{at(row.other) - 4}" y="{y - 4}" width="8" height="8"/>'
        line = f'<path class="range" d="M{at(row.low)} {y}H{at(row.high)}{arrow}"/>'
        drawn = f'{line}{other}<circle cx="{at(row.value)}" cy="{y}" r="5"/>'
        parts.append(_text(LABELS - 10, y + 4, _short(row.label), "end"))
        parts.append(_point(f"{row.label}: {row.text}", drawn))
    return picture(finding, WIDTH, height, "".join(parts))


def quarters(end: float) -> list[tuple[float, str]]:
    """Returns five ticks of a scale of shares from 0 to `end`."""
    return [(end * part, percent(end * part)) for part in (0, 0.25, 0.5, 0.75, 1)]


def lines(finding: str, series: Sequence[Series], x_ticks: Sequence[tuple[float, str]], y_end: float) -> str:
    """Returns a picture of lines over a scale of shares from 0 to `y_end`."""
    start, end = x_ticks[0][0], x_ticks[-1][0]
    span = (end - start) or 1

    def place(x: float, y: float) -> tuple[int, int]:
        across = LEFT + round((x - start) / span * (WIDTH - LEFT - RIGHT))
        return across, TOP + round((1 - min(y / y_end, 1)) * PLOT)

    parts = []
    for share in (0, y_end / 2, y_end):
        y = place(start, share)[1]
        words = f"{share:.0%}" if y_end >= 0.1 else f"{share:.1%}"
        parts.append(f'<path class="rule" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>{_text(LEFT - 6, y + 4, words, "end")}')
    parts += [_text(place(x, 0)[0], TOP + PLOT + 18, words, "middle") for x, words in x_ticks]
    lowest = TOP + PLOT + BOTTOM
    for number, one in sorted(enumerate(series), key=lambda item: _last(item[1])):
        path, points = _line(one, number, place)
        y = min(place(start, _last(one))[1] + 4, lowest - 14)
        lowest = y
        parts.append(f'<g class="s{number}"><path class="line" d="{path}"/>{points}')
        parts.append(f"{_text(WIDTH - RIGHT + 10, y, _short(one.name), 'start')}</g>")
    return picture(finding, WIDTH, TOP + PLOT + BOTTOM, "".join(parts))


def _last(series: Series) -> float:
    return next((y for _, y, _ in reversed(series.points) if y is not None), 0.0)


def _line(series: Series, number: int, place: Callable[[float, float], tuple[int, int]]) -> tuple[str, str]:
    """Returns the path of a line, with gaps, and its points. Points without a text are not drawn."""
    path, points, is_gap = "", "", True
    for x, y, words in series.points:
        if y is not None:
            left, top = place(x, y)
            path += f"{'M' if is_gap else 'L'}{left} {top}"
            if words:
                shape = SHAPES[number % len(SHAPES)].format(x=left, y=top, left=left - 4, top=top - 4)
                points += _point(f"{series.name}: {words}", shape)
        is_gap = y is None
    return path, points


def columns(finding: str, bars: Sequence[tuple[str, int, int, str]]) -> str:
    """Returns a picture of stacked columns: a label, a good and a bad count, and the words for both."""
    highest = max((good + bad for _, good, bad, _ in bars), default=0) or 1
    step = (WIDTH - LEFT - 20) / max(len(bars), 1)
    parts = [_text(LEFT - 6, TOP + 8, f"{highest:,}", "end"), _text(LEFT - 6, TOP + 104, "0", "end")]
    for number, (label, good, bad, words) in enumerate(bars):
        x, width = LEFT + number * step, max(2, step - 3)
        drawn = ""
        for kind, below, height in (("good", 0, good), ("bad", good, bad)):
            top = TOP + 100 - (below + height) / highest * 100
            size = f'x="{x:.0f}" y="{top:.0f}" width="{width:.0f}" height="{height / highest * 100:.0f}"'
            drawn += f'<rect class="{kind}" {size}/>'
        parts.append(_point(f"{label}: {words}", drawn))
        if number % 7 == 0:
            parts.append(_text(int(x), TOP + 122, label, "start"))
    return picture(finding, WIDTH, TOP + 130, "".join(parts))


def _point(words: str, drawn: str) -> str:
    """Returns a part of a picture that shows its value on hover and focus. The page's script shows the words."""
    return f'<g class="point" role="img" tabindex="0" aria-label="{to_html(words)}">{drawn}</g>'


def _text(x: int, y: int, words: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{to_html(words)}</text>'


def _short(name: str, most: int = 20) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
