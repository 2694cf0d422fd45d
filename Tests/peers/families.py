"""Every model of golden/families, as `dpo export` writes it and its adapter, in llama.cpp, transformers and PEFT.

Where llama.cpp computes something else (`llama_cpp_config`, its GELU with tanh from a table of halves), it is compared
with a transformers that does so too. Families that dpo does not know are counted.
"""
import json
import tempfile
from functools import cache, partial
from itertools import chain
from pathlib import Path
from statistics import median

import torch
import transformers
from golden_families import NAMES, GoldenFamily
from llama import logps
from peft import PeftModel
from support import dpo, scratch

TRANSFORMERS, LLAMA_CPP, LLAMA_CPP_MEDIAN = 2e-4, 2e-3, 2e-5
# An adapter's larger activations fall more often on the other side of a rounding to a half (measured: 1.8e-3, 5.1e-5).
HALF_GELU, HALF_GELU_MEDIAN = 5e-3, 2e-4
# llama.cpp takes the long factors if its context is longer than the original one, and it is at least 256. Its
# converter writes none for Llama, but it reads those that dpo writes.
ONLY_LONG = {"llama-longrope": {"rope_parameters": {"short_factor": [1.5, 2.0, 3.0, 7.0]}}}
# Of these dpo reads more from the GGUF file than llama.cpp does: both lists of factors, the windows.
WHOLE_IN_GGUF = ("llama-longrope", "phi3-switch", "starcoder2")

# llama.cpp applies no adapter to it, which `dpo export` says.
NOT_ADAPTED = "per_layer_model_projection"


def write(files, directory):
    directory.mkdir(parents=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


@cache
def family(name):
    return GoldenFamily(name)


@cache
def base(name):
    """What dpo reads: a Hugging Face directory, or a GGUF file where transformers has no class."""
    directory = scratch() / "families" / name
    if family(name).record["config"]:
        return write(family(name).model(), directory)
    return write({"model.gguf": family(name).gguf()}, directory) / "model.gguf"


@cache
def refusal(name):
    """Why dpo does not know it, or None."""
    try:
        dpo("export", base(name), to="hdf5", output=scratch() / "families" / f"{name}.h5")
    except AssertionError as error:
        assert "is not supported (known: " in str(error), error
        return str(error).split(" (known: ")[0].split(": ")[-1]


@cache
def adapter(name, which="adapter"):
    return write(family(name).adapter(base(name), which), scratch() / "families" / f"{name}-{which}")


# ------------------------------------------------------------------ transformers

def merged(config, change):
    return {**config, **{key: merged(config[key], value) if isinstance(value, dict) else value
                         for key, value in change.items()}}


class HalfGELU(torch.nn.Module):
    def forward(self, x):
        table = torch.nn.functional.gelu(x.half().float(), approximate="tanh").half().float()
        return torch.where(x <= -10, torch.zeros_like(x), torch.where(x >= 10, x, table))


def load(directory):
    architecture = json.loads((directory / "config.json").read_text())["architectures"][0]
    model, info = getattr(transformers, architecture).from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["unexpected_keys"] and not info["mismatched_keys"], info
    assert all("lm_head" in key or "embed_out" in key for key in info["missing_keys"]), info
    return model.eval()


def pairs(name):
    rows = family(name).record["sequences"]
    return [(row["prompt"], completion) for row in rows for completion in row["completions"]]


@torch.no_grad()
def transformers_logps(model, name):
    result = []
    for prompt, completion in pairs(name):
        for module in model.modules():
            if getattr(module, "rope_type", None) == "dynamic":    # else it scales for the longest sequence so far
                module.inv_freq, module.max_seq_len_cached = module.original_inv_freq, module.original_max_seq_len
        logits = model(torch.tensor([prompt + completion]), use_cache=False).logits[0, len(prompt) - 1:-1]
        result.append(logits.log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])[:, 0].tolist())
    return result


def golden_model(name, change={}):
    """transformers' model, with another configuration."""
    config = merged(family(name).record["config"] or family(name).record["alike"], change)
    return load(write(family(name).model(config), Path(tempfile.mkdtemp(dir=scratch())) / name))


def gguf_reference(name, which=None):
    """What llama.cpp is to compute, with that adapter."""
    record = family(name).record
    if "llama_cpp_config" not in record and "llama_cpp_gelu" not in record:
        return (record[which] if which else record)["logps"]
    model = golden_model(name, ONLY_LONG.get(name, record.get("llama_cpp_config", {})))
    if "llama_cpp_gelu" in record:
        for module in list(model.modules()):
            for key, child in module.named_children():
                if "GELU" in type(child).__name__.upper():
                    setattr(module, key, HalfGELU())
    if which:
        model = PeftModel.from_pretrained(model, adapter(name, which)).eval()
        for key, parameter in model.named_parameters():
            if NOT_ADAPTED in key and "lora_B" in key:
                parameter.data.zero_()
    return transformers_logps(model, name)


# ------------------------------------------------------------------ comparisons

def compare(ours, wanted, most, middle=None):
    off = [abs(a - b) for a, b in zip(chain(*ours), chain(*wanted), strict=True)]
    assert max(off) < most and (middle is None or median(off) < middle), \
        f"log-probs are off by {max(off):.2g}, median {median(off):.2g}"
    return f"{max(off):.1e}"


def gguf_file(name):
    """The export, or why there is none."""
    target = scratch() / "families" / f"{name}.gguf"
    if not target.exists():
        try:
            dpo("export", base(name), to="gguf", dtype="f32", output=target)
        except AssertionError as error:
            assert "llama.cpp has no place for" in str(error), error
            return str(error).split("error: ")[-1]
    return target


def gguf(name):
    file = gguf_file(name)
    if isinstance(file, str):
        return f"refused ({file})"
    return compare(logps(file, pairs(name)), gguf_reference(name), LLAMA_CPP, LLAMA_CPP_MEDIAN)


def lora(name, which="adapter"):
    file, target = gguf_file(name), scratch() / "families" / f"{name}-{which}.gguf"
    if isinstance(file, str):
        return "without a base"
    dpo("export", adapter(name, which), to="gguf-lora", output=target)
    limits = (HALF_GELU, HALF_GELU_MEDIAN) if "llama_cpp_gelu" in family(name).record else (LLAMA_CPP, LLAMA_CPP_MEDIAN)
    return compare(logps(file, pairs(name), target), gguf_reference(name, which), *limits)


def peft(name, which="adapter"):
    target = scratch() / "families" / f"{name}-{which}-peft"
    dpo("export", adapter(name, which), to="peft", output=target)
    adapted = PeftModel.from_pretrained(golden_model(name), target).eval()
    return compare(transformers_logps(adapted, name), family(name).record[which]["logps"], TRANSFORMERS)


def experts(name):
    """Adapters of experts: beside PEFT, or, where it has them of all experts at once, merged."""
    record = family(name).record
    if "expert_adapter" in record:
        return f"lora {lora(name, 'expert_adapter')}, peft {peft(name, 'expert_adapter')}"
    config, path = record["config"], "block_sparse_moe" if name.startswith("granitemoe") else "mlp"
    count = config.get("num_local_experts") or config["num_experts"]
    hidden, inner = config["hidden_size"], config.get("moe_intermediate_size") or config["intermediate_size"]
    modules = [(f"{path}.experts.{expert}", inner, PARTS) for expert in range(count)]
    # The same targets name those of the MLP beside them.
    if name == "granitemoeshared":
        modules.append(("shared_mlp", config["shared_intermediate_size"], PARTS[:2]))
    elif "shared_expert_intermediate_size" in config:
        modules.append(("mlp.shared_expert", config["shared_expert_intermediate_size"], PARTS))
    record["own_adapter"] = {"r": 4, "lora_alpha": 8, "target_modules": sorted(PARTS), "tensors": [
        row for layer in range(config["num_hidden_layers"]) for module, width, parts in modules for part in parts
        for (ins, outs), stem in [((width, hidden) if part == "down_proj" else (hidden, width),
                                   f"base_model.model.model.layers.{layer}.{module}.{part}.lora_")]
        for row in ([f"{stem}A.weight", [4, ins], 0.0, 0.3], [f"{stem}B.weight", [outs, 4], 0.0, 0.2])]}
    own, plain, lora_file, merged = adapter(name, "own_adapter"), *(
        scratch() / "families" / f"{name}-{kind}.gguf" for kind in ("plain", "own", "merged"))
    plain.write_bytes(gguf_file(name).read_bytes())
    dpo("export", own, to="gguf-lora", output=lora_file)
    dpo("export", plain, "--adapter", own, "--merge", to="gguf", dtype="f32", output=merged)
    found, unchanged = logps(plain, pairs(name), lora_file), logps(plain, pairs(name))
    shift = max(abs(a - b) for a, b in zip(chain(*found), chain(*unchanged)))
    assert shift > 0.1, f"the adapter changes nothing: {shift}"
    peft_directory, whole = (scratch() / "families" / f"{name}-own-{kind}" for kind in ("peft", "merged"))
    dpo("export", own, to="peft", output=peft_directory)
    dpo("export", base(name), "--adapter", own, "--merge", to="safetensors", output=whole)
    adapted = PeftModel.from_pretrained(golden_model(name), peft_directory).eval()
    off = compare(transformers_logps(adapted, name), transformers_logps(load(whole), name), TRANSFORMERS)
    return f"lora {compare(found, logps(merged, pairs(name)), LLAMA_CPP)}, peft {off}"


def safetensors(name):
    file, target, record = gguf_file(name), scratch() / "families" / f"{name}-hf", family(name).record
    if isinstance(file, str):
        return "without a base"
    dpo("export", file, to="safetensors", dtype="f32", output=target)
    less = "llama_cpp_config" in record and name not in WHOLE_IN_GGUF
    wanted = (record["gguf"] if less else record)["logps"]
    return compare(transformers_logps(load(target), name), wanted, TRANSFORMERS)


PARTS = "gate_proj", "up_proj", "down_proj"
EXPERTS = "olmoe", "qwen2_moe", "qwen3_moe", "qwen3_5_moe", "granitemoe", "granitemoeshared", "gpt_oss"
KINDS = {"gguf": gguf, "lora": lora, "peft": peft, "safetensors": safetensors}


def check(name):
    if reason := refusal(name):
        return reason
    notes, failed = [], []
    for kind, of in {**KINDS, **({"experts": experts} if name in EXPERTS else {})}.items():
        try:
            notes.append(f"{kind} {of(name)}")
        except Exception as error:
            failed.append(f"{kind}: {type(error).__name__ if str(error) == '' else error}")
    assert not failed, "; ".join(failed + notes)
    return ", ".join(notes)


def unknown():
    names = [name for name in NAMES if refusal(name)]
    return f"{len(names)} of {len(NAMES)}: {', '.join(names)}"


def checks(seed):
    for name in NAMES:
        yield f"families {name}", partial(check, name)
    yield "families not known", unknown
