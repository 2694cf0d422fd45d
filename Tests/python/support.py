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
#: The 135M-parameter model, where it has been downloaded (`make model`).
SMOLLM2 = next((ROOT / ".cache").glob("**/*.gguf"), None) if (ROOT / ".cache").is_dir() else None


def golden(name: str) -> dict:
    return json.loads((FIXTURES / "golden" / name).read_text())


def rows(path: pathlib.Path) -> "list[dict]":
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def run(*command: object, **options: object) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **options.pop("env", {})}  # type: ignore[arg-type]
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=ROOT, env=environment, **options
    )


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
