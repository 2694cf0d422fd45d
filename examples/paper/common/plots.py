"""One look for all figures."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

#: Okabe and Ito's colours, which the colour-blind can tell apart; each method has its own everywhere.
COLOURS = {
    "DPO": "#0072B2",
    "PPO": "#D55E00",
    "PPO-GT": "#CC79A7",
    "Preferred-FT": "#009E73",
    "Unlikelihood": "#56B4E9",
    "Best of N": "#E69F00",
    "SFT": "#555555",
    "Base": "#999999",
}
MARKS = {
    "DPO": "o",
    "PPO": "s",
    "PPO-GT": "D",
    "Preferred-FT": "^",
    "Unlikelihood": "v",
    "Best of N": "P",
    "SFT": "*",
    "Base": "X",
}

plt.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e6e6e6",
        "axes.axisbelow": True,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "libdpo",
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "figure.facecolor": "white",
    }
)


def style(name: str) -> "dict[str, str]":
    family = name if name in COLOURS else name.split(" (")[0]
    return {"color": COLOURS[family], "marker": MARKS[family]}


def save(figure: "plt.Figure", path: Path) -> None:
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def lines(series: dict, path: Path, xlabel: str, title: str, more: "dict | None" = None, more_label: str = "") -> None:
    """Win rates with their intervals, {name: (xs, estimates)}; `more` in a second panel."""
    panels = [(series, xlabel)] + ([(more, more_label)] if more else [])
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5.6 if len(panels) == 1 else 9.6, 3.8), sharey=True, squeeze=False
    )
    for at, (drawn, label) in enumerate(panels):
        axis = axes[0][at]
        for index, (name, (xs, values)) in enumerate(drawn.items()):
            width = (max(xs) - min(xs)) * 0.008
            shifted = [x + width * (index - (len(drawn) - 1) / 2) for x in xs]
            means = [100 * value["mean"] for value in values]
            errors = [
                [mean - 100 * value["interval"][0] for mean, value in zip(means, values)],
                [100 * value["interval"][1] - mean for mean, value in zip(means, values)],
            ]
            axis.errorbar(
                shifted,
                means,
                yerr=errors,
                label=name,
                linewidth=1.6,
                elinewidth=0.9,
                capsize=2,
                markersize=5,
                **style(name),
            )
        axis.axhline(50, color="#999999", linewidth=0.8, linestyle=":")
        axis.set_xlabel(label)
    axes[0][0].set(ylabel="win rate, %", title=title)
    axes[0][0].legend(loc="best", fontsize=8)
    figure.tight_layout()
    save(figure, path)
