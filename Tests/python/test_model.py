"""Levels 2 and 5 through Python: models that score, tokenise and generate; inspect and export."""

import array
import copy
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import unittest
import zlib

import libdpo
import numpy
import safetensors.numpy
from support import FIXTURES, MODEL, PAIRS, SMOLLM2, Case, golden, rows

FAMILIES = ("gpt2", "llama-tied", "llama-untied", "mistral", "qwen2", "qwen3")


class Scores(Case):
    def test_token_scores_are_those_of_transformers(self) -> None:
        for name in FAMILIES:
            expected = golden(f"models/{name}.json")["pairs"]
            with libdpo.Model(FIXTURES / "models" / name, threads=2) as model:
                prompts = [pair["prompt_ids"] for pair in expected]
                completions = [pair[key] for pair in expected for key in ("chosen_ids", "rejected_ids")]
                parents = [index // 2 for index in range(2 * len(prompts))]
                sums, tokens = model.score_tokens(prompts, completions, parents)
                for index, pair in enumerate(expected):
                    for offset, side in enumerate(("chosen", "rejected")):
                        self.assertNear(sums[2 * index + offset], pair[side], 1e-5, name)
                        found = tokens[2 * index + offset]
                        self.assertEqual(len(found), len(pair[f"{side}_logps"]))
                        self.assertLess(float(numpy.abs(found - pair[f"{side}_logps"]).max()), 2e-4)

    def test_handles_are_closed_once_and_not_copied(self) -> None:
        model = libdpo.Model(MODEL, threads=1)
        for copied in (copy.copy, copy.deepcopy, pickle.dumps):
            with self.assertRaisesRegex(TypeError, "a Model cannot be copied or pickled"):
                copied(model)
        single, listed = model.score("the", " film"), model.score(["the"], [" film"])
        self.assertEqual(single, listed)
        model.close()
        model.close()
        with self.assertRaisesRegex(ValueError, "the Model is closed"):
            model.info
        # What lives until the end of the process says nothing there.
        program = f"import libdpo, sys\nsys.kept = libdpo.Model({str(MODEL)!r})\nsys.kept.self = sys.kept\nsys.modules['libdpo._native'].lib = None"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_arrays_of_any_kind(self) -> None:
        model = libdpo.Model(MODEL, threads=1)
        expected, _ = model.score_tokens([[1, 2, 3]], [[4, 5]])
        for kind in (lambda x: array.array("i", x), tuple, lambda x: numpy.array(x, numpy.int32), numpy.array):
            found, tokens = model.score_tokens([kind([1, 2, 3])], [kind([4, 5])])
            self.assertEqual(found[0], expected[0])
            self.assertEqual(len(tokens[0]), 2)

    def test_an_empty_prompt_predicts_nothing_of_the_first_token(self) -> None:
        model = libdpo.Model(MODEL, threads=1)
        sums, tokens = model.score_tokens([[]], [[5, 6, 7]])
        self.assertEqual(tokens[0][0], 0)
        self.assertNear(sums[0], float(sum(tokens[0])), 1e-6)

    def test_texts_count_the_end_of_sequence(self) -> None:
        model = libdpo.Model(MODEL, threads=1)
        score = model.score(["The film was"], [" good."])[0]
        joint = model.encode("The film was good.")
        prompt = model.encode("The film was")
        completion = joint[len(prompt) :] + [model.info.eos_token]
        sums, _ = model.score_tokens([prompt], [completion])
        self.assertEqual(score.tokens, len(completion))
        self.assertNear(score.logp, sums[0], 1e-6)

    def test_refused(self) -> None:
        model = libdpo.Model(MODEL, threads=1)
        for call in (
            lambda: model.score(["a"], []),
            lambda: model.score_tokens([[1]], [[2]], [7]),
            lambda: model.score_tokens([[1]], [[10**6]]),
            lambda: model.score_tokens([[1]], [[-1]]),
            lambda: model.score_tokens([[1]], [[2**40]]),
            lambda: model.score_tokens([[1] * 100_000], [[2]]),
            lambda: model.score(["a\0b"], ["c"]),
            lambda: libdpo.Model(MODEL, threads=-1),
            lambda: libdpo.Model(PAIRS),
        ):
            self.assertRaises(ValueError, call)
        self.assertRaises(OSError, libdpo.Model, self.directory / "none.gguf")
        with libdpo.Model(MODEL) as closed:
            pass
        self.assertRaises(ValueError, closed.encode, "x")


    def test_a_file_that_is_cut_while_its_weights_are_in_use(self) -> None:
        path = self.directory / "model.gguf"
        libdpo.export(MODEL, "gguf", path)
        mapped, copied = libdpo.Model(path, threads=1), libdpo.Model(path, threads=1, use_mmap=False)
        expected = mapped.score_tokens([[1, 2, 3]], [[4, 5]])[0][0]
        self.assertEqual(copied.score_tokens([[1, 2, 3]], [[4, 5]])[0][0], expected)
        os.truncate(path, 4096)
        with self.assertRaisesRegex(OSError, "model.gguf: the file was changed while its weights were in use"):
            mapped.score_tokens([[1, 2, 3]], [[4, 5]])
        self.assertEqual(copied.score_tokens([[1, 2, 3]], [[4, 5]])[0][0], expected)


class Text(Case):
    def test_encode_decode_and_template(self) -> None:
        model = libdpo.Model(MODEL)
        text = "Straße, naïve café: très bien! 👍🏽 今天天气很好。\0end"
        self.assertEqual(model.decode(model.encode(text, add_special_tokens=False)), text)
        for ids in ([-1], [1, 2**31 - 1], [model.info.vocabulary_size]):
            self.assertRaisesRegex(ValueError, r"ids\[\d\] is -?\d+", model.decode, ids)
        self.assertEqual(model.encode("", add_special_tokens=False), [])
        rendered = model.apply_chat_template([{"role": "user", "content": "Grüße"}], add_generation_prompt=True)
        self.assertIn("Grüße", rendered)
        self.assertGreater(len(rendered), len(model.apply_chat_template([{"role": "user", "content": "Grüße"}])))
        self.assertRaises(ValueError, model.apply_chat_template, {"role": "user"})

    def test_info(self) -> None:
        info = libdpo.Model(MODEL).info
        self.assertEqual((info.architecture, info.format, info.has_adapter), ("llama", "huggingface", False))
        self.assertEqual(info.vocabulary_size, libdpo.inspect(MODEL)["configuration"]["vocab_size"])
        self.assertTrue(info.has_chat_template)


class Generation(Case):
    def test_greedy_is_that_of_transformers(self) -> None:
        for name in ("llama-tied", "gpt2"):
            model = libdpo.Model(FIXTURES / "models" / name, threads=2)
            for expected in golden(f"models/{name}.json")["greedy"]:
                prompt = model.decode(expected["prompt_ids"])
                if model.encode(prompt, add_special_tokens=False) != expected["prompt_ids"]:
                    continue
                made = model.generate(
                    prompt, temperature=0, max_new_tokens=len(expected["token_ids"]), add_special_tokens=False
                )[0][0]
                self.assertEqual(made.token_ids, expected["token_ids"][: len(made.token_ids)])

    def test_a_prompt_keeps_the_bos_that_it_begins_with(self) -> None:
        """One, as in training and in `dpo generate`; `encode` puts another one, as `tokenizers` does."""
        model = libdpo.Model(FIXTURES / "models" / "llama-tied", threads=2)
        bos = "<|begin_of_text|>"
        self.assertEqual(model.encode(bos + "Name"), [380, *model.encode("Name")])
        made = [model.generate(prompt, temperature=0, max_new_tokens=8) for prompt in ("Name a river", bos + "Name a river")]
        plain = model.generate(bos + "Name a river", temperature=0, max_new_tokens=8, add_special_tokens=False)
        self.assertEqual(made, [plain, plain])

    def test_seeded_streamed_and_stopped(self) -> None:
        model = libdpo.Model(MODEL, threads=2)
        options = {"max_new_tokens": 8, "num_return_sequences": 2, "seed": 7}
        seen = []
        made = model.generate(["The film was", "She said:"], on_token=lambda *token: seen.append(token) or False, **options)
        self.assertEqual([len(row) for row in made], [2, 2])
        self.assertEqual(len(seen), sum(len(item.token_ids) for row in made for item in row))
        self.assertEqual(made, model.generate(["The film was", "She said:"], **options))
        self.assertEqual(made[0], model.generate("The film was", **options)[0])
        self.assertRaises(libdpo.CancelledError, model.generate, "x", on_token=lambda *_: True)

        def fail(*_: object) -> bool:
            raise KeyError("mine")

        self.assertRaises(KeyError, model.generate, "x", on_token=fail)
        self.assertIn(len(model.generate("The film was", precision="bf16", max_new_tokens=8)[0][0].token_ids), range(1, 9))
        for wrong in ({"max_new_tokens": 0}, {"temperature": -1}, {"top_p": 0}, {"num_return_sequences": 0}, {"num_return_sequences": 2**31 - 1}, {"precision": "int4"}):
            self.assertRaises(ValueError, model.generate, "x", **wrong)


class Cancel(Case):
    def test_another_thread_ends_a_call_and_the_next_one_runs(self) -> None:
        with libdpo.Model(SMOLLM2, threads=1) as model:
            for call in (
                lambda: model.generate("The film", max_new_tokens=64, num_return_sequences=64),
                lambda: model.score(["The film was"] * 2000, [" good and long and winding" * 20] * 2000),
            ):
                timer = threading.Timer(0.5, model.cancel)
                timer.start()
                start = time.monotonic()
                self.assertRaises(libdpo.CancelledError, call)
                self.assertLess(time.monotonic() - start, 30)
                timer.join()
            model.cancel()  # nothing is running: it does not count later
            self.assertEqual(len(model.score(["a"], [" b"])), 1)

    def test_control_c_ends_a_call_without_callback(self) -> None:
        program = """
            import os, signal, sys, threading, libdpo
            model = libdpo.Model(sys.argv[1], threads=1)
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                model.generate("The film", max_new_tokens=64, num_return_sequences=64)
            except KeyboardInterrupt:
                print("interrupted", len(model.generate("The film", max_new_tokens=1)))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), str(SMOLLM2)], capture_output=True, text=True, timeout=120,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where background jobs ignore it
        )
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "interrupted 1"), done.stderr)


class Files(Case):
    def test_numbers_that_a_format_cannot_hold_are_errors_and_nothing_is_written(self) -> None:
        changed = self.directory / "large"
        shutil.copytree(FIXTURES / "models" / "llama-tied", changed)
        name = "model.layers.1.mlp.down_proj.weight"
        tensors = safetensors.numpy.load_file(changed / "model.safetensors")
        for value, refused in ((65519.0, []), (65520.0, ["f16"]), (-9e6, ["f16", "q8_0"]), (3.4e38, ["f16", "bf16", "q8_0"])):
            tensors[name] = tensors[name].copy()
            tensors[name][3, 5] = value
            safetensors.numpy.save_file(tensors, changed / "model.safetensors", metadata={"format": "pt"})
            for dtype in ("f16", "bf16", "q8_0"):
                output = self.directory / f"{dtype}.gguf"
                if dtype in refused:
                    with self.assertRaisesRegex(libdpo.UnsupportedError, rf"blk.1.ffn_down.weight: number \d+ is .*{dtype}"):
                        libdpo.export(changed, "gguf", output, dtype=dtype)
                    self.assertFalse(output.exists())
                else:
                    libdpo.export(changed, "gguf", output, dtype=dtype)
                    self.assertTrue(numpy.isfinite(libdpo.Model(output).score_tokens([[1, 2]], [[3]])[0][0]))
                    output.unlink()

    def test_inspect(self) -> None:
        found = libdpo.inspect(MODEL)
        self.assertEqual((found["kind"], found["architecture"]), ("model", "llama"))
        self.assertTrue(all(set(tensor) >= {"name", "dtype", "shape"} for tensor in found["tensors"]))
        self.assertRaises(OSError, libdpo.inspect, self.directory / "none")

    def test_every_export_gives_the_same_scores(self) -> None:
        adapter = FIXTURES / "adapters" / "llama-tied-random"
        pair = rows(PAIRS)[0]
        expected = libdpo.Model(MODEL, adapter).score([pair["prompt"]], [pair["chosen"]])[0].logp
        plain = libdpo.Model(MODEL).score([pair["prompt"]], [pair["chosen"]])[0].logp
        self.assertNotAlmostEqual(expected, plain, 3)
        for to in ("safetensors", "gguf", "hdf5"):
            output = self.directory / f"merged-{to}"
            libdpo.export(MODEL, to, output, adapter=adapter, merge=True)
            found = libdpo.Model(output).score([pair["prompt"]], [pair["chosen"]])[0].logp
            self.assertNear(found, expected, 1e-4, to)
            self.assertRaises(libdpo.DPOError, libdpo.export, MODEL, to, output, adapter=adapter, merge=True)
            libdpo.export(MODEL, to, output, adapter=adapter, merge=True, overwrite=True)
        for to in ("peft", "gguf-lora", "hdf5"):
            output = self.directory / f"adapter-{to}"
            libdpo.export(adapter, to, output, base=MODEL)
            found = libdpo.Model(MODEL, output).score([pair["prompt"]], [pair["chosen"]])[0].logp
            self.assertNear(found, expected, 1e-4, to)
        self.assertRaises(ValueError, libdpo.export, MODEL, "onnx", self.directory / "x")
        self.assertRaises(ValueError, libdpo.export, MODEL, "gguf", self.directory / "x", dtype="f8")
        self.assertRaises(ValueError, libdpo.export, MODEL, "peft", self.directory / "x")


class RealModel(Case):
    """The quantised GGUF against transformers in double precision on the same dequantised weights."""

    def test_smollm2(self) -> None:
        expected = golden("smollm2.json")
        with libdpo.Model(SMOLLM2) as model:
            for text in expected["texts"]:
                self.assertEqual(model.encode(text["text"]), text["ids"])
                sums, tokens = model.score_tokens([[]], [text["ids"]])
                self.assertLess(abs(sums[0] - text["sum"]), 1e-4)
                for found, value in zip(tokens[0][1:], text["logps"], strict=True):
                    self.assertLess(abs(found - value), 5e-5)
            for pair in expected["pairs"]:
                sums, tokens = model.score_tokens([pair["prompt_ids"]], [pair["chosen_ids"], pair["rejected_ids"]], [0, 0])
                self.assertLess(abs(sums[0] - pair["chosen"]), 1e-4)
                self.assertLess(abs(sums[1] - pair["rejected"]), 1e-4)
            for row in expected["greedy"]:
                prompt = model.decode(row["prompt_ids"])
                self.assertEqual(model.encode(prompt), row["prompt_ids"])
                found = model.generate(prompt, max_new_tokens=len(row["token_ids"]), temperature=0)
                self.assertEqual(list(found[0][0].token_ids), row["token_ids"])

    def test_tokens_of_many_texts(self) -> None:
        expected = golden("texts.json")
        with libdpo.Model(SMOLLM2) as model:
            for text, wanted in zip(expected["texts"], expected["smollm2"].split(), strict=True):
                ids = model.encode(text)
                found = zlib.crc32(" ".join(map(str, ids)).encode())
                self.assertEqual(f"{found:08x}", wanted, (text, ids))


if __name__ == "__main__":
    unittest.main()
