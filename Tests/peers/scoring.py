"""Tokens, log-probs and greedy continuations against tokenizers, transformers, TRL and PEFT."""
import random
from functools import partial

import torch
from make_golden import ADAPTERS, greedy, save_adapter
from make_tokens import POOL
from make_trl import trajectory
from peft import LoraConfig, get_peft_model
from support import (AutoTokenizer, DATA, NAMES, SMOLLM2, close, dpo, model_of, our_sums, random_model, random_pairs, rows, scratch, sums,
                     write_rows)
from trl import DPOTrainer


def tokenize(model, seed, count=20):
    tokenizer, source = AutoTokenizer.from_pretrained(model), random.Random(seed)
    for _ in range(count):
        text = "".join(source.choice(POOL) for _ in range(source.randint(1, 60)))
        # The argument parser finds no "=" that a combining mark follows, and takes a value that begins with "-" for an option.
        option = ["--text=" + text] if text.startswith("-") else ["--text", text]
        ours = dpo("tokenize", model, *option, json=True)["rows"][0]["ids"]
        assert ours == tokenizer(text)["input_ids"], f"{text!r}: {ours}, expected {tokenizer(text)['input_ids']}"


def tokenize_pairs(name, seed):
    """Every form of rows: token ids as TRL's trainer makes them."""
    model = random_model(name, seed)
    for data in ("pairs", "implicit") + (("chat", "chat_implicit") if AutoTokenizer.from_pretrained(model).chat_template else ()):
        theirs = trajectory(DPOTrainer, model, rows(DATA / f"{data}.jsonl"), dict(max_steps=1, max_length=None))["rows"]
        ours = dpo("tokenize", model, data=DATA / f"{data}.jsonl", json=True)["rows"]
        keys = ("prompt_ids", "chosen_ids", "rejected_ids")
        for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            for key in keys:
                assert a[key] == b[key], f"{data} row {index + 1} {key}: {a[key]}, expected {b[key]}"


def logps(model, pairs, absolute, relative):
    data = write_rows(scratch() / "logps.jsonl", pairs)
    theirs = sums(model_of(model), AutoTokenizer.from_pretrained(model), pairs)
    ours = our_sums(model, data)
    close(ours, theirs, absolute, relative, "log-prob sum")
    return f"largest difference {max(abs(a - b) for x, y in zip(ours, theirs) for a, b in zip(x, y)):.2g}"


def adapter(name, seed):
    model, pairs = random_model(name, seed), random_pairs(seed + 1, 6)
    torch.manual_seed(seed)
    adapted = get_peft_model(model_of(model), LoraConfig(task_type="CAUSAL_LM", **ADAPTERS[name])).eval()
    for key, parameter in adapted.named_parameters():
        if "lora_" in key:
            parameter.data.normal_(0, 0.3)
    directory = scratch() / f"{name}-adapter"
    save_adapter(adapted, directory, name)
    data = write_rows(scratch() / "adapter.jsonl", pairs)
    close(our_sums(model, data, adapter=directory), sums(adapted, AutoTokenizer.from_pretrained(model), pairs), 1e-4, 1e-5, "log-prob sum")


def generate(model, prompt):
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = model_of(model)
    with torch.no_grad():
        theirs = greedy(network, tokenizer(prompt)["input_ids"], 24)
    stops = network.generation_config.eos_token_id
    stops = stops if isinstance(stops, list) else [stops]
    expected = theirs["token_ids"]
    if cut := [index for index, token in enumerate(expected) if token in stops]:
        expected = expected[:cut[0]]
    ours = dpo("generate", model, prompt=prompt, max_new_tokens=24, temperature=0, json=True)["rows"][0]["token_ids"][0]
    if ours and ours[-1] in stops:
        ours = ours[:-1]
    assert ours == expected, f"{ours}, expected {expected} (closest call {theirs['smallest_gap']:.2g})"


def checks(seed):
    for name in NAMES:
        model = partial(random_model, name, seed)
        yield f"tokenize {name}", lambda model=model: tokenize(model(), seed)
        yield f"tokenize pairs {name}", partial(tokenize_pairs, name, seed)
        yield f"logps {name}", lambda model=model: logps(model(), random_pairs(seed, 12), 1e-4, 1e-5)
        yield f"logps adapter {name}", partial(adapter, name, seed)
        yield f"generate {name}", lambda model=model: generate(model(), "The film was")
    yield "tokenize smollm2", partial(tokenize, SMOLLM2, seed, 5)
    yield "logps smollm2", partial(logps, SMOLLM2, random_pairs(seed, 6), 1e-4, 2e-6)
    yield "generate smollm2", partial(generate, SMOLLM2, "The capital of France is")
