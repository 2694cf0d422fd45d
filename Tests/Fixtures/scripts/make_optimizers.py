"""Makes golden/optimizers.json: what bitsandbytes' 8-bit optimisers do to one matrix and one vector, on the CPU.

maps      the bits of create_dynamic_map's 256 values, signed and unsigned
runs      of each optimiser after four steps: every 13th code of the matrix' states, the largest numbers of blocks, the bits of
          every 13th value, and of the vector, which is too small for 8 bits, all values

Values and gradients are the same whole-number formula here and in OptimizationTests.

    python Tests/Fixtures/scripts/make_optimizers.py   torch, bitsandbytes
"""
from common import GOLDEN, write_json

import bitsandbytes
import numpy as np
import torch
from bitsandbytes.functional import create_dynamic_map
from make_trl import round_to_the_nearest

SHAPE, LENGTH = (97, 65), 50


def formula(count, step):
    """Numbers around 0 whose sizes lie apart by a factor of 1024."""
    i = np.arange(count, dtype=np.int64)
    return torch.from_numpy((((i * 7919 + step * 104729 + 12345) % 1009 / 1009 - 0.5) * 0.5 ** (i % 11)).astype(np.float32))


def bits(values):
    return [int(number) for number in values.detach().numpy().view(np.uint32)]


def run(kind, **options):
    matrix = torch.nn.Parameter(formula(SHAPE[0] * SHAPE[1], 0).view(SHAPE))
    vector = torch.nn.Parameter(formula(LENGTH, 0))
    optimiser = kind([{"params": [matrix], "weight_decay": 0.1}, {"params": [vector], "weight_decay": 0.0}], lr=1e-2, optim_bits=8, **options)
    for step in range(1, 5):
        matrix.grad, vector.grad = formula(matrix.numel(), step).view(SHAPE), formula(LENGTH, step)
        optimiser.step()
    state = optimiser.state[matrix]
    found = {"values": bits(matrix.flatten()[::13]), "vector": bits(vector)}
    for index in (1, 2):
        if f"state{index}" in state:
            found[f"codes{index}"] = state[f"state{index}"].flatten()[::13].tolist()
            found[f"absmax{index}"] = bits(state[f"absmax{index}"])
    return found


def main():
    round_to_the_nearest()
    write_json(GOLDEN / "optimizers.json", {
        "maps": {"signed": bits(create_dynamic_map(signed=True)), "unsigned": bits(create_dynamic_map(signed=False))},
        "runs": {"adamw_8bit": run(bitsandbytes.optim.AdamW), "lion_8bit": run(bitsandbytes.optim.Lion, betas=(0.9, 0.999))},
    })


if __name__ == "__main__":
    main()
