"""Makes golden numbers of PPO and of the group baselines with plain PyTorch: TRL has no PPO any more.

golden/ppo/losses.json       advantages, whitening and both losses on fixed numbers, double precision, gradients by autograd
golden/ppo/RUN.json          a run: options, the completions that libdpo drew (this script asks it), and what a training loop
                             written from the formulas of docs/losses.md makes of them: metrics of every step, and of every
                             trained tensor norm, norm of its change and first values

    python Tests/Fixtures/scripts/make_ppo.py [RUN ...]   torch, transformers, peft; the staged library of `make build`

Completions and the order of minibatches come from libdpo; every number is computed here.
"""
import sys
import tempfile
from pathlib import Path

from common import DATA, FIXTURES, GOLDEN, MODELS, number, numbers, rows, write_json

import torch
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bindings" / "python"))
import libdpo

torch.set_default_dtype(torch.float32)

# method, model, options, LoRA start
RUNS = {
    "ppo-llama-tied": ("ppo", "llama-tied", dict(num_ppo_epochs=2, num_mini_batches=2, kl_coef=0.1, weight_decay=0.1), None),
    "ppo-gpt2-k3": ("ppo", "gpt2", dict(num_ppo_epochs=2, kl_estimator="k3", whiten_rewards=True, missing_eos_penalty=1.0, gamma=0.98,
                                        kl_target=0.05, kl_horizon=50.0, kl_coef=0.2), None),
    "ppo-qwen2-lora": ("ppo", "qwen2", dict(num_ppo_epochs=3, vf_coef=0.5, temperature=0.7, cliprange=0.02, cliprange_value=0.01),
                       "qwen2-lora-ipo-start"),
    "rloo-mistral": ("rloo", "mistral", dict(num_generations=2, num_ppo_epochs=2, kl_coef=0.3, cliprange=0.02, learning_rate=5e-4), None),
    "grpo-llama-untied": ("grpo", "llama-untied", dict(num_generations=4, num_ppo_epochs=2, num_mini_batches=2, kl_coef=0.2,
                                                       use_bias_correction_kl=False), None),
    "grpo-mistral-corrected": ("grpo", "mistral", dict(num_generations=4, num_ppo_epochs=2, kl_coef=0.3, learning_rate=1e-3), None),
}
BASE = dict(per_device_train_batch_size=4, gradient_accumulation_steps=2, learning_rate=3e-3, max_completion_length=10, temperature=1.0,
            lr_scheduler_type="constant", shuffle=False)
STEPS = 12


def score(ids):
    """A reward that any implementation can compute: the share of tokens whose id leaves less than 3 when divided by 7."""
    return sum(1 for token in ids if token % 7 < 3) / len(ids)


def record(method, model, options, adapter):
    """A run of libdpo with what it drew: answers of every rollout."""
    drawn = []

    def reward(answers):
        drawn.append([{"prompt": a.prompt_ids, "completion": a.completion_ids, "stopped": a.stopped} for a in answers])
        return [score(a.completion_ids) for a in answers]

    trainer_type, config = {"ppo": (libdpo.PPOTrainer, libdpo.PPOConfig), "rloo": (libdpo.RLOOTrainer, libdpo.RLOOConfig),
                            "grpo": (libdpo.GRPOTrainer, libdpo.GRPOConfig)}[method]
    with tempfile.TemporaryDirectory() as scratch:
        trainer = trainer_type(
            libdpo.Model(MODELS / model, adapter=FIXTURES / "adapters" / adapter if adapter else None), reward,
            args=config(output_dir=scratch, max_steps=STEPS, disable_tqdm=True, **options), train_dataset=DATA / "pairs.jsonl")
        ours = [trainer.step() for _ in range(STEPS)]
    return drawn, ours


class Policy(torch.nn.Module):
    """A model with a value head on the last hidden states, and its frozen reference."""

    def __init__(self, name, adapter, has_values):
        super().__init__()
        load = lambda: AutoModelForCausalLM.from_pretrained(MODELS / name, attn_implementation="eager", dtype=torch.float32)
        self.model, self.frozen = load(), load()
        if adapter:
            from peft import PeftModel

            path = str(FIXTURES / "adapters" / adapter)
            self.model, self.frozen = (PeftModel.from_pretrained(m, path, is_trainable=True) for m in (self.model, self.frozen))
        self.v_head = torch.nn.Linear(self.model.config.hidden_size, 1, bias=False).requires_grad_(has_values)
        torch.nn.init.zeros_(self.v_head.weight)
        for p in self.frozen.parameters():
            p.requires_grad_(False)

    def trained(self):
        return {key: p for key, p in [*self.model.named_parameters(), ("v_head.weight", self.v_head.weight)] if p.requires_grad}

    def forward(self, rows, temperature, frozen=False):
        """log-probs, entropies and values of every completion token, row after row."""
        result = [[], [], []]
        for row in rows:
            prompt, completion = row["prompt"], row["completion"]
            out = (self.frozen if frozen else self.model)(input_ids=torch.tensor([prompt + completion]), output_hidden_states=True)
            at = slice(len(prompt) - 1, len(prompt) + len(completion) - 1)
            logps = torch.log_softmax(out.logits[0, at] / temperature, -1)
            result[0].append(logps.gather(1, torch.tensor(completion)[:, None])[:, 0])
            result[1].append(-(logps.exp() * logps).sum(-1))
            result[2].append(self.v_head(out.hidden_states[-1][0, at])[:, 0])
        return [torch.cat(part) for part in result]


def whiten(x, keep_mean=False):
    white = (x - x.mean()) / torch.sqrt(x.var() + 1e-8)
    return white + x.mean() if keep_mean else white


def gae(rewards, values, counts, gamma, lam):
    advantages, start = torch.zeros_like(rewards), 0
    for count in counts:
        last = next_value = 0.0
        for t in reversed(range(start, start + count)):
            last = rewards[t] + gamma * next_value - values[t] + gamma * lam * last
            advantages[t], next_value = last, values[t]
        start += count
    return advantages, advantages + values


def policy_loss(logps, old, advantages, clip):
    ratio = torch.exp(logps - old)
    free, clipped = -advantages * ratio, -advantages * torch.clamp(ratio, 1 - clip, 1 + clip)
    return torch.max(free, clipped).mean(), ratio, (clipped > free).float().mean()


def value_loss(values, old, returns, clip):
    bounded = torch.clamp(values, old - clip, old + clip)
    free, clipped = (values - returns) ** 2, (bounded - returns) ** 2
    return 0.5 * torch.max(free, clipped).mean(), (clipped > free).float().mean()


def group_advantages(method, rewards, size):
    """As TRL 1.16's RLOOTrainer and GRPOTrainer (scale_rewards "group") have them."""
    grouped = rewards.view(-1, size)
    if method == "rloo":
        return (grouped - (grouped.sum(1, keepdim=True) - grouped) / (size - 1)).view(-1)
    return ((grouped - grouped.mean(1, keepdim=True)) / (grouped.std(1, keepdim=True) + 1e-4)).view(-1)


def group_loss(method, logps, old, reference, advantages, counts, o, tokens, rows):
    """The share of a micro-batch in the loss of a step of so many tokens and rows; what is reported of it."""
    if method == "rloo":
        per_row = lambda x: torch.stack([part.sum() for part in x.split(counts)])
        ratio, weight = torch.exp(per_row(logps - old)), torch.stack([part[0] for part in advantages.split(counts)])
    else:
        ratio, weight = torch.exp(logps - old), advantages
    free, clipped = -weight * ratio, -weight * torch.clamp(ratio, 1 - o["cliprange"], 1 + o["cliprange"])
    kl = torch.exp(reference - logps) - (reference - logps) - 1
    if method == "grpo" and o.get("use_bias_correction_kl", True):
        kl = kl * ratio
    loss = torch.max(free, clipped).sum() / (rows if method == "rloo" else tokens) + (o["kl_coef"] * kl.sum() / tokens if method == "grpo" else 0)
    return loss, torch.max(free, clipped).mean(), ratio, (clipped > free).float().mean(), kl.mean()


def train(method, policy, drawn, o):
    """The loops of docs/losses.md over the completions of every rollout."""
    trained = policy.trained()
    decays = lambda key: not any(word in key.lower() for word in ("bias", "layernorm", "rmsnorm")) and not any(
        part == "norm" or part.endswith("_norm") or part.startswith("ln_") for part in key.split("."))
    optimizer = torch.optim.AdamW(
        [{"params": [p for key, p in trained.items() if decays(key)], "weight_decay": o["weight_decay"]},
         {"params": [p for key, p in trained.items() if not decays(key)], "weight_decay": 0.0}], lr=o["learning_rate"])
    beta, steps = o["kl_coef"], []
    epochs, parts, micro = o["num_ppo_epochs"], o["num_mini_batches"], o["per_device_train_batch_size"]
    for index, answers in enumerate(drawn):
        counts = [len(a["completion"]) for a in answers]
        scores = torch.tensor([score(a["completion"]) - (0 if a["stopped"] else o["missing_eos_penalty"] or 0) for a in answers])
        with torch.no_grad():
            old, _, values = policy(answers, o["temperature"])
            reference = policy(answers, o["temperature"], frozen=True)[0]
        k = old - reference
        per_row = lambda x: torch.stack([part.sum() for part in x.split(counts)])
        raw_penalty = k if o.get("kl_estimator", "k1") == "k1" else torch.expm1(-k) + k
        penalty = -beta * raw_penalty
        shared = {
            "objective/kl": per_row(k).mean(), "objective/entropy": per_row(-old).mean(), "objective/non_score_reward": per_row(penalty).mean(),
            "objective/scores": scores.mean(), "objective/rlhf_reward": per_row(penalty).mean() + scores.mean(), "objective/kl_coef": beta,
            "val/num_eos_tokens": sum(a["stopped"] for a in answers), "episode": (index + 1) * len(answers)}
        if method == "ppo":
            rewards, ends = penalty.clone(), torch.tensor(counts).cumsum(0) - 1
            rewards[ends] += scores
            if o["whiten_rewards"]:
                rewards = whiten(rewards, keep_mean=True)
            raw, returns = gae(rewards, values, counts, o["gamma"], o["lam"])
            advantages = whiten(raw)
            shared["val/explained_variance"] = 1 - (returns - values).var() / returns.var()
        else:
            whole = group_advantages(method, scores + per_row(penalty) if method == "rloo" else scores, o["num_generations"])
            advantages, returns = torch.repeat_interleave(whole, torch.tensor(counts)), values
        if o.get("kl_target"):
            error = min(max(float(per_row(k).mean()) / o["kl_target"] - 1, -0.2), 0.2)
            beta = beta * (1 + error * len(answers) / o["kl_horizon"])
        columns = [list(x.split(counts)) for x in (old, values, advantages, returns, reference)]
        for _ in range(epochs):
            for part in range(parts):
                chosen = list(range(len(answers) * part // parts, len(answers) * (part + 1) // parts))
                batches = [chosen[i:i + micro] for i in range(0, len(chosen), micro)]
                total, means = 0.0, {}
                for batch in batches:
                    old_b, values_b, advantages_b, returns_b, reference_b = (torch.cat([column[i] for i in batch]) for column in columns)
                    logps, entropy, now = policy([answers[i] for i in batch], o["temperature"])
                    noted = {"policy/approxkl_avg": 0.5 * ((logps - old_b) ** 2).mean(), "policy/entropy_avg": entropy.mean()}
                    if method == "ppo":
                        p_loss, ratio, p_clip = policy_loss(logps, old_b, advantages_b, o["cliprange"])
                        v_loss, v_clip = value_loss(now, values_b, returns_b, o["cliprange_value"])
                        loss = (p_loss + o["vf_coef"] * v_loss) / len(batches)
                        noted |= {"loss/value_avg": v_loss, "val/clipfrac_avg": v_clip}
                    else:
                        loss, p_loss, ratio, p_clip, kl = group_loss(
                            method, logps, old_b, reference_b, advantages_b, [counts[i] for i in batch], o, sum(counts[i] for i in chosen),
                            len(batch) * len(batches))
                        if method == "grpo":
                            noted["kl"] = kl
                    noted |= {"policy/clipfrac_avg": p_clip, "loss/policy_avg": p_loss, "val/ratio": ratio.mean()}
                    loss.backward()
                    total += loss.item()
                    for name, value in noted.items():
                        means[name] = means.get(name, 0.0) + value.item() / len(batches)
                used = [p for p in trained.values() if p.grad is not None]
                norm = torch.nn.utils.clip_grad_norm_(used, o["max_grad_norm"])
                optimizer.step()
                optimizer.zero_grad()
                steps.append({name: number(value) for name, value in {"loss": total, "grad_norm": norm, **means, **shared}.items()})
    return steps


def run(name):
    method, model, options, adapter = RUNS[name]
    settings = {**BASE, **options}
    drawn, ours = record(method, model, settings, adapter)
    whole = {field: getattr(libdpo.PPOConfig(), field) for field in libdpo.PPOConfig.__dataclass_fields__} | settings
    policy = Policy(model, adapter, method == "ppo")
    start = {key: p.detach().clone() for key, p in policy.trained().items()}
    steps = train(method, policy, drawn, whole)
    for index, (found, want) in enumerate(zip(ours, steps)):
        worst = max((abs(found[key] - want[key]) / max(1, abs(want[key])), key) for key in want)
        print(name, index + 1, "worst", worst, flush=True)
    tensors = {key.replace(".default.", "."): {"norm": number(p.detach().norm()), "change": number((p.detach() - start[key]).norm()),
                                               "first": numbers(p.detach().flatten()[:4])} for key, p in policy.trained().items()}
    return {"method": method, "model": f"models/{model}", "adapter": f"adapters/{adapter}" if adapter else None, "options": settings,
            "rollouts": drawn, "steps": steps, "tensors": tensors}


def losses():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3)
    counts = [5, 1, 7]
    n = sum(counts)
    draw = lambda scale: (scale * torch.randn(n)).to(torch.float32).to(torch.float64)   # numbers that a float32 holds
    old, values, rewards = -draw(1).abs(), draw(1), draw(1)
    logps, now = (old + draw(0.3)).requires_grad_(), (values + draw(0.3)).requires_grad_()
    logps, now = (x.detach().to(torch.float32).to(torch.float64).requires_grad_() for x in (logps, now))
    advantages, returns = gae(rewards, values, counts, 0.9, 0.8)
    white = whiten(advantages)
    fixed = [x.to(torch.float32).to(torch.float64) for x in (white, returns)]
    p_loss, ratio, p_clip = policy_loss(logps, old, fixed[0], 0.2)
    v_loss, v_clip = value_loss(now, values, fixed[1], 0.2)
    (p_loss + 0.1 * v_loss).backward()
    write_json(GOLDEN / "ppo" / "losses.json", {
        "counts": counts, "gamma": 0.9, "lam": 0.8, "rewards": rewards.tolist(), "values": values.tolist(), "advantages": advantages.tolist(),
        "returns": returns.tolist(), "whitened": white.tolist(), "whitened_rewards": whiten(rewards, keep_mean=True).tolist(),
        "old_logprobs": old.tolist(), "logprobs": logps.tolist(), "new_values": now.tolist(), "policy_loss": p_loss.item(),
        "value_loss": v_loss.item(), "approxkl": 0.5 * ((logps - old) ** 2).mean().item(), "clipfrac": p_clip.item(),
        "value_clipfrac": v_clip.item(), "ratio": ratio.mean().item(), "logprob_gradients": logps.grad.tolist(),
        "value_gradients": now.grad.tolist()})
    torch.set_default_dtype(torch.float32)


def main():
    wanted = sys.argv[1:]
    if not wanted or "losses" in wanted:
        losses()
    for name in RUNS:
        if not wanted or name in wanted:
            write_json(GOLDEN / "ppo" / f"{name}.json", run(name))


if __name__ == "__main__":
    main()
