"""Places, options, machine facts and the one-line JSON report that the benchmark scripts share."""
import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = Path(os.environ.get("LIBDPO_PEERS") or ROOT / ".cache/peers")
MODEL = PEERS / "smollm2"                                            # fp32, for the peers
GGUF = ROOT / ".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf"        # for ours and llama.cpp
# SmolLM2-135M, whose steps are counted.
SHAPE = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64,
         "intermediate_size": 1536, "vocab_size": 49152}


def parser(description, steps=4):
    """An argument parser with the options that every training benchmark takes."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    options.add_argument("--model", default=str(MODEL), metavar="DIR", help="Hugging Face directory")
    options.add_argument("--workload", default="short", metavar="NAME|FILE",
                         help="short, mid or long, or a JSONL file whose rows are the batch of every step")
    options.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    options.add_argument("--lora", type=int, default=0, metavar="R", help="LoRA rank; 0 trains every weight")
    options.add_argument("--steps", type=int, default=steps, help="timed optimiser steps, after one that is not timed")
    options.add_argument("--threads", type=int, default=os.cpu_count(), help="compute threads")
    return options


def limit_threads(count):
    """Must run before the first import of torch or NumPy."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(count)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ[name] = "1"


#: What holds NumPy, torch, oneDNN and MKL to an engine's instructions on a processor that has more.
INSTRUCTIONS = {"avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "avx2"}}


def engines(dpo):
    """Our engines for this processor's instruction sets, the one that it would choose first."""
    found = json.loads(subprocess.run([dpo, "version", "--json"], capture_output=True, text=True, check=True).stdout)
    return [found["engine"]] + [e["name"] for e in found["engines"]
                                if e["runs_here"] and e["name"] not in (found["engine"], "portable", "openblas")]


def hold_peers(engine):
    """Peers and limit get the engine's instructions and no more. Must run before the first import of torch or NumPy."""
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    os.environ.update(INSTRUCTIONS.get(engine, {}))


def workload_path(name_or_file):
    path = HERE / "workloads" / f"{name_or_file}.jsonl"
    return path if path.exists() else Path(name_or_file)


def load_rows(name_or_file):
    lines = workload_path(name_or_file).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def token_ids(rows, encode, eos):
    """[(prompt, chosen, rejected)] as lists of ids; a completion starts where prompt and prompt + completion part."""
    result = []
    for row in rows:
        prompt = encode(row["prompt"])
        whole = [encode(row["prompt"] + row[key]) + [eos] for key in ("chosen", "rejected")]
        shared = len(prompt)
        while any(ids[:shared] != prompt[:shared] for ids in whole):
            shared -= 1
        result.append((prompt[:shared], whole[0][shared:], whole[1][shared:]))
    return result


def token_counts(ids):
    """What a report carries, of [(prompt, chosen, rejected)]."""
    prompt, chosen, rejected = (sum(len(row[part]) for row in ids) for part in range(3))
    return {"pairs": len(ids), "prompt": prompt, "chosen": chosen, "rejected": rejected,
            "unshared": 2 * prompt + chosen + rejected, "shared": prompt + chosen + rejected}


def machine():
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.processor())
    return {"processor": model, "cores": os.cpu_count()}


def versions(*names):
    """Installed versions, and Python's own."""
    found = {"python": "%d.%d.%d" % sys.version_info[:3]}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


def peak_rss_mb():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def timing(seconds, key="seconds_per_step"):
    """The keys for a list of repeats: the median under `key`, the fastest under `key`_min, and the list itself."""
    return {key: round(statistics.median(seconds), 4), key + "_min": round(min(seconds), 4),
            key + "_all": [round(value, 4) for value in seconds]}


def report(**fields):
    """One JSON object as the last line of stdout."""
    sys.stderr.flush()
    print(json.dumps(fields), flush=True)
