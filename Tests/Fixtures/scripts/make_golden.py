"""Makes golden values of the tiny models with transformers in fp32 with eager attention, and PEFT adapters:

golden/models/NAME.json      texts → ids, per-token log-probs, entropies, mean logits; pairs → sums; greedy continuations; the same
                             pairs under a random adapter; a DPO loss with given reference sums, its gradient norms
golden/gradients/NAME.safetensors   gradient of that loss for every parameter (HF names and layout) and, under `adapter.`,
                             for every LoRA tensor (PEFT names) when the base is frozen
adapters/NAME-random         a PEFT adapter with random A and B

    python Tests/Fixtures/scripts/make_golden.py          torch, transformers, peft, safetensors
"""
import json
import shutil
import sys

from common import DATA, FIXTURES, GOLDEN, MODELS, NAMES, number, numbers, place, rows, write_json

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = ["The harbour was quiet in the early morning.", "I've seen it 1234 times; déjà vu!  今天\n\n  ok", "a",
         "for i in range(10):\n    total = total + values[i]\n", "We'll wait for the captain, the farmer and the doctor; "
         "they'll bring letters and apples, and the old fisherman won't count his boats again before the storm."]
BETA = 0.1
# r, alpha, targets and further options of the random adapters
ADAPTERS = {
    "llama-tied": dict(r=4, lora_alpha=8, target_modules="all-linear"),
    "llama-untied": dict(r=2, lora_alpha=6, target_modules=["q_proj", "v_proj"], use_rslora=True),
    "mistral": dict(r=4, lora_alpha=4, target_modules=["k_proj", "o_proj", "down_proj"]),
    "qwen2": dict(r=3, lora_alpha=6, target_modules=r"model\.layers\.\d+\.(self_attn\.(q|k)_proj|mlp\.up_proj)"),
    "qwen3": dict(r=4, lora_alpha=8, target_modules="all-linear", rank_pattern={"q_proj": 2, r"layers\.1\.mlp\.down_proj": 6},
                  alpha_pattern={"k_proj": 2}),
    "llama-biased": dict(r=4, lora_alpha=8, target_modules=["v_proj", "o_proj", "up_proj"]),
    "gpt2": dict(r=4, lora_alpha=8, target_modules=["c_attn", "c_fc", "mlp.c_proj"]),
}


def load(name):
    return AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32, attn_implementation="eager").eval()


def tokenized(tokenizer, row):
    """TRL's rule: joint tokenisation, the completion starts where prompt and prompt + completion part."""
    prompt = tokenizer(row["prompt"])["input_ids"]
    whole = [tokenizer(row["prompt"] + row[key] + tokenizer.eos_token)["input_ids"] for key in ("chosen", "rejected")]
    shared = len(prompt)
    while any(ids[:shared] != prompt[:shared] for ids in whole):
        shared -= 1
    return prompt[:shared], whole[0][shared:], whole[1][shared:]


def token_scores(model, prompt, completion):
    """Log-probs, entropies and mean logits at the completion's tokens (its first one is not predicted without a prompt)."""
    ids = torch.tensor([prompt + completion])
    logits = model(ids).logits[0, :-1][max(len(prompt) - 1, 0):]
    scores = logits.log_softmax(-1)
    target = ids[0, 1:][max(len(prompt) - 1, 0):]
    return scores.gather(-1, target[:, None])[:, 0], -(scores.exp() * scores).sum(-1), logits.mean(-1)


def pair_sums(model, pairs):
    return [torch.stack([token_scores(model, prompt, ids)[0].sum() for ids in (chosen, rejected)])
            for prompt, chosen, rejected in pairs]


def reference(index):
    """Made-up shifts of the log-prob sums, so that the logistic is not at its centre."""
    return (1.5 - 0.75 * index, -2.0 + 0.5 * index)


def loss_of(model, pairs, references):
    losses = []
    for (chosen, rejected), (r_chosen, r_rejected) in zip(pair_sums(model, pairs), references):
        losses.append(-F.logsigmoid(BETA * ((chosen - r_chosen) - (rejected - r_rejected))))
    return torch.stack(losses).mean()


def greedy(model, ids, count=32):
    tokens, scores, gap = list(ids), [], []
    for _ in range(count):
        logits = model(torch.tensor([tokens])).logits[0, -1].log_softmax(-1)
        top = logits.topk(2)
        tokens.append(int(top.indices[0]))
        scores.append(number(top.values[0]))
        gap.append(float(top.values[0] - top.values[1]))
    return {"prompt_ids": list(ids), "token_ids": tokens[len(ids):], "logps": scores, "smallest_gap": min(gap)}


def pair_record(model, pairs):
    record = []
    for prompt, *sides in pairs:
        scores = [token_scores(model, prompt, side) for side in sides]
        record.append({
            "prompt_ids": prompt, "chosen_ids": sides[0], "rejected_ids": sides[1],
            "chosen": number(scores[0][0].sum()), "rejected": number(scores[1][0].sum()),
            "chosen_logps": numbers(scores[0][0]), "rejected_logps": numbers(scores[1][0])})
    return record


def make(name):
    tokenizer, model = AutoTokenizer.from_pretrained(MODELS / name), load(name)
    record = {"model": f"models/{name}", "attention": "eager", "dtype": "float32"}
    with torch.no_grad():
        record["texts"] = []
        for text in TEXTS:
            ids = tokenizer(text)["input_ids"]
            scores, entropy, mean = token_scores(model, [], ids)
            record["texts"].append({"text": text, "ids": ids, "logps": numbers(scores), "sum": number(scores.sum()),
                                    "entropies": numbers(entropy), "mean_logits": numbers(mean)})
        record["greedy"] = [greedy(model, tokenizer(text)["input_ids"]) for text in TEXTS[:3]]
        pairs = [tokenized(tokenizer, row) for row in rows(DATA / "pairs.jsonl")]
        record["pairs"] = pair_record(model, pairs)

    chosen_rows = list(range(2, 6))     # the long row, and one of many scripts
    some = [pairs[index] for index in chosen_rows]
    with torch.no_grad():
        sums = pair_sums(model, some)
        references = [[number(s + d) for s, d in zip(row, reference(i))] for i, row in enumerate(sums)]
    loss = loss_of(model, some, references)
    loss.backward()
    loss = loss.detach()
    gradients = {key: parameter.grad.clone() for key, parameter in model.named_parameters()}
    record["step"] = {"rows": chosen_rows, "beta": BETA, "reference": references, "loss": number(loss),
                      "grad_norm": number(torch.sqrt(sum(g.square().sum() for g in gradients.values()))),
                      "grad_norms": {key: number(g.norm()) for key, g in gradients.items()}}

    torch.manual_seed(NAMES.index(name))
    adapted = get_peft_model(load(name), LoraConfig(task_type="CAUSAL_LM", **ADAPTERS[name])).eval()
    for key, parameter in adapted.named_parameters():
        if "lora_" in key:
            parameter.data.normal_(0, 0.3)
    directory = FIXTURES / "adapters" / f"{name}-random"
    save_adapter(adapted, directory, name)
    with torch.no_grad():
        record["adapter"] = {"path": f"adapters/{name}-random", "pairs": pair_record(adapted, pairs)}
        sums = pair_sums(adapted, some)
        references = [[number(s + d) for s, d in zip(row, reference(i))] for i, row in enumerate(sums)]
    loss = loss_of(adapted, some, references)
    loss.backward()
    loss = loss.detach()
    for key, parameter in adapted.named_parameters():
        if "lora_" in key:
            gradients["adapter." + key.replace(".default.", ".")] = parameter.grad.clone()
    norm = torch.sqrt(sum(g.square().sum() for key, g in gradients.items() if key.startswith("adapter.")))
    record["adapter"]["step"] = {"rows": chosen_rows, "beta": BETA, "reference": references, "loss": number(loss), "grad_norm": number(norm)}
    (GOLDEN / "gradients").mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in gradients.items()}, GOLDEN / "gradients" / f"{name}.safetensors")
    (GOLDEN / "gradients" / f"{name}.safetensors").chmod(0o644)
    write_json(GOLDEN / "models" / f"{name}.json", record)
    print(name, "loss", record["step"]["loss"], "grad", record["step"]["grad_norm"], "adapter grad", number(norm),
          "gaps", [round(entry["smallest_gap"], 4) for entry in record["greedy"]])


def save_adapter(model, directory, name):
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "README.md").unlink(missing_ok=True)
    path = directory / "adapter_config.json"
    settings = json.loads(path.read_text())
    settings["base_model_name_or_path"] = f"Tests/Fixtures/{place(name)}"
    if isinstance(settings["target_modules"], list):
        settings["target_modules"].sort()
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    for file in directory.glob("*.safetensors"):
        file.chmod(0o644)


if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        make(name)
