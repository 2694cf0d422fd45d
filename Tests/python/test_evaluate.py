"""`dpo evaluate` with samples and a judge, `dpo export --check`, and the same through Python."""

import json
import math
import pathlib
import shutil
import unittest
import warnings

import libdpo
import numpy
from safetensors.numpy import load_file, save_file

from support import FIXTURES, MODEL, PAIRS, Case, dpo, golden, rows

ADAPTER = FIXTURES / "adapters" / "llama-tied-random"
REWARD = FIXTURES / "adapters" / "llama-tied-lora-reward-chat-final"


def parsed(*arguments: object) -> dict:
    done = dpo(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Evaluate(Case):
    def test_samples_tell_kl_and_win_rate(self) -> None:
        data = golden("classifier.json")
        classifier = self.directory / "classifier.h5"
        libdpo.TextClassifier.train(data["train"], data["labels"]).save(classifier)
        command = (
            "evaluate", MODEL, "--adapter", ADAPTER, "--data", PAIRS, "--samples", 4, "--max-new-tokens", 5,
            "--classifier", classifier,
        )
        found = parsed(*command)
        plain = parsed("evaluate", MODEL, "--adapter", ADAPTER, "--data", PAIRS)
        samples = found.pop("samples")
        self.assertEqual(found, plain)
        margins = [
            row["chosen"] - row["rejected"] for row in parsed("logps", MODEL, "--adapter", ADAPTER, "--data", PAIRS)["rows"]
        ]
        before = [row["chosen"] - row["rejected"] for row in parsed("logps", MODEL, "--data", PAIRS)["rows"]]
        errors = 0.1 * numpy.std(numpy.subtract(margins, before), ddof=1) / math.sqrt(len(margins))
        self.assertNear(found["standard_errors"]["rewards/margins"], errors, 1e-4)
        self.assertEqual((samples["prompts"], samples["samples_per_prompt"]), (len(rows(PAIRS)), 4))
        for key in ("kl", "prediction_kl", "length", "finished", "win_rate", "score", "chosen_score"):
            part = samples[key]
            self.assertTrue(part["low"] <= part["value"] <= part["high"], key)
        self.assertGreater(samples["kl"]["standard_error"], 0)
        self.assertTrue(0 <= samples["win_rate"]["value"] <= 1)
        self.assertLessEqual(samples["length"]["high"], 5)

        told = libdpo.Model(MODEL, ADAPTER).evaluate(
            PAIRS, samples=4, max_new_tokens=5, judge=libdpo.TextClassifier(classifier)
        )
        self.assertEqual(told.pop("samples"), samples)
        self.assertEqual(told, plain)
        text = dpo(*command).stdout
        self.assertRegex(text, r"rewards/margins\t-?[\d.e-]+\t± ")
        self.assertRegex(text, r"(?m)^win rate\t[\d.]+\t± ")
        cold = parsed(*command, "--temperature", 0)
        self.assertIsNone(cold["samples"]["kl"])

    def test_other_judges_and_references(self) -> None:
        found = libdpo.Model(MODEL).evaluate(
            FIXTURES / "data" / "chat.jsonl", samples=1, max_new_tokens=3, judge=libdpo.Model(MODEL, REWARD),
            reference=libdpo.Model(MODEL),
        )
        self.assertLess(abs(found["samples"]["kl"]["value"]), 1e-4)
        self.assertNotEqual(found["samples"]["score"]["value"], found["samples"]["chosen_score"]["value"])
        judge = "while read -r line; do echo '{\"choice\": null}'; done"
        tied = parsed("evaluate", MODEL, "--data", PAIRS, "--samples", 1, "--max-new-tokens", 2, "--command", judge)
        self.assertEqual((tied["samples"]["win_rate"]["value"], tied["samples"]["ties"]), (0.5, 1))

    def test_what_is_refused(self) -> None:
        for status, words, extra in (
            (2, "needs --samples", ("--command", "true")), (2, "one judge", ("--command", "true", "--classifier", "x", "--samples", 1)),
            (2, "--samples is -1", ("--samples=-1",)), (1, "max_new_tokens", ("--samples", 1, "--max-new-tokens", 0)),
            (1, "without an answer", ("--samples", 1, "--max-new-tokens", 2, "--command", "exit 3")),
            (1, "no such file", ("--samples", 1, "--reward-model", self.directory / "none")),
        ):
            done = dpo("evaluate", MODEL, "--data", PAIRS, *extra)
            self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
            self.assertIn(words, done.stderr)
        model = libdpo.Model(MODEL)
        self.assertRaises(TypeError, model.evaluate, PAIRS, samples=1, judge="good")
        self.assertRaises(ValueError, model.evaluate, PAIRS, judge=libdpo.Model(MODEL))
        self.assertRaises(libdpo.StateError, model.evaluate, PAIRS, samples=1, reference=model)
        self.assertRaises(ValueError, model.evaluate, PAIRS, samples=1, temperature=-1.0)


class Exports(Case):
    def adapter(self, **factors: float) -> pathlib.Path:
        """The random adapter with its alpha, or its B matrices, multiplied."""
        target = self.directory / "adapter"
        shutil.copytree(ADAPTER, target, dirs_exist_ok=True)
        settings = json.loads((target / "adapter_config.json").read_text())
        settings["lora_alpha"] *= factors.get("alpha", 1)
        (target / "adapter_config.json").write_text(json.dumps(settings))
        tensors = load_file(target / "adapter_model.safetensors")
        save_file(
            {name: value * numpy.float32(factors.get("b", 1) if "lora_B" in name else 1) for name, value in tensors.items()},
            target / "adapter_model.safetensors",
        )
        return target

    def test_an_ordinary_adapter_survives(self) -> None:
        for to, extra in (("gguf", ("--merge", "--dtype", "q8_0")), ("peft", ("--dtype", "f16"))):
            done = dpo(
                "export", MODEL, "--adapter", ADAPTER, "--to", to, "-o", self.directory / to, "--check", PAIRS, "--json", *extra
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            check = json.loads(done.stdout)["check"]
            self.assertTrue(check["survives"])
            self.assertLess(check["lost"], check["limit"])
            self.assertEqual(check["pairs"], len(rows(PAIRS)))
            self.assertGreater(check["kl"], 0)
        tensors = load_file(self.directory / "peft" / "adapter_model.safetensors")
        self.assertEqual({value.dtype for value in tensors.values()}, {numpy.dtype("float16")})

    def test_a_change_that_rounding_eats_is_warned_of(self) -> None:
        tiny = self.adapter(alpha=1e-4)
        command = ("export", MODEL, "--adapter", tiny, "--to", "gguf", "--merge", "--check", PAIRS, "-o")
        done = dpo(*command, self.directory / "q8.gguf", "--dtype", "q8_0", "--json")
        self.assertEqual(done.returncode, 1)
        self.assertTrue((self.directory / "q8.gguf").exists())
        self.assertIn("rounding has eaten what was learnt", done.stderr)
        self.assertFalse(json.loads(done.stdout)["check"]["survives"])
        exact = dpo(*command, self.directory / "f32.gguf")
        self.assertEqual((exact.returncode, exact.stderr), (0, ""))
        self.assertRegex(exact.stdout, r"accuracy\t[\d.]+\t[\d.]+\n")
        with self.assertWarnsRegex(UserWarning, "rounding has eaten what was learnt"):
            found = libdpo.export(
                MODEL, "gguf", self.directory / "again.gguf", adapter=tiny, merge=True, dtype="q8_0", check=PAIRS
            )
        self.assertEqual(found, json.loads(done.stdout)["check"])

    def test_an_adapter_below_the_smallest_half_is_warned_of(self) -> None:
        faint = self.adapter(alpha=1e9, b=1e-9)
        for dtype, survives in (("f32", True), ("bf16", True), ("f16", False)):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found = libdpo.export(
                    faint, "gguf-lora", self.directory / f"{dtype}.gguf", base=MODEL, dtype=dtype, check=PAIRS
                )
            self.assertEqual((found["survives"], len(caught)), (survives, int(not survives)), found)

    def test_what_is_refused_before_anything_is_written(self) -> None:
        output = self.directory / "out"
        for status, words, extra in (
            (1, "unpaired.jsonl", ("--check", FIXTURES / "data" / "unpaired.jsonl")), (1, "no such file", ("--check", "none.jsonl")),
            (1, "beta", ("--check", PAIRS, "--beta", 0)), (2, "needs --check", ("--ref-model", MODEL)),
            (1, "not Q8_0", ("--dtype", "q8_0")),
        ):
            done = dpo("export", MODEL, "--adapter", ADAPTER, "--to", "peft", "-o", output, *extra)
            self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
            self.assertIn(words, done.stderr)
            self.assertFalse(output.exists())
        done = dpo("export", MODEL, "--to", "gguf", "-o", output, "--check", PAIRS)
        self.assertEqual(done.returncode, 1)
        self.assertIn("give a reference model", done.stderr)


if __name__ == "__main__":
    unittest.main()
