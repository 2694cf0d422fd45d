"""Released GGUF files, Gemma 3 270M and those of $LIBDPO_GGUF: a long text beside transformers on the dequantised weights, and
an adapter trained on the file beside llama.cpp on that very file.
"""
import os
import random
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import llama_cpp
import numpy as np
import torch
from common import CORPUS, rows
from llama import logps
from support import GEMMA, ROOT, dpo, model_of, random_pairs, scratch, write_rows

WINDOW = 512    # Gemma's
LINES = list(dict.fromkeys(CORPUS))


def long_text():
    """Prose, code, emoji and other scripts, more than three windows long."""
    prose, code = (ROOT / "README.md").read_text(encoding="utf-8"), (ROOT / "Sources/CKernels/team.c").read_text()
    emoji = "👩‍👩‍👧‍👦 naïve 🇩🇪🏳️‍🌈 👍🏽 ½ ﬁ 𝔘𝔫𝔦 \t\t  zwei  drei   \n\n\n हिन्दी ไทย עברית ქართული"
    return "\n".join([*LINES, code[:2500], emoji, prose[:3000]])


def per_token(model, data, **flags):
    found = dpo("logps", model, data=data, per_token=True, json=True, **flags)["rows"]
    return [row[f"{side}_logps"] for row in found for side in ("chosen", "rejected")]


def ids(file, data):
    found = dpo("tokenize", file, data=data, json=True)["rows"]
    return [(row["prompt_ids"], row[f"{side}_ids"]) for row in found for side in ("chosen", "rejected")]


@torch.no_grad()
def transformers_logps(model, prompt, completion):
    hidden = model.model(torch.tensor([prompt + completion]), use_cache=False).last_hidden_state[0, len(prompt) - 1:-1]
    parts = zip(hidden.split(128), torch.tensor(completion).split(128))    # all logits at once would take gigabytes
    return torch.cat([model.lm_head(part).log_softmax(-1).gather(-1, targets[:, None])[:, 0]
                      for part, targets in parts]).tolist()


def tokens(file):
    model = llama_cpp.Llama(str(file), vocab_only=True, verbose=False)
    count = 0
    for text in [long_text(), *LINES]:
        ours = dpo("tokenize", file, text=text, json=True)["rows"][0]["ids"]
        assert ours == model.tokenize(text.encode(), add_bos=True, special=True), f"tokens of {text[:60]!r} differ"
        count += len(ours)
    return f"{count} tokens"


@lru_cache(maxsize=1)
def dequantised(file):
    target = scratch() / file.stem
    dpo("export", file, to="safetensors", dtype="f32", output=target)
    return model_of(target)


def differences(file, pairs):
    data = write_rows(scratch() / "rows.jsonl", pairs)
    pairs, ours = ids(file, data), per_token(file, data)
    return np.concatenate([np.abs(np.subtract(a, transformers_logps(dequantised(file), *b))) for a, b in zip(ours, pairs)])


def told(off):
    return f"{len(off)} tokens, largest difference {off.max():.2g}, median {np.median(off):.1g}, {(off > 1e-4).sum()} above 1e-4"


def long_logps(file):
    """The later a token, the more the rounding of its position's angle counts, which transformers does in fp32."""
    off = differences(file, [{"prompt": "A page:\n", "chosen": long_text(), "rejected": " No."}])
    assert len(off) > 3 * WINDOW and off.max() < 5e-4, told(off)
    return told(off)


def review_logps(file, seed):
    """50 texts of the demo's data. In a few of Qwen's, fp32 is off by up to 3e-4 here and 2e-4 there, as double precision tells."""
    subprocess.run([sys.executable, ROOT / "examples/data/fetch.py", ROOT / ".cache", scratch() / "demo"], check=True, capture_output=True)
    texts = [row["text"].split() for row in random.Random(seed).sample(rows(scratch() / "demo/sentiment.jsonl"), 50)]
    off = differences(file, [{"prompt": " ".join(words[:3]), "chosen": " " + " ".join(words[3:] or ["."]), "rejected": " No."}
                             for words in texts])
    assert np.quantile(off, 0.99) < 1e-4 and off.max() < 1e-3, told(off)
    return told(off)


def lora(file, seed):
    data, output = write_rows(scratch() / "pairs.jsonl", random_pairs(seed, 8)), scratch() / f"{file.stem}-run"
    dpo("train", file, data=data, output_dir=output, max_steps=4, per_device_train_batch_size=4, learning_rate=2e-3,
        lr_scheduler_type="constant", lora_r=4, lora_alpha=8, lora_target_modules="all-linear", json=True)
    adapter = scratch() / f"{file.stem}-lora.gguf"
    dpo("export", output / "final.h5", to="gguf-lora", output=adapter)
    flat, pairs = np.concatenate, ids(file, data)
    before, after = flat(per_token(file, data)), flat(per_token(file, data, adapter=output / "final.h5"))
    their_before, their_after = flat(logps(file, pairs)), flat(logps(file, pairs, adapter))
    ours, theirs = after - before, their_after - their_before
    noise, correlation = np.abs(before - their_before), np.corrcoef(ours, theirs)[0, 1]
    slope = ours @ theirs / (ours @ ours)
    note = (f"{len(ours)} tokens moved by {np.abs(ours).mean():.2g} nats on average, in llama.cpp by "
            f"{np.abs(ours - theirs).mean():.2g} more or less: correlation {correlation:.4f}, slope {slope:.3f}; "
            f"without adapter it differs by {noise.mean():.2g}")
    # llama.cpp multiplies quantised activations: seeds gave correlations of 0.9987 to 0.9994, slopes of 0.982 to 1.002.
    assert correlation > 0.995 and abs(slope - 1) < 0.05 and np.abs(ours).mean() > 1, note
    return note


def files():
    return [GEMMA, *map(Path, filter(None, os.environ.get("LIBDPO_GGUF", "").split(":")))]


def checks(seed):
    for file in files():
        yield f"real {file.stem} tokens", lambda: tokens(file)
        yield f"real {file.stem} logps", lambda: long_logps(file)
        yield f"real {file.stem} logps reviews", lambda: review_logps(file, seed)
        yield f"real {file.stem} lora", lambda: lora(file, seed)
