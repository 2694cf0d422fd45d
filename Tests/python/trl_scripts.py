"""The scripts of docs/from-trl.md, for the tests here and in Tests/peers."""

import json
import pathlib
import re
import shutil

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "Tests" / "Fixtures" / "data"


def scripts() -> "dict[str, tuple[str, str]]":
    """The scripts of docs/from-trl.md by heading: for TRL, and for libdpo."""
    text = (ROOT / "docs" / "from-trl.md").read_text()
    found = {}
    for name, block in re.findall(r"^### (.*?)\n+```diff\n(.*?)```", text, re.MULTILINE | re.DOTALL):
        lines = block.splitlines()
        sides = ["".join(line[1:] + "\n" for line in lines if line[:1] in ("", " ", sign)) for sign in "-+"]
        found[name] = (sides[0], sides[1])
    return found


def write_rows(folder: pathlib.Path) -> None:
    """The rows that those scripts read."""
    for name in ("pairs", "completions", "unpaired"):
        shutil.copy(DATA / f"{name}.jsonl", folder)
    pairs = [json.loads(line) for line in (DATA / "pairs.jsonl").read_text().splitlines()]
    prompts = [{"prompt": row["prompt"], "answer": row["chosen"].split()[0]} for row in pairs]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
