"""Tokens of rows that are kept in a file (data_cache): the same runs, little memory, several processes, full disks."""

import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import time
import unittest

import h5py

from libdpo import Dataset, DPOConfig, Model
from support import BUILD, MODEL, PAIRS, Case, dpo, rows

DPO = BUILD / "bin" / "dpo"


def make_rows(path: pathlib.Path, count: int) -> pathlib.Path:
    source = random.Random(count)
    words = ["".join(source.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(source.randint(1, 9))) for _ in range(2000)]

    def text(least: int, most: int) -> str:
        return " ".join(source.choices(words, k=source.randint(least, most)))

    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            file.write(json.dumps({"prompt": text(5, 20), "chosen": " " + text(5, 20), "rejected": " " + text(5, 20)}) + "\n")
    return path


class DataCache(Case):
    def train(self, name: str, cache: "str | pathlib.Path", *more: str) -> "tuple[list[dict], str]":
        done = dpo(
            "train", MODEL, "--data", PAIRS, "--eval-data", PAIRS, "--output-dir", self.directory / name, "--max-steps", 6,
            "--lora-r", 2, "--per-device-train-batch-size", 2, "--eval-steps", 3, "--learning-rate", "1e-3",
            "--data-cache", cache, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        log = [{key: value for key, value in line.items() if key != "seconds"} for line in rows(self.directory / name / "metrics.jsonl")]
        return log, done.stderr

    def test_a_run_has_the_same_bits_with_a_cache_and_without(self) -> None:
        cache = self.directory / "cache"
        memory, _ = self.train("memory", "none")
        made, said = self.train("made", cache)
        self.assertIn("tokenised once", said)
        found, said = self.train("found", cache)
        self.assertIn("tokenised before", said)
        self.assertEqual(memory, made)
        self.assertEqual(memory, found)
        with h5py.File(self.directory / "memory/final.h5") as a, h5py.File(self.directory / "found/final.h5") as b:
            names: "list[str]" = []
            a.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            self.assertTrue(names)
            for name in names:
                self.assertEqual(a[name][()].tobytes(), b[name][()].tobytes(), name)

    def test_resuming_from_a_checkpoint_of_a_run_without_cache(self) -> None:
        whole, _ = self.train("whole", "none", "--save-steps", "3")
        resumed, _ = self.train(
            "resumed", self.directory / "cache", "--resume-from-checkpoint", str(self.directory / "whole/checkpoint-3.h5"))
        self.assertEqual(whole[-1], resumed[-1])

    def test_h5py_reads_the_tokens(self) -> None:
        cache = self.directory / "cache"
        self.assertEqual(dpo("inspect", PAIRS, "--model", MODEL, "--data-cache", cache).returncode, 0)
        (path,) = cache.glob("*.h5")
        found = json.loads(dpo("inspect", path, "--json").stdout)
        self.assertEqual((found["kind"], found["row_kind"], found["sources"]), ("tokens", "pairs", [str(PAIRS)]))
        shown = json.loads(dpo("tokenize", MODEL, "--data", PAIRS, "--json").stdout)["rows"]
        with h5py.File(path) as file:
            tokens, ends, first = file["tokens"][:], file["ends"][:], file["first_segments"][:]
            self.assertEqual(len(first), len(shown) + 1)
            starts = [0, *ends]
            for row, expected in enumerate(shown):
                parts = [tokens[starts[i]:starts[i + 1]].tolist() for i in range(first[row], first[row + 1])]
                self.assertEqual(parts, [expected["prompt_ids"], expected["chosen_ids"], expected["rejected_ids"]])

    def limited(self, what: int, size: int, *arguments: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(DPO), *map(str, arguments)], capture_output=True, text=True,
            preexec_fn=lambda: (resource.setrlimit(what, (size, size)), signal.signal(signal.SIGXFSZ, signal.SIG_DFL)))

    def test_memory_does_not_grow_with_the_rows(self) -> None:
        """The kernel grants so much memory that is no mapped file; without a cache it does not do for the tokens."""
        data = make_rows(self.directory / "rows.jsonl", 100_000)
        grant = 48 << 20
        command = ("inspect", data, "--model", MODEL, "--samples", 0, "--threads", 2, "--data-cache")
        cache = self.directory / "cache"
        made = self.limited(resource.RLIMIT_DATA, grant, *command, cache)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("100000 rows", made.stdout)
        self.assertGreater(sum(path.stat().st_size for path in cache.glob("*.h5")), grant)
        found = self.limited(resource.RLIMIT_DATA, grant, *command, cache)
        self.assertEqual(found.stdout, made.stdout, found.stderr)
        self.assertIn("tokenised before", found.stderr)
        refused = self.limited(resource.RLIMIT_DATA, grant, *command, "none")
        self.assertEqual(refused.returncode, 1, "the test's grant is too large to show anything")
        self.assertIn("memory", refused.stderr)

    def test_a_full_disk_names_the_directory_and_leaves_nothing(self) -> None:
        data = make_rows(self.directory / "rows.jsonl", 20_000)
        for size in (5_000, 100_000, 1_500_000):
            cache = self.directory / f"cache-{size}"
            done = self.limited(
                resource.RLIMIT_FSIZE, size, "inspect", data, "--model", MODEL, "--samples", 0, "--data-cache", cache)
            self.assertEqual(done.returncode, 1, f"{size}: {done.stdout} {done.stderr}")
            self.assertIn(str(cache), done.stderr)
            self.assertIn("cannot write", done.stderr)
            self.assertEqual([path for path in cache.glob("*") if path.stat().st_size > 0], [])
            self.assertEqual(dpo("inspect", data, "--model", MODEL, "--samples", 0, "--data-cache", cache).returncode, 0)

    def test_rows_that_changed_under_an_old_time_are_noticed(self) -> None:
        """Their size and the time of the last write are what they were; the time of the change is not."""
        data, cache = make_rows(self.directory / "rows.jsonl", 50), self.directory / "cache"
        time.sleep(3.1)    # an older file's stamp counts without its checksum
        command = ("inspect", data, "--model", MODEL, "--samples", 0, "--data-cache", cache)
        self.assertEqual(dpo(*command).returncode, 0)
        self.assertIn("tokenised before", dpo(*command).stderr)
        status, text = data.stat(), data.read_text()
        data.write_text(text[:-8] + text[-8:].swapcase())
        os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assertEqual((data.stat().st_size, data.stat().st_mtime_ns), (status.st_size, status.st_mtime_ns))
        self.assertNotIn("tokenised before", dpo(*command).stderr)

    def test_a_process_that_is_killed_leaves_nothing_in_the_way(self) -> None:
        data = make_rows(self.directory / "rows.jsonl", 20_000)
        cache = self.directory / "cache"
        command = [str(part) for part in (DPO, "inspect", data, "--model", MODEL, "--samples", 0, "--data-cache", cache)]
        for wait in (0.05, 0.2, 0.4, 0.8):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(wait)
            process.kill()
            process.wait()
        self.assertEqual(subprocess.run(command, capture_output=True).returncode, 0)
        self.assertEqual([path.name for path in cache.iterdir() if path.name.endswith(".tmp")], [])
        self.assertEqual(len(list(cache.glob("*.h5"))), 1)

    def test_several_processes_at_once_make_one_cache(self) -> None:
        data = make_rows(self.directory / "rows.jsonl", 10_000)
        cache = self.directory / "cache"
        command = [str(part) for part in (DPO, "inspect", data, "--model", MODEL, "--samples", 0, "--data-cache", cache)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        said = [process.communicate() for process in running]
        self.assertEqual([process.returncode for process in running], [0] * 4, said)
        self.assertEqual(len({out for out, _ in said}), 1)
        self.assertEqual(sum("tokenised once" in notes for _, notes in said), 1, said)
        self.assertEqual(len(list(cache.glob("*.h5"))), 1)

    def test_a_cache_that_is_written_to_while_a_run_reads_it_stops_the_run(self) -> None:
        cache = self.directory / "cache"
        self.train("before", cache)
        process = subprocess.Popen(
            [str(part) for part in (
                DPO, "train", MODEL, "--data", PAIRS, "--output-dir", self.directory / "run", "--max-steps", 100_000,
                "--lora-r", 2, "--data-cache", cache)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        log = self.directory / "run/metrics.jsonl"
        while not (log.exists() and log.stat().st_size > 0) and process.poll() is None:
            time.sleep(0.05)
        for path in cache.glob("*.h5"):
            with open(path, "r+b") as file:
                file.seek(-4, 2)
                file.write(b"1234")
        _, said = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 1, said)
        self.assertIn("was changed while", said)

    def test_python_reads_and_tells(self) -> None:
        model = Model(MODEL)
        cache = self.directory / "cache"
        data = make_rows(self.directory / "rows.jsonl", 20_000)
        args = DPOConfig(data_cache=str(cache))
        told: "list[tuple]" = []
        made = Dataset(data, model, args, progress=lambda *reading: told.append(reading))
        self.assertEqual(told[-1][0], "writing the cache")
        self.assertEqual({reading[0] for reading in told}, {"checking", "tokenising", "writing the cache"})
        self.assertEqual(told[-1][3], 20_000)
        self.assertEqual(Dataset(data, model, args).info, made.info)
        self.assertEqual(Dataset(data, model, DPOConfig(data_cache="none")).info, made.info)

        def stop(*_: object) -> None:
            raise KeyError("enough")

        with self.assertRaises(KeyError):
            Dataset(data, model, DPOConfig(data_cache="none"), progress=stop)


if __name__ == "__main__":
    unittest.main()
