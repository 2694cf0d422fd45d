"""Samples of a policy, and how far it went from where it began."""

from __future__ import annotations

from collections.abc import Sequence
import libdpo

#: Prompts of one call.
CHUNK = 64


def draw(
    model: libdpo.Model,
    prompts: Sequence[str],
    count: int,
    *,
    seed: int,
    temperature: float = 1.0,
    max_new_tokens: int = 24,
) -> "list[list[libdpo.Completion]]":
    """`count` completions of each prompt. Greedy completions of a prompt are all the same: one is drawn and repeated."""
    drawn: "list[list[libdpo.Completion]]" = []
    times = count if temperature == 0 else 1
    for first in range(0, len(prompts), CHUNK):
        drawn += model.generate(
            list(prompts[first : first + CHUNK]),
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=1_000_003 * seed + first,
            num_return_sequences=count // times,
        )
    return [completions * times for completions in drawn]


def texts(drawn: "list[list[libdpo.Completion]]") -> "list[list[str]]":
    return [[completion.text for completion in completions] for completions in drawn]


def log_ratios(
    policy: libdpo.Model, reference: libdpo.Model, prompts: Sequence[str], drawn: "list[list[libdpo.Completion]]"
) -> "list[list[float]]":
    """log π(y|x) − log π_ref(y|x) of the policy's own samples at temperature 1: their mean estimates KL(π ‖ π_ref)."""
    ids = [policy.encode(prompt) for prompt in prompts]
    completions = [completion.token_ids for four in drawn for completion in four]
    parents = [prompt for prompt, four in enumerate(drawn) for _ in four]
    sums = [model.score_tokens(ids, completions, parents)[0] for model in (policy, reference)]
    ratios = iter(float(a) - float(b) for a, b in zip(*sums))
    return [[next(ratios) for _ in four] for four in drawn]


def by_prompt(values: "list[list[float]]", digits: int = 4) -> "list[float]":
    return [round(sum(some) / len(some), digits) for some in values]


def regroup(flat: Sequence[float], count: int) -> "list[list[float]]":
    return [list(flat[at : at + count]) for at in range(0, len(flat), count)]
