#!/usr/bin/env python3
"""Our optimiser step beside the limit and, where Tests/peers/setup has installed them, TRL and hand-tuned PyTorch.

    python Benchmarks/run.py [--workloads short,long] [--precisions fp32] [--lora 0,8] [--rounds 2] [--json FILE]

One optimiser step of DPO on SmolLM2-135M, all weights or LoRA of a rank on every linear layer. Fair: same text, threads and
precision, one program after the other in every round on an otherwise idle machine, the first step never timed; the table
gives the median over all steps and the fastest one, and how many times longer than ours the others take.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import median

import common


def run(command, timeout=1800):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout)
    if result.returncode:
        raise RuntimeError(f"{shlex.join(map(str, command))}: exit {result.returncode}: {result.stderr.strip()[-400:]}")
    output = result.stdout.strip()
    return json.loads(output if output.startswith("{") else output.splitlines()[-1])


def commands(args, workload, precision, lora, counts):
    """{who: command} of one row of the table."""
    path, python = common.workload_path(workload), common.PEERS / "venv/bin/python"
    ours = [args.dpo, "bench", args.gguf, "--workload", path, "--precision", precision, "--steps", args.steps, "--threads", args.threads, "--engine", args.engine, "--json"]
    found = {"libdpo": ours + (["--lora-r", lora, "--lora-target-modules", "all-linear"] if lora else [])}
    shared = ["--workload", path, "--precision", precision, "--lora", lora, "--threads", args.threads]
    if args.peers and python.exists() and not lora:
        found["TRL"] = [python, common.HERE / "trl_step.py", *shared, "--steps", args.peer_steps]
        found["PyTorch, tuned"] = [python, common.HERE / "torch_step.py", *shared, "--steps", args.peer_steps]
    if python.exists() or precision == "fp32":      # the limit of bf16 is measured with the peers' torch
        found["limit"] = [python if python.exists() else sys.executable, common.HERE / "limit.py", *shared, "--tokens", json.dumps(counts)]
    return found


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--workloads", default="short,long")
    options.add_argument("--precisions", default="fp32,bf16")
    options.add_argument("--lora", default="0,16", help="ranks; 0 trains every weight")
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--steps", type=int, default=5, help="timed steps of ours, after one that is not")
    options.add_argument("--peer-steps", type=int, default=2, help="timed steps of the others, after one that is not")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--engine", default="auto", help="ours; peers and limit are held to its instructions")
    options.add_argument("--dpo", type=Path, default=common.ROOT / "build/bin/dpo")
    options.add_argument("--gguf", type=Path, default=common.GGUF)
    options.add_argument("--no-peers", dest="peers", action="store_false", help="ours and the limit alone")
    options.add_argument("--json", type=Path, metavar="FILE", help="write every number of every run")
    args = options.parse_args()
    common.limit_threads(args.threads)
    common.hold_peers(args.engine)
    for path, maker in ((args.dpo, "make build"), (args.gguf, "make model")):
        if not path.exists():
            sys.exit(f"{path} does not exist: run {maker} first")
    if args.peers and not (common.PEERS / "venv/bin/python").exists():
        print(f"TRL and PyTorch are not in {common.PEERS} (Tests/peers/setup installs them): ours and the limit alone.")
    print(f"{common.machine()['processor']}, {args.threads} threads, engine {args.engine}. SmolLM2-135M, seconds for one DPO step.\n")
    print("| workload | who | median | fastest | times ours | peak MB |\n|---|---|---|---|---|---|", flush=True)
    records, failed = [], False
    for workload in args.workloads.split(","):
        rows = run([args.dpo, "tokenize", args.gguf, "--data", common.workload_path(workload), "--json"])["rows"]
        counts = [[len(row[key]) for key in ("prompt_ids", "chosen_ids", "rejected_ids")] for row in rows]
        for precision in args.precisions.split(","):
            for lora in map(int, args.lora.split(",")):
                what = f"{workload} {precision} {f'LoRA {lora}' if lora else 'full'}"
                results, table = {}, commands(args, workload, precision, lora, counts)
                for _ in range(args.rounds):
                    for who, command in table.items():
                        try:
                            entry = run(command)
                            results.setdefault(who, []).append(entry)
                        except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
                            failed = True
                            print(f"{what}, {who}: {error}", file=sys.stderr, flush=True)
                middle = {who: median(entry["seconds_per_step"] for entry in entries) for who, entries in results.items()}
                for who, entries in results.items():
                    fastest = min(entry.get("seconds_per_step_min", entry["seconds_per_step"]) for entry in entries)
                    peak = max(entry.get("peak_rss_mb", 0) for entry in entries)
                    ratio = f"{middle[who] / middle['libdpo']:.2f}" if "libdpo" in middle else ""
                    print(f"| {what} | {who} | {middle[who]:.3f} | {fastest:.3f} | {ratio} | {peak or ''} |", flush=True)
                records.append({"workload": workload, "precision": precision, "lora_r": lora, "tokens": counts, "runs": results})
    if args.json:
        args.json.write_text(json.dumps({"machine": common.machine(), "engine": args.engine, "threads": args.threads, "results": records}, indent=1) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
