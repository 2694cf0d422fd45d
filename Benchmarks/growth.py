#!/usr/bin/env python3
"""How the time of a full DPO step grows: with distinct tokens, pairs, completions of a prompt, the size of the model and threads. Ours alone.

    python Benchmarks/growth.py --json FILE [--quick]

Every point is one `dpo bench`: the fastest of a few steps, after one that is not timed. Rows are made of words, and their tokens
are counted by `dpo bench` itself. Models of other sizes have random weights in SmolLM2's shape; their files are removed again.
"""
import argparse
import json
import os
import struct
import sys
import tempfile
from pathlib import Path

import common
from run import run

WORD = " film"
#: Hidden size, layers, heads, key-value heads, intermediate size; SmolLM2's 135M and 360M shapes, and one below.
SHAPES = {"30M": (320, 12, 5, 5, 864), "135M": (576, 30, 9, 3, 1536), "360M": (960, 32, 15, 5, 2560)}


def workload(folder, name, pairs, prompt, completion):
    """`pairs` rows of about so many tokens; numbers keep the rows apart."""
    path = folder / f"{name}.jsonl"
    rows = [{"prompt": f"{i}" + WORD * (prompt - 1), "chosen": WORD * completion, "rejected": " bad" + WORD * (completion - 1)} for i in range(pairs)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ranked(folder, completions):
    """One prompt of 128 tokens with so many completions of 48, in an order."""
    path = folder / f"ranked{completions}.jsonl"
    answers = [f" {i}" + WORD * 46 for i in range(completions)]
    path.write_text(json.dumps({"prompt": "1" + WORD * 127, "completions": answers, "ranks": list(range(1, completions + 1))}) + "\n")
    return path


def random_model(folder, name, tokenizer):
    """A Llama of a shape with random bf16 weights as a Hugging Face directory; returns its parameters."""
    import numpy
    hidden, layers, heads, kv, inner = SHAPES[name]
    size, vocab = hidden // heads, common.SHAPE["vocab_size"]
    directory = folder / name
    directory.mkdir()
    shapes = {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        shapes |= {at + "self_attn.q_proj.weight": (heads * size, hidden), at + "self_attn.k_proj.weight": (kv * size, hidden),
                   at + "self_attn.v_proj.weight": (kv * size, hidden), at + "self_attn.o_proj.weight": (hidden, heads * size),
                   at + "mlp.gate_proj.weight": (inner, hidden), at + "mlp.up_proj.weight": (inner, hidden),
                   at + "mlp.down_proj.weight": (hidden, inner), at + "input_layernorm.weight": (hidden,),
                   at + "post_attention_layernorm.weight": (hidden,)}
    header, offset = {}, 0
    for tensor, shape in shapes.items():
        bytes_ = 2 * int(numpy.prod(shape))
        header[tensor] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + bytes_]}
        offset += bytes_
    numbers = numpy.random.default_rng(0)
    text = json.dumps(header).encode()
    with open(directory / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in shapes.values():
            values = numpy.ones(shape, "f4") if len(shape) == 1 else numbers.standard_normal(shape, "f4") * 0.02
            file.write((values.view("u4") >> 16).astype("u2").tobytes())
    (directory / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": size, "vocab_size": vocab, "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5, "rope_theta": 100000, "tie_word_embeddings": True, "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2}))
    for part in ("tokenizer.json", "tokenizer_config.json"):
        (directory / part).write_bytes((tokenizer / part).read_bytes())
    return directory, sum(int(numpy.prod(shape)) for shape in shapes.values())


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--dpo", type=Path, default=common.ROOT / "build/bin/dpo")
    options.add_argument("--gguf", type=Path, default=common.GGUF)
    options.add_argument("--engine", default="auto")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--quick", action="store_true", help="the smallest points alone")
    options.add_argument("--series", default="tokens,pairs,completions,threads,parameters", help="some of them")
    options.add_argument("--json", type=Path, metavar="FILE", required=True)
    args = options.parse_args()
    series = {}

    def point(kind, value, model, path, *flags, threads=args.threads):
        found = run([args.dpo, "bench", model, "--workload", path, "--steps", 2, "--threads", threads, "--engine", args.engine, "--json", *flags])
        entry = {"value": value, "seconds": found["seconds_per_step_min"], "tokens": found["tokens"]["shared"], "peak_rss_mb": found["peak_rss_mb"]}
        series.setdefault(kind, []).append(entry)
        print(f"{kind} {value}: {entry['seconds']:.3f} s, {entry['tokens']} distinct tokens", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted = args.series.split(",")
        for tokens in () if "tokens" not in wanted else (64, 256) if args.quick else (64, 256, 1024, 2048, 4096):
            point("tokens", tokens, args.gguf, workload(folder, f"tokens{tokens}", 1, tokens // 2, tokens // 4))
        for pairs in () if "pairs" not in wanted else (1, 2) if args.quick else (1, 2, 4, 8, 16):
            point("pairs", pairs, args.gguf, workload(folder, f"pairs{pairs}", pairs, 64, 32))
        for completions in () if "completions" not in wanted else (2, 4) if args.quick else (2, 4, 8, 16, 32):
            point("completions", completions, args.gguf, ranked(folder, completions), "--method", "ranked")
        path = workload(folder, "threads", 4, 64, 64)
        for threads in range(1, args.threads + 1) if "threads" in wanted else ():
            point("threads", threads, args.gguf, path, threads=threads)
        tokenizer = common.MODEL
        if "parameters" not in wanted:
            pass
        elif (tokenizer / "tokenizer.json").exists():
            path = workload(folder, "model", 2, 64, 64)
            for shape in ("30M",) if args.quick else SHAPES:
                directory, parameters = random_model(folder, shape, tokenizer)
                point("parameters", parameters, directory, path)
                for file in directory.iterdir():
                    file.unlink()
        else:
            print(f"{tokenizer} is missing (Tests/peers/setup makes it): models of other sizes are not timed", file=sys.stderr)
    args.json.write_text(json.dumps({"machine": common.machine(), "engine": args.engine, "series": series}, indent=1) + "\n")


if __name__ == "__main__":
    main()
