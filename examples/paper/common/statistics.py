"""Bootstrap intervals, and the area under a frontier of reward against KL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import comb

import numpy as np

ROUNDS = 2000


def resamples(seeds: int, prompts: int, rounds: int = ROUNDS) -> "Iterator[tuple[np.ndarray, np.ndarray]]":
    """Indices of seeds and of prompts, drawn with replacement: both are samples of what might have been."""
    source = np.random.default_rng(0)
    for _ in range(rounds):
        yield source.integers(0, seeds, seeds), source.integers(0, prompts, prompts)


def interval(values: "list[float]") -> "list[float]":
    """The middle 95 %."""
    return [float(x) for x in np.quantile(values, (0.025, 0.975))]


def estimate(values: np.ndarray, rounds: int = ROUNDS) -> "dict[str, float | list[float]]":
    """Mean of values [seed, prompt] and its interval."""
    values = np.asarray(values, dtype=float)
    means = [values[s][:, p].mean() for s, p in resamples(*values.shape, rounds)]
    return rounded({"mean": float(values.mean()), "interval": interval(means)})


def difference(a: np.ndarray, b: np.ndarray) -> "dict[str, float | list[float]]":
    """Mean of a − b, paired by seed and prompt."""
    return estimate(np.asarray(a, dtype=float) - np.asarray(b, dtype=float))


def frontier(kl: np.ndarray, reward: np.ndarray, origin: float) -> "tuple[np.ndarray, np.ndarray]":
    """The best reward that any point reaches within a budget of KL: a rising staircase that starts at (0, origin)."""
    order = np.argsort(kl)
    return np.concatenate([[0.0], np.maximum(kl[order], 0)]), np.maximum.accumulate(
        np.concatenate([[origin], reward[order]])
    )


def area(kl: np.ndarray, reward: np.ndarray, origin: float, budget: float) -> float:
    """Mean height of the frontier over the origin for budgets of 0 … `budget` nats: (1/K) ∫₀ᴷ (f(k) − f(0)) dk."""
    steps, heights = frontier(kl, reward, origin)
    edges = np.concatenate([np.minimum(steps, budget), [budget]])
    return float(np.sum((heights - origin) * np.diff(edges)) / budget)


def area_of(
    points: "list[list[dict]]", origin: np.ndarray, budget: float
) -> "Callable[[np.ndarray, np.ndarray], float]":
    """The area as a statistic of (seed indices, prompt indices). `points`: for each seed {"kl", "reward"} by prompt; `origin`
    [seed, prompt]. Which points stand on the frontier is decided anew for the prompts drawn."""
    arrays = [
        (np.array([point["kl"] for point in some]), np.array([point["reward"] for point in some])) for some in points
    ]

    def statistic(seeds: np.ndarray, prompts: np.ndarray) -> float:
        return float(
            np.mean(
                [
                    area(*(values[:, prompts].mean(1) for values in arrays[seed]), origin[seed][prompts].mean(), budget)
                    for seed in seeds
                ]
            )
        )

    return statistic


def best_within(points: "list[list[dict]]", budget: float) -> "dict[str, float]":
    """Of every seed the point of most reward within the budget; their mean."""
    means = [[(np.mean(point["reward"]), np.mean(point["kl"])) for point in some] for some in points]
    best = [max((pair for pair in some if pair[1] <= budget), default=(np.nan, np.nan)) for some in means]
    reward, kl = np.mean(best, axis=0)
    return {"reward": round(float(reward), 3), "kl": round(float(kl), 3)}


def expected_best(true: np.ndarray, learned: np.ndarray, n: int) -> np.ndarray:
    """Expected true reward of the one of n samples that the learned reward likes best, over all choices of n out of the pool:
    the i-th worst of m is the best of n with probability C(i, n−1) / C(m, n)."""
    pool = true.shape[1]
    weights = np.array([comb(i, n - 1) for i in range(pool)]) / comb(pool, n)
    return np.take_along_axis(true, np.argsort(learned, axis=1, kind="stable"), axis=1) @ weights


def bootstrap(
    statistic: "Callable[[np.ndarray, np.ndarray], float]", seeds: int, prompts: int, rounds: int = ROUNDS
) -> dict:
    """A statistic of (seed indices, prompt indices), with its interval."""
    value = statistic(np.arange(seeds), np.arange(prompts))
    return rounded(
        {"mean": value, "interval": interval([statistic(s, p) for s, p in resamples(seeds, prompts, rounds)])}
    )


def rounded(value: "dict") -> "dict":
    return {
        name: [round(x, 4) for x in item] if isinstance(item, list) else round(item, 4) for name, item in value.items()
    }


def text(value: "dict", digits: int = 2, scale: float = 1) -> str:
    """'0.90 [0.76, 1.04]'"""
    low, high = (scale * x for x in value["interval"])
    return f"{scale * value['mean']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def claim(words: str, value: "dict") -> "dict":
    """A statement of the paper as a difference that it says is above 0: agrees when the whole interval is, contradicts when the whole
    interval is below."""
    low, high = value["interval"]
    verdict = "agrees" if low > 0 else "contradicts" if high < 0 else "not told apart"
    return {"claim": words, **value, "verdict": verdict}


def claims_table(claims: "list[dict]", digits: int = 2, scale: float = 1) -> str:
    lines = ["| the paper says | measured difference | here |", "|---|---|---|"]
    lines += [f"| {item['claim']} | {text(item, digits, scale)} | {item['verdict']} |" for item in claims]
    return "\n".join(lines)
