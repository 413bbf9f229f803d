"""What was measured: a table for the terminal, results.json, results.png for the README."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
import duckdb
from cases import Results

HERE = Path(__file__).parent
CHARTED = ("first-100k", "first-1m", "second-100k")


def as_text(title: str, results: Results) -> str:
    """One case: median, min, max, peak memory, and how many times the floor, where there is one."""
    floor = results["floor"].median_s if "floor" in results else None
    lines = [f"\n{title}", f"{'':28} {'median s':>9} {'min':>7} {'max':>7} {'peak MB':>8} {'x floor':>8}"]
    for name, took in results.items():
        times = f"{took.median_s / floor:8.2f}" if floor else ""
        lines.append(f"{name:28} {took.median_s:9.2f} {took.min_s:7.2f} {took.max_s:7.2f} {took.peak_mb:8.0f} {times}")
    return "\n".join(lines)


def write(results: dict[str, Results], titles: dict[str, str], rounds: int) -> None:
    """results.json with all figures and what they were taken on, and the picture of them."""
    told = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), "dlt": dlt.__version__, "duckdb": duckdb.__version__},
        "rounds": rounds,
        "cases": {
            name: {"title": titles[name], "results": {who: took._asdict() for who, took in result.items()}}
            for name, result in results.items()
        },
    }
    (HERE / "results.json").write_text(json.dumps(told, indent=1) + "\n")
    draw({name: case for name, case in told["cases"].items() if name in CHARTED})  # type: ignore[attr-defined]


def draw(told: dict[str, Any]) -> None:
    """Bars of seconds, the same colour for the same way throughout; nothing when no charted case was measured."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    if not told:
        return
    figure, panels = plt.subplots(1, len(told), figsize=(4.2 * len(told), 3.2), squeeze=False, layout="constrained")
    for panel, case in zip(panels[0], told.values(), strict=True):
        ways = sorted(case["results"].items(), key=lambda way: -way[1]["median_s"])
        names = [name.replace("_", " ") for name, _ in ways]
        seconds = [took["median_s"] for _, took in ways]
        bars = panel.barh(names, seconds, color=["#0072B2" if name == "ours" else "#BBBBBB" for name in names])
        panel.bar_label(bars, fmt="%.1f s", padding=2, fontsize=8)
        panel.set_title(case["title"], fontsize=9)
        panel.set_xlabel("seconds, whole process")
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.18)
    figure.savefig(HERE / "results.png", dpi=130)
