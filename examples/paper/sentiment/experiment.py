"""Experiment 1, controlled sentiment: how much reward does a method give for how much KL from the SFT model?

python examples/paper/sentiment/experiment.py [--quick]
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

import numpy as np
from common import curves, measure, models, statistics, store
from common.tasks import Sentiment

#: Methods with what is varied, as in the paper's section 6.1. The learning rate is the same for all, and was not tuned.
RUNS = {
    "DPO": [{"beta": beta, "learning_rate": 3e-4} for beta in (0.05, 0.1, 0.3, 1.0)],
    "PPO": [{"kl_coef": beta, "learning_rate": 3e-4} for beta in (0.05, 0.2)],
    "PPO-GT": [{"kl_coef": beta, "learning_rate": 3e-4} for beta in (0.05, 0.2)],
    "Preferred-FT": [{"learning_rate": 3e-4}],
    "Unlikelihood": [{"unlikelihood_alpha": alpha, "learning_rate": 3e-4} for alpha in (0.05, 0.5)],
}
FULL = {"seeds": [1, 2, 3], "checkpoints": [4, 8, 16, 32, 64], "most": 64, "best_of": [2, 4, 8, 16, 32]}
QUICK = {"seeds": [1, 2], "checkpoints": [2, 4], "most": 4, "best_of": [2, 4]}
#: Nats of KL up to which the area under a frontier is taken.
BUDGET = 10.0


def best_of(task: Sentiment, seed: int, most: int) -> dict:
    """Pools of samples of the SFT model for each test prompt, under the true and the learned reward."""
    reward = task.preferences(seed).learned_reward

    def make() -> dict:
        model = task.start.open()
        drawn = measure.texts(
            measure.draw(model, task.test, most, seed=700 + seed, max_new_tokens=task.size["new_tokens"])
        )
        prompts = [prompt for prompt in task.test for _ in range(most)]
        flat = [text for some in drawn for text in some]
        learned = reward.open().rewards(prompts, flat)
        true = task.reward(prompts, flat)
        return {
            name: [[round(x, 3) for x in some] for some in measure.regroup(values, most)]
            for name, values in (("true", true), ("learned", learned))
        }

    settings = {"start": task.start, "reward": reward, "seed": seed, "size": task.size, "most": most}
    return task.work.cell("sentiment pools", settings, make)


def gather(task: Sentiment, scale: dict) -> "tuple[dict, list]":
    """{method: one list of points a seed}, each point {"label", "kl", "reward"} by test prompt; and the runs that were given up."""
    found, stopped = {}, []
    for method, variants in RUNS.items():
        found[method] = []
        for seed in scale["seeds"]:
            points = []
            for options in variants:
                curve = curves.curve(task, method, seed, scale["checkpoints"], options)
                points += [{**point, "label": {**options, "step": point["step"]}} for point in curve["points"]]
                if curve["stopped"]:
                    stopped.append(
                        {
                            "method": method,
                            "seed": seed,
                            **options,
                            "after": len(curve["points"]),
                            "why": curve["stopped"],
                        }
                    )
            found[method].append(points)
    found["Best of N"] = []
    for seed in scale["seeds"]:
        pool = {name: np.array(values) for name, values in best_of(task, seed, max(scale["best_of"])).items()}
        found["Best of N"].append(
            [
                {
                    "label": {"n": n},
                    "kl": [np.log(n) - (n - 1) / n] * len(task.test),
                    "reward": statistics.expected_best(pool["true"], pool["learned"], n),
                }
                for n in scale["best_of"]
            ]
        )
    return found, stopped


def figure(found: dict, origin: np.ndarray, path: Path) -> None:
    """Every point, pale, and the frontier of the points' means over seeds."""
    from common import plots

    drawing, axes = plots.plt.subplots(figsize=(7.2, 4.6))
    start = origin.mean()
    for method, seeds in found.items():
        style = plots.style(method)
        settings: "dict[str, list[tuple[float, float]]]" = {}
        for point in (point for points in seeds for point in points):
            mean = float(np.mean(point["kl"])), float(np.mean(point["reward"]))
            settings.setdefault(str(point["label"]), []).append(mean)
        axes.scatter(
            *zip(*(point for some in settings.values() for point in some)), s=14, alpha=0.3, linewidths=0, **style
        )
        steps, heights = statistics.frontier(*np.array([np.mean(some, axis=0) for some in settings.values()]).T, start)
        inside = steps <= 2 * BUDGET
        axes.step(steps[inside], heights[inside], where="post", color=style["color"], linewidth=1.8)
        axes.plot([], [], label=method, linewidth=1.8, **style)
    axes.plot(0, start, "*", color=plots.COLOURS["SFT"], markersize=13, label="SFT", zorder=5)
    axes.axvline(BUDGET, color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.set(
        xlim=(-0.3, 2 * BUDGET),
        xlabel="KL(π ‖ SFT), nats a completion",
        ylabel="reward: log-odds of “positive”",
        title="Reward against KL, test prompts",
    )
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    plots.save(drawing, path)


def main(work: store.Work) -> None:
    scale = QUICK if work.quick else FULL
    task = Sentiment(work)
    seeds, prompts = len(scale["seeds"]), len(task.test)
    sft = [curves.sft_point(task, seed) for seed in scale["seeds"]]
    origin = np.array([point["reward"] for point in sft])
    found, stopped = gather(task, scale)
    areas = {method: statistics.area_of(points, origin, BUDGET) for method, points in found.items()}
    table = {method: statistics.bootstrap(area, seeds, prompts) for method, area in areas.items()}
    ahead = {
        method: statistics.bootstrap(lambda s, p, other=area: areas["DPO"](s, p) - other(s, p), seeds, prompts)
        for method, area in areas.items()
        if method != "DPO"
    }
    claims = [
        statistics.claim(f"DPO's frontier lies above that of {method}", ahead[method])
        for method in RUNS
        if method != "DPO"
    ]
    within = {method: statistics.best_within(points, BUDGET) for method, points in found.items()}

    store.save_results(
        FOLDER,
        work,
        {
            "seeds": scale["seeds"],
            "scale": {**scale, **task.size, "samples": curves.SAMPLES, "budget": BUDGET},
            "runs": RUNS,
            "judge": task.judge_quality(),
            "base": models.base(work).facts,
            "sft": task.start.facts,
            "reward_model_accuracy": [
                task.preferences(seed).learned_reward.facts["held_out_accuracy"] for seed in scale["seeds"]
            ],
            "sft_reward": statistics.estimate(origin),
            "area": table,
            "area_dpo_minus": ahead,
            "claims": claims,
            "best_within_budget": within,
            "stopped": stopped,
            "points": {
                method: [
                    [
                        {
                            "label": point["label"],
                            "kl": round(float(np.mean(point["kl"])), 3),
                            "reward": round(float(np.mean(point["reward"])), 3),
                            **({"distinct": point["distinct"], "words": point["words"]} if "distinct" in point else {}),
                        }
                        for point in points
                    ]
                    for points in seeds
                ]
                for method, seeds in found.items()
            },
        },
    )
    lines = [
        f"| method | area of the frontier up to {BUDGET:g} nats | DPO − method | best reward within {BUDGET:g} nats | at KL |",
        "|---|---|---|---|---|",
    ]
    for method, value in sorted(table.items(), key=lambda item: -item[1]["mean"]):
        gap = statistics.text(ahead[method]) if method in ahead else ""
        lines.append(
            f"| {method} | {statistics.text(value)} | {gap} | {within[method]['reward']:.2f} | {within[method]['kl']:.1f} |"
        )
    store.save_table(
        FOLDER,
        work,
        "![Reward against KL on the test prompts](frontier.svg)\n\n"
        + "\n".join(lines)
        + "\n\n"
        + statistics.claims_table(claims),
    )
    figure(found, origin, store.output(FOLDER, work, "frontier.svg"))


if __name__ == "__main__":
    main(store.work_asked_for(__doc__, starts_from_nothing=True))
