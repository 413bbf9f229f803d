"""scale.png: which limit is the nearest, over the number of pickups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scale_cells import ACCOUNTS, Cell

LINES = {
    "pace of the largest account, pages of 500": ("pace_500", "#0072B2", "-"),
    "the same, pages of 100": ("pace_100", "#0072B2", "--"),
    "one process, one DuckDB file": ("one_process", "#D55E00", "-"),
    "of it: what goes by the size of the file": ("of_it_table", "#D55E00", "--"),
}


def draw(found: Sequence[Cell], to: Path) -> None:
    """A panel for each number of accounts: shares of a quarter of an hour; at one, there is no more room."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(ACCOUNTS), figsize=(9, 2.9), sharey=True, layout="constrained")
    for panel, accounts in zip(panels, ACCOUNTS, strict=True):
        own = [cell for cell in found if cell.accounts == accounts]
        for label, (name, colour, style) in LINES.items():
            shares = [getattr(cell, name) for cell in own]
            panel.loglog([cell.pickups for cell in own], shares, style, color=colour, label=label)
        panel.axhline(1, color="#555555", linewidth=0.8)
        panel.set_title(f"{accounts:,} account{'s' if accounts > 1 else ''}", fontsize=9)
        panel.set_xlabel("pickups of all accounts", fontsize=8)
        panel.set_ylim(1e-4, 30)
        panel.tick_params(labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("share of a quarter of an hour", fontsize=8)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=6.5, frameon=False
    )
    figure.savefig(to, dpi=100)
