"""Tokens a second of greedy generation and of reading prompts: ours, llama.cpp and transformers, from the same weights.

Every sequence has a prompt of its own. A round reads the prompts, which ends with the first token of each, and then makes the
further tokens; loading is not timed, nor is the first round.

    $LIBDPO_PEERS/venv/bin/python Benchmarks/generation.py [--weights q4_1,q8_0,bf16] [--programs ours,ours-bf16,llama.cpp,hf-fp32,hf-bf16] [--engine avx2]
        [--batches 1,4,16] [--prompt 64] [--new 64] [--file NAME=PATH.gguf]
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common

VOCABULARY = common.SHAPE["vocab_size"]


def prompts(args, batch):
    return [[((i + 1) * 7919 + sequence * 104729) % VOCABULARY for i in range(args.prompt)] for sequence in range(batch)]


def ours(args, path, batch):
    result = subprocess.run(
        [args.dpo, "bench", path, "--generate", "--batch", str(batch), "--prompt-tokens", str(args.prompt), "--max-new-tokens",
         str(args.new), "--steps", str(args.rounds), "--precision", "bf16" if args.program == "ours-bf16" else "fp32",
         "--threads", str(args.threads), "--engine", args.engine, "--json"], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"dpo bench: {result.stderr.strip()}")
    found = json.loads(result.stdout)
    return {key: found[key] for key in ("tokens_per_second", "tokens_per_second_max", "prefill_tokens_per_second")}


def rates(args, batch, rounds):
    """From (seconds of the prompts, seconds of the further tokens) of each round."""
    decode = [batch * (args.new - 1) / seconds for _, seconds in rounds]
    prefill = [batch * args.prompt / seconds for seconds, _ in rounds]
    return {"tokens_per_second": statistics.median(decode), "tokens_per_second_max": max(decode),
            "prefill_tokens_per_second": statistics.median(prefill)}


def transformers(args, path, batch):
    import torch
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(args.threads)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16 if args.program == "hf-bf16" else torch.float32).eval()
    rounds = []
    with torch.inference_mode():
        for _ in range(args.rounds + 1):
            start = time.perf_counter()
            out = model(torch.tensor(prompts(args, batch)), use_cache=True, logits_to_keep=1)
            best = out.logits[:, -1].argmax(-1)
            first = time.perf_counter()
            for _ in range(args.new - 1):
                out = model(best[:, None], past_key_values=out.past_key_values, use_cache=True)
                best = out.logits[:, -1].argmax(-1)
            rounds.append((first - start, time.perf_counter() - first))
    return rates(args, batch, rounds[1:])


def llama(args, path, batch):
    """llama.cpp's batch interface: every sequence decodes one token a call, as its server does. Only the calls are timed."""
    if args.engine in common.INSTRUCTIONS:     # a build of its own
        sys.path.insert(0, str(common.PEERS / f"llama-{args.engine}"))
    import llama_cpp as ll
    import numpy as np
    quiet = ll.llama_log_callback(lambda *_: None)
    ll.llama_log_set(quiet, None)
    ll.llama_backend_init()
    model = ll.llama_model_load_from_file(str(path).encode(), ll.llama_model_default_params())
    size = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))
    settings = ll.llama_context_default_params()
    together = max(1, 2048 // args.prompt)     # prompts a call, about as many tokens as ours takes
    settings.n_ctx = batch * (args.prompt + args.new + 8)
    settings.n_batch = settings.n_ubatch = max(512, min(batch, together) * args.prompt)
    settings.n_seq_max = batch
    settings.n_threads = settings.n_threads_batch = args.threads

    def decode(context, entries):
        """The likeliest token of every entry that is asked for, and the seconds of the call."""
        work = ll.llama_batch_init(len(entries), 0, 1)
        work.n_tokens = len(entries)
        for i, (token, position, sequence, wanted) in enumerate(entries):
            work.token[i], work.pos[i], work.n_seq_id[i], work.logits[i] = token, position, 1, wanted
            work.seq_id[i][0] = sequence
        start = time.perf_counter()
        if ll.llama_decode(context, work):
            raise RuntimeError("llama_decode failed")
        logits = [np.ctypeslib.as_array(ll.llama_get_logits_ith(context, i), (size,)) for i, e in enumerate(entries) if e[3]]
        best = [int(row.argmax()) for row in logits]
        seconds = time.perf_counter() - start
        ll.llama_batch_free(work)
        return best, seconds

    rounds = []
    for _ in range(args.rounds + 1):
        context = ll.llama_init_from_model(model, settings)
        best, reading, making = [], 0.0, 0.0
        ids = prompts(args, batch)
        for first in range(0, batch, together):
            group = range(first, min(batch, first + together))
            more, seconds = decode(context, [(t, p, s, p == args.prompt - 1) for s in group for p, t in enumerate(ids[s])])
            best += more
            reading += seconds
        for step in range(args.new - 1):
            best, seconds = decode(context, [(token, args.prompt + step, s, True) for s, token in enumerate(best)])
            making += seconds
        rounds.append((reading, making))
        ll.llama_free(context)
    ll.llama_model_free(model)
    return rates(args, batch, rounds[1:])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--weights", default="q4_1,q8_0,bf16")
    options.add_argument("--programs", default="ours,ours-bf16,llama.cpp,hf-fp32,hf-bf16")
    options.add_argument("--engine", default="auto", help="ours; the others are held to its instructions")
    options.add_argument("--file", action="append", default=[], metavar="NAME=PATH", help="one more GGUF file, for ours and llama.cpp")
    options.add_argument("--batches", default="1,4,16")
    options.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    options.add_argument("--new", type=int, default=64, help="tokens to generate for each prompt")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--model", default=common.MODEL)
    options.add_argument("--gguf", default=common.GGUF, help="file with Q4_1 weights")
    options.add_argument("--dpo", default=common.ROOT / "build/bin/dpo")
    options.add_argument("--json", metavar="FILE", help="also write the results there")
    args = options.parse_args()
    common.limit_threads(args.threads)
    common.hold_peers(args.engine)
    if args.engine in common.INSTRUCTIONS and not (common.PEERS / f"llama-{args.engine}").exists():
        sys.exit(f"llama.cpp for {args.engine} is missing: Tests/peers/setup makes it")
    found = []
    print("| weights | program | batch | tokens/s | best | prompt tokens/s |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        files = {}
        for weights in filter(None, args.weights.split(",")):
            files[weights] = Path(args.gguf) if weights == "q4_1" else Path(scratch) / f"{weights}.gguf"
            if weights != "q4_1":
                subprocess.run([args.dpo, "export", args.model, "--to", "gguf", "--dtype", weights, "-o", files[weights]], check=True,
                               stdout=subprocess.DEVNULL)
        files |= {name: Path(path) for name, path in (entry.split("=", 1) for entry in args.file)}
        jobs = [(weights, program) for weights in files for program in args.programs.split(",") if not program.startswith("hf-")]
        jobs += [("safetensors", program) for program in args.programs.split(",") if program.startswith("hf-")]
        for weights, program in jobs:
            args.program = program
            measure = {"ours": ours, "ours-bf16": ours, "llama.cpp": llama}.get(program, transformers)
            for batch in map(int, args.batches.split(",")):
                rate = measure(args, files.get(weights, args.model), batch)
                print(f"| {weights} | {program} | {batch} | {rate['tokens_per_second']:.1f} | {rate['tokens_per_second_max']:.1f} | "
                      f"{rate['prefill_tokens_per_second']:.0f} |", flush=True)
                found.append({"weights": weights, "program": program, "batch": batch, **rate})
    result = dict(bench="generation", engine=args.engine, prompt=args.prompt, new=args.new, threads=args.threads, **common.machine(), results=found,
                  versions=common.versions("torch", "transformers", "llama-cpp-python"))
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n")
    common.report(**result)


if __name__ == "__main__":
    main()
