"""Paths and helpers of the Python tests. They run on what `make build` staged, or on what stands in the folder DPO_BUILD."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DPO_BUILD", ROOT / "build"))
FIXTURES = ROOT / "Tests" / "Fixtures"
MODEL = FIXTURES / "models" / "llama-tied"
PAIRS = FIXTURES / "data" / "pairs.jsonl"
#: The 135M-parameter model (`make model`).
SMOLLM2 = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


def golden(name: str) -> dict:
    return json.loads((FIXTURES / "golden" / name).read_text())


def rows(path: pathlib.Path) -> "list[dict]":
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def write_rows(path: pathlib.Path, *content: dict) -> pathlib.Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


def run(*command: object, **options: object) -> "subprocess.CompletedProcess[str]":
    options["env"] = {**os.environ, **options.get("env", {})}  # type: ignore[dict-item]
    options.setdefault("cwd", ROOT)
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)


def dpo(*arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
    return run(BUILD / "bin" / "dpo", *arguments, **options)


def corpus_files(folder: pathlib.Path) -> None:
    """The files that examples/data/corpus.py makes, from the fixtures, and the judge beside them."""
    folder.mkdir()
    summaries = [
        {"prompt": row["text"].strip() + "\n\nTL;DR:", "completion": " " + row["text"].split(".")[0], "split": split}
        for row, split in zip(rows(FIXTURES / "data" / "documents.jsonl"), ["train", "train", "valid", "test"] * 10)
    ]
    (folder / "summaries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in summaries))
    done = run("python3", ROOT / "examples" / "data" / "corpus.py", folder)
    assert done.returncode == 0, done.stderr
    for name, count in (("corpus", 20), ("heldout", 10), ("demonstrations", 20), ("prompts", 10), ("test_prompts", 10)):
        assert len(rows(folder / f"{name}.jsonl")) == count, name
    shutil.copy(ROOT / "examples" / "data" / "judge.py", folder)


class Case(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="dpo-test-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def assertNear(self, found: float, expected: float, relative: float, what: str = "") -> None:
        self.assertLessEqual(abs(found - expected), relative * max(1.0, abs(expected)), f"{what}: {found} for {expected}")
