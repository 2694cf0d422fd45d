#!/usr/bin/env python3
"""A judge for `dpo label --command`: the answer nearer to what the package's maintainer wrote. Standard library only.

    python3 examples/data/judge.py DATA/summaries.jsonl

reads a line {"prompt", "completions"} at a time and answers {"scores"}: how alike an answer's first line and the synopsis of the
same description are, as the Dice coefficient of their words' pairs of letters, 0 to 1. Models never see the synopses that it looks
up; human judgement comes in there.
"""
import collections
import json
import re
import sys


def letters(text):
    """How often each pair of letters stands in the words of the first line, which begin and end with a space."""
    line = text.strip().partition("\n")[0].lower()
    words = (f" {word} " for word in re.findall(r"\w+", line))
    return collections.Counter(word[at : at + 2] for word in words for at in range(len(word) - 1))


def dice(a, b):
    return 2 * (a & b).total() / max(1, a.total() + b.total())


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    with open(sys.argv[1], encoding="utf-8") as file:
        synopses = {row["prompt"]: letters(row["completion"]) for row in map(json.loads, file)}
    for line in sys.stdin:
        row = json.loads(line)
        synopsis = synopses[row["prompt"]]
        print(json.dumps({"scores": [dice(letters(answer), synopsis) for answer in row["completions"]]}), flush=True)


if __name__ == "__main__":
    main()
