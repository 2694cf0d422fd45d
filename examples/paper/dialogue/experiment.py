"""Experiment 4, dialogue: how often is a policy's reply better than the one a person gave, over temperature and over training?

python examples/paper/dialogue/experiment.py [--quick]
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

import numpy as np
from common import models, statistics, store, winrates
from common.methods import policy
from common.store import Made
from common.tasks import Dialogue

DPO = {"beta": 0.1, **models.ADAPTER}
FULL = {"seeds": [1, 2, 3], "temperatures": [0.0, 0.5, 1.0], "steps": [8, 16, 32], "best_of": 4}
QUICK = {"seeds": [1, 2], "temperatures": [0.0, 1.0], "steps": [1, 2], "best_of": 2}
#: Of the curve over training.
CURVE_TEMPERATURE = 1.0


def trained(task: Dialogue, seed: int, steps: int) -> Made:
    return policy(
        task.work,
        "DPO",
        task.start,
        task.preferences(),
        steps,
        {"task": "dialogue", "size": task.size},
        seed=seed,
        per_device_train_batch_size=task.size["batch"],
        **DPO,
    )


def figure(series: dict, path: Path, **labels) -> None:
    from common import plots

    plots.lines(series, path, **labels)


def main(work: store.Work) -> None:
    scale = QUICK if work.quick else FULL
    task = Dialogue(work)
    base = models.shipped(work)
    model = task.judge.open()

    def rate(method: str, made: Made, seed: int, temperature: float, **extra) -> "list[float]":
        return winrates.answers(
            work,
            f"dialogue {method}",
            made,
            task.test,
            "chosen",
            model.rewards,
            seed,
            temperature,
            {**task.size, "judge": task.judge},
            **extra,
        )["wins"]

    wins = {
        method: np.array(
            [[make(seed, temperature) for temperature in scale["temperatures"]] for seed in scale["seeds"]]
        )
        for method, make in {
            "DPO": lambda seed, t: rate("DPO", trained(task, seed, scale["steps"][-1]), seed, t),
            "Preferred-FT": lambda seed, t: rate("Preferred-FT", task.start, seed, t),
            "Best of N": lambda seed, t: rate(
                "Best of N", task.start, seed, t, best_of=scale["best_of"], reward=task.preferences().learned_reward
            ),
            "Base": lambda seed, t: rate("Base", base, seed, t),
        }.items()
    }
    along = np.array(
        [
            [rate("Preferred-FT", task.start, seed, CURVE_TEMPERATURE)]
            + [rate("DPO", trained(task, seed, steps), seed, CURVE_TEMPERATURE) for steps in scale["steps"]]
            for seed in scale["seeds"]
        ]
    )
    rates = {
        method: [statistics.estimate(values[:, at]) for at in range(len(scale["temperatures"]))]
        for method, values in wins.items()
    }
    curve = [statistics.estimate(along[:, at]) for at in range(along.shape[1])]
    last = len(scale["temperatures"]) - 1
    claims = [
        statistics.claim(
            "DPO beats Preferred-FT (temperature 1)",
            statistics.difference(wins["DPO"][:, last], wins["Preferred-FT"][:, last]),
        ),
        statistics.claim(
            "DPO beats the base model (temperature 1)",
            statistics.difference(wins["DPO"][:, last], wins["Base"][:, last]),
        ),
        statistics.claim(
            "DPO's replies win against the chosen ones more often than not (temperature 1)",
            statistics.estimate(wins["DPO"][:, last] - 0.5),
        ),
        statistics.claim(
            "DPO is at least as good as best of N (temperature 1)",
            statistics.difference(wins["DPO"][:, last], wins["Best of N"][:, last]),
        ),
    ]
    store.save_results(
        FOLDER,
        work,
        {
            "seeds": scale["seeds"],
            "scale": {**scale, **task.size},
            "runs": {"DPO": DPO},
            "base": base.facts,
            "preferred_ft": task.start.facts,
            "judge_accuracy": task.judge.facts["held_out_accuracy"],
            "reward_model_accuracy": task.preferences().learned_reward.facts["held_out_accuracy"],
            "win_rate": rates,
            "win_rate_along_training": {
                "steps": [0, *scale["steps"]],
                "temperature": CURVE_TEMPERATURE,
                "values": curve,
            },
            "claims": claims,
            "by_seed": {method: np.round(values.mean(2), 4).tolist() for method, values in wins.items()},
        },
    )
    accuracy = 100 * task.judge.facts["held_out_accuracy"]
    judged = f"The judge prefers the real reply to the other one in {accuracy:.0f} % of 200 test pairs.\n\n"
    columns = [f"T = {temperature:g}" for temperature in scale["temperatures"]]
    store.save_table(
        FOLDER,
        work,
        "![Win rate over temperature, and over training](winrate.svg)\n\n"
        + judged
        + winrates.table(columns, rates, claims),
    )
    figure(
        {method: (scale["temperatures"], values) for method, values in rates.items()},
        store.output(FOLDER, work, "winrate.svg"),
        xlabel="sampling temperature",
        title="Replies against people's",
        more={"DPO": ([0, *scale["steps"]], curve)},
        more_label=f"steps of DPO, temperature {CURVE_TEMPERATURE:g}",
    )


if __name__ == "__main__":
    main(store.work_asked_for(__doc__))
