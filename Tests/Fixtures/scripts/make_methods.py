"""Makes golden trajectories of methods that TRL 1.16 has no trainer for, by plain PyTorch loops written from docs/losses.md:

golden/methods/RUN.json      the options, every metric of every step, an evaluation after the last one, and of every tensor:
                             norm, norm of its change, first values; rows in the order of the file, fp32

    python Tests/Fixtures/scripts/make_methods.py [RUN ...]   torch, transformers
"""
import sys

from common import DATA, GOLDEN, MODELS, number, numbers, rows, write_json

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

BASE = dict(per_device_train_batch_size=3, per_device_eval_batch_size=100, max_steps=6, learning_rate=1e-3, shuffle=False)
RUNS = {
    "llama-tied-bco": ("llama-tied", "pairs", "bco", dict(beta=0.5, gradient_accumulation_steps=2)),
    "qwen2-bco": ("qwen2", "unpaired", "bco", dict(weight_decay=0.0)),
    "mistral-unlikelihood": ("mistral", "pairs", "unlikelihood", dict(unlikelihood_alpha=0.3, gradient_accumulation_steps=2)),
    "llama-untied-ranked": ("llama-untied", "ranked", "ranked", dict(beta=0.4, gradient_accumulation_steps=2)),
    "qwen3-ranked-pairs": ("qwen3", "pairs", "ranked", dict()),
}


def common_prefix(a, b):
    length = 0
    while length < min(len(a), len(b)) and a[length] == b[length]:
        length += 1
    return length


def tokenise(tokenizer, prompt, completions):
    """The boundary is where the prompt alone and the prompt with each completion part."""
    alone = tokenizer(prompt)["input_ids"]
    joined = [tokenizer(prompt + text + tokenizer.eos_token)["input_ids"] for text in completions]
    boundary = min(common_prefix(alone, ids) for ids in joined)
    return [(ids[:boundary], ids[boundary:]) for ids in joined]


def read(tokenizer, data, method):
    """Rows as lists of (prompt, completion), and what the file says of them."""
    found = rows(DATA / f"{data}.jsonl")
    if method == "bco" and "chosen" in found[0]:
        return ([tokenise(tokenizer, row["prompt"], [row[side]]) for side in ("chosen", "rejected") for row in found],
                [side == "chosen" for side in ("chosen", "rejected") for _ in found])
    if method == "bco":
        return [tokenise(tokenizer, row["prompt"], [row["completion"]]) for row in found], [row["label"] for row in found]
    if "chosen" in found[0]:
        return [tokenise(tokenizer, row["prompt"], [row["chosen"], row["rejected"]]) for row in found], [([1, 2], 1.0)] * len(found)
    return ([tokenise(tokenizer, row["prompt"], row["completions"]) for row in found],
            [(row["ranks"] if "ranks" in row else [-score for score in row["scores"]], row.get("weight", 1.0)) for row in found])


def logps(model, row):
    """Summed log-probs of a row's completions, one forward pass each."""
    sums = []
    for prompt, completion in row:
        ids = torch.tensor([prompt + completion])
        logits = model(ids).logits[0, :-1].float()
        per_token = torch.log_softmax(logits, -1).gather(1, ids[0, 1:, None])[:, 0]
        sums.append(per_token[len(prompt) - 1:].sum())
    return torch.stack(sums)


class BCO:
    """δ is the mean of all rewards that training has seen, this micro-batch's included."""
    def __init__(self, beta=0.1):
        self.beta, self.sum, self.count = beta, 0.0, 0

    def __call__(self, policy, reference, labels, training):
        rewards = self.beta * torch.stack([p[0] - r[0] for p, r in zip(policy, reference)])
        if training:
            self.sum, self.count = self.sum + rewards.sum().item(), self.count + len(rewards)
        delta = self.sum / self.count
        sign = torch.tensor([1.0 if label else -1.0 for label in labels])
        metrics = {"delta": delta}
        means = {}
        for side, wanted in (("chosen", True), ("rejected", False)):
            chosen = [i for i, label in enumerate(labels) if label == wanted]
            if chosen:
                means[side] = metrics[f"rewards/{side}"] = rewards[chosen].mean().item()
                metrics[f"logps/{side}"] = torch.stack([policy[i][0] for i in chosen]).mean().item()
        if len(means) == 2:
            metrics["rewards/margins"] = means["chosen"] - means["rejected"]
        return -F.logsigmoid(sign * (rewards - delta)).mean(), metrics


class Unlikelihood:
    def __init__(self, unlikelihood_alpha):
        self.alpha = unlikelihood_alpha

    def __call__(self, policy, reference, labels, training):
        chosen, rejected = torch.stack([row[0] for row in policy]), torch.stack([row[1] for row in policy])
        return (-chosen + self.alpha * rejected).mean(), {
            "logps/chosen": chosen.mean().item(), "logps/rejected": rejected.mean().item(),
            "rewards/accuracies": (chosen > rejected).float().mean().item(), "rewards/margins": (chosen - rejected).mean().item()}


class Ranked:
    """Plackett-Luce: each completion among itself and those that rank below it. The metrics compare every two completions of
    different rank, each row counting the same."""
    def __init__(self, beta=0.1):
        self.beta = beta

    def __call__(self, policy, reference, labels, training):
        losses, table = [], []
        for ours, theirs, (ranks, weight) in zip(policy, reference, labels):
            rewards = self.beta * (ours - theirs)
            loss = torch.zeros(())
            pairs = []
            for k, rank in enumerate(ranks):
                below = [j for j, other in enumerate(ranks) if other > rank]
                if below:
                    loss = loss - F.log_softmax(rewards[[k] + below], 0)[0]
                    pairs += [(k, j) for j in below]
            losses.append(weight * loss)
            if pairs:
                better, worse = [a for a, _ in pairs], [b for _, b in pairs]
                table.append([values.float().mean().item() for values in (
                    rewards[better], rewards[worse], rewards[better] > rewards[worse], rewards[better] - rewards[worse], ours[better],
                    ours[worse])])
        names = ("rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected")
        return torch.stack(losses).mean(), {name: sum(row[i] for row in table) / len(table) for i, name in enumerate(names) if table}


METHODS = {"bco": BCO, "unlikelihood": Unlikelihood, "ranked": Ranked}


def mean(dictionaries):
    return {key: number(sum(d[key] for d in dictionaries if key in d) / sum(key in d for d in dictionaries))
            for key in dict.fromkeys(key for d in dictionaries for key in d)}


def run(name):
    folder, data, method, options = RUNS[name]
    settings = {**BASE, **options}
    tokenizer = AutoTokenizer.from_pretrained(MODELS / folder)
    load = lambda: AutoModelForCausalLM.from_pretrained(MODELS / folder, dtype=torch.float32, attn_implementation="eager").eval()
    model, frozen = load(), load()
    data_rows, labels = read(tokenizer, data, method)
    with torch.no_grad():
        reference = [logps(frozen, row) for row in data_rows]
    loss_of = METHODS[method](**{key: value for key, value in options.items() if key in ("beta", "unlikelihood_alpha")})
    start = {key: p.detach().clone() for key, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["learning_rate"], weight_decay=0.0)
    size, accumulation, steps = settings["per_device_train_batch_size"], settings.get("gradient_accumulation_steps", 1), settings["max_steps"]
    batches = [list(range(first, min(first + size, len(data_rows)))) for first in range(0, len(data_rows), size)]
    epoch = [batches[first:first + accumulation] for first in range(0, len(batches), accumulation)]
    pick = lambda values, batch: [values[i] for i in batch]
    record = []
    for step in range(steps):
        rate = settings["learning_rate"] * (steps - step) / steps
        micro, total = epoch[step % len(epoch)], 0.0
        metrics = []
        for batch in micro:
            loss, found = loss_of([logps(model, data_rows[i]) for i in batch], pick(reference, batch), pick(labels, batch), True)
            (loss / len(micro)).backward()
            total += loss.item() / len(micro)
            metrics.append(found)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
        record.append({"loss": number(total), "grad_norm": number(norm), "learning_rate": rate, **mean(metrics),
                       "epoch": step // len(epoch) + min(1, (step % len(epoch) + 1) * accumulation / len(batches))})
    with torch.no_grad():
        size, total, metrics = settings["per_device_eval_batch_size"], 0.0, []
        for first in range(0, len(data_rows), size):
            batch = list(range(first, min(first + size, len(data_rows))))
            loss, found = loss_of([logps(model, data_rows[i]) for i in batch], pick(reference, batch), pick(labels, batch), False)
            total += loss.item() * len(batch)
            metrics.append(found)
    tensors = {key: {"norm": number(p.detach().norm()), "change": number((p.detach() - start[key]).norm()),
                     "first": numbers(p.detach().flatten()[:4])} for key, p in model.named_parameters()}
    write_json(GOLDEN / "methods" / f"{name}.json", {
        "model": f"models/{folder}", "data": f"data/{data}.jsonl", "method": method, "options": settings, "steps": record,
        "evaluation": {"eval_loss": number(total / len(data_rows)), **{f"eval_{key}": value for key, value in mean(metrics).items()}},
        "tensors": tensors})
    print(name, [round(step["loss"], 5) for step in record], flush=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or RUNS:
        run(name)
