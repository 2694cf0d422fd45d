"""Makes golden/closed_form.json: optimal policies of small bandits under every f-divergence, and D_f, by NumPy in extended
precision from Wang et al. 2023 as it stands there: generators f, inverse derivatives, and λ itself sought between its poles.

    python Tests/Fixtures/scripts/make_closed_form.py         numpy
"""
import numpy as np
from common import GOLDEN, write_json

ALPHAS = [-1.5, 0.0, 0.5, 1.0, 2.0]
WIDE = np.longdouble

# f and (f')^-1; the pole is the largest value that f' reaches.
KINDS = {
    "reverse_kl": (lambda u, c: u * np.log(u), lambda y, c: np.exp(y), lambda c: np.inf),
    "forward_kl": (lambda u, c: -np.log(u), lambda y, c: 1 / (1 - y), lambda c: 1.0),
    "js_divergence": (
        lambda u, c: u * np.log(u) - (u + 1) * np.log((u + 1) / 2),
        lambda y, c: np.exp(y) / (2 - np.exp(y)), lambda c: np.log(2),
    ),
    "alpha_divergence": (
        lambda u, c: (u**c - c * u + c - 1) / (c * (c - 1)),
        lambda y, c: np.maximum(0, 1 + (c - 1) * y) ** (1 / (c - 1)), lambda c: 1 / (1 - c) if c < 1 else np.inf,
    ),
}
LIMITS = {1.0: "reverse_kl", 0.0: "forward_kl"}  # of alpha_divergence


def optimum(kind, c, beta, reference, rewards):
    """π = π_ref (f')^-1((r − λ)/β), λ by bisection."""
    _, inverse, pole = KINDS[kind]
    low, high = max(rewards.min(), rewards.max() - beta * WIDE(pole(c))), rewards.max()
    for _ in range(200):
        middle = (low + high) / 2
        with np.errstate(all="ignore"):
            total = (reference * inverse((rewards - middle) / beta, c)).sum()
        low, high = (middle, high) if total > 1 else (low, middle)
    return reference * inverse((rewards - high) / beta, c), high


def main():
    source, cases = np.random.Generator(np.random.PCG64(5)), []
    for size, beta in [(2, 1.0), (5, 0.5), (8, 0.1), (8, 2.0)]:
        reference = source.dirichlet(np.ones(size)).astype(WIDE)
        rewards = source.normal(0, 1, size).astype(WIDE)
        other = source.dirichlet(np.ones(size)).astype(WIDE)
        for kind in KINDS:
            for c in ALPHAS if kind == "alpha_divergence" else [0.5]:
                limit = LIMITS.get(c, kind) if kind == "alpha_divergence" else kind
                policy, normalizer = optimum(limit, c, beta, reference, rewards)
                u = other / reference
                cases.append({
                    "f_divergence_type": kind, "f_alpha_divergence_coef": c, "beta": beta,
                    "reference": reference, "rewards": rewards, "policy": policy, "normalizer": normalizer,
                    "other": other, "divergence": (reference * KINDS[limit][0](u, c)).sum(),
                })
    plain = [{key: value.astype(float).tolist() if isinstance(value, np.ndarray) else
              value if isinstance(value, str) else float(value) for key, value in case.items()} for case in cases]
    write_json(GOLDEN / "closed_form.json", {"numpy": np.__version__, "cases": plain})


if __name__ == "__main__":
    main()
