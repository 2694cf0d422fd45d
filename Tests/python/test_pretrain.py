"""From raw text to a model: `dpo tokenizer train`, `dpo init`, `dpo train --method pretrain`, and the same in Python."""

import json
import math
import unittest

import libdpo

from support import FIXTURES, Case, dpo, golden, rows

DOCUMENTS = FIXTURES / "data" / "documents.jsonl"
SIZES = ("--hidden", 32, "--layers", 2, "--heads", 2, "--context", 64)


def parsed(*arguments: object) -> dict:
    result = dpo(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


class FromText(Case):
    def tokenizer(self, *extra: object) -> dict:
        self.made = self.directory / "tokenizer"
        return parsed("tokenizer", "train", "--data", DOCUMENTS, "--vocab-size", 400, "-o", self.made, "--overwrite", *extra)

    def test_tokenizer_files_are_what_the_library_reads(self) -> None:
        told = self.tokenizer("--chat-template", "chatml", "--special", "<tool>")
        self.assertEqual(told["vocabulary"], 400)
        file = json.loads((self.made / "tokenizer.json").read_text())
        added = [token["content"] for token in file["added_tokens"]]
        self.assertEqual(added, ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>"])
        settings = json.loads((self.made / "tokenizer_config.json").read_text())
        self.assertEqual(settings["eos_token"], "<|im_end|>")
        self.assertEqual(parsed("init", "--tokenizer", self.made, *SIZES, "-o", self.directory / "model")["vocabulary"], 400)
        text = "The harbour was warm.<|im_end|>"
        row = parsed("tokenize", self.directory / "model", "--text", text)["rows"][0]
        self.assertEqual(row["ids"][-1], 2)
        by_rank = {tuple(pair): rank for rank, pair in enumerate(file["model"]["merges"])}
        self.assertEqual(len(by_rank), len(file["model"]["merges"]))

    def test_the_same_tokenizer_through_python(self) -> None:
        self.tokenizer("--chat-template", "chatml")
        libdpo.train_tokenizer([DOCUMENTS], self.directory / "python", vocab_size=400, chat_template="chatml")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            self.assertEqual((self.made / name).read_bytes(), (self.directory / "python" / name).read_bytes())

    def test_a_fresh_model_learns_and_its_perplexity_falls(self) -> None:
        self.tokenizer()
        model, out = self.directory / "model.h5", self.directory / "run"
        parsed("init", "--tokenizer", self.made, *SIZES, "-o", model)
        common = ("--method", "pretrain", "--data", DOCUMENTS, "--max-length", 48)
        before = parsed("evaluate", model, *common)
        self.assertNear(before["perplexity"], 400, 0.05)
        self.assertNear(math.log(before["perplexity"]), before["loss"], 1e-6)
        parsed(
            "train", model, *common, "--eval-data", DOCUMENTS, "--max-steps", 30, "--learning-rate", 1e-2, "--eval-steps", 10,
            "--output-dir", out,
        )
        evaluations = [row["eval_perplexity"] for row in rows(out / "metrics.jsonl") if "eval_perplexity" in row]
        self.assertEqual(len(evaluations), 3)
        self.assertLess(evaluations[-1], 0.3 * before["perplexity"])
        # The documents in another place or cut otherwise are the same documents.
        again = parsed("evaluate", out / "final.h5", *common, "--per-device-eval-batch-size", 1)
        self.assertNear(again["perplexity"], evaluations[-1], 1e-4)

    def test_python_trains_as_the_command_does(self) -> None:
        self.tokenizer()
        libdpo.create_model(
            self.directory / "model", tokenizer=self.made, hidden_size=32, layers=2, heads=2, context_length=64, seed=5)
        parsed("init", "--tokenizer", self.made, *SIZES, "--seed", 5, "-o", self.directory / "command")
        name = "model.safetensors"
        self.assertEqual((self.directory / "model" / name).read_bytes(), (self.directory / "command" / name).read_bytes())
        args = libdpo.PretrainConfig(
            output_dir=str(self.directory / "run"), max_steps=3, max_length=48, learning_rate=1e-2, disable_tqdm=True)
        trainer = libdpo.PretrainTrainer(
            self.directory / "model", args=args, train_dataset=DOCUMENTS, eval_dataset=DOCUMENTS)
        trainer.train()
        evaluated = trainer.evaluate()
        self.assertNear(math.exp(evaluated["eval_loss"]), evaluated["eval_perplexity"], 1e-6)
        parsed(
            "train", self.directory / "command", "--method", "pretrain", "--data", DOCUMENTS, "--max-length", 48,
            "--max-steps", 3, "--learning-rate", 1e-2, "--output-dir", self.directory / "other")
        first, second = (
            [row["loss"] for row in rows(self.directory / run / "metrics.jsonl") if "loss" in row] for run in ("run", "other"))
        self.assertEqual(first, second)

    def test_text_files_and_directories_are_documents(self) -> None:
        self.tokenizer()
        model = self.directory / "model"
        parsed("init", "--tokenizer", self.made, *SIZES, "-o", model)
        texts = [row["text"] for row in rows(DOCUMENTS)]
        folder = self.directory / "texts"
        folder.mkdir()
        for index, text in enumerate(texts):
            (folder / f"{index:02}.txt").write_text(text)
        halves = [self.directory / f"{half}.jsonl" for half in "ab"]
        for half, part in zip(halves, (texts[:20], texts[20:])):
            half.write_text("".join(json.dumps({"text": text}) + "\n" for text in part))
        common = ("evaluate", model, "--method", "pretrain", "--max-length", 48)
        expected = parsed(*common, "--data", DOCUMENTS)
        self.assertEqual(parsed(*common, "--data", folder), expected)
        self.assertEqual(parsed(*common, "--data", halves[0], "--data", halves[1]), expected)

    def test_bad_input_is_a_sentence(self) -> None:
        self.tokenizer()
        model = self.directory / "model"
        parsed("init", "--tokenizer", self.made, *SIZES, "-o", model)
        (self.directory / "empty.txt").write_text("")
        (self.directory / "folder").mkdir()
        (self.directory / "latin.txt").write_bytes(b"caf\xe9\n")
        train = ("train", model, "--method", "pretrain", "--output-dir", self.directory / "run", "--max-steps", 1)
        tokenize = ("tokenizer", "train", "-o", self.directory / "t", "--vocab-size", 300)
        make = ("init", "-o", self.directory / "m")
        for arguments, words in (
            ((*train, "--data", self.directory / "empty.txt"), "an empty corpus"),
            ((*train, "--data", self.directory / "folder"), "an empty corpus"),
            ((*train, "--data", self.directory / "latin.txt"), "line 1 is not UTF-8"),
            ((*train, "--data", self.directory / "nowhere"), "no such file"),
            ((*train, "--data", FIXTURES / "data" / "pairs.jsonl"), "\"text\" is missing"),
            ((*train, "--data", DOCUMENTS, "--max-length", 1), "at least 2"),
            ((*train, "--data", DOCUMENTS, "--max-length", 100), "more than the model's context of 64"),
            (("train", model, "--data", DOCUMENTS, "--data", DOCUMENTS, "--output-dir", self.directory / "r"), "expected \"chosen\""),
            ((*tokenize, "--data", self.directory / "empty.txt"), "an empty corpus"),
            ((*tokenize, "--data", DOCUMENTS, "--chat-template", self.directory / "nowhere"), "nowhere"),
            ((*tokenize[:-1], 100, "--data", DOCUMENTS), "vocab_size is 100"),
            ((*make, "--vocab", 100, "--like", "bloom"), "bloom"),
            ((*make, "--vocab", 100, "--hidden", 30, "--heads", 4), "not divisible by 4 heads"),
            ((*make, "--vocab", 100, "--tokenizer", self.made), "smaller than the tokenizer's"),
            ((*make, "--tokenizer", self.directory / "folder"), "no tokenizer.json"),
            (("init", "--vocab", 100, "-o", model), "not empty"),
        ):
            result = dpo(*arguments)
            self.assertEqual(result.returncode, 1, arguments)
            self.assertIn(words, result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertEqual(dpo(*make).returncode, 2)


class Supervised(Case):
    def test_goldens_of_packing_and_masks_hold_through_python(self) -> None:
        for run in ("qwen3-sft-dft", "llama-untied-sft-packed"):
            expected = golden(f"trl/{run}.json")
            args = libdpo.SFTConfig(output_dir=str(self.directory / run), disable_tqdm=True, **expected["options"])
            trainer = libdpo.SFTTrainer(
                FIXTURES / expected["model"], args=args, train_dataset=FIXTURES / expected["data"])
            trainer.train()
            found = [row for row in rows(self.directory / run / "metrics.jsonl") if "loss" in row]
            self.assertEqual(len(found), len(expected["steps"]))
            for row, step in zip(found, expected["steps"]):
                self.assertNear(row["loss"], step["loss"], 1e-3, run)

    def test_assistant_only_loss_needs_generation_blocks(self) -> None:
        model = FIXTURES / "models" / "llama-tied"
        result = dpo(
            "train", model, "--method", "sft", "--assistant-only-loss", "--data", FIXTURES / "data" / "messages.jsonl",
            "--output-dir", self.directory / "run")
        self.assertEqual(result.returncode, 1)
        self.assertIn("{% generation %}", result.stderr)


if __name__ == "__main__":
    unittest.main()
