"""Where DPO and PPO end: a prompt with six answers, whose best policy can be written down.

    python bandit.py

The reference policy and the rewards of all answers are known. The policy is a softmax over six numbers, trained twice: by DPO on
all pairs of answers, each weighted by its exact Bradley-Terry probability (libdpo gives loss and gradients), and by the exact
gradient of E[r] - beta KL, which PPO estimates from samples. Both end in reference * exp(r / beta) / Z. Under another
f-divergence DPO ends in that divergence's optimum. Exits with 1 if any of this is off by more than 1e-3.
"""

import sys

import libdpo
import numpy

BETA = 0.5
REFERENCE = numpy.log([0.30, 0.25, 0.20, 0.15, 0.07, 0.03])
REWARDS = numpy.array([0.0, 1.0, -0.5, 0.5, 2.0, 1.5])
CHOSEN, REJECTED = numpy.nonzero(~numpy.eye(len(REWARDS), dtype=bool))
PREFERENCE = libdpo.bradley_terry(REWARDS[CHOSEN], REWARDS[REJECTED])


def log_softmax(logits: numpy.ndarray) -> numpy.ndarray:
    return logits - numpy.log(numpy.exp(logits).sum())


def through_softmax(gradient: numpy.ndarray, logps: numpy.ndarray) -> numpy.ndarray:
    """d/d logits of a function with this gradient by the log-probs."""
    return gradient - numpy.exp(logps) * gradient.sum()


def train_dpo(f_divergence_type: str, steps: int = 3000, rate: float = 3.0) -> numpy.ndarray:
    logits = REFERENCE.copy()
    for _ in range(steps):
        logps = log_softmax(logits)
        found = libdpo.dpo_loss(
            logps[CHOSEN], logps[REJECTED], REFERENCE[CHOSEN], REFERENCE[REJECTED], beta=BETA,
            f_divergence_type=f_divergence_type, weights=PREFERENCE,
        )
        gradient = numpy.zeros_like(logits)
        numpy.add.at(gradient, CHOSEN, found.gradient_chosen)
        numpy.add.at(gradient, REJECTED, found.gradient_rejected)
        logits -= rate * through_softmax(gradient, logps)
    return log_softmax(logits)


def train_policy_gradient(steps: int = 3000, rate: float = 1.0) -> numpy.ndarray:
    logits = REFERENCE.copy()
    for _ in range(steps):
        logps = log_softmax(logits)
        value = REWARDS - BETA * (logps - REFERENCE)
        logits += rate * through_softmax(numpy.exp(logps) * value, logps)
    return log_softmax(logits)


def total_variation(first: numpy.ndarray, second: numpy.ndarray) -> float:
    return float(abs(numpy.exp(first) - numpy.exp(second)).sum() / 2)


def main() -> int:
    best = libdpo.optimal_policy(REFERENCE, REWARDS, beta=BETA)
    dpo, ppo = train_dpo("reverse_kl"), train_policy_gradient()
    recovered = libdpo.implicit_rewards(dpo, REFERENCE, beta=BETA) + best.normalizer
    print("answer  reference   reward   closed form      DPO      PPO   reward from DPO's policy")
    for answer in range(len(REWARDS)):
        probabilities = [float(numpy.exp(logps[answer])) for logps in (REFERENCE, best.logps, dpo, ppo)]
        print("%6d  %9.4f  %7.2f  %12.4f %8.4f %8.4f   %24.4f" % (
            answer, probabilities[0], REWARDS[answer], *probabilities[1:], recovered[answer]))
    print(f"\nbeta log Z = {best.normalizer:.4f}   KL(policy || reference) = {libdpo.divergence(dpo, REFERENCE):.4f}\n")

    print("total variation from the closed form, 0 to 1")
    distances = {"PPO, reverse_kl": total_variation(ppo, best.logps)}
    for kind in ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"):
        optimum = libdpo.optimal_policy(REFERENCE, REWARDS, beta=BETA, f_divergence_type=kind).logps
        distances[f"DPO, {kind}"] = total_variation(train_dpo(kind), optimum)
    distances["reference, reverse_kl"] = total_variation(REFERENCE, best.logps)
    for name, distance in distances.items():
        print(f"  {name:24} {distance:.2e}")
    return 0 if max(d for name, d in distances.items() if not name.startswith("reference")) < 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
