"""What was measured: tables for the terminal and docs/reference/benchmark.md, results.json, results.png."""

from __future__ import annotations

import json
import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
import duckdb
from bars import BARS
from cases import Results
from measure import ROOT, Summary

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = ROOT / "docs" / "reference" / "benchmark.md"
CHARTED = ("first-100k", "first-1m", "second-100k")
BETWEEN_MARKS = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)


def as_text(title: str, results: Results) -> str:
    """One case: median, min, max, peak memory, and how many times the floor, where there is one."""
    floor = results["floor"].median_s if "floor" in results else None
    lines = [f"\n{title}", f"{'':42} {'median s':>9} {'min':>7} {'max':>7} {'peak MB':>8} {'x floor':>8}"]
    for name, took in results.items():
        times = f"{took.median_s / floor:8.2f}" if floor else ""
        lines.append(f"{name:42} {took.median_s:9.2f} {took.min_s:7.2f} {took.max_s:7.2f} {took.peak_mb:8.0f} {times}")
    return "\n".join(lines)


def write(case: str, title: str, results: Results, rounds: int) -> None:
    """The case into results.json, beside those measured before, each with its own date and machine."""
    told = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    told[case] = {
        "title": title,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, dlt {dlt.__version__}, duckdb {duckdb.__version__}",
        "rounds": rounds,
        "results": {who: took._asdict() for who, took in results.items()},
    }
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


def publish() -> None:
    """The page's table and the picture, from results.json."""
    told = json.loads(RESULTS.read_text())
    PAGE.write_text(BETWEEN_MARKS.sub(lambda marks: marks[1] + as_markdown(told) + marks[2], PAGE.read_text()))
    if charted := {case: told[case] for case in CHARTED if case in told}:
        draw(charted)


def as_markdown(told: dict[str, Any]) -> str:
    """Every promise beside what was measured; one that isn't kept says so."""
    lines = ["| case | measured | | at most | |", "|---|---|---|---|---|"]
    measured = [bar for bar in BARS if bar.case in told]
    for bar in measured:
        figure = bar.figure({who: Summary(**took) for who, took in told[bar.case]["results"].items()})
        kept = "kept" if figure <= bar.at_most else "**not kept**"
        cells = (told[bar.case]["title"], bar.what, bar.shown.format(figure), bar.shown.format(bar.at_most), kept)
        lines.append(f"| {' | '.join(cells)} |")
    taken = sorted({f"{case['date']}, {case['machine']}, {case['versions']}" for case in told.values()})
    return "\n".join([*lines, "", f"Taken by `make bench` on {'; '.join(taken)}.", ""])


def draw(told: dict[str, Any]) -> None:
    """Bars of seconds, the same colour for the same way throughout."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(told), figsize=(4.2 * len(told), 3.2), squeeze=False, layout="constrained")
    for panel, case in zip(panels[0], told.values(), strict=True):
        shown = {who: took for who, took in case["results"].items() if who != "pages_only"}
        ways = sorted(shown.items(), key=lambda way: -way[1]["median_s"])
        names = [name.replace("_", " ") for name, _ in ways]
        seconds = [took["median_s"] for _, took in ways]
        bars = panel.barh(names, seconds, color=["#0072B2" if name == "ours" else "#BBBBBB" for name in names])
        panel.bar_label(bars, fmt="%.1f s", padding=2, fontsize=8)
        panel.set_title(case["title"], fontsize=9)
        panel.set_xlabel("seconds, whole process")
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.18)
    figure.savefig(HERE / "results.png", dpi=130)
