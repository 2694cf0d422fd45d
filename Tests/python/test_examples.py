"""The examples do what they say: C programs as their first comment compiles them, Swift and Python programs."""

import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import unittest

from support import BUILD, FIXTURES, PAIRS, ROOT, Case, corpus_files, golden, run

MODEL = FIXTURES / "gguf" / "llama-tied.gguf"
LIBRARY = {"PKG_CONFIG_PATH": f"{BUILD}/lib/pkgconfig", "LD_LIBRARY_PATH": f"{BUILD}/lib"}


def text_folder(case: Case) -> "os.PathLike[str]":
    folder = case.directory / "texts"
    folder.mkdir()
    (folder / "documents.jsonl").symlink_to(FIXTURES / "data" / "documents.jsonl")
    return folder


class PPOCurve:
    @staticmethod
    def check(case: unittest.TestCase, text: str) -> None:
        """40 steps, four a rollout: at first the policy is its reference, then it has moved."""
        found = re.findall(r"step (\d+): score (-?[\d.]+), KL (-?[\d.]+)", text)
        case.assertEqual([int(step) for step, _, _ in found], list(range(1, 41)))
        case.assertEqual({float(kl) for _, _, kl in found[:4]}, {0.0})
        case.assertNotEqual(float(found[-1][2]), 0.0)


class CExamples(Case):
    def build(self, name: str) -> "os.PathLike[str]":
        source = ROOT / "examples/c" / f"{name}.c"
        command = re.search(r"cc -std=c99 (\S+\.c) \$\((pkg-config [^)]*)\)", source.read_text())
        self.assertEqual(command.group(1), source.name)
        flags = run(*command.group(2).split(), env=LIBRARY).stdout.split()
        program = self.directory / name
        strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        built = run("cc", "-std=c99", *strict, source, *flags, "-o", program)
        self.assertEqual(built.returncode, 0, built.stderr)
        self.assertLessEqual(len(source.read_text().splitlines()), 150)
        return program

    def test_losses(self) -> None:
        done = run(self.build("losses"), env=LIBRARY)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("DPO loss 0.581637", done.stdout)

    def test_logps(self) -> None:
        program = self.build("logps")
        done = run(program, MODEL, env=LIBRARY)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r'log p\(" Paris\." \| "The capital of France is"\) = -\d+\.\d+ over \d+ tokens')
        self.assertEqual(run(program, env=LIBRARY).returncode, 2)
        missing = run(program, "none.gguf", env=LIBRARY)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("none.gguf", missing.stderr)

    def test_own_loss(self) -> None:
        done = run(self.build("own_loss"), MODEL, PAIRS, env=LIBRARY)
        self.assertEqual(done.returncode, 0, done.stderr)
        losses = [float(value) for value in re.findall(r"loss ([\d.]+)", done.stdout)]
        self.assertEqual(len(losses), 8)
        self.assertAlmostEqual(losses[0], 1.0, 5)
        self.assertLess(losses[-1], 1.0)

    def test_pretrain(self) -> None:
        done = run(self.build("pretrain"), text_folder(self), 20, self.directory / "model", env=LIBRARY)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("step 20: loss", done.stdout)
        self.assertIn("eval_perplexity", done.stdout)
        self.assertTrue((self.directory / "model/run/final.h5").is_file())

    def test_label(self) -> None:
        done = run(self.build("label"), MODEL, "The film was", env=LIBRARY)
        self.assertEqual(done.returncode, 0, done.stderr)
        chosen, rejected = (float(value) for value in re.findall(r"(?:chosen|rejected) \((-?[\d.]+)\):", done.stdout))
        self.assertGreaterEqual(chosen, rejected)

    def test_feedback(self) -> None:
        program, directory = self.build("feedback"), self.directory / "adapters"
        file = self.directory / "feedback.jsonl"

        def talk(*lines: str) -> str:
            done = run(program, MODEL, file, directory, env=LIBRARY, input="\n".join(lines) + "\n")
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        said = talk("The film was", "-", "The book was", "+", "The song was", "+", "train", "wait", "The film was", "quit")
        self.assertRegex(said, r"\[record 1\]\n(.*\n)*\[record 3\]\n(.*\n)*\[training: finished, \d+ steps on 3 records\]")
        self.assertTrue(said.rindex("[adapter loaded]") > said.index("[training:"))
        self.assertTrue((directory / "adapter.gguf").is_file())
        said = talk("The play was", "-", "The walk was", "-", "train", "stop", "train")
        self.assertTrue(said.startswith("[adapter loaded]"))
        self.assertRegex(said, r"\[record 5\]\n\[training[: ]")

    def test_llama_cpp_host(self) -> None:
        """That it compiles and links; Tests/peers/host.py talks to it."""
        peers = pathlib.Path(os.environ.get("LIBDPO_PEERS", ROOT / ".cache/peers"))
        found = [os.environ.get("LLAMA_CPP"), *peers.glob("venv/lib/python3*/site-packages/llama_cpp")]
        folder = next(filter(None, found), None)
        if not folder:
            self.skipTest("there is no llama.cpp to compile examples/llama.cpp-host with (LLAMA_CPP, or Tests/peers/setup)")
        program, source = self.directory / "host", ROOT / "examples/llama.cpp-host"
        flags = "CFLAGS=-Wall -Wextra -Wpedantic -Werror"
        built = run("make", "-C", source, f"LLAMA_CPP={folder}", f"DPO={BUILD}", f"OUT={program}", flags)
        self.assertEqual(built.returncode, 0, built.stderr)
        self.assertLessEqual(len((source / "host.c").read_text().splitlines()), 300)
        self.assertEqual(run(program).returncode, 2)
        missing = run(program, "none.gguf", self.directory / "feedback.jsonl", self.directory)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("none.gguf", missing.stderr)

    def test_ppo(self) -> None:
        done = run(self.build("ppo"), MODEL, PAIRS, env=LIBRARY)
        self.assertEqual(done.returncode, 0, done.stderr)
        PPOCurve.check(self, done.stdout)

    def test_training_stops_with_ctrl_c_and_goes_on(self) -> None:
        program, output = self.build("train"), self.directory / "run"
        through = run(program, MODEL, PAIRS, self.directory / "through", env=LIBRARY)
        self.assertEqual(through.returncode, 0, through.stderr)
        process = subprocess.Popen(
            [str(program), str(MODEL), str(PAIRS), str(output)], stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, **LIBRARY},
        )
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("step 1 "):
                process.send_signal(signal.SIGINT)
        process.wait(60)
        if process.returncode == 130:  # else it was done before the signal came
            self.assertIn("Stopped.", lines[-1])
            again = run(program, MODEL, PAIRS, output, env=LIBRARY)
            self.assertEqual(again.returncode, 0, again.stderr)
            lines += again.stdout.splitlines(True)
        self.assertTrue(lines[-1].startswith("Adapter in"))
        self.assertTrue((output / "adapter/adapter_model.safetensors").is_file())
        self.assertEqual(
            (output / "adapter/adapter_model.safetensors").read_bytes(),
            (self.directory / "through/adapter/adapter_model.safetensors").read_bytes(),
        )


class SwiftExamples(Case):
    def build(self, name: str) -> pathlib.Path:
        build = ["build", "-c", "release", "--product", name]
        # SwiftPM would compile its C targets with CC, which need not be clang.
        swift = ["env", "-u", "CC", "-u", "CXX", os.environ.get("SWIFT", "swift")]
        built = run(*swift, *build)
        self.assertEqual(built.returncode, 0, built.stdout + built.stderr)
        return pathlib.Path(run(*swift, *build, "--show-bin-path").stdout.strip()) / name

    def test_quick_start(self) -> None:
        program = self.build("quick-start")
        for _ in range(2):  # the second time there is nothing left to train
            done = run(program, MODEL, PAIRS, self.directory / "run")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("error", done.stdout)
        self.assertRegex(done.stdout, r"KL from the untrained model: .* nats a completion\nthe exported adapter ranks [\d.]+ %")
        missing = run(program, "none.gguf", PAIRS, self.directory / "other")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("none.gguf", missing.stdout)

    def test_both_roads(self) -> None:
        corpus_files(self.directory / "data")
        done = run(self.build("both-roads"), self.directory / "data", self.directory / "out", 8)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        losses = dict(re.findall(r"(\w+): 8 steps, loss (-?[\d.]+)", done.stdout))
        self.assertEqual(list(losses), ["pretrain", "sft", "reward", "ppo", "dpo"])
        self.assertLess(float(losses["pretrain"]), math.log(2048))
        found = dict(re.findall(r"(\w+): win rate [\d.]+ .*, KL from SFT ([\d.e-]+)", done.stdout))
        self.assertEqual(list(found), ["SFT", "PPO", "DPO"])
        self.assertLess(float(found["SFT"]), 1e-6)
        self.assertGreater(min(float(found["PPO"]), float(found["DPO"])), 1e-6)

    def test_thumbs(self) -> None:
        program = self.build("thumbs")
        done = run(program, MODEL, self.directory / "app")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"finished: \d+ steps on 3 records")
        before, after = map(float, re.findall(r"log p\(curt\): (-?[\d.]+)", done.stdout))
        self.assertGreater(after, before)


class PythonExamples(Case):
    def test_feedback(self) -> None:
        done = run(sys.executable, "examples/python/feedback.py", MODEL, self.directory / "run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"finished: \d+ steps on 16 records\n")
        gains = [float(value) for value in re.findall(r"by (-?[\d.]+) nats in the mean", done.stdout)]
        self.assertEqual(len(gains), 2)
        self.assertGreater(min(gains), 0)
        again = run(sys.executable, "examples/python/feedback.py", MODEL, self.directory / "run")
        self.assertIn("nothing new: 0 steps", again.stdout)

    def test_pretrain(self) -> None:
        done = run(sys.executable, "examples/python/pretrain.py", text_folder(self), 20, self.directory / "model")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("The", done.stdout)
        self.assertTrue((self.directory / "model/run/final.h5").is_file())

    def test_quick_start(self) -> None:
        done = run(sys.executable, "examples/python/quick_start.py", MODEL, PAIRS, self.directory / "run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"before: .*\nafter: .*\nadapter for PEFT in")

    def test_bandit(self) -> None:
        done = run(sys.executable, "examples/python/bandit.py")
        self.assertEqual(done.returncode, 0, done.stderr)
        distances = {name: float(value) for name, value in re.findall(r"^  (\S+, \w+) +(\S+)$", done.stdout, re.MULTILINE)}
        self.assertEqual(len(distances), 6)
        self.assertGreater(distances.pop("reference, reverse_kl"), 0.3)
        self.assertLess(max(distances.values()), 1e-3)
        # What docs/closed-form.md shows is what the program prints.
        shown = re.search(r"```text\n(answer.*?)```", (ROOT / "docs/closed-form.md").read_text(), re.DOTALL).group(1)
        table = lambda text: [line for line in text.splitlines() if re.match(r" +\d ", line) or "log Z" in line]
        self.assertEqual(table(shown), table(done.stdout))

    def test_sample_and_label(self) -> None:
        texts, prompts = self.directory / "texts.jsonl", self.directory / "prompts.jsonl"
        data = golden("classifier.json")
        texts.write_text("".join(json.dumps({"text": t, "label": l}) + "\n" for t, l in zip(data["train"], data["labels"])))
        prompts.write_text("".join(json.dumps({"prompt": f"The film {index} was"}) + "\n" for index in range(8)))
        done = run(sys.executable, "examples/python/sample_and_label.py", MODEL, texts, prompts, self.directory / "run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"8 pairs from 8 prompts\n(.*\n)*mean log-odds: before -?[\d.]+, after -?[\d.]+\n")

    def test_own_loss(self) -> None:
        done = run(sys.executable, "examples/python/own_loss.py", MODEL, PAIRS)
        self.assertEqual(done.returncode, 0, done.stderr)
        losses = [float(value) for value in re.findall(r"loss ([\d.]+)", done.stdout)]
        self.assertEqual(len(losses), 8)
        self.assertLess(losses[-1], losses[0])

    def test_ppo(self) -> None:
        done = run(sys.executable, "examples/python/ppo.py", MODEL, PAIRS)
        self.assertEqual(done.returncode, 0, done.stderr)
        PPOCurve.check(self, done.stdout)


if __name__ == "__main__":
    unittest.main()
