"""Paths and helpers of the Python tests. They run on what `make build` staged."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
FIXTURES = ROOT / "Tests" / "Fixtures"
MODEL = FIXTURES / "models" / "llama-tied"
PAIRS = FIXTURES / "data" / "pairs.jsonl"
#: The 135M-parameter model (`make model`).
SMOLLM2 = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


def golden(name: str) -> dict:
    return json.loads((FIXTURES / "golden" / name).read_text())


def rows(path: pathlib.Path) -> "list[dict]":
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def run(*command: object, **options: object) -> "subprocess.CompletedProcess[str]":
    options["env"] = {**os.environ, **options.get("env", {})}  # type: ignore[dict-item]
    options.setdefault("cwd", ROOT)
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)


def dpo(*arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
    return run(BUILD / "bin" / "dpo", *arguments, **options)


class Case(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="dpo-test-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def assertNear(self, found: float, expected: float, relative: float, what: str = "") -> None:
        self.assertLessEqual(abs(found - expected), relative * max(1.0, abs(expected)), f"{what}: {found} for {expected}")
