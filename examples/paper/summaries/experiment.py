"""Experiment 2, summarisation: how often is a policy's summary better than a person's, at which sampling temperature?

python examples/paper/summaries/experiment.py [--quick]
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

import numpy as np
from common import models, statistics, store, winrates
from common.methods import METHODS, policy
from common.store import Made
from common.tasks import Summaries

#: Methods and their options; the learning rate is the same for all, and was not tuned.
RUNS = {
    "DPO": {"beta": 0.1, **models.ADAPTER},
    "PPO": {"kl_coef": 0.05, **models.ADAPTER},
    "Preferred-FT": models.ADAPTER,
}
FULL = {"seeds": [1, 2, 3], "temperatures": [0.0, 0.25, 0.5, 1.0], "steps": 24, "best_of": 4}
QUICK = {"seeds": [1, 2], "temperatures": [0.0, 1.0], "steps": 2, "best_of": 2}


def trained(task: Summaries, method: str, seed: int, scale: dict) -> Made:
    """The policy of a method; the experiment on another domain takes the same."""
    options = dict(RUNS[method], per_device_train_batch_size=task.size["batch"], seed=seed)
    if METHODS[method].reward:
        options["max_completion_length"] = task.size["new_tokens"]
    depends = {"task": "summaries", "size": task.size, "preferences": seed}
    return policy(task.work, method, task.start, task.preferences(seed), scale["steps"], depends, **options)


def judge_of(task: Summaries) -> winrates.Judge:
    return lambda prompts, summaries: [task.judge.score(prompt, summary) for prompt, summary in zip(prompts, summaries)]


def figure(series: dict, path: Path, **labels) -> None:
    from common import plots

    plots.lines(series, path, **labels)


def main(work: store.Work) -> None:
    scale = QUICK if work.quick else FULL
    task = Summaries(work)
    found: "dict[str, list[list[dict]]]" = {}
    for method in (*RUNS, "SFT", "Best of N"):
        found[method] = []
        for seed in scale["seeds"]:
            extra = {}
            if method == "Best of N":
                extra = {"best_of": scale["best_of"], "reward": task.preferences(seed).learned_reward}
            made = trained(task, method, seed, scale) if method in RUNS else task.start
            found[method].append(
                [
                    winrates.answers(
                        work,
                        f"summaries {method}",
                        made,
                        task.test,
                        "completion",
                        judge_of(task),
                        seed,
                        temperature,
                        task.size,
                        **extra,
                    )
                    for temperature in scale["temperatures"]
                ]
            )
    wins = {method: np.array([[cell["wins"] for cell in row] for row in rows]) for method, rows in found.items()}
    rates = {
        method: [statistics.estimate(values[:, at]) for at in range(len(scale["temperatures"]))]
        for method, values in wins.items()
    }

    def fall(values: np.ndarray) -> np.ndarray:
        return values[:, -1] - values[:, 0]

    claims = [
        statistics.claim("DPO beats PPO at temperature 0", statistics.difference(wins["DPO"][:, 0], wins["PPO"][:, 0])),
        statistics.claim(
            "from temperature 0 to 1 DPO loses less than PPO",
            statistics.difference(fall(wins["DPO"]), fall(wins["PPO"])),
        ),
        statistics.claim(
            "DPO at temperature 0 beats best of N at temperature 1",
            statistics.difference(wins["DPO"][:, 0], wins["Best of N"][:, -1]),
        ),
        statistics.claim(
            "DPO beats Preferred-FT at temperature 0",
            statistics.difference(wins["DPO"][:, 0], wins["Preferred-FT"][:, 0]),
        ),
        statistics.claim("DPO beats SFT at temperature 0", statistics.difference(wins["DPO"][:, 0], wins["SFT"][:, 0])),
        statistics.claim(
            "DPO's summaries win against people's more often than not (temperature 0)",
            statistics.estimate(wins["DPO"][:, 0] - 0.5),
        ),
    ]
    store.save_results(
        FOLDER,
        work,
        {
            "seeds": scale["seeds"],
            "scale": {**scale, **task.size},
            "runs": RUNS,
            "judge": task.judge_quality(),
            "base": models.shipped(work).facts,
            "sft": task.start.facts,
            "pairs": [len(task.preferences(seed).pairs) for seed in scale["seeds"]],
            "reward_model_accuracy": [
                task.preferences(seed).learned_reward.facts["held_out_accuracy"] for seed in scale["seeds"]
            ],
            "stopped": {
                method: [trained(task, method, seed, scale).facts["stopped"] for seed in scale["seeds"]]
                for method in RUNS
            },
            "win_rate": rates,
            "claims": claims,
            "by_seed": {method: np.round(values.mean(2), 4).tolist() for method, values in wins.items()},
            "words": {method: [[cell["words"] for cell in row] for row in rows] for method, rows in found.items()},
            "reference_words": found["SFT"][0][0]["reference_words"],
        },
    )
    columns = [f"T = {temperature:g}" for temperature in scale["temperatures"]]
    store.save_table(
        FOLDER, work, "![Win rate over temperature](winrate.svg)\n\n" + winrates.table(columns, rates, claims)
    )
    figure(
        {method: (scale["temperatures"], values) for method, values in rates.items()},
        store.output(FOLDER, work, "winrate.svg"),
        xlabel="sampling temperature",
        title="Summaries against people's synopses",
    )


if __name__ == "__main__":
    main(store.work_asked_for(__doc__))
