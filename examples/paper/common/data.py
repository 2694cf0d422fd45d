"""The texts, as examples/data fetches them. Nothing here prints one."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

from .store import CACHE, ROOT

DATA = CACHE / "data"

#: file: the script that makes it
FILES = {
    "sentiment": "fetch.py",
    "sentiment_prompts": "fetch.py",
    "summaries": "fetch_paper.py",
    "descriptions": "fetch_paper.py",
    "chat": "fetch_paper.py",
}


def fetch(script: str, *folders: Path) -> None:
    """Runs a script of examples/data."""
    subprocess.run([sys.executable, ROOT / "examples" / "data" / script, *folders], check=True, stdout=sys.stderr)


def rows(name: str, split: "str | None" = None) -> "list[dict]":
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        fetch(FILES[name], CACHE, DATA)
    with open(path, encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return found if split is None else [row for row in found if row["split"] == split]


def some(items: list, count: int, seed: int) -> list:
    """`count` of them, the same for the same seed."""
    items = list(items)
    random.Random(seed).shuffle(items)
    return items[:count]


def talk(messages: "list[dict]") -> str:
    """A dialogue as plain text that ends where the answer begins: a model this small needs no template's tokens."""
    names = {"user": "A", "assistant": "B"}
    return "\n".join(f"{names[message['role']]}: {message['content']}" for message in messages) + "\nB:"


def summary_tasks(name: str, split: str, words: int) -> "list[dict]":
    """{"prompt", "completion"} of descriptions that are not longer than so many words."""
    return [row for row in rows(name, split) if len(row["prompt"].split()) <= words]


def chat_tasks(split: str, words: int) -> "list[dict]":
    """{"prompt", "chosen", "rejected"} as text."""
    found = []
    for row in rows("chat", split):
        prompt = talk(row["prompt"])
        if len(prompt.split()) <= words:
            found.append({"prompt": prompt, **{side: " " + row[side][0]["content"] for side in ("chosen", "rejected")}})
    return found


def corpus(words: int) -> "list[str]":
    """What the base model learns English from: the training splits of all three tasks, each in its task's form."""
    texts = [row["text"] for row in rows("sentiment", "train")]
    texts += [row["prompt"] + row["completion"] for row in summary_tasks("summaries", "train", words)]
    texts += [row["prompt"] + row["chosen"] for row in chat_tasks("train", words)]
    return texts
