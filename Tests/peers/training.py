"""Runs of `dpo train` against TRL's trainers: every metric of every step, and the log-probs of the model at the end."""
from functools import partial

from make_golden import save_adapter
from make_models import SHARED_MIXTURE
from make_trl import BASE, METHODS, trajectory
from peft import PeftModel
from support import (AutoTokenizer, NAMES, SMOLLM2, close, dpo, metrics, model_of, our_sums, random_model, random_pairs, scratch, sums,
                     write_rows)
import libdpo
from trl import DPOTrainer, SFTTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

# Counts and clocks are compared elsewhere; the rest must agree.
LEFT_OUT = {"step", "epoch", "num_tokens"}


def command_flags(settings):
    """TRL's options as the command's flags."""
    flags = {}
    for key, value in settings.items():
        if key == "train_sampling_strategy":
            flags["no_shuffle"] = True
        elif not (key == "max_steps" and value < 0):
            flags[key] = value
    return flags


def compare_steps(ours, theirs, first, later, norm):
    assert len(ours) == len(theirs), f"{len(ours)} steps, expected {len(theirs)}"
    for index, (a, b) in enumerate(zip(ours, theirs)):
        for key in b.keys() - LEFT_OUT:
            tolerance = later if index else norm if key == "grad_norm" else first
            assert key in a, f"metrics.jsonl has no {key}"
            # Rewards and log odds are differences of nearly equal sums, or of means: their round-off is that of the sums.
            floor = 1e-5 if key.startswith("rewards/") or key in ("entropy", "log_odds_chosen") else 1e-7
            close(a[key], b[key], floor if index == 0 else max(floor, 10 * later * 1e-2), tolerance, f"step {index + 1} {key}")


def train(model, data, settings, method=DPOTrainer, lora=None, first=1e-5, later=1e-3, norm=1e-5, name="run", final=True):
    file = write_rows(scratch() / f"{name}.jsonl", data)
    output, adapter, end = scratch() / f"{name}-out", scratch() / f"{name}-start", scratch() / f"{name}-end"
    theirs = trajectory(method, model, data, settings, lora, lambda trained: lora and save_adapter(trained, adapter, str(model)),
                        lambda trained: save_adapter(trained, end, str(model)) if lora else trained.save_pretrained(end))
    flags = dict(adapter=adapter) if lora else {}
    dpo("train", model, method="dpo" if method is DPOTrainer else "sft", data=file, output_dir=output, json=True,
        **command_flags(settings), **flags)
    compare_steps(metrics(output), theirs["steps"], first, later, norm)
    if final and method is DPOTrainer:
        options = {key: settings[key] for key in ("loss_type", "beta", "max_length", "per_device_eval_batch_size") if key in settings}
        ours = dpo("evaluate", model, adapter=output / "final.h5", data=file, json=True, **options) if lora else \
            dpo("evaluate", output / "final.h5", ref_model=model, data=file, json=True, **options)
        for key, value in theirs["evaluation"].items():
            if key.removeprefix("eval_") not in LEFT_OUT and key.startswith("eval_"):
                close(ours[key.removeprefix("eval_")], value, 1e-3, later, f"evaluation's {key.removeprefix('eval_')}")
        tokenizer = AutoTokenizer.from_pretrained(model)
        trained = PeftModel.from_pretrained(model_of(model), end).eval() if lora else model_of(end)
        ours = our_sums(model, file, adapter=output / "final.h5") if lora else our_sums(output / "final.h5", file)
        close(ours, sums(trained, tokenizer, data), 1e-2, 1e-3, "log-prob sum of the trained model")


def tiny(name, seed, loss, lora):
    settings = {**BASE, "max_steps": 10, "loss_type": loss, "weight_decay": 0.05, "lr_scheduler_type": "cosine", "warmup_steps": 2,
                "gradient_accumulation_steps": 2 if loss == "ipo" else 1, "max_length": 40, "seed": seed}
    options = dict(r=4, lora_alpha=8, target_modules="all-linear") if lora else None
    train(random_model(name, seed), random_pairs(seed + 2, 13), settings, lora=options, name=f"{name}-{loss}-{bool(lora)}")


def supervised(name, seed, lora):
    rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in random_pairs(seed + 3, 13)]
    settings = {**BASE, "gradient_accumulation_steps": 2, "max_steps": 6, "seed": seed}
    options = dict(r=4, lora_alpha=8, target_modules="all-linear") if lora else None
    train(random_model(name, seed), rows, settings, SFTTrainer, options, name=f"{name}-sft-{bool(lora)}")


def without_reference(name, seed, method, options, lora):
    """CPO, SimPO and ORPO on the token ids that TRL made: its trainers have rules of their own for tokens, losses are to agree."""
    settings = {**BASE, "max_steps": 10, "weight_decay": 0.05, "lr_scheduler_type": "cosine", "warmup_steps": 2, "seed": seed, **options}
    adapter = scratch() / f"{name}-{METHODS[method]}-{len(options)}-start"
    lora_options = dict(r=4, lora_alpha=8, target_modules="all-linear") if lora else None
    theirs = trajectory(method, random_model(name, seed), random_pairs(seed + 8, 13), settings, lora_options,
                        lambda trained: lora and save_adapter(trained, adapter, str(random_model(name, seed))))
    config = getattr(libdpo, METHODS[method].upper() + "Config")(**settings)
    trainer = getattr(libdpo, METHODS[method].upper() + "Trainer")(
        libdpo.Model(random_model(name, seed), adapter if lora else None), args=config, train_dataset=theirs["rows"])
    compare_steps([trainer.step() for _ in theirs["steps"]], theirs["steps"], 1e-5, 1e-3, 1e-5)


def real(seed, loss, lora):
    settings = {**BASE, "max_steps": 2, "loss_type": loss, "learning_rate": 1e-5, "max_length": 64, "seed": seed}
    options = dict(r=8, lora_alpha=16, target_modules="all-linear") if lora else None
    # torch sums the squares of 135 million gradients in fp32, which loses 3e-5; summed in double they agree with ours to 2e-6.
    train(SMOLLM2, random_pairs(seed + 4, 4), settings, lora=options, norm=2e-5 if lora else 1e-4, name=f"smollm2-{loss}-{bool(lora)}", final=False)


def checks(seed):
    for name in NAMES:
        for loss in ("sigmoid", "ipo"):
            for lora in (False, True):
                yield f"train {name} {loss} {'lora' if lora else 'full'}", partial(tiny, name, seed, loss, lora)
    for lora in (False, True):
        yield f"train {SHARED_MIXTURE} sigmoid {'lora' if lora else 'full'}", partial(tiny, SHARED_MIXTURE, seed, "sigmoid", lora)
    for name in ("llama-untied", "mistral", "qwen3"):     # GPT-2's configuration has dropout, which SFTTrainer leaves on
        yield f"train {name} sft full", partial(supervised, name, seed, False)
    yield "train qwen2 sft lora", partial(supervised, "qwen2", seed, True)
    for name, method, options, lora in (
        ("llama-tied", CPOTrainer, dict(label_smoothing=0.1, cpo_alpha=0.7, gradient_accumulation_steps=2), False),
        ("mistral", CPOTrainer, dict(loss_type="ipo"), True),
        ("qwen3", CPOTrainer, dict(loss_type="simpo", beta=2.0, simpo_gamma=1.0, cpo_alpha=0.0), False),
        ("llama-untied", CPOTrainer, dict(loss_type="simpo", beta=2.5, cpo_alpha=0.3), True),
        ("qwen2", ORPOTrainer, dict(beta=0.3), False),
        ("mistral", ORPOTrainer, dict(gradient_accumulation_steps=2), True),
    ):
        loss = options.get("loss_type", METHODS[method])
        yield f"train {name} {loss if loss == 'simpo' else METHODS[method]} {'lora' if lora else 'full'}", partial(
            without_reference, name, seed, method, options, lora)
    for loss in ("sigmoid", "ipo"):
        for lora in (False, True):
            yield f"train smollm2 {loss} {'lora' if lora else 'full'}", partial(real, seed, loss, lora)
