"""Tokens a second of greedy generation: ours, transformers and llama.cpp, each prompt 64 tokens.

Every engine is timed with one new token and with many; the difference is what the further tokens take, so neither loading nor
reading the prompt counts.

    $LIBDPO_PEERS/venv/bin/python Benchmarks/generation.py [--engines ours,hf-fp32,hf-bf16,llama.cpp] [--batches 1,16]
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


def ours(args, prompts, batch):
    data = Path(args.scratch) / f"{batch}.jsonl"
    data.write_text("".join(json.dumps({"prompt": text}) + "\n" for text, _ in prompts[:batch]), encoding="utf-8")

    def run(new):
        start = time.perf_counter()
        result = subprocess.run([args.dpo, "generate", args.gguf, "--data", data, "--max-new-tokens", str(new), "--temperature", "0",
                                 "--threads", str(args.threads), "--json"], capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if result.returncode:
            sys.exit(f"dpo generate: {result.stderr.strip()}")
        return seconds, sum(len(ids) for row in json.loads(result.stdout)["rows"] for ids in row["token_ids"])
    return run


def transformers(args, prompts, batch):
    import torch
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(args.threads)
    dtype = torch.bfloat16 if args.engine == "hf-bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).eval()
    ids = torch.tensor([row for _, row in prompts[:batch]])

    def run(new):
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(ids, max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0)
        return time.perf_counter() - start, new * batch
    return run


def llama(args, prompts, batch):
    """llama.cpp's batch interface: every sequence decodes one token a call, as its server does."""
    import llama_cpp as ll
    import numpy as np
    quiet = ll.llama_log_callback(lambda *_: None)
    ll.llama_log_set(quiet, None)
    ll.llama_backend_init()
    model = ll.llama_model_load_from_file(str(args.gguf).encode(), ll.llama_model_default_params())
    settings = ll.llama_context_default_params()
    width = len(prompts[0][1])
    settings.n_ctx = batch * (width + args.new + 8)
    settings.n_batch = settings.n_ubatch = max(512, batch * width)
    settings.n_seq_max = batch
    settings.n_threads = settings.n_threads_batch = args.threads
    vocabulary = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))

    def decode(context, entries):
        work = ll.llama_batch_init(len(entries), 0, 1)
        work.n_tokens = len(entries)
        for i, (token, position, sequence, wanted) in enumerate(entries):
            work.token[i], work.pos[i], work.n_seq_id[i], work.logits[i] = token, position, 1, wanted
            work.seq_id[i][0] = sequence
        if ll.llama_decode(context, work):
            raise RuntimeError("llama_decode failed")
        ll.llama_batch_free(work)

    def run(new):
        context = ll.llama_init_from_model(model, settings)
        start = time.perf_counter()
        entries = [(t, p, s, p == width - 1) for s, (_, ids) in enumerate(prompts[:batch]) for p, t in enumerate(ids)]
        decode(context, entries)
        wanted = [i for i, entry in enumerate(entries) if entry[3]]
        for step in range(new - 1):
            best = [int(np.ctypeslib.as_array(ll.llama_get_logits_ith(context, row), (vocabulary,)).argmax()) for row in wanted]
            decode(context, [(token, width + step, s, True) for s, token in enumerate(best)])
            wanted = range(batch)
        seconds = time.perf_counter() - start
        ll.llama_free(context)
        return seconds, new * batch
    run.keep = quiet    # llama.cpp calls it as long as it runs
    return run


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--engines", default="ours,hf-fp32,hf-bf16,llama.cpp")
    options.add_argument("--batches", default="1,16")
    options.add_argument("--new", type=int, default=64, help="tokens to generate for each prompt")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--model", default=common.MODEL)
    options.add_argument("--gguf", default=common.GGUF)
    options.add_argument("--dpo", default=common.ROOT / "build/bin/dpo")
    args = options.parse_args()
    common.limit_threads(args.threads)
    scratch = tempfile.TemporaryDirectory()
    args.scratch = scratch.name
    from tokenizers import Tokenizer
    from workload import words
    tokenizer, prompts = Tokenizer.from_file(f"{args.model}/tokenizer.json"), []
    for index in range(max(map(int, args.batches.split(",")))):
        source, ids = words(random.Random(index)), []
        text = next(source)
        while len(ids) < 64:
            text += " " + next(source)
            ids = tokenizer.encode(text).ids
        text = tokenizer.decode(ids[:64])
        prompts.append((text, tokenizer.encode(text).ids[:64]))
    print("| engine | batch | tokens/s (median) | best |\n|---|---|---|---|")
    found = []
    for batch in map(int, args.batches.split(",")):
        for engine in args.engines.split(","):
            args.engine = engine
            run = {"ours": ours, "llama.cpp": llama}.get(engine, transformers)(args, prompts, batch)
            run(1)
            rates = []
            for _ in range(args.repeats):
                (short, few), (long, many) = run(1), run(args.new)
                rates.append((many - few) / (long - short))
            rates.sort()
            print(f"| {engine} | {batch} | {rates[len(rates) // 2]:.1f} | {rates[-1]:.1f} |", flush=True)
            found.append({"engine": engine, "batch": batch, "tokens_per_second": rates[len(rates) // 2], "tokens_per_second_max": rates[-1]})
    common.report(bench="generation", new=args.new, threads=args.threads, **common.machine(), results=found,
                  versions=common.versions("torch", "transformers", "llama-cpp-python"))


if __name__ == "__main__":
    main()
