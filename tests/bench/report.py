"""What was measured: tables for the terminal and docs/reference/benchmark.md, results.json, results.png."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bars import BARS, Bar
from cases import Results
from measure import ROOT, WITH_PANDAS, Summary

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = ROOT / "docs" / "reference" / "benchmark.md"
CHARTED = ("first-100k", "first-1m", "second-100k")
BETWEEN_MARKS = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)


def as_text(title: str, results: Results) -> str:
    """One case: CPU and elapsed seconds, peak memory, and how many times the floor's CPU, where there is a floor."""
    floor = results["floor"].cpu_s if "floor" in results else None
    lines = [f"\n{title}", f"{'':42} {'CPU s':>8} {'min':>7} {'elapsed':>8} {'min':>7} {'peak MB':>8} {'x floor':>8}"]
    for name, took in results.items():
        times = f"{took.cpu_s / floor:8.2f}" if floor else ""
        elapsed = f"{took.median_s:8.2f} {took.min_s:7.2f}"
        lines.append(f"{name:42} {took.cpu_s:8.2f} {took.min_cpu_s:7.2f} {elapsed} {took.peak_mb:8.0f} {times}")
    return "\n".join(lines)


def write(file: Path, case: str, title: str, results: Results, rounds: int) -> None:
    """The case into the file, beside those measured before, each with its own date, machine and load."""
    told = json.loads(file.read_text()) if file.exists() else {}
    told[case] = {
        "title": title,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[2], 1),  # the average of the last fifteen minutes, which include the benchmark
        "versions": f"Python {platform.python_version()}, dlt {version('dlt')}, duckdb {version('duckdb')}",
        "rounds": rounds,
        "results": {who: took._asdict() for who, took in results.items()},
    }
    file.write_text(json.dumps(told, indent=1) + "\n")


def publish() -> None:
    """The page's table and the picture, from results.json, without cases that were measured with pandas only."""
    told = {case: of for case, of in json.loads(RESULTS.read_text()).items() if "load" in of}
    PAGE.write_text(BETWEEN_MARKS.sub(lambda marks: marks[1] + as_markdown(told) + marks[2], PAGE.read_text()))
    if charted := {case: told[case] for case in CHARTED if case in told}:
        draw(charted)


def as_markdown(told: dict[str, Any]) -> str:
    """Every promise beside what was measured, and what pandas costs. A promise that isn't kept says so."""
    results = {case: {who: Summary(**took) for who, took in of["results"].items()} for case, of in told.items()}
    lines = ["| case | measured | | at most | |", "|---|---|---|---|---|"]
    lines += [_bar(bar, told[bar.case]["title"], results[bar.case]) for bar in BARS if bar.case in told]
    lines += ["", *_with_pandas({told[case]["title"]: of for case, of in results.items()})]
    taken = sorted({_conditions(case) for case in told.values()})
    return "\n".join([*lines, "", f"Measured by `make bench`: {'; '.join(taken)}.", ""])


def _bar(bar: Bar, title: str, results: Results) -> str:
    try:
        figure = bar.figure(results)
    except (KeyError, ValueError):  # for example, ten million rows are measured only if asked for
        return f"| {title} | {bar.what} | not measured | {bar.shown.format(bar.at_most)} | |"
    kept = "kept" if figure <= bar.at_most else "**not kept**"
    return f"| {title} | {bar.what} | {bar.shown.format(figure)} | {bar.shown.format(bar.at_most)} | {kept} |"


def _with_pandas(results: dict[str, Results]) -> Iterator[str]:
    """Yields the figures without pandas beside those with it, for each contender that was measured both ways."""
    yield from ("| case | contender | CPU without pandas | CPU with pandas |", "|---|---|---|---|")
    for title, of in results.items():
        for who, took in of.items():
            if beside := of.get(f"{who}{WITH_PANDAS}"):
                yield f"| {title} | {who} | {took.cpu_s:.2f} s | {beside.cpu_s:.2f} s |"


def _conditions(case: dict[str, Any]) -> str:
    return f"{case['date']}, {case['machine']}, {case['versions']}"


def _is_drawn(who: str) -> bool:
    return who not in ("pages_only", "empty_dlt") and not who.endswith(WITH_PANDAS)


def draw(told: dict[str, Any]) -> None:
    """Bars of seconds, the same colour for the same way throughout."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(told), figsize=(4.2 * len(told), 3.2), squeeze=False, layout="constrained")
    for panel, case in zip(panels[0], told.values(), strict=True):
        shown = {who: took for who, took in case["results"].items() if _is_drawn(who)}
        ways = sorted(shown.items(), key=lambda way: -way[1]["cpu_s"])
        names = [name.replace("_", " ") for name, _ in ways]
        seconds = [took["cpu_s"] for _, took in ways]
        bars = panel.barh(names, seconds, color=["#0072B2" if name == "ours" else "#BBBBBB" for name in names])
        panel.bar_label(bars, fmt="%.1f s", padding=2, fontsize=8)
        panel.set_title(case["title"], fontsize=9)
        panel.set_xlabel("CPU seconds, without pandas")
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.18)
    figure.savefig(HERE / "results.png", dpi=130)
