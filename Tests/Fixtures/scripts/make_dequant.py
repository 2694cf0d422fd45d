"""Makes golden/dequantise.safetensors: for every GGUF block type that libdpo reads, random blocks (`TYPE.bytes`, [rows, bytes of a
row]) and what gguf-py makes of them (`TYPE.values`, float32 [rows, 256]). Scales are drawn as finite half floats of both
signs, everything else is any byte.

    python Tests/Fixtures/scripts/make_dequant.py         gguf, numpy, safetensors
"""
from common import GOLDEN

import gguf
import numpy as np
from safetensors.numpy import save_file

# Where half-precision scales stand in a block.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208]}
ROWS, WIDTH = 4, 256


def main():
    source, tensors = np.random.Generator(np.random.PCG64(11)), {}
    for name, places in HALVES.items():
        kind = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = source.integers(0, 256, (ROWS, WIDTH // block, size), dtype=np.uint8)
        for place in places:
            scales = source.normal(0, 0.05, blocks.shape[:2]).astype(np.float16)
            blocks[:, :, place:place + 2] = scales[..., None].view(np.uint8)
        data = np.ascontiguousarray(blocks.reshape(ROWS, -1))
        values = gguf.dequantize(data, kind)
        assert np.isfinite(values).all() and values.shape == (ROWS, WIDTH)
        tensors[f"{name}.bytes"], tensors[f"{name}.values"] = data, np.ascontiguousarray(values.astype(np.float32))
    for name, kind in (("F16", np.float16), ("BF16", None)):
        values = source.normal(0, 1, (ROWS, WIDTH)).astype(np.float32)
        if kind is None:
            bits = np.ascontiguousarray((values.view(np.uint32) >> 16).astype(np.uint16))
            values = (bits.astype(np.uint32) << 16).view(np.float32)
        else:
            bits = values.astype(kind)
            bits[0, :4] = [6e-8, -6e-8, 3e-5, 65504]      # subnormal and largest
            values = bits.astype(np.float32)
        tensors[f"{name}.bytes"], tensors[f"{name}.values"] = np.ascontiguousarray(bits).view(np.uint8), values
    save_file(tensors, GOLDEN / "dequantise.safetensors")
    (GOLDEN / "dequantise.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
