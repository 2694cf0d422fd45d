"""Every fixture model and adapter through every format and back: the same log-probs, special tokens, templates, ends of generation."""

import json
import pathlib
import unittest

from support import FIXTURES, PAIRS, Case, dpo

MODELS = sorted(path for path in (FIXTURES / "models").iterdir() if path.is_dir())
FORMS = {"safetensors": "folder", "gguf": "m.gguf", "hdf5": "m.h5"}
CHAT = FIXTURES / "data" / "chat.jsonl"


class RoundTrip(Case):
    def run_dpo(self, *arguments: object) -> str:
        done = dpo(*arguments)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        return done.stdout

    def rows(self, verb: str, model: pathlib.Path, data: pathlib.Path, *options: object) -> "list[dict]":
        return json.loads(self.run_dpo(verb, model, "--data", data, "--json", *options))["rows"]

    def tokenizer(self, model: pathlib.Path) -> dict:
        return json.loads(self.run_dpo("inspect", model, "--json"))["tokenizer"]

    def check(self, original: pathlib.Path, copy: pathlib.Path, what: str) -> None:
        for one, other in zip(self.rows("logps", original, PAIRS), self.rows("logps", copy, PAIRS), strict=True):
            for side in ("chosen", "rejected"):
                self.assertNear(other[side], one[side], 1e-6, f"{what} {side}")
        expected, found = self.tokenizer(original), self.tokenizer(copy)
        # A GGUF file's ends are its EOS and, as llama.cpp has it, tokens that end something by their text.
        ends, more = ([token["text"] for token in description.pop("ends")] for description in (expected, found))
        self.assertEqual(more[: len(ends)], ends, what)
        self.assertTrue(set(more[len(ends):]) <= {"<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|eot_id|>"}, f"{what}: {more}")
        self.assertEqual(found, expected, what)
        if expected["chat_templates"]:
            self.assertEqual(self.rows("tokenize", copy, CHAT), self.rows("tokenize", original, CHAT), what)


def model_test(model: pathlib.Path, through: str) -> object:
    def test(self: RoundTrip) -> None:
        middle = self.directory / f"middle-{FORMS[through]}"
        self.run_dpo("export", model, "--to", through, "-o", middle)
        self.check(model, middle, through)
        for back, name in FORMS.items():
            self.run_dpo("export", middle, "--to", back, "-o", self.directory / name)
            self.check(model, self.directory / name, f"{through}, {back}")

    return test


def adapter_test(name: str) -> object:
    def test(self: RoundTrip) -> None:
        model, adapter = FIXTURES / "models" / name, FIXTURES / "adapters" / f"{name}-random"
        expected = self.rows("logps", model, PAIRS, "--adapter", adapter)
        forms = {"peft": "folder", "gguf-lora": "a.gguf", "hdf5": "a.h5"}
        for through, first in forms.items():
            middle = self.directory / f"{through}-{first}"
            self.run_dpo("export", model, "--adapter", adapter, "--to", through, "-o", middle)
            for back, last in forms.items():
                end = self.directory / f"{through}-{back}-{last}"
                self.run_dpo("export", model, "--adapter", middle, "--to", back, "-o", end)
                for one, other in zip(expected, self.rows("logps", model, PAIRS, "--adapter", end), strict=True):
                    for side in ("chosen", "rejected"):
                        self.assertNear(other[side], one[side], 1e-5, f"{through}, {back}: {side}")

    return test


for directory in MODELS:
    label = directory.name.replace("-", "_")
    for form in FORMS:
        setattr(RoundTrip, f"test_{label}_through_{form}", model_test(directory, form))
    setattr(RoundTrip, f"test_adapter_of_{label}", adapter_test(directory.name))


if __name__ == "__main__":
    unittest.main()
