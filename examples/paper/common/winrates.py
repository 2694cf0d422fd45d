"""Win rates of policies against the answers that people wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import measure, statistics
from .store import Made, Work
from .tasks import wins

#: Scores of answers to prompts, by a judge.
Judge = Callable[["list[str]", "list[str]"], "list[float]"]


def answers(
    work: Work,
    name: str,
    policy: Made,
    rows: "list[dict]",
    reference: str,
    judge: Judge,
    seed: int,
    temperature: float,
    settings: "dict[str, Any]",
    best_of: int = 1,
    reward: "Made | None" = None,
) -> "dict[str, Any]":
    """How a policy's answers at a temperature compare with the rows' `reference` answers: {"wins": by prompt, "words"}. With
    `best_of`, the answer is the one of so many samples that the learned reward likes best."""

    def make() -> "dict[str, Any]":
        prompts = [row["prompt"] for row in rows]
        drawn = measure.texts(
            measure.draw(
                policy.open(),
                prompts,
                best_of,
                seed=500 + seed,
                temperature=temperature,
                max_new_tokens=settings["new_tokens"],
            )
        )
        if best_of > 1:
            flat = [text for some in drawn for text in some]
            scores = reward.open().rewards(
                [prompt for prompt in prompts for _ in range(best_of)], flat
            )
            chosen = [some[int(np.argmax(each))] for some, each in zip(drawn, measure.regroup(scores, best_of))]
        else:
            chosen = [some[0] for some in drawn]
        found = wins(judge(prompts, chosen), judge(prompts, [row[reference] for row in rows]))
        lengths = [len(text.split()) for text in chosen]
        return {
            "wins": found,
            "words": round(float(np.mean(lengths)), 2),
            "reference_words": round(float(np.mean([len(row[reference].split()) for row in rows])), 2),
        }

    depends = {
        "policy": policy,
        "rows": len(rows),
        "seed": seed,
        "temperature": temperature,
        "best_of": best_of,
        "reward": reward,
    }
    return work.cell(f"wins {name}", {**depends, **settings}, make)


def table(columns: "list[str]", rates: "dict[str, list[dict]]", claims: "list[dict]") -> str:
    """Win rates in per cent by method and column, and what the paper says of them."""
    lines = ["| win rate, % | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for method, values in rates.items():
        lines.append(f"| {method} | " + " | ".join(statistics.text(value, 0, 100) for value in values) + " |")
    return "\n".join(lines) + "\n\n" + statistics.claims_table(claims, 1, 100)
