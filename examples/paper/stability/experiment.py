"""Experiment 5, stability: how much do the runs of a method differ over seeds and learning rates?

python examples/paper/stability/experiment.py [--quick]
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

import numpy as np
from common import curves, statistics, store
from common.tasks import Sentiment

RUNS = {"DPO": {"beta": 0.1}, "PPO": {"kl_coef": 0.05}}
FULL = {"seeds": [1, 2, 3], "checkpoints": [4, 8, 16, 32, 64], "learning_rates": [1e-4, 3e-4, 1e-3]}
QUICK = {"seeds": [1, 2], "checkpoints": [2, 4], "learning_rates": [3e-4]}


def main(work: store.Work) -> None:
    scale = QUICK if work.quick else FULL
    task = Sentiment(work)
    origin = np.array([curves.sft_point(task, seed)["reward"] for seed in scale["seeds"]])
    runs, stopped = {}, []
    for method, options in RUNS.items():
        for rate in scale["learning_rates"]:
            for seed in scale["seeds"]:
                found = curves.curve(task, method, seed, scale["checkpoints"], {**options, "learning_rate": rate})
                if found["stopped"]:
                    stopped.append({"method": method, "learning_rate": rate, "seed": seed, "why": found["stopped"]})
                points = [np.array(point["reward"]) for point in found["points"]]
                # A run that was given up stays where it was last measured, at worst at the SFT model.
                points += [points[-1] if points else origin[scale["seeds"].index(seed)]] * (
                    len(scale["checkpoints"]) - len(points)
                )
                kl = [float(np.mean(point["kl"])) for point in found["points"]]
                runs.setdefault(method, {}).setdefault(rate, []).append({"reward": np.array(points), "kl": kl})
    # [learning rate, seed, checkpoint, prompt], less the SFT model's reward on the same prompt
    gains = {
        method: np.array([[run["reward"] - origin[seed] for seed, run in enumerate(row)] for row in rates.values()])
        for method, rates in runs.items()
    }
    prompts = len(task.test)

    def over_seeds(method: str, p: np.ndarray) -> float:
        return float(gains[method][:, :, -1][:, :, p].mean(2).std(1, ddof=1).mean())

    def over_rates(method: str, p: np.ndarray) -> float:
        return (
            float(gains[method][:, :, -1][:, :, p].mean((1, 2)).std(ddof=1))
            if len(scale["learning_rates"]) > 1
            else 0.0
        )

    spreads = {
        name: {method: statistics.bootstrap(lambda s, p: of(method, p), 1, prompts) for method in RUNS}
        for name, of in (("over seeds", over_seeds), ("over learning rates", over_rates))
    }
    claims = [
        statistics.claim(
            f"the final reward varies less {name} with DPO than with PPO",
            statistics.bootstrap(lambda s, p: of("PPO", p) - of("DPO", p), 1, prompts),
        )
        for name, of in (("over seeds", over_seeds), ("over learning rates", over_rates))
    ]
    below = {method: int(sum(values[..., -1, :].mean(-1).ravel() < 0)) for method, values in gains.items()}
    fallen = {
        method: round(float((values.mean(-1).max(-1) - values[..., -1, :].mean(-1)).mean()), 4)
        for method, values in gains.items()
    }
    store.save_results(
        FOLDER,
        work,
        {
            "seeds": scale["seeds"],
            "scale": {**scale, **task.size},
            "runs": RUNS,
            "spread": spreads,
            "claims": claims,
            "runs_below_sft": below,
            "mean_fall_from_best_checkpoint": fallen,
            "stopped": stopped,
            "gain": {
                method: {
                    f"{rate:g}": [
                        np.round(run["reward"].mean(1) - origin[seed].mean(), 3).tolist()
                        for seed, run in enumerate(row)
                    ]
                    for rate, row in rates.items()
                }
                for method, rates in runs.items()
            },
            "kl": {
                method: {f"{rate:g}": [np.round(run["kl"], 3).tolist() for run in row] for rate, row in rates.items()}
                for method, rates in runs.items()
            },
        },
    )
    lines = [
        "| reward gained over SFT at the end | "
        + " | ".join(f"rate {rate:g}" for rate in scale["learning_rates"])
        + " | SD over seeds | SD over rates | runs below SFT | runs given up |",
        "|---" * (5 + len(scale["learning_rates"])) + "|",
    ]
    for method, values in gains.items():
        cells = [" ".join(f"{x:.2f}" for x in values[at, :, -1].mean(1)) for at in range(len(scale["learning_rates"]))]
        lines.append(
            f"| {method} | " + " | ".join(cells) + f" | {statistics.text(spreads['over seeds'][method])} | "
            f"{statistics.text(spreads['over learning rates'][method])} | {below[method]} of {values[..., 0, 0].size} | "
            f"{sum(item['method'] == method for item in stopped)} |"
        )
    store.save_table(
        FOLDER,
        work,
        "![Reward along the steps for each learning rate](curves.svg)\n\n"
        + "\n".join(lines)
        + "\n\n"
        + statistics.claims_table(claims),
    )
    figure(gains, scale, store.output(FOLDER, work, "curves.svg"))


def figure(gains: "dict[str, np.ndarray]", scale: dict, path: Path) -> None:
    from common import plots

    rates = scale["learning_rates"]
    drawing, panels = plots.plt.subplots(1, len(rates), figsize=(3.2 * len(rates), 3.2), sharey=True, squeeze=False)
    steps = [0, *scale["checkpoints"]]
    for at, (axes, rate) in enumerate(zip(panels[0], rates)):
        for method, values in gains.items():
            for seed, run in enumerate(values[at].mean(2)):
                axes.plot(
                    steps,
                    [0, *run],
                    linewidth=1.4,
                    markersize=4,
                    label=method if seed == 0 else None,
                    **plots.style(method),
                )
        axes.axhline(0, color="#999999", linewidth=0.8)
        axes.set(title=f"learning rate {rate:g}", xlabel="optimiser steps")
    panels[0][0].set_ylabel("reward gained over SFT")
    panels[0][-1].legend(loc="upper left")
    drawing.tight_layout()
    plots.save(drawing, path)


if __name__ == "__main__":
    main(store.work_asked_for(__doc__, starts_from_nothing=True))
