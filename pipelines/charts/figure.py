"""Creates figures in one style, and shows them in a notebook. No chart changes the state of pyplot."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from pipelines.charts.words import Sentence, label
from pipelines.output import to_html

if TYPE_CHECKING:
    from collections.abc import Iterator

# The colours of Okabe and Ito can be told apart by the colour-blind. A shape or a hatch says the same without colour.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6E6E6E"
WIDTH, ROW, DPI = 9.0, 0.36, 120
TITLE_LETTERS = 96  # letters of a title that fit into a line
ENOUGH = 30  # a group with fewer pickups does not set a scale
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "hatch.linewidth": 0.6,
}


class Chart(Figure):
    """A matplotlib figure that Jupyter shows as a picture, with a text that says what the picture shows.

    Attributes:
        alt: the finding and the content of the picture, for readers who can't see it.
        is_empty: whether there is nothing to show. `show` leaves out such a chart.
    """

    alt: str = ""
    is_empty: bool = False

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        picture = base64.b64encode(self.png()).decode()
        # nbconvert 7.17 writes no alternative text beside a PNG (2026-11), so the picture is also offered as HTML
        page = f'<img alt="{to_html(self.alt)}" style="max-width: 100%" src="data:image/png;base64,{picture}">'
        return {"image/png": picture, "text/html": page, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}

    def png(self) -> bytes:
        """Returns the picture as a PNG."""
        with _style():
            self.savefig(drawn := io.BytesIO(), format="png")
        return drawn.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def single(height: float, title: str, alt: str, draw: Callable[[Axes], None]) -> Chart:
    """Returns a chart with one picture.

    Args:
        height: in inches.
        title: the finding, which is written above the picture.
        alt: what the picture shows, in words.
        draw: draws the picture.
    """
    lines = textwrap.wrap(title, TITLE_LETTERS)
    with _style():
        chart = Chart(figsize=(WIDTH, height + 0.2 * len(lines)), dpi=DPI, layout="constrained")
        draw(chart.subplots())
        _entitle(chart, lines)
    chart.alt = f"{title}. {alt}"
    return chart


def panels(
    names: Sequence[str], title: str, alt: str, labels: tuple[str, str], draw: Callable[[Axes, str], None]
) -> Chart:
    """Returns a chart with a small picture for each name, three in a row, all on the same scales.

    Args:
        names: the names, in order.
        title: the finding, which is written above the pictures.
        alt: what the pictures show, in words.
        labels: what the horizontal and the vertical axis show.
        draw: draws the picture of one name.
    """
    if not names:
        return empty(title)
    columns, rows = min(3, len(names)), -(-len(names) // 3)
    with _style():
        chart = Chart(figsize=(WIDTH, 1.3 + 1.7 * rows), dpi=DPI, layout="constrained")
        grid = chart.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, name in zip(grid.flat, names, strict=False):
            draw(axes, name)
            axes.set_title(label(name), fontsize=10, pad=4)
            axes.tick_params(labelbottom=name in names[-3:], labelsize=8)
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        chart.supxlabel(labels[0], fontsize=10)
        chart.supylabel(labels[1], fontsize=10)
        _entitle(chart, textwrap.wrap(title, TITLE_LETTERS))
    chart.alt = f"{title}. {alt}"
    return chart


def _entitle(chart: Chart, lines: list[str]) -> None:
    chart.suptitle("\n".join(lines).replace("$", r"\$"), x=0.01, ha="left", weight="bold", fontsize=11)


def empty(what: str) -> Chart:
    """Returns a chart that only says that there is nothing to show."""
    chart = single(0.5, what, "There is nothing to show yet.", lambda axes: axes.set_axis_off())
    chart.is_empty = True
    return chart


def rows_of(axes: Axes, names: pd.Series, counts: pd.Series | None = None) -> range:
    """Labels a line of the picture for each name, the first on top, and returns the places of the lines.

    Args:
        axes: the picture.
        names: the names.
        counts: the numbers of pickups to write beside the names.
    """
    labels = [label(name) for name in names]
    if counts is not None:
        labels = [f"{name}   n = {count:,}" for name, count in zip(labels, counts, strict=True)]
    axes.set_yticks(places := range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    return places


def scale_top(high: pd.Series, n: pd.Series) -> float:
    """Returns the upper end of a scale. Groups with few pickups have wide intervals, so they don't set the scale."""
    known = high.notna() & (n > 0)
    wide = n < min(ENOUGH, n[known].median()) if known.any() else known
    top = high[known & ~wide].max()
    return float(1.06 * top) if top > 0 else 1.0


def dates_on(axes: Axes) -> None:
    """Labels the horizontal axis with months and days, and with the year once."""
    locator = AutoDateLocator(minticks=2, maxticks=5)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def show(*parts: object) -> None:
    """Displays charts, sentences and tables in a notebook, and leaves out those that have nothing to say."""
    from IPython.display import display

    options: Any = ("display.max_rows", None, "display.max_columns", None, "display.width", 160)
    with pd.option_context(*options, "display.html.use_mathjax", False):
        for part in parts:
            if not _is_silent(part):
                display(part)  # type: ignore[no-untyped-call]


def _is_silent(part: object) -> bool:
    if isinstance(part, Chart):
        return part.is_empty
    return part is None or (isinstance(part, Sentence) and not part) or (isinstance(part, pd.DataFrame) and part.empty)
