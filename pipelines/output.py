"""Makes text safe for the place where it is displayed, and prints it. No other module prints.

A carrier's name, an error message from the API or a folder's name may contain control characters or code. A terminal
would execute control characters, and a log would split one message into several lines. A spreadsheet would evaluate a
formula, and a browser would run a script.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Importing rich takes 40 ms and 4 MB of memory, so a scheduled run does not import it.
    from rich.console import Console

# Unicode's control characters, format characters (including bidi overrides), line separators and surrogates. The
# joiners U+200C and U+200D are not included, because some languages need them to spell words.
INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
# a cell that begins with one of these characters is a formula; some spreadsheets accept the full-width forms too
FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")

# what Markdown would read as a column, a link, a picture, code, a formula, an entity, emphasis or a tag
MARKUP = re.compile(r"[\\`*\[\]<>|&~$!]|(?<![^\W_])_|_(?![^\W_])")

WIDE_GAP = 3  # the spaces between two columns of a table


def visible(text: object) -> str:
    """Returns the text as one line, with every control character replaced by its escape, such as `\\x1b`."""
    return INVISIBLE.sub(_escape, str(text))


def csv_cell(value: object) -> object:
    """Returns a value that a spreadsheet shows as text. Numbers stay numbers, and timestamps become ISO 8601 text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if FORMULA.match(value) else visible(value)


def to_json(value: object, default: Callable[[Any], str] = str) -> str:
    """Returns one line of JSON, with escapes for characters that a terminal could execute. The values do not change.

    `default` returns the text of a value that JSON can't represent.
    """
    return INVISIBLE.sub(_json_escape, json.dumps(value, default=default, ensure_ascii=False))


def to_html(text: object) -> str:
    """Returns the text, escaped for the body or an attribute of an HTML page."""
    import html  # its table of entities takes 1 ms to build, and runs don't need it

    return html.escape(visible(text))


def visible_page(page: str) -> str:
    """Returns the HTML page with every control character escaped, except for line breaks and tabs."""
    return INVISIBLE.sub(lambda found: found[0] if found[0] in "\n\t" else _escape(found), page)


def as_of_words(as_of: Mapping[str, datetime]) -> list[str]:
    """Returns the time of the data in words, and the accounts that were last read more than a day before the others.

    Args:
        as_of: the UTC time as of which each account is known.

    Returns:
        No words if there are no accounts.
    """
    newest = max(as_of.values(), default=None)
    stale = {account: at for account, at in as_of.items() if newest and at < newest - timedelta(days=1)}
    oldest = min((at for account, at in as_of.items() if account not in stale), default=None)
    return [
        *([f"as of {oldest:%Y-%m-%d %H:%M} UTC"] if oldest else []),
        *(f"account {account} only as of {at:%Y-%m-%d %H:%M} UTC" for account, at in sorted(stale.items())),
    ]


def print_text(text: object = "", *, err: bool = False) -> None:
    """Prints the text, which may have several lines, to stdout or stderr, and flushes it."""
    stream = sys.stderr if err else sys.stdout
    if stream is not None:  # a process without a console has no streams
        print("\n".join(map(visible, str(text).split("\n"))), file=stream, flush=True)


def print_json(value: object) -> None:
    """Prints a value as one line of JSON to stdout, with timestamps converted to text."""
    print_text(to_json(value))


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints rows as CSV for a spreadsheet to stdout, below a line with the columns' names."""
    import csv  # 0.5 ms, as traceback takes 1.5 ms; runs need neither

    cells = csv.writer(sys.stdout, lineterminator="\n")
    cells.writerow(map(csv_cell, columns))
    cells.writerows(map(csv_cell, row) for row in rows)


def print_json_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints rows as a JSON list to stdout, with an object for each row on a line of its own, and times in ISO 8601."""
    before = "["
    for row in rows:
        sys.stdout.write(f"{before}\n{to_json(dict(zip(columns, row, strict=True)), _iso_text)}")
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")


def print_markdown(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table in Markdown to stdout, below its title. Numbers are right-aligned, as in `print_table`."""
    print_text(f"{markdown_text(title)}\n")
    print_text(_markdown_line(columns))
    print_text("|" + "|".join(["---", *["---:"] * (len(columns) - 1)]) + "|")
    for row in rows:
        print_text(_markdown_line(row))


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    widths: Sequence[int] | None = None,
    gap: int = WIDE_GAP,
) -> None:
    """Prints a table to stdout, with text in the first column and right-aligned numbers in all other columns.

    Args:
        title: the line above the table.
        columns: the names of the columns, which may have several lines.
        rows: the cells of each row.
        widths: the widths of the columns. A longer text takes several lines. By default, all texts take one line.
        gap: the number of spaces between two columns, at least 2.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, gap - 2, 0, 1))
    sizes: Sequence[int | None] = widths or [None] * len(columns)
    for number, (column, width) in enumerate(zip(columns, sizes, strict=True)):
        drawn.add_column(column, justify="right" if number else "left", width=width, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(visible(cell)) for cell in row))
    console().print(Text(visible(title), "bold"), drawn, sep="\n")


def print_styled(*parts: tuple[object, str]) -> None:
    """Prints one line of styled parts to stdout. Brackets are printed as text, not interpreted as markup."""
    from rich.text import Text

    console().print(Text.assemble(*((visible(text), style) for text, style in parts)), soft_wrap=True)


def print_traceback(error: BaseException) -> None:
    """Prints the traceback of an error to stderr."""
    import traceback

    print_text("".join(traceback.format_exception(error)).rstrip("\n"), err=True)


def print_at_once(text: str, before: str = "") -> None:
    """Writes one line directly to stderr, bypassing Python's buffers and locks, which another thread may hold.

    `before` contains control sequences for a terminal. These sequences are not escaped, so `before` must not contain
    external text.
    """
    with suppress(OSError):
        os.write(2, f"{before}{visible(text)}\n".encode())


def console(*, stderr: bool = False) -> Console:
    """Returns a rich console for stdout or stderr.

    If the output is not a terminal, the width is 160, so tables written to pipes and files are not wrapped.
    """
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, emoji=False, markup=False, width=160)


def _iso_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _markdown_line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(markdown_text, cells))} |"


def markdown_text(text: object) -> str:
    """Returns the text for a Markdown table, in which a backslash makes every character plain text."""
    return MARKUP.sub(r"\\\g<0>", visible(text))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _json_escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]
