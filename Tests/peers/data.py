"""Thousands of random rows of every form beside TRL's own preparation of them: the same ids, boundaries, order, rows left out."""
import copy
import random
from functools import partial
from types import SimpleNamespace

from datasets import Dataset
from support import AutoTokenizer, WORDS, dpo, random_model, scratch, write_rows
from trl import DPOTrainer
from trl.trainer.utils import remove_none_values

LETTERS = "aäß ñ\u0301 今天👍🏽\u200b\n\t .,!?'\"0123 <|end|> \u00a0 ﷽ क्षि"


def text(source, low=1, high=12):
    """Words, or letters and marks as they may meet; never empty."""
    if source.random() < 0.7:
        return " ".join(source.choice(WORDS) for _ in range(source.randint(low, high)))
    return "x" + "".join(source.choice(LETTERS) for _ in range(source.randint(low, 2 * high)))


def message(source, role, keys):
    found = {"role": role, "content": text(source)}
    if keys and source.random() < 0.5:
        found["name"] = text(source, 1, 2)
    return found


def turns(source, keys):
    """A conversation that a user's turn ends."""
    start = [message(source, "system", keys)] if source.random() < 0.3 else []
    for _ in range(source.randint(0, 2)):
        start += [message(source, "user", keys), message(source, "assistant", keys)]
    return start + [message(source, "user", keys)]


def row(source, form):
    if form == "text":
        return {"prompt": text(source, 1, 40), "chosen": " " + text(source), "rejected": " " + text(source)}
    if form == "implicit text":
        prompt = text(source, 1, 40)
        return {"chosen": f"{prompt} {text(source)}", "rejected": f"{prompt} {text(source)}"}
    keys = form == "null keys"
    prompt = turns(source, keys)
    chosen, rejected = ([message(source, "assistant", keys)] for _ in range(2))
    if form == "implicit chat":
        return {"chosen": prompt + chosen, "rejected": prompt + rejected}
    found = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    if keys:
        found["other"] = source.choice([None, 1.5])
    return found


FORMS = ("text", "implicit text", "chat", "implicit chat", "null keys")


def as_arrow(value, keys=("role", "content", "name")):
    """Rows as a table of Arrow gives them back: a key that any message has stands in each."""
    if isinstance(value, list):
        return [as_arrow(item) for item in value]
    if isinstance(value, dict) and "role" in value:
        return {key: value.get(key) for key in keys}
    return {key: as_arrow(item) for key, item in value.items()} if isinstance(value, dict) else value


def prepared(model, rows, max_length):
    tokenizer = AutoTokenizer.from_pretrained(model)
    args = SimpleNamespace(max_length=max_length, truncation_mode="keep_start", dataset_num_proc=None)
    data = Dataset.from_list(copy.deepcopy(rows)).with_transform(lambda batch: remove_none_values(batch))
    return list(DPOTrainer._prepare_dataset(SimpleNamespace(_tokenizer=tokenizer), data, tokenizer, args, "train"))


def random_rows(name, form, seed, count=400):
    model, source = random_model(name, seed), random.Random(f"{seed} {name} {form}")
    drawn = [row(source, form) for _ in range(count)]
    data = write_rows(scratch() / "rows.jsonl", as_arrow(drawn) if form == "null keys" else drawn)
    theirs = prepared(model, drawn, None)
    ours = dpo("tokenize", model, data=data, json=True)["rows"]
    keys = ("prompt_ids", "chosen_ids", "rejected_ids")
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        for key in keys:
            assert a[key] == list(b[key]), f"row {index + 1} {key}: {a[key]}, expected {b[key]}: {drawn[index]}"
    limit = sorted(len(one["prompt_ids"]) for one in theirs)[count // 2]
    kept = dpo("inspect", data, model=model, max_length=limit, json=True)["rows"]
    expected = len(prepared(model, drawn, limit))
    assert kept == expected, f"max_length {limit}: {kept} rows, expected {expected}"
    return f"{count} rows, {count - kept} of them left out at max_length {limit}"


def checks(seed):
    for name in ("gpt2", "llama-tied", "llama-untied", "qwen2", "qwen3"):
        for form in FORMS:
            if name == "gpt2" and "text" not in form:
                continue
            yield f"rows {form} {name}", partial(random_rows, name, form, seed)
