"""Level 1: losses of log-probabilities that come from any engine."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_double, c_float, c_int32, c_size_t
from dataclasses import dataclass
from typing import Any, Union

from . import _arrays, _native, errors
from ._options import DIVERGENCE_NUMBERS, LOSS_NUMBERS
from .configs import DPOConfig, PPOConfig

__all__ = ["DPOLoss", "LOSS_TYPES", "PPOLoss", "RankedLoss", "dpo_loss", "gae", "ppo_loss", "ranked_loss"]

LOSS_TYPES = tuple(LOSS_NUMBERS)
"""TRL's names, in the order of ``dpo_loss_type`` in dpo.h."""


def divergence_options(beta: float, f_divergence_type: str, f_alpha_divergence_coef: float) -> _native.LossOptions:
    """Loss options with what the closed form reads of them."""
    if f_divergence_type not in DIVERGENCE_NUMBERS:
        raise errors.InvalidArgumentError(
            f"f_divergence_type is {f_divergence_type!r}; expected one of {', '.join(DIVERGENCE_NUMBERS)}"
        )
    options = _native.initialised(_native.LossOptions, _native.lib.dpo_loss_options_init)
    options.beta = beta
    options.f_divergence = DIVERGENCE_NUMBERS[f_divergence_type]
    options.f_alpha_divergence_coef = f_alpha_divergence_coef
    return options


@dataclass(frozen=True)
class DPOLoss:
    """A loss over preference pairs. The arrays have one element a pair."""

    loss: float
    """The mean over the pairs."""
    losses: Any
    """The loss of each pair, before its weight."""
    gradient_chosen: Any
    """d loss / d policy log-prob, the mean's 1/pairs included: what each token of the completion receives."""
    gradient_rejected: Any
    """The same of the rejected completions."""
    reward_chosen: Any
    """β·log(π/π_ref)"""
    reward_rejected: Any
    """The same of the rejected completions."""


def dpo_loss(
    policy_chosen: Any,
    policy_rejected: Any,
    reference_chosen: Any = None,
    reference_rejected: Any = None,
    *,
    beta: float = DPOConfig.beta,
    loss_type: Union[str, Sequence[str]] = "sigmoid",
    loss_weights: "Sequence[float] | None" = None,
    label_smoothing: float = DPOConfig.label_smoothing,
    f_divergence_type: str = DPOConfig.f_divergence_type,
    f_alpha_divergence_coef: float = DPOConfig.f_alpha_divergence_coef,
    discopop_tau: float = DPOConfig.discopop_tau,
    reference_free: bool = False,
    chosen_tokens: Any = None,
    rejected_tokens: Any = None,
    weights: Any = None,
) -> DPOLoss:
    """Loss, gradients and rewards of preference pairs.

    ``policy_…`` and ``reference_…`` are summed log-probabilities (natural logarithm) of whole completions: NumPy arrays
    of float64 are read in place, other sequences are converted. ``chosen_tokens`` and ``rejected_tokens`` are the
    completions' lengths, which ipo, sigmoid_norm and sft need. ``weights`` multiply each pair's loss before the mean.

    >>> dpo_loss([-12.5], [-14.25], [-13.0], [-13.75]).loss
    0.6443966600735709
    """
    options = divergence_options(beta, f_divergence_type, f_alpha_divergence_coef)
    types = [loss_type] if isinstance(loss_type, str) else list(loss_type)
    for name in types:
        if name not in LOSS_TYPES:
            raise errors.InvalidArgumentError(f"loss_type is {name!r}; expected one of {', '.join(LOSS_TYPES)}")
    if loss_weights is not None and len(loss_weights) != len(types):
        raise errors.InvalidArgumentError(f"{len(loss_weights)} loss_weights for {len(types)} loss types")
    options.label_smoothing = label_smoothing
    options.discopop_tau = discopop_tau
    options.reference_free = bool(reference_free)
    options.loss_types = (c_int32 * len(types))(*(LOSS_NUMBERS[name] for name in types))
    options.loss_count = len(types)
    if loss_weights is not None:
        options.loss_weights = (c_double * len(types))(*loss_weights)

    chosen = _arrays.Input(policy_chosen, c_double, "policy_chosen")
    pairs = chosen.count

    def side(values: Any, kind: Any, name: str) -> "_arrays.Input | None":
        found = _arrays.optional_input(values, kind, name)
        if found is not None and found.count != pairs:
            raise errors.InvalidArgumentError(f"{name} has {found.count} values; policy_chosen has {pairs}")
        return found

    inputs = [
        chosen,
        side(policy_rejected, c_double, "policy_rejected"),
        side(reference_chosen, c_double, "reference_chosen"),
        side(reference_rejected, c_double, "reference_rejected"),
        side(chosen_tokens, c_int32, "chosen_tokens"),
        side(rejected_tokens, c_int32, "rejected_tokens"),
        side(weights, c_double, "weights"),
    ]
    outputs = [_arrays.Output(pairs, c_double) for _ in range(5)]
    loss = ctypes.c_double()
    _native.check(
        _native.lib.dpo_loss_compute(
            byref(options), pairs, *map(_arrays.pointer_of, inputs), byref(loss), *[output.pointer for output in outputs]
        )
    )
    return DPOLoss(loss.value, *[output.values for output in outputs])


@dataclass(frozen=True)
class RankedLoss:
    """A loss over ranked completions. ``losses`` has one element a row, the other arrays one a completion."""

    loss: float
    """The mean over the rows."""
    losses: Any
    """The loss of each row."""
    gradients: Any
    """d loss / d policy log-prob, the mean's 1/rows included: what each token of the completion receives."""
    rewards: Any
    """β·log(π/π_ref)"""


def ranked_loss(
    policy: Any, reference: Any = None, *, counts: Any, ranks: Any, weights: Any = None, beta: float = DPOConfig.beta
) -> RankedLoss:
    """DPO's loss under the Plackett–Luce model; pairs are rows of two.

    ``policy`` and ``reference`` (None: 0) are summed log-probabilities of all completions, row after row; ``counts`` says
    how many (2 or more) each row has. ``ranks``: one a completion, of which only the order counts; lower is better, equal
    ranks are not compared. ``weights`` multiply each row's loss before the mean.

    >>> round(ranked_loss([-9.75, -12.5, -20.0], counts=[3], ranks=[1, 2, 3]).loss, 12)
    1.137517264891
    """
    rows = _arrays.Input(counts, c_size_t, "counts")
    values = _arrays.Input(policy, c_double, "policy")
    total = values.count

    def column(given: Any, name: str, count: int) -> "_arrays.Input | None":
        found = _arrays.optional_input(given, c_double, name)
        if found is not None and found.count != count:
            raise errors.InvalidArgumentError(f"{name} has {found.count} values; expected {count}")
        return found

    if sum(rows.pointer[: rows.count]) != total:
        raise errors.InvalidArgumentError(f"policy has {total} values; counts add up to {sum(rows.pointer[:rows.count])}")
    inputs = [
        column(ranks, "ranks", total), values, column(reference, "reference", total), column(weights, "weights", rows.count),
    ]
    outputs = [_arrays.Output(rows.count, c_double), _arrays.Output(total, c_double), _arrays.Output(total, c_double)]
    loss = ctypes.c_double()
    _native.check(
        _native.lib.dpo_loss_compute_ranked(
            beta, rows.count, rows.pointer, *map(_arrays.pointer_of, inputs), byref(loss),
            *[output.pointer for output in outputs],
        )
    )
    return RankedLoss(loss.value, *[output.values for output in outputs])


def gae(
    rewards: Any, values: Any, counts: "Sequence[int]", *, gamma: float = 1.0, lam: float = 0.95
) -> "tuple[Any, Any]":
    """Advantages and returns of completions that stand one after the other; completion i has ``counts[i]`` tokens.

    >>> [round(a, 4) for a in gae([-0.01, 0.02, -0.03, 1], [0.1, 0.2, 0.3, 0.4], [4])[0]]
    [0.7816, 0.728, 0.64, 0.6]
    """
    lengths = _arrays.Input(list(counts), c_size_t, "counts")
    inputs = [_arrays.Input(rewards, c_double, "rewards"), _arrays.Input(values, c_double, "values")]
    for item, name in zip(inputs, ("rewards", "values")):
        if item.count != sum(counts):
            raise errors.InvalidArgumentError(f"{name} has {item.count} numbers; counts add up to {sum(counts)}")
    outputs = [_arrays.Output(inputs[0].count, c_double) for _ in range(2)]
    _native.check(
        _native.lib.dpo_gae(
            inputs[0].pointer, inputs[1].pointer, lengths.pointer, lengths.count, gamma, lam, outputs[0].pointer,
            outputs[1].pointer,
        )
    )
    return outputs[0].values, outputs[1].values


@dataclass(frozen=True)
class PPOLoss:
    """PPO's loss over tokens, and its gradient by each token's log-prob and value (0 without values)."""

    loss: float
    """The mean over the tokens."""
    gradient_logps: Any
    """d loss / d log-prob of each token."""
    gradient_values: Any
    """d loss / d value of each token."""


def ppo_loss(
    logps: Any,
    old_logps: Any,
    advantages: Any,
    values: Any = None,
    old_values: Any = None,
    returns: Any = None,
    *,
    cliprange: float = PPOConfig.cliprange,
    cliprange_value: float = PPOConfig.cliprange_value,
    vf_coef: float = PPOConfig.vf_coef,
) -> PPOLoss:
    """The clipped policy and value losses of tokens: arrays of float32 are read in place. ``old_…`` are those of the
    rollout."""
    options = _native.initialised(_native.PPOOptions, _native.lib.dpo_ppo_options_init)
    options.cliprange, options.cliprange_value, options.vf_coef = cliprange, cliprange_value, vf_coef
    named = {
        "logps": logps, "old_logps": old_logps, "advantages": advantages, "values": values, "old_values": old_values,
        "returns": returns,
    }
    inputs = [_arrays.optional_input(column, c_float, name) for name, column in named.items()]
    count = inputs[0].count if inputs[0] is not None else 0
    for item, name in zip(inputs, named):
        if item is not None and item.count != count:
            raise errors.InvalidArgumentError(f"{name} has {item.count} numbers; logps has {count}")
    outputs = [_arrays.Output(count, c_double) for _ in range(2)]
    loss = ctypes.c_double()
    _native.check(
        _native.lib.dpo_ppo_loss(
            byref(options), count, *map(_arrays.pointer_of, inputs), byref(loss), *[output.pointer for output in outputs]
        )
    )
    return PPOLoss(loss.value, *[output.values for output in outputs])
