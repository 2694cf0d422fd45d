"""Makes right.json: what the reports in reports.py should give, computed with transformers, PEFT and NumPy.

Usage: python Tests/reports/make_right.py      with the packages of Tests/peers/requirements.txt
"""

import json
import pathlib
import tempfile

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import reports


def common_prefix(a: "list[int]", b: "list[int]") -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def row_ids(tokenizer, row: dict) -> dict:
    """As TRL's DPOTrainer tokenises a row with a prompt."""
    def render(messages, generate):
        tools = row.get("tools")
        return tokenizer.apply_chat_template(
            messages, tools=tools, add_generation_prompt=generate, tokenize=True, return_dict=False, **row.get("chat_template_kwargs", {}))

    if isinstance(row["prompt"], list):
        prompt = render(row["prompt"], True)
        joined = [render(row["prompt"] + row[side], False) for side in ("chosen", "rejected")]
    else:
        prompt = tokenizer(row["prompt"])["input_ids"]
        joined = [tokenizer(row["prompt"] + row[side] + tokenizer.eos_token)["input_ids"] for side in ("chosen", "rejected")]
    boundary = min(common_prefix(prompt, ids) for ids in joined)
    return {"prompt_ids": list(prompt[:boundary]), "chosen_ids": list(joined[0][boundary:]), "rejected_ids": list(joined[1][boundary:])}


def tokens(report: reports.Tokens) -> "list[dict]":
    with tempfile.TemporaryDirectory() as directory:
        reports.build(report, pathlib.Path(directory), around=False)
        tokenizer = AutoTokenizer.from_pretrained(pathlib.Path(directory) / "model")
    if report.right_eos:
        tokenizer.eos_token = report.right_eos
    return [row_ids(tokenizer, row) for row in report.right_rows or report.rows]


def log_probs(model, tokenizer, rows: "list[dict]") -> "list[list[float]]":
    """Sums over the completion, chosen and rejected."""
    result = []
    for row in rows:
        ids = row_ids(tokenizer, row)
        sums = []
        for side in ("chosen", "rejected"):
            sequence = torch.tensor([ids["prompt_ids"] + ids[f"{side}_ids"]])
            with torch.no_grad():
                logits = model(sequence).logits[0].double().log_softmax(-1)
            start = len(ids["prompt_ids"])
            sums.append(sum(logits[i - 1, sequence[0, i]].item() for i in range(start, sequence.shape[1])))
        result.append(sums)
    return result


def load(name: str, **changes):
    path = reports.FIXTURES / "models" / name
    model = AutoModelForCausalLM.from_pretrained(path, torch_dtype=torch.float32, **changes).eval()
    return model, AutoTokenizer.from_pretrained(path)


def rope() -> dict:
    """llama-untied as it is, and with linear scaling of its rotary positions by 4."""
    model, tokenizer = load("llama-untied")
    plain = log_probs(model, tokenizer, [reports.PAIR])
    theta = model.config.rope_parameters["rope_theta"]
    model, tokenizer = load("llama-untied", rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": theta})
    return {"none": plain[0], "linear": log_probs(model, tokenizer, [reports.PAIR])[0]}


def adapter() -> "list[float]":
    """llama-untied with the fixture adapter llama-untied-random, whose B a GGUF file holds times √r: it is rank-stabilised."""
    import peft

    model, tokenizer = load("llama-untied")
    path = reports.FIXTURES / "adapters" / "llama-untied-random"
    config = peft.LoraConfig.from_pretrained(path)
    config.lora_alpha, config.use_rslora = config.r * config.r**0.5, False
    model = peft.PeftModel.from_pretrained(model, path, config=config).eval()
    return log_probs(model, tokenizer, [reports.PAIR])[0]


def evaluation() -> dict:
    """Means over rows, β = 0.1."""
    policy, tokenizer = load(reports.EVALUATION["policy"])
    reference, _ = load(reports.EVALUATION["reference"])
    rows = reports.EVALUATION["rows"]
    ours, theirs = log_probs(policy, tokenizer, rows), log_probs(reference, tokenizer, rows)
    rewards = [[0.1 * (p - r) for p, r in zip(a, b)] for a, b in zip(ours, theirs)]
    mean = lambda values: sum(values) / len(values)  # noqa: E731
    return {
        "rewards/chosen": mean([c for c, _ in rewards]), "rewards/rejected": mean([r for _, r in rewards]),
        "rewards/accuracies": mean([c > r for c, r in rewards]), "rewards/margins": mean([c - r for c, r in rewards]),
        "logps/chosen": mean([c for c, _ in ours]), "logps/rejected": mean([r for _, r in ours]),
        "loss": mean([float(-torch.nn.functional.logsigmoid(torch.tensor(c - r, dtype=torch.float64))) for c, r in rewards]),
    }


def suppressed() -> dict:
    """Greedy tokens without those that greedy decoding gave in the rounds before."""
    given = reports.SUPPRESSED
    model, tokenizer = load(given["model"])
    prompt = tokenizer(given["prompt"], return_tensors="pt")
    model.generation_config.eos_token_id = None
    drawn: list[int] = []
    for _ in range(given["rounds"]):
        out = model.generate(**prompt, do_sample=False, max_new_tokens=given["new_tokens"], suppress_tokens=drawn or None)
        tokens = out[0, prompt["input_ids"].shape[1]:].tolist()
        drawn += sorted(set(tokens) - set(drawn))
    out = model.generate(**prompt, do_sample=False, max_new_tokens=given["new_tokens"], suppress_tokens=drawn)
    return {"suppress_tokens": drawn, "tokens": out[0, prompt["input_ids"].shape[1]:].tolist()}


if __name__ == "__main__":
    right = {
        "tokens": {report.name: tokens(report) for report in reports.REPORTS}, "rope": rope(), "adapter": adapter(),
        "evaluation": evaluation(), "suppressed": suppressed(),
    }
    path = pathlib.Path(__file__).with_name("right.json")
    path.write_text(json.dumps(right, indent=1) + "\n")
    print(f"wrote {path}")
