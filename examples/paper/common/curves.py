"""Reward and KL of a policy along its training, on prompts that stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import libdpo

from . import measure
from .methods import METHODS, train
from .tasks import Sentiment

#: Completions of a test prompt that a point is measured by.
SAMPLES = 2


def point(task: Sentiment, policy: libdpo.Model, reference: libdpo.Model, seed: int) -> "dict[str, Any]":
    """Mean true reward and KL of each test prompt."""
    prompts = task.test
    drawn = measure.draw(policy, prompts, SAMPLES, seed=900 + seed, max_new_tokens=task.size["new_tokens"])
    flat = [text for some in measure.texts(drawn) for text in some]
    rewards = task.reward([prompt for prompt in prompts for _ in range(SAMPLES)], flat)
    words = [len(text.split()) for text in flat]
    return {
        "reward": measure.by_prompt(measure.regroup(rewards, SAMPLES)),
        "kl": measure.by_prompt(measure.log_ratios(policy, reference, prompts, drawn)),
        "words": round(sum(words) / len(words), 2),
        "distinct": round(len(set(flat)) / len(flat), 4),
    }


def sft_point(task: Sentiment, seed: int) -> "dict[str, Any]":
    def make() -> "dict[str, Any]":
        model = task.start.open()
        return point(task, model, model, seed)

    return task.work.cell(
        "sentiment sft", {"start": task.start, "seed": seed, "size": task.size, "samples": SAMPLES}, make
    )


def curve(
    task: Sentiment, method: str, seed: int, checkpoints: Sequence[int], options: "dict[str, Any]"
) -> "dict[str, Any]":
    """{"points": one a checkpoint that was reached, "stopped": why the library gave up, or null}."""
    preferences = task.preferences(seed)
    row = METHODS[method]
    options = {**options, "seed": seed, "per_device_train_batch_size": task.size["batch"]}
    settings = {
        "start": task.start,
        "method": method,
        "checkpoints": list(checkpoints),
        **row.options,
        **options,
        "size": task.size,
        "samples": SAMPLES,
    }
    if row.reward is not None:
        options = {**options, "max_completion_length": task.size["new_tokens"]}

    def make() -> "dict[str, Any]":
        reference = task.start.open()
        points, stopped = [], None
        try:
            for step, made, metrics in train(task.work, row, task.start, preferences, checkpoints, **options):
                found = point(task, made.open(), reference, seed)
                points.append({"step": step, **found, "loss": round(metrics["loss"], 5)})
        except (libdpo.DivergedError, libdpo.NonFiniteError) as error:
            stopped = str(error)
        return {"points": points, "stopped": stopped}

    return task.work.cell("sentiment curve", settings, make)
