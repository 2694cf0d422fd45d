#!/usr/bin/env python3
"""What a step takes on many machines: the tables of docs/scaling.md, from measured compute and counted bytes.

    python Benchmarks/scaling.py [--write]      the tables; --write puts them into the page

The formula is in the page. Nothing here was measured on more than one machine but what CASES says.
"""
import argparse
import re
from dataclasses import dataclass, replace
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs/scaling.md"
#: Bytes a second in each direction, at 90 % of the line, and seconds that a message takes.
NETWORKS = {"10 GbE": (0.9 * 1.25e9, 30e-6), "25 GbE": (0.9 * 3.125e9, 20e-6), "100 GbE": (0.9 * 12.5e9, 10e-6)}
RANKS = [2, 4, 8, 16, 64, 256, 1000]
BUCKET = 25 << 20


@dataclass
class Case:
    """One machine's step: seconds without and with a backward pass under way, of one micro-batch."""

    name: str
    trained: int  # numbers
    micro_batch: float  # seconds of a micro-batch on one machine
    backward: float  # of it, the share that is the backward pass: what a bucket can hide behind
    update: float  # seconds of the optimiser's pass over all of them
    everywhere: bool  # LoRA: every rank updates everything

    def faster(self, times: int) -> "Case":
        """A guess, for machines with more cores."""
        return replace(self, name=f"{self.name}, a rank {times} × as fast", micro_batch=self.micro_batch / times, update=self.update / times)


# AMD EPYC (Zen 4), 2 cores, engine avx512, fp32. Half of a full step, and 0.4 of a LoRA step, is the backward pass by its counted products.
CASES = [
    Case("full 135M, 4 pairs of 195 tokens", 134_515_008, 4.1, 0.5, 0.094, False),
    Case("LoRA 16 on 1B, one pair of 242", 1_703_936, 8.4, 0.4, 0.016, True),
    Case("LoRA 16 on 8B, one pair of 242", 6_815_744, 55.9, 0.4, 0.016, True),
]
CASES += [CASES[0].faster(16), CASES[1].faster(16), CASES[2].faster(16)]


def step_seconds(case: Case, ranks: int, accumulation: int, network: "tuple[float, float]", reproducible: bool = True) -> float:
    """The formula of docs/scaling.md."""
    rate, latency = network
    size = 4 * case.trained
    buckets = -(-size // BUCKET)
    share = (ranks - 1) / ranks
    exchange = share * size / rate + buckets * (ranks - 1) * latency if ranks > 1 else 0.0
    exchanges = accumulation if reproducible else 1
    last = exchange / buckets  # the last bucket is complete with the pass
    hidden = max(exchange - last, case.backward * case.micro_batch)
    seconds = accumulation * case.micro_batch + exchanges * (hidden - case.backward * case.micro_batch + last)
    return seconds + exchange + case.update / (1 if case.everywhere else ranks)


def efficiency(case: Case, ranks: int, accumulation: int, network: "tuple[float, float]", reproducible: bool = True) -> float:
    alone = accumulation * case.micro_batch + case.update
    return alone / step_seconds(case, ranks, accumulation, network, reproducible)


def table() -> str:
    lines = []
    for accumulation, reproducible in [(1, True), (8, True), (8, False)]:
        how = "one micro-batch a rank" if accumulation == 1 else f"{accumulation} micro-batches a rank, reproducible_sums {str(reproducible).lower()}"
        lines += ["", f"Efficiency with {how}:", "", "| run | network | " + " | ".join(f"{ranks:,} ranks" for ranks in RANKS) + " |",
                  "|---|---|" + "---|" * len(RANKS)]
        for case in CASES:
            # An adapter's gradients are small: the slowest network tells enough.
            for name, network in list(NETWORKS.items())[:1 if case.everywhere else None]:
                cells = [f"{efficiency(case, ranks, accumulation, network, reproducible):.2f}" for ranks in RANKS]
                lines.append(f"| {case.name} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    text = table()
    if parser.parse_args().write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(re.sub(r"(<!-- model -->\n).*?(<!-- /model -->)", lambda found: found[1] + text + "\n\n" + found[2], page, flags=re.DOTALL), encoding="utf-8")
    else:
        print(text)
