"""The physical limit of one DPO step: its counted FLOPs at the GEMM rate of this machine, measured now.

Counted: policy forward, backward and reference forward, each prompt once, the head only where a completion token is
predicted, causal attention; in full training also one pass of the optimiser at memory speed. The backward pass of full training
costs two forwards, that of LoRA one (gradients of activations only). Nothing else: norms, activations, softmax and data
movement are what an implementation has to hide.
"""
import json
import os
import time

import common


def step_work(config, tokens, lora):
    """FLOPs and optimiser bytes of one step. `tokens`: [(prompt, chosen, rejected)] counts."""
    hidden, layers, heads = config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]
    kv, width = config["num_key_value_heads"], config["head_dim"]
    layer = hidden * width * (2 * heads + 2 * kv) + 3 * hidden * config["intermediate_size"]
    forwarded = keys = rows = 0
    for prompt, *completions in tokens:
        forwarded += prompt
        keys += prompt * (prompt + 1) // 2
        for completion in completions:
            own = completion - 1                   # nothing is predicted from the last token
            forwarded += own
            keys += own * prompt + own * (own + 1) // 2
            rows += completion
    forward = 2 * layers * layer * forwarded + 4 * layers * heads * width * keys + 2 * hidden * config["vocab_size"] * rows
    parameters = layers * layer + config["vocab_size"] * hidden
    # AdamW reads parameter, gradient and two moments, and writes parameter and moments.
    return {"flops": (3 if lora else 4) * forward, "bytes": 0 if lora else parameters * 4 * 7}


def best_rate(run, work, seconds=0.6):
    run()
    rate, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        rate = max(rate, work / (time.perf_counter() - start))
    return rate / 1e9


SHAPES = ((768, 576, 1536), (768, 1536, 576), (512, 576, 49152))    # rows, inner, columns, as in training


def measure(precision="fp32"):
    """GFLOP/s of GEMMs of training shapes and GB/s of reading memory: fp32 by NumPy's OpenBLAS, fp32 and bf16 by torch's
    oneDNN where torch is installed; the better one counts."""
    import numpy as np
    source, found = np.random.default_rng(0), {"fp32": 0.0}
    for m, k, n in SHAPES:
        a, b = (source.standard_normal(shape, dtype=np.float32) for shape in ((m, k), (k, n)))
        found["fp32"] = max(found["fp32"], best_rate(lambda: a @ b, 2 * m * k * n))
    try:
        import torch
    except ImportError:
        block = np.ones(64 * 2**20, dtype=np.float32)
        found["read_gb_s"] = best_rate(block.sum, block.nbytes)
        return found
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        if name == "bf16" != precision:     # minutes without the instructions
            continue
        for m, k, n in SHAPES:
            a, b = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
            found[name] = max(found.get(name, 0.0), best_rate(lambda: torch.mm(a, b), 2 * m * k * n))
    block = torch.ones(64 * 2**20)
    found["read_gb_s"] = best_rate(block.sum, block.numel() * 4)
    return found


def main():
    options = common.parser(__doc__.splitlines()[0])
    options.add_argument("--tokens", required=True, help="JSON: [[prompt, chosen, rejected], …] counts of every pair")
    args = options.parse_args()
    common.limit_threads(args.threads)
    rates = measure(args.precision)
    if args.precision not in rates:
        raise SystemExit("bf16 GEMMs are measured with torch, which is not installed here: Tests/peers/setup installs it")
    work = step_work(common.SHAPE, json.loads(args.tokens), args.lora)
    seconds = work["flops"] / (rates[args.precision] * 1e9) + work["bytes"] / (rates["read_gb_s"] * 1e9)
    common.report(bench="limit", precision=args.precision, lora_r=args.lora, threads=args.threads,
                  gflops={key: round(value, 1) for key, value in rates.items()}, **work, seconds_per_step=round(seconds, 4))


if __name__ == "__main__":
    main()
