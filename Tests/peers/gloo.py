"""examples/distributed/gloo.py by torchrun: two processes of torch.distributed train as one process does, to the bit."""

import os
import subprocess
import sys

import h5py
from support import COMMAND, ROOT, scratch

FIXTURES = ROOT / "Tests/Fixtures"
MODEL, PAIRS = FIXTURES / "models/llama-tied", FIXTURES / "data/pairs.jsonl"


def tensors(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None)
    return found


def example():
    directory = scratch() / "gloo"
    directory.mkdir()
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT / "bindings/python"), "OMP_NUM_THREADS": "1",
        "LIBDPO_LIBRARY": os.environ.get("LIBDPO_LIBRARY", str(COMMAND.parent.parent / "lib/libdpo.so.0")),
    }
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               ROOT / "examples/distributed/gloo.py", MODEL, PAIRS, directory / "two"]
    done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 ranks, 6 steps, loss " in done.stdout, done.stdout
    alone = [COMMAND, "train", MODEL, "--data", PAIRS, "--output-dir", directory / "one", "--per-device-train-batch-size", 2,
             "--gradient-accumulation-steps", 2, "--learning-rate", 2e-4, "--max-steps", 6, "--lora-r", 8, "--lora-alpha", 8,
             "--lora-target-modules", "all-linear"]
    done = subprocess.run([str(part) for part in alone], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    ours, theirs = tensors(directory / "two/final.h5"), tensors(directory / "one/final.h5")
    different = [name for name in theirs if ours.get(name) != theirs[name]]
    assert ours.keys() == theirs.keys() and theirs and not different, f"tensors differ: {different or ours.keys() ^ theirs.keys()}"
    return f"{len(theirs)} tensors equal"


def checks(_):
    yield "distributed gloo", example
