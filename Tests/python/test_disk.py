"""Runs that are killed or stopped anywhere, full disks, output directories that go away or are taken."""

import ctypes
import fcntl
import json
import os
import pathlib
import random
import resource
import shlex
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


#: Ends the process as a crash does, at the call number $DIE_AT of the function $DIE_IN.
CRASH = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
static atomic_int calls;
static void count(const char *name) {
    const char *in = getenv("DIE_IN");
    if (in && strcmp(in, name) == 0 && atomic_fetch_add(&calls, 1) + 1 == atoi(getenv("DIE_AT"))) _exit(77);
}
int rename(const char *from, const char *to) {
    count("rename");
    return ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename"))(from, to);
}
int fsync(int file) {
    count("fsync");
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}
ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) {
    count("pwrite");
    return ((ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite"))(file, bytes, size, at);
}
"""


class Crash(Case):
    """A process that ends exactly at a call: between two files of a directory, before and behind a checkpoint's rename, in a line."""

    def setUp(self) -> None:
        super().setUp()
        source, self.library = self.directory / "crash.c", self.directory / "crash.so"
        source.write_text(CRASH)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.library, source, "-ldl"], check=True)

    def crash(self, function: str, call: int, command: "list[str]") -> int:
        environment = {**os.environ, "LD_PRELOAD": str(self.library), "DIE_IN": function, "DIE_AT": str(call)}
        return subprocess.run(command, capture_output=True, env=environment).returncode

    def test_between_two_files_of_an_export(self) -> None:
        """Whatever stood there before: the old model, the new one, or none that opens."""
        other, out = FIXTURES / "models" / "qwen2", self.directory / "out"
        data = self.directory / "rows.jsonl"
        data.write_text('{"prompt": "Name a river.", "chosen": " Loire", "rejected": " tree"}\n')
        export = [str(part) for part in (DPO, "export", MODEL, "--to", "safetensors", "-o", out, "--overwrite")]
        score = [dpo("logps", model, "--data", data, "--json").stdout for model in (other, MODEL)]
        seen = set()
        for function in ("rename", "fsync"):
            for call in range(1, 100):
                shutil.rmtree(out, ignore_errors=True)
                shutil.copytree(other, out, copy_function=shutil.copyfile)
                code = self.crash(function, call, export)
                found = dpo("logps", out, "--data", data, "--json")
                if found.returncode == 0:
                    self.assertIn(found.stdout, score, f"{function} {call}")
                    seen.add(score.index(found.stdout))
                else:
                    self.assertEqual(found.returncode, 1, f"{function} {call}")
                    seen.add(-1)
                if code == 0:
                    break
                self.assertEqual(code, 77, f"{function} {call}")
                self.assertEqual(subprocess.run(export, capture_output=True).returncode, 0)
                self.assertEqual(dpo("logps", out, "--data", data, "--json").stdout, score[1], f"{function} {call}")
                self.assertEqual([path.name for path in out.iterdir() if path.name.endswith(".tmp")], [], f"{function} {call}")
            self.assertGreater(call, 3, function)
        self.assertLessEqual({0, 1}, seen)

    def test_at_every_kind_of_write_of_a_run(self) -> None:
        whole = self.directory / "whole"
        command = Interrupted.run_command(self, whole)
        subprocess.run(command, check=True, capture_output=True)
        for function, calls in (("rename", range(1, 9)), ("fsync", range(1, 17, 2)), ("pwrite", range(1, 80, 9))):
            place = self.directory / function
            command = Interrupted.run_command(self, place)
            for call in calls:
                more = ["--resume-from-checkpoint", "last"] if (place / "metrics.jsonl").exists() else []
                self.assertIn(self.crash(function, call, [*command, *more]), (0, 77), f"{function} {call}")
            subprocess.run([*command, "--resume-from-checkpoint", "last"], check=True, capture_output=True)
            self.assertEqual(log(place), log(whole), function)
            self.assertEqual(content(place / "final.h5"), content(whole / "final.h5"), function)


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

    def test_what_was_left_of_a_write_goes_with_the_next_run(self) -> None:
        place = self.directory / "run"
        command = self.run_command(place)
        subprocess.run(command, check=True, capture_output=True)
        left, taken, other = (place / name for name in (".checkpoint-999.h5.4711-1.tmp", ".model.gguf.4712-1.tmp", ".notes.tmp"))
        for path in (left, taken, other):
            path.write_text("half")
        with taken.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            subprocess.run([*command, "--resume-from-checkpoint", "last"], check=True, capture_output=True)
        self.assertEqual([path.exists() for path in (left, taken, other)], [False, True, True])

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

    def test_a_directory_that_nothing_can_be_written_to_any_more(self) -> None:
        """It becomes read-only, or its disk fills up: an error, no half of a file, and the run ends in the same bits later."""
        steps, whole = "200", self.directory / "whole"

        def command(place: pathlib.Path, *more: str) -> "list[str]":
            command = self.run_command(place, *more)
            command[command.index("--max-steps") + 1] = steps
            return command

        subprocess.run(command(whole), check=True, capture_output=True)
        for fault in ("read-only", "full"):
            place = self.directory / fault
            if fault == "full":
                if not (shutil.which("unshare") and os.geteuid() == 0):
                    continue
                # All in one namespace, whose disk is gone with it: what is looked at is copied.
                kept = self.directory / "kept"
                kept.mkdir()
                place.mkdir()
                first, then = shlex.join(command(place)), shlex.join(command(place, "--resume-from-checkpoint", "last"))
                script = (
                    f"mount -t tmpfs -o size=8M none {place} || exit 9; {first} 2> {kept}/said & run=$!; "
                    f"while [ ! -e {place}/checkpoint-7.h5 ]; do sleep 0.02; done; head -c 9M /dev/zero > {place}/filler 2> {kept}/dd; "
                    f"wait $run; echo $? > {kept}/code; ls -A {place} > {kept}/left; cp {place}/checkpoint-7.h5 {kept}/seven.h5; "
                    f"rm {place}/filler; {then} 2> {kept}/again || exit 8; cp {place}/metrics.jsonl {place}/final.h5 {kept}")
                done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=300)
                self.assertEqual(done.returncode, 0, done.stderr)
                said, left = (kept / "said").read_text(), (kept / "left").read_text().split()
                self.assertEqual((kept / "code").read_text().strip(), "1", said)
                self.assertIn("No space left", said)
                seven, ended = kept / "seven.h5", kept
            else:
                process = subprocess.Popen(command(place), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=as_others)
                deadline = time.monotonic() + 60
                while not (place / "checkpoint-7.h5").exists() and time.monotonic() < deadline:
                    time.sleep(0.02)
                place.chmod(0o555)
                said = process.communicate(timeout=120)[1]
                left = [path.name for path in place.iterdir()]
                self.assertEqual(process.returncode, 1, said)
                self.assertIn("Permission denied", said)
                again = subprocess.run(command(place, "--resume-from-checkpoint", "last"), capture_output=True, text=True, preexec_fn=as_others)
                self.assertEqual(again.returncode, 1, again.stderr)
                self.assertIn(str(place), again.stderr)
                place.chmod(0o755)
                seven, ended = place / "checkpoint-7.h5", place
                self.assertEqual(dpo("inspect", seven).returncode, 0)
                subprocess.run(command(place, "--resume-from-checkpoint", "last"), check=True, capture_output=True)
            self.assertIn(str(place), said.splitlines()[-1] or said.splitlines()[-2])
            # Where nothing can be removed either, the file that was being written stays, under no result's name.
            halves = [name for name in left if name.endswith(".tmp")]
            self.assertTrue(all(name.startswith(".") for name in halves) if fault == "read-only" else not halves, left)
            if fault == "read-only":
                self.assertEqual([path.name for path in place.iterdir() if path.name.endswith(".tmp")], [], "of the next run")
            self.assertEqual(content(seven), content(whole / "checkpoint-7.h5"), fault)
            self.assertEqual(log(ended), log(whole), fault)
            self.assertEqual(content(ended / "final.h5"), content(whole / "final.h5"), fault)


def as_others() -> None:
    """Without root's right to write where the modes forbid it (CAP_DAC_OVERRIDE)."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


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
