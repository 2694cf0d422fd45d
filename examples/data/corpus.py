#!/usr/bin/env python3
"""The files of docs/pipeline.md, from the package descriptions that fetch_paper.py wrote. Standard library only.

    python3 examples/data/corpus.py DATA

reads DATA/summaries.jsonl ({"prompt": a description and "TL;DR:", "completion": its synopsis, "split"}) and writes

    DATA/corpus.jsonl          {"text": synopsis and description} of the training split, for tokenizer and pretraining
    DATA/heldout.jsonl         the same of the validation split
    DATA/demonstrations.jsonl  {"prompt", "completion"} of the training split, for supervised fine-tuning
    DATA/prompts.jsonl         {"prompt"} of the validation split, for preferences
    DATA/test_prompts.jsonl    {"prompt"} of the test split, for evaluation

Prompts are of up to 600 characters: with an answer they fit 320 tokens of a tokenizer of 4,096.
"""
import json
import sys
from pathlib import Path


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{path.name}: {len(rows)} rows")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    data = Path(sys.argv[1])
    rows = [json.loads(line) for line in (data / "summaries.jsonl").read_text(encoding="utf-8").splitlines()]
    split = lambda name: [row for row in rows if row["split"] == name]
    text = lambda row: {"text": row["completion"].strip() + "\n\n" + row["prompt"].removesuffix("\n\nTL;DR:")}
    write(data / "corpus.jsonl", [text(row) for row in split("train")])
    write(data / "heldout.jsonl", [text(row) for row in split("valid")])
    write(data / "demonstrations.jsonl", [{key: row[key] for key in ("prompt", "completion")} for row in split("train")])
    for name, part in (("prompts", "valid"), ("test_prompts", "test")):
        write(data / f"{name}.jsonl", [{"prompt": row["prompt"]} for row in split(part) if len(row["prompt"]) <= 600])


if __name__ == "__main__":
    main()
