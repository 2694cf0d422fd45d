"""Reward models: runs against TRL's RewardTrainer, and what we write as transformers and PEFT load it: equal scores."""
from functools import partial

import torch
from make_golden import save_adapter
from make_trl import BASE, trajectory
from peft import PeftModel
from support import (AutoTokenizer, NAMES, close, dpo, metrics, random_model, random_pairs, scratch, write_rows)
from training import command_flags, compare_steps
from transformers import AutoModelForSequenceClassification
from trl import RewardTrainer


@torch.no_grad()
def scores(model, tokenizer, pairs):
    """(chosen, rejected) of every pair, padded in one batch where the model knows its padding."""
    texts = [row["prompt"] + row[side] + tokenizer.eos_token for row in pairs for side in ("chosen", "rejected")]
    tokenizer.pad_token_id, tokenizer.padding_side = model.config.pad_token_id, "right"
    flat = model(**tokenizer(texts, return_tensors="pt", padding=True)).logits.squeeze(-1).tolist()
    return list(zip(flat[::2], flat[1::2]))


def classifier(path, **options):
    return AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32, attn_implementation="eager", **options).eval()


def loads(name, seed, lora):
    """A model or adapter that we trained, exported, scored by transformers."""
    base, data = random_model(name, seed), random_pairs(seed + 6, 8)
    file, run = write_rows(scratch() / "rewards.jsonl", data), scratch() / f"{name}-reward-{lora}"
    flags = dict(lora_r=4, lora_target_modules=["all-linear"]) if lora else {}
    dpo("train", base, method="reward", data=file, output_dir=run, max_steps=5, learning_rate=5e-3, json=True, **flags)
    final = run / "final.h5"
    scored = dpo("score", base, adapter=final, data=file, json=True) if lora else dpo("score", final, data=file, json=True)
    ours = [(row["chosen"], row["rejected"]) for row in scored["rows"]]
    tokenizer = AutoTokenizer.from_pretrained(base)
    whole = scratch() / f"{name}-reward-hf-{lora}"
    dpo("export", final, to="safetensors", output=whole, **(dict(merge=True) if lora else {}))
    close(ours, scores(classifier(whole), tokenizer, data), 1e-4, 1e-5, "score")
    if lora:
        target = scratch() / f"{name}-reward-peft"
        dpo("export", final, to="peft", output=target)
        start = classifier(base, num_labels=1)
        start.config.pad_token_id = classifier(whole).config.pad_token_id
        close(ours, scores(PeftModel.from_pretrained(start, target).eval(), tokenizer, data), 1e-4, 1e-5, "score of the adapter")


def train(name, seed):
    data = random_pairs(seed + 7, 13)
    settings = {**BASE, "max_steps": 8, "weight_decay": 0.05, "center_rewards_coefficient": 0.01, "max_length": 40, "seed": seed}
    lora = dict(r=4, lora_alpha=8, target_modules="all-linear", modules_to_save=["score"])
    model, adapter = random_model(name, seed), scratch() / f"{name}-reward-start"
    theirs = trajectory(RewardTrainer, model, data, settings, lora, lambda trained: save_adapter(trained, adapter, str(model)))
    output = scratch() / f"{name}-reward-run"
    dpo("train", model, method="reward", adapter=adapter, data=write_rows(scratch() / "reward-run.jsonl", data), output_dir=output,
        json=True, **command_flags(settings))
    compare_steps(metrics(output), theirs["steps"], 1e-5, 1e-3, 1e-5)


def checks(seed):
    for name in NAMES:
        for lora in (False, True):
            yield f"reward loads {name} {'lora' if lora else 'full'}", partial(loads, name, seed, lora)
        yield f"reward train {name}", partial(train, name, seed)
