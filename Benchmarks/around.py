#!/usr/bin/env python3
"""What stands around a step: scoring against the forward limit, the first step, and what gradient checkpointing costs.

    python Benchmarks/around.py [--rows 1000] [--json FILE]

Scoring: `dpo logps` on pairs of random lengths, whole command, beside the counted FLOPs of its forward passes at the GEMM rate of
limit.py, measured before and after. First step: loading the GGUF file and the first step beside the median of the next ones,
and, as its lower bound, how long this machine takes to hand out the same amount of memory for the first time.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import limit
from run import run
from workload import words

DPO = common.ROOT / "build/bin/dpo"
ENGINE: "list[str]" = []


def write_pairs(path, count):
    source = random.Random("scoring")
    stream = words(source)
    text = lambda least, most: " ".join(next(stream) for _ in range(source.randint(least, most)))
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            row = {"prompt": text(20, 120), "chosen": " " + text(15, 90), "rejected": " " + text(15, 90)}
            file.write(json.dumps(row) + "\n")


def scoring(rows):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pairs.jsonl"
        write_pairs(path, rows)
        tokens = run([DPO, "tokenize", common.GGUF, "--data", path, "--json"])["rows"]
        counts = [[len(row[key]) for key in ("prompt_ids", "chosen_ids", "rejected_ids")] for row in tokens]
        before = limit.measure()["fp32"]
        start = time.perf_counter()
        run([DPO, "logps", common.GGUF, "--data", path, "--json", *ENGINE])
        seconds = time.perf_counter() - start
        rate = max(before, limit.measure()["fp32"])
    ideal = limit.step_work(common.SHAPE, counts, lora=True)["flops"] / 3 / rate / 1e9    # a LoRA step counts three forwards
    return {"rows": rows, "tokens": sum(map(sum, counts)), "seconds": seconds, "limit_seconds": ideal, "gflops_limit": rate}


FRESH_MEMORY = """
import mmap, sys, time
start = time.perf_counter()
memory = mmap.mmap(-1, int(sys.argv[1]) << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_HUGEPAGE)
for place in range(0, len(memory), 2 << 20):
    memory[place] = 1
print(time.perf_counter() - start)
"""


def fresh_memory(megabytes):
    """Seconds. In a process of its own: what is started from a large one would report its peak."""
    return float(subprocess.run([sys.executable, "-c", FRESH_MEMORY, str(megabytes)], capture_output=True, text=True, check=True).stdout)


def first_step(*options):
    found = run([DPO, "bench", common.GGUF, "--workload", common.workload_path("short"), "--steps", 3, "--json", *ENGINE, *options])
    return {key: found[key] for key in ("load_seconds", "first_step_seconds", "seconds_per_step", "peak_rss_mb")}


def checkpointing(workload, *options):
    plan = {}
    for name, flags in (("kept", []), ("recomputed", ["--gradient-checkpointing"])):
        path = common.workload_path(workload)
        dry = run([DPO, "train", common.GGUF, "--data", path, "--per-device-train-batch-size", 4, "--dry-run", "--json", *options, *flags])
        timed = run([DPO, "bench", common.GGUF, "--workload", path, "--steps", 3, "--json", *ENGINE, *options, *flags])
        plan[name] = {"activations_mb": dry["memory_bytes"]["activations"] >> 20, "seconds": timed["seconds_per_step"], "peak_mb": timed["peak_rss_mb"]}
    return {"workload": workload, "lora": bool(options), **plan}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1000)
    options.add_argument("--engine", default="auto")
    options.add_argument("--json", type=Path, required=True)
    args = options.parse_args()
    common.limit_threads(os.cpu_count())
    common.hold_peers(args.engine)
    ENGINE[:] = ["--engine", args.engine]
    lora = ("--lora-r", 16, "--lora-target-modules", "all-linear")
    found = {"machine": common.machine(), "engine": args.engine, "memory_seconds": [fresh_memory(2700), fresh_memory(2700)]}
    found["first"] = {"all weights": first_step(), "LoRA 16": first_step(*lora)}
    found["checkpointing"] = [checkpointing("short"), checkpointing("long"), checkpointing("short", *lora)]
    found["scoring"] = scoring(args.rows)
    args.json.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
