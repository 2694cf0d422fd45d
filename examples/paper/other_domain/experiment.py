"""Experiment 3, another domain: do the summarisation policies hold on texts of a kind they were not trained on?

python examples/paper/other_domain/experiment.py [--quick]
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

import numpy as np
from common import statistics, store, winrates
from common.tasks import Summaries
from summaries import experiment as summaries

TEMPERATURES = [0.0, 0.25]


def main(work: store.Work) -> None:
    scale = summaries.QUICK if work.quick else summaries.FULL
    task = Summaries(work)
    rows = task.other_domain
    wins = {
        method: np.array(
            [
                [
                    winrates.answers(
                        work,
                        f"other domain {method}",
                        made(seed),
                        rows,
                        "completion",
                        summaries.judge_of(task),
                        seed,
                        temperature,
                        {**task.size, "texts": "R data sets"},
                    )["wins"]
                    for temperature in TEMPERATURES
                ]
                for seed in scale["seeds"]
            ]
        )
        for method, made in {
            "DPO": lambda seed: summaries.trained(task, "DPO", seed, scale),
            "PPO": lambda seed: summaries.trained(task, "PPO", seed, scale),
            "SFT": lambda seed: task.start,
        }.items()
    }
    rates = {
        method: [statistics.estimate(values[:, at]) for at in range(len(TEMPERATURES))]
        for method, values in wins.items()
    }
    claims = [
        statistics.claim(
            f"DPO beats PPO at temperature {temperature:g}",
            statistics.difference(wins["DPO"][:, at], wins["PPO"][:, at]),
        )
        for at, temperature in enumerate(TEMPERATURES)
    ] + [
        statistics.claim("DPO beats SFT at temperature 0", statistics.difference(wins["DPO"][:, 0], wins["SFT"][:, 0]))
    ]
    judge = task.judge
    others = judge.nearest(rows)
    own = [
        judge.score(row["prompt"], row["completion"]) > judge.score(row["prompt"], rows[other]["completion"])
        for row, other in zip(rows, others)
    ]
    store.save_results(
        FOLDER,
        work,
        {
            "seeds": scale["seeds"],
            "scale": {**scale, **task.size, "temperatures": TEMPERATURES},
            "rows": len(rows),
            "judge": {"own_against_alike": round(float(np.mean(own)), 4), "rows": len(rows)},
            "win_rate": rates,
            "claims": claims,
            "by_seed": {method: np.round(values.mean(2), 4).tolist() for method, values in wins.items()},
        },
    )
    columns = [f"T = {temperature:g}" for temperature in TEMPERATURES]
    store.save_table(FOLDER, work, winrates.table(columns, rates, claims))


if __name__ == "__main__":
    main(store.work_asked_for(__doc__))
