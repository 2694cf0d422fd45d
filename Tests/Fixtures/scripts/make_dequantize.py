#!/usr/bin/env python3
"""Makes dequantize.json: blocks of every GGUF encoding with the numbers that gguf-py decodes from them, and numbers with
the bytes that gguf-py encodes them as. Bytes are hexadecimal; floats are the hexadecimal bytes of little-endian f32.
`many`: a digest of what gguf-py decodes from 1,024 blocks of random bytes, enough for every index of every grid; bit 6 of
the bytes at `tops`, of the largest exponents of scales, is cleared, so that all numbers are finite but MXFP4's.
Needs gguf 0.19 and numpy."""
import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
          "IQ1_S": [0], "IQ1_M": [54], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0],
          "TQ1_0": [52], "TQ2_0": [64], "MXFP4": [], "NVFP4": []}
BLOCKS, MANY = 3, 1024


def random_bytes(count):
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z >> np.uint64(56)).astype(np.uint8)


def digest(values):
    """Σ (2 i + 1) · bits of value i, modulo 2^64."""
    bits = values.astype("<f4").ravel().view("<u4").astype(np.uint64)
    with np.errstate(over="ignore"):
        return int(np.sum(bits * (2 * np.arange(bits.size, dtype=np.uint64) + np.uint64(1)), dtype=np.uint64))


rng = np.random.default_rng(4)
out = {"decode": {}, "many": {}, "encode": {}}
for name, offsets in SCALES.items():
    _, size = GGML_QUANT_SIZES[T[name]]
    blocks = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for offset in offsets:
        scales = (rng.standard_normal(BLOCKS) * [0.01, 3, 1e-6]).astype(np.float16)
        blocks[:, offset:offset + 2] = scales.view(np.uint8).reshape(BLOCKS, 2)
    if name == "IQ1_M":  # four bits of the scale in each of four words
        blocks[:, 49::2] = blocks[:, 49::2] & 15 | (scales.view("<u2")[:, None] >> [0, 4, 8, 12] & 15).astype(np.uint8) << 4
    if name == "MXFP4":
        blocks[:, 0] = [121, 0, 252]
    values = dequantize(blocks, T[name]).astype("<f4")
    out["decode"][name] = {"bytes": blocks.tobytes().hex(), "values": values.tobytes().hex()}
    blocks = random_bytes(MANY * size).reshape(MANY, size)
    tops = [offset + 1 for offset in offsets]
    blocks[:, tops] &= 0xBF
    with np.errstate(over="ignore"):  # of MXFP4
        out["many"][name] = {"tops": tops, "digest": f"{digest(dequantize(blocks, T[name])):x}"}
halves = np.concatenate([rng.integers(0, 0x7C00, 60), rng.integers(0x8000, 0xFC00, 60), [0, 0x8000, 1, 0x3FF, 0x400, 0x7BFF, 0xFBFF, 0x3C00]]).astype("<u2")
out["decode"]["F16"] = {"bytes": halves.tobytes().hex(), "values": halves.view("<f2").astype("<f4").tobytes().hex()}
brains = np.concatenate([rng.integers(0, 0x7F80, 60), rng.integers(0x8000, 0xFF80, 60), [0, 0x8000, 1, 0x7F, 0x80, 0x7F7F, 0xFF7F, 0x3F80]]).astype("<u2")
out["decode"]["BF16"] = {"bytes": brains.tobytes().hex(), "values": (brains.astype("<u4") << 16).view("<f4").tobytes().hex()}

edge = [0, -0.0, 1, -1, 0.5, 1.5, 2.5, 65504, 1e-8, -6e-8, 6.1e-5, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, 127]
values = np.concatenate([edge, rng.standard_normal(112) * 10.0 ** rng.integers(-7, 4, 112)]).astype("<f4")
for name in ("F16", "BF16", "Q8_0"):
    encoded = values.astype("<f2") if name == "F16" else quantize(values.reshape(1, -1), T[name])
    out["encode"][name] = {"bytes": encoded.tobytes().hex(), "values": values.tobytes().hex()}
target = Path(__file__).parent.parent / "golden" / "dequantize.json"
target.parent.mkdir(exist_ok=True)
target.write_text(json.dumps(out, indent=1) + "\n")
