"""Rewards of the policy's own answers: functions as libdpo calls them, and as TRL does."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Optional, Union

from . import errors
from .classifier import TextClassifier
from .model import Model

__all__ = ["Answer", "Reward"]


@dataclass(frozen=True)
class Answer:
    """What the policy said to a prompt, for a reward of your own."""

    prompt: Any
    """Text, or a list of chat messages; None, like ``completion``, where the model has no tokenizer."""
    completion: Optional[str]
    """Text without special tokens."""
    prompt_ids: "list[int]"
    """The tokens that the policy read."""
    completion_ids: "list[int]"
    """The tokens that it drew."""
    stopped: bool
    """Whether it ended by itself, not at ``max_completion_length``."""
    row: "dict[str, Any]"
    """The row of the data, as it was given; empty where the trainer has no rows by name."""


Reward = Union[Model, TextClassifier, str, "os.PathLike[str]", Callable[..., "Sequence[Optional[float]]"]]
"""A reward model or its path, a text classifier, a function that gives each of a list of ``Answer`` a number, or one
that TRL would call: with prompts, completions, completion_ids and the other columns as keywords."""


def answers_of(values: Any, rows: "Sequence[dict[str, Any]]") -> "list[Answer]":
    """The library's answers; ``rows`` are those of the data that it answered, in order, or none."""

    def text(value: Optional[bytes]) -> Optional[str]:
        return None if value is None else value.decode("utf-8", "replace")

    return [
        Answer(
            json.loads(values.prompts[i]) if values.prompt_is_chat[i] else text(values.prompts[i]),
            text(values.completions[i]),
            values.prompt_ids[i][: values.prompt_lengths[i]],
            values.completion_ids[i][: values.completion_lengths[i]],
            bool(values.stopped[i]),
            rows[values.rows[i] - 1] if values.rows[i] <= len(rows) else {},
        )
        for i in range(values.count)
    ]


def is_for_trl(function: Any) -> bool:
    """Whether a function takes keywords, as TRL's do, and not a list of answers."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    names = {each.name for each in parameters}
    return bool({"completions", "prompts", "completion_ids"} & names) or all(
        each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)


class RewardFunctions:
    """Several rewards as one: the sum of their numbers by weight. A function may return None for an answer that it does not
    judge."""

    def __init__(self, rewards: "Sequence[Any]", weights: "Optional[Sequence[float]]") -> None:
        self.rewards = list(rewards)
        self.weights = [1.0] * len(self.rewards) if weights is None else [float(weight) for weight in weights]
        if len(self.weights) != len(self.rewards):
            raise errors.InvalidArgumentError(
                f"reward_weights has {len(self.weights)} numbers for {len(self.rewards)} reward functions")
        for each in self.rewards:
            if not (isinstance(each, (Model, TextClassifier)) or callable(each)):
                raise TypeError(
                    f"a reward is {type(each).__name__}, expected a libdpo.Model, a TextClassifier, a path or a function")
        #: Means of each reward since they were last taken, as TRL logs them, and what functions gave to log_metric.
        self._logged: "dict[str, list[float]]" = {}

    @staticmethod
    def _name(reward: Any) -> str:
        if isinstance(reward, Model):
            return os.path.basename(os.path.normpath(reward.path))
        return getattr(reward, "__name__", type(reward).__name__)

    def _log(self, name: str, value: float) -> None:
        self._logged.setdefault(name, []).append(float(value))

    def take_metrics(self) -> "dict[str, float]":
        """Means of what was noted since the last call."""
        logged, self._logged = self._logged, {}
        return {name: sum(values) / len(values) for name, values in logged.items() if values}

    def __call__(self, answers: "list[Answer]", state: Any, is_evaluation: bool) -> "list[float]":
        columns = []
        for reward in self.rewards:
            found = self._scores(reward, answers, state)
            if len(found) != len(answers):
                raise errors.FormatError(
                    f"the reward function {self._name(reward)} returned {len(found)} numbers for {len(answers)} answers")
            column = [math.nan if value is None else float(value) for value in found]
            columns.append(column)
            valid = [value for value in column if not math.isnan(value)]
            if valid and not is_evaluation:
                mean = sum(valid) / len(valid)
                self._log(f"rewards/{self._name(reward)}/mean", mean)
                variance = sum((value - mean) ** 2 for value in valid) / (len(valid) - 1) if len(valid) > 1 else 0.0
                self._log(f"rewards/{self._name(reward)}/std", math.sqrt(variance))
        totals = []
        for index, values in enumerate(zip(*columns)):
            judged = [(value, weight) for value, weight in zip(values, self.weights) if not math.isnan(value)]
            if not judged:
                raise errors.FormatError(
                    f"no reward function gives a number to the answer to {answers[index].prompt!r}: at least one has to")
            totals.append(sum(value * weight for value, weight in judged))
        return totals

    def _scores(self, reward: Any, answers: "list[Answer]", state: Any) -> "list[Optional[float]]":
        if isinstance(reward, Model):
            if any(isinstance(answer.prompt, list) for answer in answers):
                raise errors.UnsupportedError(
                    "a reward model among several rewards reads text alone, and these prompts are messages: give the reward model alone")
            return list(reward.rewards([answer.prompt for answer in answers], [answer.completion or "" for answer in answers]))
        if isinstance(reward, TextClassifier):
            return list(reward.log_odds([f"{answer.prompt}{answer.completion}" for answer in answers]))
        if not is_for_trl(reward):
            return list(reward(answers))
        arguments = {
            "prompts": [answer.prompt for answer in answers],
            "completions": [
                [{"role": "assistant", "content": answer.completion}] if isinstance(answer.prompt, list) else answer.completion
                for answer in answers
            ],
            "completion_ids": [answer.completion_ids for answer in answers],
            "trainer_state": state,
            "log_extra": lambda name, values: None,
            "log_metric": self._log,
        }
        for name in answers[0].row if answers else ():
            if name not in ("prompt", "completion", "completion_ids"):
                arguments[name] = [answer.row.get(name) for answer in answers]
        parameters = inspect.signature(reward).parameters
        if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
            arguments = {name: value for name, value in arguments.items() if name in parameters}
        found = reward(**arguments)
        if inspect.iscoroutine(found):  # in a thread of its own: a notebook's has a loop that runs already
            with ThreadPoolExecutor(1) as thread:
                found = thread.submit(asyncio.run, found).result()
        return list(found)
