"""What people reported of other programs, and of this one: Tests/reports."""

import json
import pathlib
import shutil
import sys
import time
import unittest

from support import FIXTURES, ROOT, Case, dpo, rows

sys.path[:0] = [str(ROOT / "Tests" / "reports"), str(ROOT / "Tests" / "hostile")]
import reports  # noqa: E402
from cases import GGUF  # noqa: E402

RIGHT = json.loads((ROOT / "Tests" / "reports" / "right.json").read_text())
UNTIED = FIXTURES / "models" / "llama-untied"
STRING, FLOAT, ARRAY = 8, 6, 9


def write_rows(path: pathlib.Path, *content: dict) -> pathlib.Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


class Report(Case):
    def run_dpo(self, *arguments: object, **options: object) -> str:
        done = dpo(*arguments, **options)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        return done.stdout

    def refuse(self, *arguments: object, says: "tuple[str, ...]", silent: "tuple[str, ...]" = ()) -> None:
        done = dpo(*arguments)
        self.assertEqual(done.returncode, 1, f"{arguments}: {done.stdout}")
        for text in says:
            self.assertIn(text, done.stderr)
        for text in silent:
            self.assertNotIn(text, done.stderr)

    def tokens(self, model: pathlib.Path, data: pathlib.Path) -> "list[dict]":
        return json.loads(self.run_dpo("tokenize", model, "--data", data, "--json"))["rows"]

    def log_probs(self, model: pathlib.Path, data: pathlib.Path, *options: object) -> "list[float]":
        out = json.loads(self.run_dpo("logps", model, "--data", data, "--json", *options))
        return [out["rows"][0][side] for side in ("chosen", "rejected")]


class TokenReports(Report):
    """The ids of rows, beside transformers."""

    def check(self, report: reports.Tokens) -> None:
        reports.build(report, self.directory)
        right = RIGHT["tokens"][report.name]
        data = self.directory / "rows.jsonl"
        self.assertEqual(self.tokens(self.directory / "model", data), right)
        for form, name in (("gguf", "m.gguf"), ("safetensors", "folder"), ("hdf5", "m.h5")) if report.exports else ():
            out = self.directory / name
            self.run_dpo("export", self.directory / "model", "--to", form, "-o", out)
            self.assertEqual(self.tokens(out, data), right, form)
            self.assertNotEqual(json.loads(self.run_dpo("inspect", out, "--json"))["tokenizer"]["ends"], [], form)


for entry in reports.REPORTS:
    def test(self: TokenReports, entry: reports.Tokens = entry) -> None:
        self.check(entry)
    test.__doc__ = entry.wrong
    setattr(TokenReports, f"test_{entry.name.replace('-', '_')}", test)


class GGUFReports(Report):
    """What llama.cpp takes absent, zero and old keys for."""

    def log_probs_with(self, **keys: "tuple | None") -> "list[float]":
        original = GGUF((FIXTURES / "gguf" / "llama-untied.gguf").read_bytes())
        named = {f"llama.{key}".replace("__", "."): value for key, value in keys.items()}
        (self.directory / "m.gguf").write_bytes(original.encode(keys=named))
        return self.log_probs(self.directory / "m.gguf", write_rows(self.directory / "rows.jsonl", reports.PAIR))

    def assertScaled(self, scaling: str, **keys: "tuple | None") -> None:
        for found, expected in zip(self.log_probs_with(**keys), RIGHT["rope"][scaling], strict=True):
            self.assertNear(found, expected, 1e-5, str(keys))

    def test_a_factor_without_a_type_is_linear_scaling(self) -> None:
        self.assertScaled("linear", rope__scaling__factor=(FLOAT, 4.0))
        self.assertScaled("linear", rope__scale_linear=(FLOAT, 4.0))
        self.assertScaled("linear", rope__scaling__type=(STRING, "linear"), rope__scaling__factor=(FLOAT, 4.0))

    def test_the_new_key_of_the_factor_wins(self) -> None:
        self.assertScaled("linear", rope__scaling__factor=(FLOAT, 4.0), rope__scale_linear=(FLOAT, 2.0))

    def test_no_factor_and_zero_scale_nothing(self) -> None:
        self.assertScaled("none", rope__scaling__type=(STRING, "linear"))
        self.assertScaled("none", rope__scaling__factor=(FLOAT, 0.0))
        self.assertScaled("none", rope__scaling__type=(STRING, "none"), rope__scaling__factor=(FLOAT, 4.0))

    def test_a_key_that_may_change_the_computation_is_refused(self) -> None:
        self.assertScaled("none", rope__scaling__attn_factor=(FLOAT, 1.0))
        original = GGUF((FIXTURES / "gguf" / "llama-untied.gguf").read_bytes())
        for key, value in (("attention.causal", (7, 0)), ("logit_scale", (FLOAT, 0.5)), ("rope.scaling.attn_factor", (FLOAT, 0.5))):
            path = self.directory / "m.gguf"
            path.write_bytes(original.encode(keys={f"llama.{key}": value}))
            self.refuse("inspect", path, says=(f"llama.{key}",))

    def adapter(self, **keys: "tuple | None") -> pathlib.Path:
        path = self.directory / "a.gguf"
        if not path.exists():
            self.run_dpo("export", UNTIED, "--adapter", FIXTURES / "adapters" / "llama-untied-random", "--to", "gguf-lora", "-o", path)
        changed = self.directory / "changed.gguf"
        changed.write_bytes(GGUF(path.read_bytes()).encode(keys={key.replace("__", "."): value for key, value in keys.items()}))
        return changed

    def test_an_alpha_of_zero_or_none_is_scale_one(self) -> None:
        data = write_rows(self.directory / "rows.jsonl", reports.PAIR)
        for value in ((FLOAT, 0.0), None):
            found = self.log_probs(UNTIED, data, "--adapter", self.adapter(adapter__lora__alpha=value))
            for one, other in zip(found, RIGHT["adapter"], strict=True):
                self.assertNear(one, other, 1e-5)

    def test_alora_is_refused(self) -> None:
        data = write_rows(self.directory / "rows.jsonl", reports.PAIR)
        adapter = self.adapter(adapter__alora__invocation_tokens=(ARRAY, (4, [5, 6])))
        self.refuse("logps", UNTIED, "--adapter", adapter, "--data", data, says=("adapter.alora.invocation_tokens",))
        self.log_probs(UNTIED, data, "--adapter", self.adapter(adapter__lora__task_name=(STRING, "rivers")))

    def test_a_turn_ends_where_llama_cpp_ends_it(self) -> None:
        """A chat model's file names the base model's EOS, and its turns end with <|im_end|>."""
        original = GGUF((FIXTURES / "gguf" / "llama-untied.gguf").read_bytes())
        end = original.keys["tokenizer.ggml.tokens"][1][1].index("<|endoftext|>")
        path = self.directory / "m.gguf"
        path.write_bytes(original.encode(keys={"tokenizer.ggml.eos_token_id": (4, end)}))
        found = json.loads(self.run_dpo("inspect", path, "--json"))["tokenizer"]
        self.assertEqual([token["text"] for token in found["ends"]], ["<|endoftext|>", "<|im_end|>"])
        self.assertNotIn("warnings", found)


class ExportReports(Report):
    def test_tokens_beyond_the_embedding_stay_out_of_a_gguf(self) -> None:
        """A padding token was added to the tokenizer, and the embedding was left as it is."""
        model = self.directory / "m"
        shutil.copytree(UNTIED, model, copy_function=shutil.copyfile)
        tokenizer = json.loads((model / "tokenizer.json").read_text())
        count = json.loads((model / "config.json").read_text())["vocab_size"]
        tokenizer["added_tokens"].append({
            "id": count, "content": "<pad>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True})
        (model / "tokenizer.json").write_text(json.dumps(tokenizer))
        settings = json.loads((model / "tokenizer_config.json").read_text())
        (model / "tokenizer_config.json").write_text(json.dumps({**settings, "pad_token": "<pad>"}))
        data = write_rows(self.directory / "rows.jsonl", reports.PAIR)
        for options in ((), ("--merge", "--adapter", FIXTURES / "adapters" / "llama-untied-random")):
            out = self.directory / f"m{len(options)}.gguf"
            said = dpo("export", model, "--to", "gguf", "-o", out, *options)
            self.assertEqual(said.returncode, 0, said.stderr)
            self.assertIn(f"tokens from id {count} on (1) have no row", said.stderr)
            written = GGUF(out.read_bytes()).keys
            self.assertEqual(len(written["tokenizer.ggml.tokens"][1][1]), count)
            self.assertNotIn("tokenizer.ggml.padding_token_id", written)
            self.assertEqual(self.tokens(out, data), self.tokens(UNTIED, data))
        self.assertIn("<pad>", json.loads(self.run_dpo("inspect", model, "--json"))["tokenizer"]["warnings"][0])
        self.refuse("tokenize", model, "--data", write_rows(self.directory / "pad.jsonl", {**reports.PAIR, "prompt": "x<pad>"}),
                    says=(f"token id {count}", "pad.jsonl: line 1"))
        # A reward model pads with what it can read.
        self.run_dpo("train", model, "--method", "reward", "--data", data, "--max-steps", 1, "--output-dir", self.directory / "run")
        self.run_dpo("export", self.directory / "run" / "final.h5", "--to", "safetensors", "-o", self.directory / "reward")
        self.assertLess(json.loads((self.directory / "reward" / "config.json").read_text())["pad_token_id"], count)

    def test_an_adapter_beside_its_base_models_configuration_is_an_adapter(self) -> None:
        folder = self.directory / "adapter"
        shutil.copytree(FIXTURES / "adapters" / "llama-untied-random", folder, copy_function=shutil.copyfile)
        shutil.copyfile(UNTIED / "config.json", folder / "config.json")
        self.run_dpo("export", folder, "--to", "gguf-lora", "-o", self.directory / "a.gguf")


class DateReports(Report):
    """A template that writes the time: what was begun at one time goes on at another."""

    TEMPLATE = "{{ strftime_now('%d %b %Y %H:%M') }}" + reports.CHATML
    FIRST, LATER = {"TZ": "UTC"}, {"TZ": "Etc/GMT-14"}

    def setUp(self) -> None:
        super().setUp()
        self.model = self.directory / "model"
        shutil.copytree(UNTIED, self.model, copy_function=shutil.copyfile)
        (self.model / "chat_template.jinja").write_text(self.TEMPLATE)
        river = [reports.chat("user", "Name river")]
        self.data = write_rows(self.directory / "rows.jsonl", *[
            {"prompt": [reports.chat("user", f"Name river {n}")], "chosen": [reports.chat("assistant", "Loire")],
             "rejected": [reports.chat("assistant", "tree")]} for n in range(6)])
        self.prompt = river

    def test_a_run_keeps_its_date(self) -> None:
        options = ("--data", self.data, "--max-steps", 4, "--save-steps", 2, "--lora-r", 2, "--learning-rate", "1e-2")
        whole, resumed = self.directory / "whole", self.directory / "resumed"
        self.run_dpo("train", self.model, "--output-dir", whole, *options, env=self.FIRST)
        resumed.mkdir()
        shutil.copyfile(whole / "checkpoint-2.h5", resumed / "checkpoint-2.h5")
        self.run_dpo("train", self.model, "--output-dir", resumed, *options, "--resume-from-checkpoint", "last", env=self.LATER)
        last = [{k: v for k, v in rows(path / "metrics.jsonl")[-1].items() if k != "seconds"} for path in (whole, resumed)]
        self.assertEqual(last[0], last[1])

    def test_feedback_keeps_its_date(self) -> None:
        feedback = write_rows(self.directory / "fb.jsonl", *[
            {"id": n, "time": int(time.time()), "prompt": [reports.chat("user", f"Name river {n}")],
             "completion": [reports.chat("assistant", "Loire")], "label": n % 2 == 0} for n in range(1, 9)])
        place = self.directory / "learnt"
        options = ("--num-train-epochs", 40, "--per-device-train-batch-size", 2)
        train = ("feedback", "train", self.model, feedback, "--output-dir", place)
        self.run_dpo(*train, "--max-seconds", "0.3", *options, env=self.FIRST)
        session = place / "session" / "session.json"
        self.assertTrue(session.exists(), "the call had time to finish")
        date = json.loads(session.read_text())["template_time"]
        self.run_dpo(*train, *options, env=self.LATER)
        with feedback.open("a") as more:
            more.write(json.dumps({"id": 9, "time": int(time.time()), "prompt": self.prompt, "label": True,
                                   "completion": [reports.chat("assistant", "Rhine")]}) + "\n")
        self.run_dpo(*train, "--min-records", 1, env=self.LATER)
        sessions = rows(place / "sessions.jsonl")
        self.assertEqual([session["template_time"] for session in sessions], [date, date])


class EvaluationReports(Report):
    def test_means_are_over_rows_whatever_the_batch(self) -> None:
        given = reports.EVALUATION
        data = write_rows(self.directory / "rows.jsonl", *given["rows"])
        models = FIXTURES / "models"
        for size in (1, 2, 4, 8, 9):
            out = json.loads(self.run_dpo(
                "evaluate", models / given["policy"], "--ref-model", models / given["reference"], "--data", data,
                "--per-device-eval-batch-size", size, "--json"))
            for name, expected in RIGHT["evaluation"].items():
                self.assertNear(out[name], expected, 1e-4, f"{name}, batches of {size}")


class MessageReports(Report):
    """Sentences that misled."""

    def test_a_repeated_key_is_named(self) -> None:
        path = self.directory / "rows.jsonl"
        path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c", "prompt": "d"}\n')
        self.refuse("inspect", path, says=("duplicate", "prompt"), silent=('in "rejected"',))

    def test_an_error_in_a_template_names_its_file(self) -> None:
        model = self.directory / "model"
        shutil.copytree(UNTIED, model, copy_function=shutil.copyfile)
        (model / "chat_template.jinja").write_text("{% for %}")
        self.refuse("tokenize", model, "--data", write_rows(self.directory / "rows.jsonl", reports.CHAT),
                    says=("chat_template.jinja",), silent=("tokenizer_config.json",))

    def test_a_missing_embedding_is_not_a_differing_head(self) -> None:
        from safetensors.numpy import load_file, save_file

        model = self.directory / "model"
        shutil.copytree(FIXTURES / "models" / "llama-tied", model, copy_function=shutil.copyfile)
        tensors = load_file(model / "model.safetensors")
        tensors["lm_head.weight"] = tensors.pop("model.embed_tokens.weight")
        save_file(tensors, model / "model.safetensors")
        self.refuse("inspect", model, says=("model.embed_tokens.weight", "missing"), silent=("differs",))

    def test_mixed_forms_are_named(self) -> None:
        for row, names in (
            ({"prompt": reports.CHAT["prompt"], "chosen": "a", "rejected": "b"}, ('"prompt" holds chat messages', '"chosen" text')),
            ({"prompt": "x", "completion": reports.CHAT["chosen"], "label": True}, ('"prompt" holds text', '"completion" chat messages')),
            ({"prompt": "x", "chosen": reports.CHAT["chosen"], "rejected": "b"}, ('"prompt" holds text', '"chosen" chat messages')),
            ({"chosen": reports.CHAT["chosen"], "rejected": "b"}, ('"rejected"', "chat messages")),
        ):
            path = write_rows(self.directory / "rows.jsonl", row)
            self.refuse("tokenize", UNTIED, "--data", path, says=("line 1", *names), silent=("as the first row has",) if "prompt" in row else ())

    def test_columns_that_are_not_read_are_named(self) -> None:
        path = write_rows(self.directory / "rows.jsonl", *[
            {"system": "s", "question": "Name a river.", "chosen": f" Loire {n}", "rejected": " tree"} for n in range(2)])
        said = self.run_dpo("inspect", path, "--model", UNTIED)
        self.assertIn('columns not read: "system", "question"', said)
        self.assertIn('"question" is not read; if it is meant, call it "prompt"', said)
        self.assertNotIn("nothing stands out", said)

    def test_a_method_says_what_it_needs_of_rows(self) -> None:
        data = write_rows(self.directory / "rows.jsonl", reports.PAIR)
        self.refuse("train", UNTIED, "--method", "ranked", "--data", write_rows(self.directory / "text.jsonl", {"text": "x"}),
                    "--output-dir", self.directory / "run", says=('"completions"', '"text"'))
        self.run_dpo("train", UNTIED, "--method", "kto", "--data", data, "--max-steps", 1, "--output-dir", self.directory / "kto")


if __name__ == "__main__":
    unittest.main()
