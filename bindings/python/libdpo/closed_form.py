"""The closed form: the policy that RLHF and DPO strive for, where all answers to a prompt can be listed.

Equations stand in docs/closed-form.md. Distributions are log-probabilities that sum to 1, ``-inf`` where an answer has none.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_double
from dataclasses import dataclass
from typing import Any

from . import _arrays, _native, errors
from .configs import DPOConfig
from .losses import divergence_options

__all__ = ["OptimalPolicy", "bradley_terry", "divergence", "implicit_rewards", "optimal_policy"]


@dataclass(frozen=True)
class OptimalPolicy:
    """The policy that maximises E[r] - beta D_f(policy || reference)."""

    logps: Any
    """Log-probs of the answers."""
    normalizer: float
    """What makes the probabilities sum to 1; under reverse_kl it is beta log Z."""


def optimal_policy(
    reference_logps: Any, rewards: Any, *, beta: float = DPOConfig.beta,
    f_divergence_type: str = DPOConfig.f_divergence_type,
    f_alpha_divergence_coef: float = DPOConfig.f_alpha_divergence_coef,
) -> OptimalPolicy:
    """The best policy for rewards: under reverse_kl, reference * exp(rewards / beta) / Z.

    >>> [round(float(p), 6) for p in optimal_policy([-0.693147, -0.693147], [1, 0], beta=1).logps]
    [-0.313262, -1.313262]
    """
    options = divergence_options(beta, f_divergence_type, f_alpha_divergence_coef)
    inputs = _columns(reference_logps=reference_logps, rewards=rewards)
    output, normalizer = _arrays.Output(inputs[0].count, c_double), ctypes.c_double()
    _native.check(
        _native.lib.dpo_policy_optimum(
            byref(options), inputs[0].count, inputs[0].pointer, inputs[1].pointer, output.pointer, byref(normalizer)
        )
    )
    return OptimalPolicy(output.values, normalizer.value)


def implicit_rewards(
    policy_logps: Any, reference_logps: Any, *, beta: float = DPOConfig.beta,
    f_divergence_type: str = DPOConfig.f_divergence_type,
    f_alpha_divergence_coef: float = DPOConfig.f_alpha_divergence_coef,
) -> Any:
    """The rewards for which a policy is the best one, up to the normalizer: under reverse_kl, beta log(policy / reference)."""
    options = divergence_options(beta, f_divergence_type, f_alpha_divergence_coef)
    inputs = _columns(policy_logps=policy_logps, reference_logps=reference_logps)
    output = _arrays.Output(inputs[0].count, c_double)
    _native.check(
        _native.lib.dpo_policy_rewards(
            byref(options), inputs[0].count, inputs[0].pointer, inputs[1].pointer, output.pointer
        )
    )
    return output.values


def divergence(
    policy_logps: Any, reference_logps: Any, *, f_divergence_type: str = DPOConfig.f_divergence_type,
    f_alpha_divergence_coef: float = DPOConfig.f_alpha_divergence_coef,
) -> float:
    """D_f(policy || reference); under reverse_kl the KL divergence."""
    options = divergence_options(1.0, f_divergence_type, f_alpha_divergence_coef)
    inputs = _columns(policy_logps=policy_logps, reference_logps=reference_logps)
    found = ctypes.c_double()
    _native.check(
        _native.lib.dpo_policy_divergence(
            byref(options), inputs[0].count, inputs[0].pointer, inputs[1].pointer, byref(found)
        )
    )
    return found.value


def bradley_terry(first_rewards: Any, second_rewards: Any) -> Any:
    """Probabilities that answers of the first rewards are preferred to those of the second: sigmoid(first - second)."""
    inputs = _columns(first_rewards=first_rewards, second_rewards=second_rewards)
    output = _arrays.Output(inputs[0].count, c_double)
    _native.check(
        _native.lib.dpo_bradley_terry(inputs[0].count, inputs[0].pointer, inputs[1].pointer, output.pointer)
    )
    return output.values


def _columns(**columns: Any) -> "list[_arrays.Input]":
    (first, *_), inputs = columns, [_arrays.Input(values, c_double, name) for name, values in columns.items()]
    for name, column in zip(columns, inputs):
        if column.count != inputs[0].count:
            raise errors.InvalidArgumentError(f"{name} has {column.count} values; {first} has {inputs[0].count}")
    return inputs
