"""What people reported of other programs, and of this one: Tests/reports."""

import json
import pathlib
import shutil
import sys
import time
import unittest

from support import FIXTURES, ROOT, Case, dpo, rows, write_rows

sys.path[:0] = [str(ROOT / "Tests" / "reports"), str(ROOT / "Tests" / "hostile")]
import reports  # noqa: E402
from cases import GGUF  # noqa: E402

RIGHT = json.loads((ROOT / "Tests" / "reports" / "right.json").read_text())
UNTIED = FIXTURES / "models" / "llama-untied"
STRING, FLOAT, ARRAY = 8, 6, 9


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

    def test_a_factor_counts_with_longrope_too(self) -> None:
        """llama-cpp-python 0.3.36 computes with it as with linear scaling, and with divisors from tensors besides."""
        self.assertScaled("linear", rope__scaling__type=(STRING, "longrope"), rope__scaling__factor=(FLOAT, 4.0))
        self.assertScaled("none", rope__scaling__type=(STRING, "longrope"), rope__scaling__factor=(FLOAT, 1.0))
        self.assertScaled("none", rope__scaling__type=(STRING, "longrope"))

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
            found = json.loads(self.run_dpo("inspect", path, "--json"))
            self.assertIn(f"llama.{key}", found["untrainable"])
            self.refuse("export", path, "--to", "hdf5", "-o", self.directory / "m.h5", says=(f"llama.{key}",))

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

    def test_half_a_pair_of_an_adapter_is_refused(self) -> None:
        whole = GGUF(self.adapter().read_bytes())
        name = next(name for name in whole.tensors if name.endswith(".lora_b"))
        path = self.directory / "half.gguf"
        path.write_bytes(whole.encode(tensors={name: None}))
        data = write_rows(self.directory / "rows.jsonl", reports.PAIR)
        self.refuse("logps", UNTIED, "--adapter", path, "--data", data, says=(name.replace("lora_b", "lora_a"),))

    def test_ids_that_are_none_are_absent(self) -> None:
        original = GGUF((FIXTURES / "gguf" / "llama-untied.gguf").read_bytes())
        path = self.directory / "m.gguf"
        path.write_bytes(original.encode(keys={"tokenizer.ggml.padding_token_id": (4, 2**32 - 1), "llama.attention.key_length": (4, 8)}))
        self.assertNotIn("pad_token", json.loads(self.run_dpo("inspect", path, "--json"))["tokenizer"])

    def test_a_turn_ends_where_llama_cpp_ends_it(self) -> None:
        """A chat model's file names the base model's EOS, and its turns end with <|im_end|>."""
        original = GGUF((FIXTURES / "gguf" / "llama-untied.gguf").read_bytes())
        end = original.keys["tokenizer.ggml.tokens"][1][1].index("<|endoftext|>")
        path = self.directory / "m.gguf"
        path.write_bytes(original.encode(keys={"tokenizer.ggml.eos_token_id": (4, end)}))
        found = json.loads(self.run_dpo("inspect", path, "--json"))["tokenizer"]
        self.assertEqual([token["text"] for token in found["ends"]], ["<|endoftext|>", "<|im_end|>"])
        self.assertNotIn("warnings", found)

    def test_rows_of_the_embedding_are_those_of_the_tokens(self) -> None:
        """As for llama.cpp, which loads the first four and refuses the others: the tokens count, and `vocab_size` where there are none."""
        original = GGUF((FIXTURES / "gguf" / "llama-untied.gguf").read_bytes())
        tokens, types = (original.keys[f"tokenizer.ggml.{key}"][1] for key in ("tokens", "token_type"))
        data = write_rows(self.directory / "rows.jsonl", reports.PAIR)
        path = self.directory / "m.gguf"
        right = self.log_probs(UNTIED, data)
        for size in (None, 380, 383, 377):
            path.write_bytes(original.encode(keys={"llama.vocab_size": size and (4, size)}))
            for found, expected in zip(self.log_probs(path, data), right, strict=True):
                self.assertNear(found, expected, 1e-5, f"vocab_size {size}")
        for size, count in ((None, 377), (380, 377), (None, 383), (383, 383)):
            names = [*tokens[1], "[x]", "[y]", "[z]"][:count]
            path.write_bytes(original.encode(keys={
                "llama.vocab_size": size and (4, size), "tokenizer.ggml.tokens": (9, (tokens[0], names)),
                "tokenizer.ggml.token_type": (9, (types[0], [*types[1], 1, 1, 1][:count]))}))
            self.refuse("logps", path, "--data", data, says=("token_embd.weight has 380 rows", f"tokenizer.ggml.tokens is {count}"))

    def test_vocab_size_and_the_embedding_of_a_directory_agree(self) -> None:
        """transformers refuses both: "size mismatch for model.embed_tokens.weight"."""
        data = write_rows(self.directory / "rows.jsonl", reports.PAIR)
        for size in (377, 383):
            model = self.directory / str(size)
            shutil.copytree(UNTIED, model, copy_function=shutil.copyfile)
            config = json.loads((model / "config.json").read_text())
            (model / "config.json").write_text(json.dumps({**config, "vocab_size": size}))
            self.refuse("logps", model, "--data", data, says=("model.embed_tokens.weight has 380 rows", f"vocab_size of config.json is {size}"))

    def test_a_gpt2_file_without_an_eos_ends_as_in_llama_cpp(self) -> None:
        """llama-cpp-python 0.3.36 on these files: eos 11 (","), end-of-generation tokens 11 and "<|endoftext|>"."""
        original = GGUF((FIXTURES / "gguf" / "gpt2.gguf").read_bytes())
        none = {f"tokenizer.ggml.{name}_token_id": None for name in ("bos", "eos")}
        path = self.directory / "m.gguf"
        path.write_bytes(original.encode(keys=none))
        found = json.loads(self.run_dpo("inspect", path, "--json"))["tokenizer"]
        self.assertEqual(sorted(token["id"] for token in found["ends"]), [11, 380])
        # What ends nothing as far as the file says splits no text, and rows of text need a name.
        plain = write_rows(self.directory / "chat.jsonl", {"text": "a, b,, c."})
        self.refuse("tokenize", path, "--data", plain, says=("names no EOS token",))


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
        self.refuse("logps", model, "--data", write_rows(self.directory / "pad.jsonl", {**reports.PAIR, "prompt": "x<pad>"}),
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


    def changed(self, name: str, **files: object) -> pathlib.Path:
        """A copy of a fixture model with other files."""
        model = self.directory / "m"
        shutil.copytree(FIXTURES / "models" / name, model, copy_function=shutil.copyfile)
        for file, content in files.items():
            path = model / file.replace("__", ".")
            path.write_text(content if isinstance(content, str) else json.dumps({**json.loads(path.read_text()), **content}))
        return model

    def ends(self, model: pathlib.Path) -> "list[int]":
        return [token["id"] for token in json.loads(self.run_dpo("inspect", model, "--json"))["tokenizer"]["ends"]]

    def test_a_folder_of_another_model_leaves_nothing_behind(self) -> None:
        out = self.changed("qwen2", chat_template__jinja="OLD {{ messages[0].content }}", special_tokens_map__json='{"eos_token": "<|endoftext|>"}')
        (out / "adapter_config.json").write_text("{}")
        (out / "README.md").write_text("kept")
        self.run_dpo("export", UNTIED, "--to", "safetensors", "-o", out, "--overwrite")
        data = write_rows(self.directory / "rows.jsonl", reports.CHAT)
        self.assertEqual(self.tokens(out, data), self.tokens(UNTIED, data))
        self.assertEqual(sorted(path.name for path in out.iterdir()), [
            "README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])

    def test_the_ends_of_a_text_survive(self) -> None:
        """Where the configuration names none, the tokenizer's EOS; of several, as many as GGUF has keys for."""
        model = self.changed("qwen2", config__json={"eos_token_id": None}, generation_config__json={"eos_token_id": None})
        for form, name in (("hdf5", "m.h5"), ("gguf", "m.gguf"), ("safetensors", "folder")):
            self.run_dpo("export", model, "--to", form, "-o", self.directory / name)
            self.assertEqual(self.ends(self.directory / name)[0], 382, form)
        shutil.rmtree(model)
        model = self.changed("qwen2", generation_config__json={"eos_token_id": [382, 300, 301]})
        self.run_dpo("export", model, "--to", "gguf", "-o", self.directory / "three.gguf")
        self.assertEqual(self.ends(self.directory / "three.gguf")[:3], [382, 300, 301])

    def test_what_gguf_cannot_say_is_said(self) -> None:
        def tokenizer(change: "dict") -> pathlib.Path:
            shutil.rmtree(self.directory / "m", ignore_errors=True)
            return self.changed("llama-untied", tokenizer__json=change)

        original = json.loads((UNTIED / "tokenizer.json").read_text())
        self.refuse("export", tokenizer({"normalizer": {"type": "Lowercase"}}), "--to", "gguf", "-o", self.directory / "m.gguf",
                    says=("normalizer", "Lowercase"))
        stripping = [{**token, "lstrip": True} for token in original["added_tokens"]]
        said = dpo("export", tokenizer({"added_tokens": stripping}), "--to", "gguf", "-o", self.directory / "strip.gguf")
        self.assertEqual((said.returncode, "lstrip" in said.stderr), (0, True), said.stderr)
        said = dpo("export", FIXTURES / "models" / "mistral", "--to", "gguf", "-o", self.directory / "mistral.gguf")
        self.assertEqual((said.returncode, "without a window" in said.stderr), (0, True), said.stderr)

    def test_no_token_stands_twice_in_a_gguf(self) -> None:
        original = json.loads((FIXTURES / "models" / "qwen2" / "tokenizer.json").read_text())
        odd = {"content": "[PAD390]", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
        model = self.changed("qwen2", tokenizer__json={"added_tokens": [*original["added_tokens"], {**odd, "id": 383}]})
        self.run_dpo("export", model, "--to", "gguf", "-o", self.directory / "m.gguf")
        tokens = GGUF((self.directory / "m.gguf").read_bytes()).keys["tokenizer.ggml.tokens"][1][1]
        self.assertEqual(len(set(tokens)), len(tokens))


class GenerationReports(Report):
    """What generation_config.json asks of answers."""

    def model(self, **settings: object) -> pathlib.Path:
        model = self.directory / "m"
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(UNTIED, model, copy_function=shutil.copyfile)
        path = model / "generation_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
        return model

    def drawn(self, model: pathlib.Path, **options: object) -> "list[list[int]]":
        flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
        out = self.run_dpo("generate", model, "--prompt", reports.SUPPRESSED["prompt"], "--json", *flags)
        return json.loads(out)["rows"][0]["token_ids"]

    def test_suppressed_tokens_are_never_drawn(self) -> None:
        right = RIGHT["suppressed"]
        model = self.model(suppress_tokens=[*right["suppress_tokens"], -1, 10**6])
        greedy = {"temperature": 0, "max_new_tokens": reports.SUPPRESSED["new_tokens"]}
        self.assertEqual(self.drawn(model, **greedy), [right["tokens"]])
        for form, name in (("gguf", "m.gguf"), ("safetensors", "folder"), ("hdf5", "m.h5")):
            out = self.directory / name
            self.run_dpo("export", model, "--to", form, "-o", out)
            self.assertEqual(self.drawn(out, **greedy), [right["tokens"]], form)
        self.run_dpo("export", self.directory / "m.gguf", "--to", "safetensors", "-o", self.directory / "back")
        self.assertEqual(self.drawn(self.directory / "back", **greedy), [right["tokens"]])
        self.assertEqual(GGUF((self.directory / "m.gguf").read_bytes()).keys["tokenizer.ggml.suppress_tokens"],
                         (ARRAY, (5, right["suppress_tokens"])))

    def test_the_others_share_their_probability(self) -> None:
        some = [40, 67, 364]
        model = self.model(suppress_tokens=[token for token in range(380) if token not in some], eos_token_id=None)
        for warpers in ({}, {"top_k": 5}, {"top_p": 0.999}, {"min_p": 0.001}):
            drawn = self.drawn(model, temperature=50, max_new_tokens=4, num_return_sequences=64, **warpers)
            self.assertEqual({token for answer in drawn for token in answer}, set(some), warpers)

    def test_what_is_not_applied_is_named(self) -> None:
        model = self.model(begin_suppress_tokens=[5], bad_words_ids=[[5]], forced_eos_token_id=2, repetition_penalty=1.0)
        said = json.loads(self.run_dpo("inspect", model, "--json"))["tokenizer"]["warnings"]
        self.assertEqual([text.split()[0] for text in said], ["begin_suppress_tokens", "bad_words_ids", "forced_eos_token_id"])


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

    def resumed(self, model: pathlib.Path, options: "tuple") -> "tuple[pathlib.Path, pathlib.Path]":
        """A whole run, and one that goes on at another time from its checkpoint of step 2."""
        whole, resumed = self.directory / f"{model.name}-whole", self.directory / f"{model.name}-resumed"
        self.run_dpo("train", model, "--output-dir", whole, *options, env=self.FIRST)
        resumed.mkdir()
        shutil.copyfile(whole / "checkpoint-2.h5", resumed / "checkpoint-2.h5")
        self.run_dpo("train", model, "--output-dir", resumed, *options, "--resume-from-checkpoint", "last", env=self.LATER)
        return whole, resumed

    def assertSameEnd(self, whole: pathlib.Path, resumed: pathlib.Path) -> None:
        self.assertEqual(*[{k: v for k, v in rows(path / "metrics.jsonl")[-1].items() if k != "seconds"} for path in (whole, resumed)])

    def test_a_run_keeps_its_date(self) -> None:
        options = ("--data", self.data, "--max-steps", 4, "--save-steps", 2, "--lora-r", 2, "--learning-rate", "1e-2")
        self.assertSameEnd(*self.resumed(self.model, options))

    def test_evaluation_and_plan_keep_the_date_too(self) -> None:
        """A template that writes as many words as the hour: packed rows, and with them steps and rates, differ."""
        (self.model / "chat_template.jinja").write_text(
            "{% for _ in range(strftime_now('%H') | int + 1) %}word {% endfor %}" + reports.CHATML)
        messages = write_rows(self.directory / "messages.jsonl", *[
            {"messages": [reports.chat("user", f"Name {n}"), reports.chat("assistant", "Loire")]} for n in range(12)])
        options = ("--method", "sft", "--packing", "--max-length", 200, "--data", messages, "--eval-data", messages, "--save-steps", 1,
                   "--num-train-epochs", 2, "--lora-r", 2, "--per-device-train-batch-size", 1, "--learning-rate", "1e-2")
        whole, resumed = self.directory / "whole", self.directory / "resumed"
        self.run_dpo("train", self.model, "--output-dir", whole, *options, env={"TZ": "AAA-12"})
        resumed.mkdir()
        shutil.copyfile(whole / "checkpoint-1.h5", resumed / "checkpoint-1.h5")
        self.run_dpo("train", self.model, "--output-dir", resumed, *options, "--resume-from-checkpoint", "last", env={"TZ": "AAA+4"})
        logs = [[{k: v for k, v in line.items() if k != "seconds"} for line in rows(path / "metrics.jsonl")][1:] for path in (whole, resumed)]
        self.assertEqual(logs[0][-len(logs[1]):], logs[1])
        self.assertGreater(len(logs[1]), 2)

    def test_a_run_that_is_resumed_twice_keeps_its_date(self) -> None:
        options = ("--data", self.data, "--max-steps", 6, "--save-steps", 2, "--lora-r", 2, "--learning-rate", "1e-2")
        whole, resumed = self.resumed(self.model, options)
        for name in ("checkpoint-6.h5", "final.h5"):
            (resumed / name).unlink(missing_ok=True)
        self.run_dpo("train", self.model, "--output-dir", resumed, *options, "--resume-from-checkpoint", "last", env={"TZ": "Etc/GMT+9"})
        self.assertSameEnd(whole, resumed)

    def test_so_does_the_reward_model_of_a_run(self) -> None:
        """Whether the policy's template asks for the date, too, or the reward model's alone."""
        base = FIXTURES / "models" / "llama-tied"
        dated = self.directory / "dated"
        shutil.copytree(base, dated, copy_function=shutil.copyfile)
        (dated / "chat_template.jinja").write_text("{{ strftime_now('%d %b %Y %H:%M') }}" + (base / "chat_template.jinja").read_text())
        self.run_dpo("train", dated, "--method", "reward", "--data", self.data, "--max-steps", 1, "--output-dir", self.directory / "judge")
        prompts = write_rows(self.directory / "prompts.jsonl", *[{"prompt": [reports.chat("user", f"Name river {n}")]} for n in range(6)])
        for policy in (base, dated):
            options = ("--data", prompts, "--method", "grpo", "--reward-model", self.directory / "judge" / "final.h5", "--num-generations", 2,
                       "--max-completion-length", 4, "--per-device-train-batch-size", 2, "--max-steps", 4, "--save-steps", 2, "--lora-r", 2)
            self.assertSameEnd(*self.resumed(policy, options))

    def test_samples_keep_their_date(self) -> None:
        prompts = write_rows(self.directory / "prompts.jsonl", *[{"prompt": [reports.chat("user", f"Name {n}")]} for n in range(90)])
        whole, part = self.directory / "whole.jsonl", self.directory / "part.jsonl"
        draw = ("sample", self.model, "--data", prompts, "--max-new-tokens", 4, "-o")
        self.run_dpo(*draw, whole, env=self.FIRST)
        lines = whole.read_text().splitlines(keepends=True)
        part.write_text("".join(lines[:30]))
        self.run_dpo(*draw, part, env=self.LATER)
        self.assertEqual(part.read_text(), whole.read_text())

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

    def test_labels_keep_their_date(self) -> None:
        """A reward model that was begun with at one time judges the rest at that time."""
        base, reward = FIXTURES / "models" / "llama-tied", FIXTURES / "adapters" / "llama-tied-lora-reward-chat-final"
        model = self.directory / "reward"
        shutil.copytree(base, model, copy_function=shutil.copyfile)
        template = (base / "chat_template.jinja").read_text()
        (model / "chat_template.jinja").write_text("{{ strftime_now('%d %b %Y %H:%M') }}" + template)
        data = write_rows(self.directory / "samples.jsonl", *[
            {"prompt": [reports.chat("user", f"Story {n} is")], "completions": [" good.", " bad and long."]} for n in range(4)])
        whole, part, other = (self.directory / name for name in ("whole.jsonl", "part.jsonl", "other.jsonl"))
        label = ("label", "--reward-model", model, "--adapter", reward, "--data", data, "--form", "scores", "-o")
        self.run_dpo(*label, whole, env=self.FIRST)
        log = pathlib.Path(f"{whole}.log").read_text().splitlines(keepends=True)
        pathlib.Path(f"{part}.log").write_text("".join(log[:2]))
        self.run_dpo(*label, part, env=self.LATER)
        self.run_dpo(*label, other, env=self.LATER)
        self.assertEqual(part.read_text(), whole.read_text())
        self.assertNotEqual(other.read_text(), whole.read_text())


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


    def test_so_are_means_over_tokens(self) -> None:
        """Likelihood terms of cpo, orpo and sft are ratios of sums over all rows."""
        data = write_rows(self.directory / "rows.jsonl", *rows(FIXTURES / "data" / "pairs.jsonl")[:9])
        for method in (("cpo",), ("orpo",), ("dpo", "--loss-type", "sigmoid,sft"), ("sft",), ("reward",)):
            found = []
            for size in (1, 4, 9):
                flags = ("--method", *method, "--per-device-eval-batch-size", size, "--json")
                model = self.reward_model() if method == ("reward",) else UNTIED
                told = json.loads(self.run_dpo("evaluate", model, "--data", data, *flags))
                errors = told.pop("standard_errors")
                found.append({**told, **{f"standard error of {name}": value for name, value in errors.items()}})
            for other in found[1:]:
                for name, value in found[0].items():
                    self.assertNear(other[name], value, 1e-5, f"{method} {name}")

    def reward_model(self) -> pathlib.Path:
        path = self.directory / "reward"
        if not path.exists():
            self.run_dpo("train", UNTIED, "--method", "reward", "--data", FIXTURES / "data" / "pairs.jsonl", "--max-steps", 1,
                         "--output-dir", path)
        return path / "final.h5"


class TemplateColumnReports(Report):
    """What chat templates read besides messages goes from prompts to samples, labels and training."""

    TOOL = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
    TEMPLATE = "TOOLS {{ tools | length if tools else 0 }}{{ mood }}{% for m in messages %}{{ m.content }};{% endfor %}"

    def test_samples_and_labels_see_tools(self) -> None:
        model = self.directory / "model"
        shutil.copytree(UNTIED, model, copy_function=shutil.copyfile)
        (model / "chat_template.jinja").write_text(self.TEMPLATE)
        ask = [reports.chat("user", "How warm?")]
        columns = [{"tools": self.TOOL}, {"tools": json.dumps(self.TOOL), "chat_template_kwargs": {"mood": " glad "}}, {"tools": None}]
        plain = ["TOOLS 1How warm?;", "TOOLS 1 glad How warm?;", "TOOLS 0How warm?;"]    # as jinja2 writes them
        draw = ("--num-return-sequences", 3, "--max-new-tokens", 6, "--temperature", 1.5)
        found = {}
        for name, prompts in (("chat", [{"prompt": ask, **more} for more in columns]), ("text", [{"prompt": text} for text in plain])):
            data, output = write_rows(self.directory / f"{name}.jsonl", *prompts), self.directory / f"{name}-samples.jsonl"
            self.run_dpo("sample", model, "--data", data, "-o", output, *draw)
            found[name] = rows(output)
            made = json.loads(self.run_dpo("generate", model, "--data", data, "--json", *draw))["rows"]
            self.assertEqual([row["completions"] for row in made], [row["completions"] for row in found[name]])
        self.assertEqual([row["completions"] for row in found["chat"]], [row["completions"] for row in found["text"]])
        self.run_dpo("sample", model, "--data", self.directory / "chat.jsonl", "-o", self.directory / "chat-samples.jsonl", *draw)
        self.assertEqual(rows(self.directory / "chat-samples.jsonl"), found["chat"])
        kept = [{"tools": self.TOOL}, {"tools": self.TOOL, "chat_template_kwargs": {"mood": " glad "}}, {}]
        judge = "while read -r line; do echo '{\"scores\": [1, 2, -3]}'; done"
        for form in ("best-worst", "all-pairs", "scores", "best", "thumbs"):
            output = self.directory / f"{form}.jsonl"
            self.run_dpo("label", "--data", self.directory / "chat-samples.jsonl", "--command", judge, "--form", form, "-o", output)
            made = rows(output)
            each = len(made) // 3
            self.assertEqual([{key: row[key] for key in ("tools", "chat_template_kwargs") if key in row} for row in made],
                             [columns for columns in kept for _ in range(each)], form)

    def test_a_reward_model_sees_tools(self) -> None:
        base = FIXTURES / "models" / "llama-tied"
        model = self.directory / "reward"
        shutil.copytree(base, model, copy_function=shutil.copyfile)
        template = (base / "chat_template.jinja").read_text()
        (model / "chat_template.jinja").write_text("{{ tools | length if tools else 0 }}" + template)
        scored = {}
        for name, more in (("with", {"tools": self.TOOL}), ("without", {})):
            data = write_rows(self.directory / f"{name}.jsonl", {
                "prompt": [reports.chat("user", "Story is")], "completions": [" good.", " bad and long."], **more})
            output = self.directory / f"{name}-labelled.jsonl"
            reward = (model, "--adapter", FIXTURES / "adapters" / "llama-tied-lora-reward-chat-final")
            self.run_dpo("label", "--reward-model", *reward, "--data", data, "-o", output)
            scored[name] = rows(output)[0]
            # `dpo score` says the same of the labelled pair, which has the tools.
            score = json.loads(self.run_dpo("score", *reward, "--data", output, "--json"))["rows"][0]
            self.assertNear(scored[name]["score_chosen"], score["chosen"], 1e-5)
        self.assertNotEqual(scored["with"]["score_chosen"], scored["without"]["score_chosen"])

    def test_prompts_with_columns_of_another_kind_are_refused(self) -> None:
        ask = {"prompt": [reports.chat("user", "How warm?")]}
        for more, says in (({"tools": {}}, '"tools" is an object; expected a list'), ({"tools": "[1"}, '"tools"'),
                           ({"chat_template_kwargs": []}, '"chat_template_kwargs" is an array; expected an object')):
            data = write_rows(self.directory / "bad.jsonl", ask, {**ask, **more})
            self.refuse("sample", UNTIED, "--data", data, "-o", self.directory / "out.jsonl", says=("line 2", says))
            data = write_rows(self.directory / "bad.jsonl", {**ask, **more, "completions": ["a", "b"]})
            self.refuse("label", "--command", "cat", "--data", data, "-o", self.directory / "out.jsonl", says=("line 1", says))


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

    def test_nulls_in_feedback_and_prompts_of_some_rows(self) -> None:
        feedback = write_rows(self.directory / "fb.jsonl", {
            "id": 1, "time": 1, "prompt": "x", "completion": " y", "label": True, "chosen": None, "rejected": None, "weight": None})
        self.run_dpo("feedback", "status", feedback)
        for order in ((reports.CHAT["prompt"], None), (None, reports.CHAT["prompt"]), ("Name a river.", None)):
            data = write_rows(self.directory / "rows.jsonl", *[{**reports.WHOLE, "prompt": prompt} for prompt in order])
            self.assertEqual(self.tokens(UNTIED, data), self.tokens(UNTIED, write_rows(self.directory / "same.jsonl", reports.CHAT, reports.CHAT)))

    def test_prompts_are_inspected_as_the_method_reads_them(self) -> None:
        prompts = write_rows(self.directory / "prompts.jsonl", {"prompt": "a"}, {"prompt": "b"})
        self.assertIn("(prompts)", self.run_dpo("inspect", prompts, "--model", UNTIED, "--method", "grpo"))
        self.assertIn("prompts", self.run_dpo("inspect", prompts))
        self.assertIn("(unpaired)", self.run_dpo(
            "inspect", write_rows(self.directory / "rows.jsonl", reports.PAIR), "--model", UNTIED, "--method", "kto"))

    def test_more_seconds_than_a_clock_has(self) -> None:
        feedback = write_rows(self.directory / "fb.jsonl", *[
            {"prompt": f"x {n}", "completion": " y", "label": n % 2 == 0} for n in range(4)])
        self.run_dpo("feedback", "train", UNTIED, feedback, "--output-dir", self.directory / "learnt", "--min-records", 1,
                     "--num-train-epochs", 1, "--max-seconds", "1e300")

    def test_columns_that_are_not_read_are_named(self) -> None:
        path = write_rows(self.directory / "rows.jsonl", *[
            {"system": "s", "question": "Name a river.", "chosen": f" Loire {n}", "rejected": " tree"} for n in range(2)])
        said = self.run_dpo("inspect", path, "--model", UNTIED)
        self.assertIn('columns not read: "system", "question"', said)
        self.assertIn('"question" is not read; if it is meant, call it "prompt"', said)

    def test_other_spellings_of_a_column_are_named(self) -> None:
        for row, says in (({"Prompt": "a", "Chosen": "b", "Rejected": "c"}, 'call "Chosen" "chosen"'),
                          ({"prompt": "a", " chosen": "b", "rejected": "c"}, 'call " chosen" "chosen"'),
                          ({"chosen": [{"from": "human", "value": "a"}], "rejected": []}, 'call "from" "role"')):
            self.refuse("inspect", write_rows(self.directory / "rows.jsonl", row), says=(says,))
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            path = self.directory / "rows.csv"
            path.write_text("prompt,chosen,rejected\na,b,c\n".replace(",", mark))
            self.refuse("inspect", path, says=(f"the columns have {name} between them",))

    def test_parts_and_tools_of_another_kind_are_named(self) -> None:
        picture = {**reports.CHAT, "prompt": [reports.chat("user", [{"type": "image", "image": "x"}])]}
        self.refuse("inspect", write_rows(self.directory / "rows.jsonl", picture), says=('holds a part of type "image"',))
        data = write_rows(self.directory / "rows.jsonl", {**reports.CHAT, "tools": [reports.TOOL, None]})
        self.refuse("inspect", data, says=('"tools"[1] is null',))

    def test_a_pointer_in_the_place_of_a_file(self) -> None:
        """A clone without Git LFS: the safetensors header was said to have 2336927755350992246 bytes."""
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n"
        model = self.directory / "m"
        shutil.copytree(UNTIED, model, copy_function=shutil.copyfile)
        (model / "model.safetensors").write_text(pointer)
        (self.directory / "m.gguf").write_text(pointer)
        for path in (model, self.directory / "m.gguf"):
            self.refuse("inspect", path, says=("git lfs pull",), silent=("cut off", "bytes"))

    def test_a_tokenizer_in_another_form(self) -> None:
        model = self.directory / "m"
        shutil.copytree(UNTIED, model, copy_function=shutil.copyfile)
        (model / "tokenizer.json").rename(model / "tokenizer.model")
        self.refuse("tokenize", model, "--text", "x", says=("no tokenizer.json", "tokenizer.model", "save_pretrained"))

    def test_a_number_that_does_not_fit_is_given_a_form_that_holds_it(self) -> None:
        from safetensors.numpy import load_file, save_file

        model = self.directory / "m"
        shutil.copytree(UNTIED, model, copy_function=shutil.copyfile)
        tensors = load_file(model / "model.safetensors")
        tensors["model.norm.weight"][0] = 3.4e38
        save_file(tensors, model / "model.safetensors")
        self.refuse("export", model, "--to", "safetensors", "--dtype", "bf16", "-o", self.directory / "out",
                    says=("bf16 cannot hold; write f32\n",))

    def test_columns_that_the_method_does_not_read_are_named(self) -> None:
        row = {"prompt": "Name a river.", "chosen": " Loire", "rejected": " tree"}
        data = write_rows(self.directory / "rows.jsonl", *[
            {**row, "margin": 1.5, "ref_chosen_logps": -4.0, "ref_rejected_logps": -5.0}] * 2)
        margin, sums = '"margin" is not read', '"ref_chosen_logps" and "ref_rejected_logps" are not read'
        for options, said in ((("--method", "cpo"), {margin: True, sums: True}), (("--method", "dpo"), {margin: True, sums: False}),
                              (("--reference-free",), {margin: True, sums: True}), (("--method", "reward"), {margin: False, sums: True})):
            done = dpo("train", UNTIED, "--data", data, "--max-steps", 1, "--output-dir", self.directory / "-".join(options), *options)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual({text: text in done.stderr for text in said}, said, options)
        self.assertNotIn("nothing stands out", said)

    def test_a_method_says_what_it_needs_of_rows(self) -> None:
        data = write_rows(self.directory / "rows.jsonl", reports.PAIR)
        self.refuse("train", UNTIED, "--method", "ranked", "--data", write_rows(self.directory / "text.jsonl", {"text": "x"}),
                    "--output-dir", self.directory / "run", says=('"completions"', '"text"'))
        self.run_dpo("train", UNTIED, "--method", "kto", "--data", data, "--max-steps", 1, "--output-dir", self.directory / "kto")


if __name__ == "__main__":
    unittest.main()
