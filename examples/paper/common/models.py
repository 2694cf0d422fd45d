"""What the experiments start from: a model made from nothing, or SmolLM2, and their supervised fine-tuning."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import libdpo

from . import data
from .store import CACHE, Made, Work

#: As large as the time of a 2-core machine allows; decided before anything was measured.
FULL = {
    "vocab_size": 2048,
    "hidden_size": 128,
    "layers": 3,
    "heads": 4,
    "intermediate_size": 320,
    "documents": 16000,
    "max_length": 256,
    "batch": 16,
    "learning_rate": 3e-3,
    "seed": 1,
    "words": 80,
}
QUICK = {
    **FULL,
    "vocab_size": 400,
    "hidden_size": 32,
    "layers": 2,
    "heads": 2,
    "intermediate_size": 64,
    "documents": 300,
    "words": 40,
}

#: How policies and reward models that start from SmolLM2 are trained: one learning rate for all, not tuned.
ADAPTER = {"learning_rate": 2e-4, "lora_r": 16, "lora_alpha": 32, "lora_target_modules": "all-linear"}


def adapted(start: Made, options: "dict[str, Any]") -> "Path | None":
    """The model that a trained one is an adapter of, if it is one."""
    return (start.base or start.path) if options.get("lora_r") else None


def configuration(kind: str, scratch: Path, **options: Any) -> Any:
    """A libdpo config that writes nothing by itself."""
    return getattr(libdpo, f"{kind}Config")(output_dir=str(scratch / "run"), disable_tqdm=True, **options)


def finish(trainer: Any, path: Path, every: int = 50) -> "list[float]":
    """Runs all steps of a trainer's plan and saves the model; the loss now and then."""
    losses = []
    for step in range(1, trainer.state.max_steps + 1):
        metrics = trainer.step()
        if step % every == 0 or step in (1, trainer.state.max_steps):
            losses.append(round(metrics["loss"], 4))
    trainer.save_model(path)
    return losses


def base(work: Work) -> Made:
    """Tokenizer and Llama of a million parameters, pretrained on the training splits of all tasks."""
    shape = QUICK if work.quick else FULL

    def make(path: Path) -> "dict[str, Any]":
        scratch = work.scratch() / "base"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        texts = data.some(data.corpus(shape["words"]), shape["documents"], shape["seed"])
        corpus = scratch / "corpus.jsonl"
        corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        libdpo.train_tokenizer(corpus, scratch / "tokenizer", vocab_size=shape["vocab_size"])
        sizes = {name: shape[name] for name in ("hidden_size", "layers", "heads", "intermediate_size", "seed")}
        libdpo.create_model(scratch / "fresh", tokenizer=scratch / "tokenizer", context_length=1024, **sizes)
        args = configuration(
            "Pretrain",
            scratch,
            learning_rate=shape["learning_rate"],
            lr_scheduler_type="cosine",
            warmup_steps=0.05,
            num_train_epochs=1,
            max_length=shape["max_length"],
            per_device_train_batch_size=shape["batch"],
            weight_decay=0.1,
        )
        held = [{"text": text} for text in _held_out(shape["words"], 100 if work.quick else 400)]
        trainer = libdpo.PretrainTrainer(scratch / "fresh", args, str(corpus), held)
        losses = finish(trainer, path)
        info = libdpo.Model(path).info
        facts = {
            "parameters": info.parameters,
            "tokens": trainer.train_dataset.info.tokens,
            "documents": len(texts),
            "loss": losses,
            "held_out_perplexity": round(trainer.evaluate()["eval_perplexity"], 2),
        }
        shutil.rmtree(scratch)
        return facts

    return work.model("base", shape, make)


def shipped(work: Work) -> Made:
    """A model as it is shipped: SmolLM2-135M-Instruct, Q4_1, or the one asked for; in a quick run the small model stands in
    for SmolLM2."""
    if work.start:
        changed = work.start.stat().st_mtime_ns
        return Made(work.start, f"{work.start} {changed}", {"parameters": libdpo.Model(work.start).info.parameters})
    if work.quick:
        return base(work)
    path = CACHE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        data.fetch("fetch_model.py", CACHE)
    return Made(path, path.name, {"parameters": libdpo.Model(path).info.parameters})


def _held_out(words: int, count: int) -> "list[str]":
    texts = [row["text"] for row in data.rows("sentiment", "valid")]
    texts += [row["prompt"] + row["completion"] for row in data.summary_tasks("summaries", "valid", words)]
    texts += [row["prompt"] + row["chosen"] for row in data.chat_tasks("valid", words)]
    return data.some(texts, count, 0)


def sft(work: Work, start: Made, task: str, rows: "list[dict]", held: "list[dict]", settings: "dict[str, Any]") -> Made:
    """The start fine-tuned on a task's texts or demonstrations; the loss on completions that are held out."""

    def make(path: Path) -> "dict[str, Any]":
        args = configuration(
            "SFT", work.scratch(), lr_scheduler_type="cosine", warmup_steps=0.05, max_length=256, **settings
        )
        trainer = libdpo.SFTTrainer(start.path, args, rows, held)
        losses = finish(trainer, path)
        return {"rows": len(rows), "loss": losses, "held_out_loss": round(trainer.evaluate()["eval_loss"], 4)}

    return work.model(f"sft {task}", {"start": start, "rows": len(rows), **settings}, make)


def reward_model(
    work: Work,
    start: Made,
    name: str,
    pairs: "list[dict]",
    held: "list[dict]",
    settings: "dict[str, Any]",
    depends: "dict[str, Any]",
) -> Made:
    """A score head on the start, trained on pairs (Bradley-Terry); its accuracy on pairs that are held out. `depends`: what the
    pairs were made from."""

    def make(path: Path) -> "dict[str, Any]":
        args = configuration(
            "Reward",
            work.scratch(),
            lr_scheduler_type="cosine",
            warmup_steps=0.05,
            center_rewards_coefficient=0.01,
            max_length=256,
            **settings,
        )
        trainer = libdpo.RewardTrainer(start.path, args, pairs, held)
        losses = finish(trainer, path)
        accuracy = trainer.evaluate()["eval_accuracy"]
        return {"pairs": len(pairs), "loss": losses, "held_out_accuracy": round(accuracy, 4)}

    about = {"start": start, "pairs": len(pairs), **settings, **depends}
    return work.model(f"reward {name}", about, make, adapted(start, settings))
