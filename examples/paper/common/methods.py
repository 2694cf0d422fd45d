"""The methods that are compared. A method is a row of `METHODS`: what it is called, which trainer of libdpo makes the policy,
and what it learns from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import libdpo

from . import models
from .store import Made, Work


@dataclass(frozen=True)
class Preferences:
    """What was found out about completions of the SFT policy."""

    pairs: "list[dict]"  #: {"prompt", "chosen", "rejected"}
    prompts: "list[str]"  #: for methods that draw completions themselves
    learned_reward: "Made | None" = None  #: a reward model trained on the pairs
    true_reward: "Callable[[list[str], list[str]], list[float]] | None" = None  #: of prompts and completions

    def rows(self, kind: str) -> "list[dict]":
        if kind == "pairs":
            return self.pairs
        if kind == "chosen":
            return [{"prompt": pair["prompt"], "completion": pair["chosen"]} for pair in self.pairs]
        return [{"prompt": prompt} for prompt in self.prompts]


@dataclass(frozen=True)
class Method:
    name: str
    trainer: str  #: libdpo's class, without "Trainer"
    data: str  #: what it learns from: pairs, chosen or prompts
    options: "dict[str, Any]" = field(default_factory=dict)
    reward: "str | None" = None  #: of methods that draw completions: learned or true


PPO = {"temperature": 1.0, "num_ppo_epochs": 2, "num_mini_batches": 1, "vf_coef": 0.1}

METHODS = {
    method.name: method
    for method in (
        Method("DPO", "DPO", "pairs"),
        Method("PPO", "PPO", "prompts", PPO, "learned"),
        Method("PPO-GT", "PPO", "prompts", PPO, "true"),
        Method("Preferred-FT", "SFT", "chosen"),
        Method("Unlikelihood", "Unlikelihood", "pairs"),
    )
}


def train(
    work: Work, method: Method, start: Made, preferences: Preferences, checkpoints: Sequence[int], **options: Any
) -> "Iterator[tuple[int, Made, dict[str, Any]]]":
    """(step, policy, metrics) at each of the checkpoints; the model's file is overwritten by the next one. Raises
    `libdpo.DivergedError` when the library gave the run up."""
    args = models.configuration(
        method.trainer,
        work.scratch(),
        max_steps=max(checkpoints),
        max_length=256,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=0.1,
        **{**method.options, **options},
    )
    rows = preferences.rows(method.data)
    trainer_class = getattr(libdpo, f"{method.trainer}Trainer")
    if method.reward is None:
        trainer = trainer_class(start.path, args=args, train_dataset=rows)
    else:
        trainer = trainer_class(start.path, _reward(method.reward, preferences), args, rows)
    path = work.scratch() / "policy.h5"
    for step in range(1, max(checkpoints) + 1):
        metrics = trainer.step()
        if step in checkpoints:
            path.unlink(missing_ok=True)
            trainer.save_model(path)
            yield step, Made(path, "", {}, models.adapted(start, options)), metrics


def _reward(kind: str, preferences: Preferences) -> Any:
    if kind == "learned":
        return preferences.learned_reward.open()
    return lambda answers: preferences.true_reward([a.prompt for a in answers], [a.completion for a in answers])


def policy(
    work: Work, name: str, start: Made, preferences: Preferences, steps: int, depends: "dict[str, Any]", **options: Any
) -> Made:
    """The policy of a method after so many steps; where the library gave the run up, of half as many. `depends`: what the
    preferences were made from."""
    method = METHODS[name]

    def make(path: Path) -> "dict[str, Any]":
        facts: "dict[str, Any]" = {"stopped": None}
        try:
            for step, made, metrics in train(work, method, start, preferences, (max(1, steps // 2), steps), **options):
                shutil.copyfile(made.path, path)
                facts.update(step=step, loss=round(metrics["loss"], 5))
        except (libdpo.DivergedError, libdpo.NonFiniteError) as error:
            if not path.exists():
                raise
            facts["stopped"] = str(error)
        return facts

    settings = {"start": start, **method.options, **options, "steps": steps, **depends}
    return work.model(f"policy {name}", settings, make, models.adapted(start, options))
