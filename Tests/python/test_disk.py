"""Runs that are killed or stopped anywhere, full disks, output directories that go away or are taken."""

import json
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import time
import unittest

import h5py

from support import BUILD, FIXTURES, MODEL, PAIRS, Case, dpo, rows

DPO = BUILD / "bin" / "dpo"


def content(path: pathlib.Path) -> "dict[str, bytes]":
    """All that a libdpo HDF5 file holds of numbers."""
    found: "dict[str, bytes]" = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None)
    return found


def log(directory: pathlib.Path) -> "list[dict]":
    return [{key: value for key, value in line.items() if key != "seconds"} for line in rows(directory / "metrics.jsonl")]


class Interrupted(Case):
    def run_command(self, directory: pathlib.Path, *more: str) -> "list[str]":
        return [str(part) for part in (
            DPO, "train", MODEL, "--data", PAIRS, "--eval-data", PAIRS, "--output-dir", directory, "--max-steps", 30, "--lora-r", 2,
            "--per-device-train-batch-size", 2, "--eval-steps", 4, "--save-steps", 7, "--max-length", 128, "--learning-rate", "1e-3",
            "--threads", 1, *more)]

    def test_a_run_that_is_killed_and_stopped_anywhere_ends_in_the_same_bits(self) -> None:
        """In a step, an evaluation, a checkpoint, a line of the log."""
        whole, broken = self.directory / "whole", self.directory / "broken"
        start = time.monotonic()
        subprocess.run(self.run_command(whole), check=True, capture_output=True)
        length = time.monotonic() - start
        seed = random.randrange(1000)
        source = random.Random(seed)
        ended = False
        for attempt in range(200):
            more = ["--resume-from-checkpoint", "last"] if broken.exists() else []
            process = subprocess.Popen(self.run_command(broken, *more), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                said = process.communicate(timeout=source.uniform(0.02, max(0.1, length / 3)))[1]
            except subprocess.TimeoutExpired:
                process.send_signal(source.choice([signal.SIGKILL, signal.SIGINT]))
                said = process.communicate()[1]
            self.assertIn(process.returncode, (0, 130, -signal.SIGKILL, -signal.SIGINT), f"seed {seed}, attempt {attempt}: {said}")
            if process.returncode == 0:
                ended = True
                break
        self.assertTrue(ended, f"seed {seed}: 200 attempts were too few")
        self.assertEqual(log(broken), log(whole), f"seed {seed}")
        self.assertEqual(content(broken / "final.h5"), content(whole / "final.h5"), f"seed {seed}")

    def test_a_directory_takes_one_run_at_a_time(self) -> None:
        place = self.directory / "run"
        command = self.run_command(place)
        command[command.index("--max-steps") + 1] = "100000"
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not (place / "metrics.jsonl").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            second = subprocess.run([*command, "--resume-from-checkpoint", "last"], capture_output=True, text=True, timeout=60)
            self.assertEqual(second.returncode, 1, second.stderr)
            self.assertIn("metrics.jsonl", second.stderr)
            self.assertIsNone(first.poll(), "the first run goes on")
        finally:
            first.kill()
            first.wait()

    def test_a_directory_that_goes_away_is_an_error(self) -> None:
        place = self.directory / "run"
        command = self.run_command(place)
        command[command.index("--max-steps") + 1] = "100000"
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not (place / "checkpoint-7.h5").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        shutil.rmtree(place)
        said = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 1, said)
        self.assertIn(str(place), said)


class FullDisk(Case):
    """The limit on a file's size stands for the disk: the same calls fail."""

    def limited(self, size: int, *arguments: object) -> "subprocess.CompletedProcess[str]":
        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        return subprocess.run([str(DPO), *map(str, arguments)], capture_output=True, text=True, preexec_fn=limit, timeout=300)

    def test_nothing_half_written_stays(self) -> None:
        text = FIXTURES / "data" / "documents.jsonl"
        labelled = self.directory / "labelled.jsonl"
        labelled.write_text("".join(json.dumps({"text": f"{word} {n}", "label": word == "good"}) + "\n"
                                    for n in range(40) for word in ("good", "bad")))
        thumbs = self.directory / "thumbs.jsonl"
        thumbs.write_text("".join(json.dumps({"prompt": f"Name {n}", "completion": " Loire", "label": n % 2 == 0}) + "\n" for n in range(8)))
        commands = {
            "export to gguf": ("export", MODEL, "--to", "gguf", "-o"),
            "export to safetensors": ("export", MODEL, "--to", "safetensors", "-o"),
            "export to hdf5": ("export", MODEL, "--to", "hdf5", "-o"),
            "export to peft": ("export", MODEL, "--adapter", FIXTURES / "adapters" / "llama-tied-random", "--to", "peft", "-o"),
            "export to gguf-lora": ("export", MODEL, "--adapter", FIXTURES / "adapters" / "llama-tied-random", "--to", "gguf-lora", "-o"),
            "tokenizer": ("tokenizer", "train", "--data", text, "--vocab-size", 300, "-o"),
            "classifier": ("classifier", "train", "--data", labelled, "-o"),
            "train": ("train", MODEL, "--data", PAIRS, "--max-steps", 2, "--output-dir"),
            "feedback": ("feedback", "train", MODEL, thumbs, "--output-dir"),
            "sample": ("sample", MODEL, "--data", PAIRS, "--max-new-tokens", 8, "-o"),
        }
        whole = {name: self.limited(resource.RLIM_INFINITY, *command, self.directory / "whole" / name.replace(" ", "-"))
                 for name, command in commands.items() if (self.directory / "whole").mkdir(exist_ok=True) is None}
        for name, done in whole.items():
            self.assertEqual(done.returncode, 0, f"{name}: {done.stderr}")
        for name, command in commands.items():
            for size in (10, 1000):
                place = self.directory / "full"
                place.mkdir()
                done = self.limited(size, *command, place / "out")
                self.assertEqual(done.returncode, 1, f"{name} with {size} bytes: {done.stdout} {done.stderr}")
                self.assertIn(str(place / "out"), done.stderr, name)
                left = [str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()]
                self.assertFalse([one for one in left if one.endswith(".tmp")], f"{name}: {left}")
                for path in place.rglob("*.h5"):
                    self.assertEqual(dpo("inspect", path).returncode, 0, f"{name}: {path}")
                if name.startswith("export") or name in ("tokenizer", "classifier"):
                    self.assertEqual(left, [], name)
                shutil.rmtree(place)

    def test_what_stands_there_stays(self) -> None:
        for form, name in (("gguf", "m.gguf"), ("safetensors", "folder"), ("hdf5", "m.h5")):
            out = self.directory / name
            self.assertEqual(dpo("export", MODEL, "--to", form, "-o", out).returncode, 0)
            files = [out] if out.is_file() else sorted(out.iterdir())
            before = {path: path.read_bytes() for path in files}
            done = self.limited(1000, "export", MODEL, "--to", form, "-o", out, "--overwrite")
            self.assertEqual(done.returncode, 1, form)
            self.assertEqual({path: path.read_bytes() for path in files}, before, form)


if __name__ == "__main__":
    unittest.main()
