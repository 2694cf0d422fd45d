#!/usr/bin/env python3
"""A GGUF file with the shape of a known model, random weights and SmolLM2's tokenizer, to measure time and memory on.

    python Benchmarks/shapes.py SHAPE FILE [--layers N]          SHAPE: llama-1b, llama-3b, llama-8b, olmoe-7b

Matrices are Q4_K, their columns padded to nothing: all of these shapes fill its blocks. Weights have the spread of fresh ones.
"""
import argparse
import math
import struct
from pathlib import Path

import common

#: Architecture, hidden size, layers, heads, key-value heads, head size, intermediate size, experts, active experts.
SHAPES = {
    "llama-1b": ("llama", 2048, 16, 32, 8, 64, 8192, 0, 0),
    "llama-3b": ("llama", 3072, 28, 24, 8, 128, 8192, 0, 0),
    "llama-8b": ("llama", 4096, 32, 32, 8, 128, 14336, 0, 0),
    "olmoe-7b": ("olmoe", 2048, 16, 16, 16, 128, 1024, 64, 8),
}
Q4_K, F32 = 12, 0
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def tokenizer_entries(path):
    """The raw entries `tokenizer.…` of a GGUF file's metadata."""
    data = path.read_bytes()[:64 << 20]
    at, entries = 24, []

    def skip(kind, at):
        if kind == 8:
            return at + 8 + struct.unpack_from("<Q", data, at)[0]
        if kind == 9:
            inner, count = struct.unpack_from("<IQ", data, at)
            at += 12
            if inner in SIZES:
                return at + SIZES[inner] * count
            for _ in range(count):
                at = skip(inner, at)
            return at
        return at + SIZES[kind]

    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        start, length = at, struct.unpack_from("<Q", data, at)[0]
        key = data[at + 8:at + 8 + length]
        at += 8 + length
        at = skip(struct.unpack_from("<I", data, at)[0], at + 4)
        if key.startswith(b"tokenizer."):
            entries.append(data[start:at])
    return entries


def tensors(shape, vocabulary):
    architecture, hidden, layers, heads, kv, size, inner, experts, _ = SHAPES[shape]
    found = {"token_embd": (vocabulary, hidden), "output_norm": (hidden,)}
    if experts:
        found["output"] = (vocabulary, hidden)
    for layer in range(layers):
        at = f"blk.{layer}."
        found |= {at + "attn_norm": (hidden,), at + "ffn_norm": (hidden,), at + "attn_q": (heads * size, hidden),
                  at + "attn_k": (kv * size, hidden), at + "attn_v": (kv * size, hidden), at + "attn_output": (hidden, heads * size)}
        if experts:
            found |= {at + "attn_q_norm": (heads * size,), at + "attn_k_norm": (kv * size,), at + "ffn_gate_inp": (experts, hidden),
                      at + "ffn_gate_exps": (experts, inner, hidden), at + "ffn_up_exps": (experts, inner, hidden),
                      at + "ffn_down_exps": (experts, hidden, inner)}
        else:
            found |= {at + "ffn_gate": (inner, hidden), at + "ffn_up": (inner, hidden), at + "ffn_down": (hidden, inner)}
    return found


def write(shape, path):
    import numpy
    architecture, hidden, layers, heads, kv, size, inner, experts, active = SHAPES[shape]

    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    def entry(key, kind, layout, value):
        return text(key) + struct.pack("<I" + layout, kind, value)

    entries = tokenizer_entries(common.GGUF)
    entries.append(text("general.architecture") + struct.pack("<I", 8) + text(architecture))
    numbers = {"block_count": layers, "context_length": 32768, "embedding_length": hidden, "feed_forward_length": inner,
               "attention.head_count": heads, "attention.head_count_kv": kv, "attention.key_length": size, "attention.value_length": size,
               "vocab_size": common.SHAPE["vocab_size"]}
    if experts:
        numbers |= {"expert_count": experts, "expert_used_count": active}
    entries += [entry(f"{architecture}.{key}", 4, "I", value) for key, value in numbers.items()]
    entries += [entry(f"{architecture}.rope.freq_base", 6, "f", 500000.0),
                entry(f"{architecture}.attention.layer_norm_rms_epsilon", 6, "f", 1e-5)]
    random, found, offset, infos = numpy.random.default_rng(0), tensors(shape, common.SHAPE["vocab_size"]), 0, []

    def plain(name, dims):
        return len(dims) == 1 or "ffn_gate_inp" in name

    def size_of(name, dims):
        return 4 * math.prod(dims) if plain(name, dims) else math.prod(dims) // 256 * 144

    for name, dims in found.items():
        infos.append(text(name + ".weight") + struct.pack(f"<I{len(dims)}QIQ", len(dims), *reversed(dims), F32 if plain(name, dims) else Q4_K, offset))
        offset += (size_of(name, dims) + 31) // 32 * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(entries)) + b"".join(entries) + b"".join(infos)
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % 32))
        for name, dims in found.items():
            if len(dims) == 1:
                content = numpy.ones(dims, "f4").tobytes()
            elif plain(name, dims):
                content = (random.standard_normal(dims, "f4") / math.sqrt(dims[-1])).tobytes()
            else:
                blocks = random.integers(0, 256, (math.prod(dims) // 256, 144), dtype=numpy.uint8)
                step = numpy.float16(1 / math.sqrt(dims[-1]) / 150)
                blocks[:, :4] = numpy.array([step, 7.5 * step], "f2").view(numpy.uint8)
                content = blocks.tobytes()
            file.write(content + bytes(-len(content) % 32))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("shape", choices=SHAPES)
    options.add_argument("file", type=Path)
    options.add_argument("--layers", type=int, metavar="N", help="instead of the shape's own: long rows in less time")
    args = options.parse_args()
    if args.layers:
        architecture, hidden, _, *rest = SHAPES[args.shape]
        SHAPES[args.shape] = (architecture, hidden, args.layers, *rest)
    write(args.shape, args.file)
    print(f"{args.file}: {args.file.stat().st_size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
