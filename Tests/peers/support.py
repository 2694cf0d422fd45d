"""What the comparisons share: the staged command, random models and rows, transformers' log-probs, tolerances."""
import json
import os
import random
import subprocess
import sys
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "Tests/Fixtures/scripts"), str(ROOT / "bindings/python")]
os.environ.setdefault("LIBDPO_LIBRARY", str(ROOT / "build/lib/libdpo.so.0"))
warnings.filterwarnings("ignore")
os.environ.update(OMP_NUM_THREADS=str(os.cpu_count()), TRANSFORMERS_VERBOSITY="error", DATASETS_VERBOSITY="error")

from common import DATA, FIXTURES, GGUF, MODELS, NAMES, rows     # noqa: E402, F401  (sets the offline variables first)

import torch                                                      # noqa: E402
from make_golden import token_scores, tokenized                   # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer      # noqa: E402

PEERS = Path(os.environ["LIBDPO_PEERS"])
COMMAND = Path(os.environ.get("DPO") or ROOT / "build/bin/dpo")
SMOLLM2, SMOLLM2_GGUF = PEERS / "smollm2", PEERS / "smollm2-q4_1.gguf"
GEMMA = Path(os.environ.get("LIBDPO_GEMMA") or PEERS / "gemma-3-270m-q4_k_m.gguf")


def dpo(*arguments, **flags):
    """Runs the staged command; returns the JSON document that it prints. dpo("logps", model, data=file) → --data file."""
    command = [str(COMMAND), *map(str, arguments)]
    for key, value in flags.items():
        command.append("--" + key.replace("_", "-"))
        if value is not True:
            command.append(",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, f"{' '.join(command)}: exit {result.returncode}: {result.stderr.strip()[-1000:]}"
    return json.loads(result.stdout) if result.stdout.strip().startswith(("{", "[")) else None


def write_rows(path, values):
    Path(path).write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")
    return Path(path)


WORDS = "the film story was a and never wonderful dull café 12 1999 it's I've warm, cold. loud; true! ünï 今天 👍 letters island?".split()


def random_pairs(seed, count):
    """Rows of words, every side of its own length; some share a prompt, as preference data do."""
    source, result = random.Random(seed), []
    text = lambda low, high: " ".join(source.choice(WORDS) for _ in range(source.randint(low, high)))
    for index in range(count):
        prompt = result[-1]["prompt"] if index % 3 == 2 else text(2, 9)
        result.append({"prompt": prompt, "chosen": " " + text(1, 8), "rejected": " " + text(1, 8)})
    return result


def model_of(path, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="eager").eval()


@torch.no_grad()
def sums(model, tokenizer, pairs):
    """transformers' (chosen, rejected) log-prob sums of every pair."""
    return [tuple(float(token_scores(model, prompt, side)[0].double().sum()) for side in sides)
            for prompt, *sides in (tokenized(tokenizer, row) for row in pairs)]


def our_sums(model, data, **flags):
    return [(row["chosen"], row["rejected"]) for row in dpo("logps", model, data=data, json=True, **flags)["rows"]]


def close(ours, theirs, absolute=0.0, relative=0.0, what=""):
    """Both flat lists or lists of tuples of numbers."""
    flat = lambda value: [x for item in value for x in flat(item)] if isinstance(value, (list, tuple)) else [value]
    ours, theirs = flat(ours), flat(theirs)
    assert len(ours) == len(theirs), f"{what}: {len(ours)} numbers, expected {len(theirs)}"
    for index, (a, b) in enumerate(zip(ours, theirs)):
        assert abs(a - b) <= absolute + relative * abs(b), f"{what}[{index}]: {a!r}, expected {b!r} (off by {abs(a - b):.3g})"


def metrics(directory):
    return [entry for entry in rows(Path(directory) / "metrics.jsonl") if "loss" in entry]


@lru_cache(maxsize=None)
def random_model(name, seed):
    """A directory with a tiny model of a kind, made for this run."""
    from make_models import make
    directory = scratch() / f"{name}-{seed}"
    make(name, directory, seed)
    return directory


@lru_cache(maxsize=None)
def _scratch():
    return tempfile.TemporaryDirectory(prefix="libdpo-peers-")


def scratch():
    """A directory of this run, removed at its end."""
    return Path(_scratch().name)
