"""Feedback through the command and Python: recording under fire, training that stops, goes on and swaps its adapter."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import unittest

import libdpo
from libdpo import Feedback
from support import BUILD, FIXTURES, MODEL, ROOT, Case, dpo, rows

SMALL = {"learning_rate": 5e-3, "lora_r": 4, "threads": 1}
FLAGS = ["--learning-rate", 5e-3, "--lora-r", 4, "--threads", 1, "--min-records", 1]
UP, DOWN = " It was warm and good.", " It was dull and bad."

#: Records as fast as it can, and prints the number of every record that is on the disk.
WRITER = """
import sys
from libdpo import Feedback
feedback = Feedback(sys.argv[1])
for index in range(int(sys.argv[3])):
    print(feedback.thumb("p", f"{sys.argv[2]} {index} " + "x" * (index * 37 % 5000), up=index % 2 == 0), flush=True)
"""


def writer(path: object, name: str, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "bindings/python")},
    )


class FeedbackCase(Case):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.directory / "feedback.jsonl"
        self.output = self.directory / "out"

    def fill(self, count: int, first: int = 0) -> Feedback:
        feedback = Feedback(self.file)
        for index in range(first, first + count):
            feedback.thumb(f"What did you think of film {index // 2}?", DOWN if index % 2 else UP, up=index % 2 == 0)
        return feedback


class Recording(FeedbackCase):
    def test_the_command_records_and_tells(self) -> None:
        for extra, row in (
            (["--answer", "a", "--up"], {"completion": "a", "label": True}),
            (["--answer", "a", "--down", "--weight", 0.5], {"completion": "a", "label": False, "weight": 0.5}),
            (["--answer", "a", "--over", "b"], {"chosen": "a", "rejected": "b"}),
        ):
            done = dpo("feedback", "add", self.file, "--prompt", "p", *extra, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            last = rows(self.file)[-1]
            self.assertEqual(json.loads(done.stdout)["id"], last.pop("id"))
            self.assertLess(abs(last.pop("time") - time.time()), 60)
            self.assertEqual(last, {"prompt": "p", **row})
        dpo("feedback", "add", self.file, "--prompt", "p", "--answer", "a", "--up", "--chat")
        self.assertEqual(rows(self.file)[-1]["completion"], [{"role": "assistant", "content": "a"}])
        status = json.loads(dpo("feedback", "status", self.file, "--json").stdout)
        self.assertEqual([status[key] for key in ("records", "thumbs_up", "thumbs_down", "choices", "replaced")], [4, 1, 1, 1, 1])
        for arguments in (["--answer", "a"], ["--answer", "a", "--up", "--down"], ["--up"]):
            self.assertEqual(dpo("feedback", "add", self.file, "--prompt", "p", *arguments).returncode, 2)
        same = dpo("feedback", "add", self.file, "--prompt", "p", "--answer", "a", "--over", "a")
        self.assertEqual(same.returncode, 1)
        self.assertIn("equals", same.stderr)
        missing = dpo("feedback", "status", self.directory / "none.jsonl")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("none.jsonl: no such file", missing.stderr)
        self.assertEqual(len(rows(self.file)), 4)

    def test_a_file_of_one_kind_is_training_data(self) -> None:
        self.fill(4)
        done = dpo(
            "train", MODEL, "--data", self.file, "--method", "kto", "--output-dir", self.output, "--max-steps", 1, "--lora-r", 2
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_python_records(self) -> None:
        feedback = Feedback(self.file)
        self.assertEqual((len(feedback), bool(feedback)), (0, True))
        self.assertEqual(feedback.thumb("p", "a", up=True), 1)
        self.assertEqual(feedback.choice([{"role": "user", "content": "p"}], "a", "b", weight=2), 2)
        self.assertEqual(feedback.record({"prompt": "p", "completion": "é\0", "label": False, "time": 5, "user": 7}), 3)
        self.assertEqual(len(feedback), 3)
        self.assertEqual(rows(self.file)[2], {"id": 3, "time": 5, "prompt": "p", "completion": "é\0", "label": False, "user": 7})
        for wrong in ({}, {"prompt": "p"}, {"prompt": "p", "completion": "a", "label": 2}):
            self.assertRaises(libdpo.InvalidArgumentError, feedback.record, wrong)
        self.assertRaises(libdpo.InvalidArgumentError, feedback.thumb, "p", "a", up=True, weight=-1)
        self.assertRaises(libdpo.FileError, Feedback, self.directory)
        self.file.write_text('{"prompt": "p", "completion": "a", "label": true}\nrubbish\n')
        self.assertRaisesRegex(libdpo.FormatError, "feedback.jsonl: line 2", Feedback, self.file)

    def test_threads_and_processes_record_at_once(self) -> None:
        processes = [writer(self.file, f"process {index}", 40) for index in range(2)]
        feedback = Feedback(self.file)
        given: "list[int]" = []

        def record(name: str) -> None:
            for index in range(40):
                given.append(feedback.thumb("q", f"{name} {index}", up=True))

        threads = [threading.Thread(target=record, args=(f"thread {index}",)) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for process in processes:
            given += [int(line) for line in process.communicate(timeout=120)[0].split()]
            self.assertEqual(process.returncode, 0)
        found = rows(self.file)
        self.assertEqual([row["id"] for row in found], list(range(1, 161)))
        self.assertEqual(sorted(given), list(range(1, 161)))
        for name in ("process 0", "process 1", "thread 0", "thread 1"):
            own = [row["completion"].split("x")[0].split() for row in found if row["completion"].startswith(name)]
            self.assertEqual([int(words[2]) for words in own], list(range(40)))

    def test_killed_writers_lose_nothing_that_was_acknowledged(self) -> None:
        rng = random.Random(1)
        acknowledged = 0
        for attempt in range(12):
            process = writer(self.file, f"run {attempt}", 100000)
            numbers = [int(process.stdout.readline())]  # it is under way
            time.sleep(rng.random() * 0.05)
            process.kill()
            numbers += [int(line) for line in process.stdout.read().split("\n") if line.strip()]
            process.wait()
            process.stdout.close()
            acknowledged += len(numbers)
            self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
            count = len(Feedback(self.file))
            # One more record may be whole than its writer could say.
            self.assertIn(count - numbers[-1], (0, 1))
        number = Feedback(self.file).thumb("p", "last", up=True)
        found = rows(self.file)
        self.assertEqual([row["id"] for row in found], list(range(1, number + 1)))
        self.assertGreaterEqual(number, acknowledged)

    def test_a_full_disk_leaves_the_file_as_it_was(self) -> None:
        self.fill(2)
        before = self.file.read_bytes()
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, len(before) + 20))
        done = dpo("feedback", "add", self.file, "--prompt", "p", "--answer", "a" * 100, "--up", preexec_fn=limit)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write", done.stderr)
        self.assertEqual(self.file.read_bytes(), before)
        # A real one: a file system of its own, where that is allowed.
        full = "mount -t tmpfs -o size=16k none $0 && printf '%016000d' 0 > $0/filler && exec $1 feedback add $0/f.jsonl " \
            "--prompt p --answer $(printf '%05000d' 0) --up"
        (self.directory / "disk").mkdir()
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", full, str(self.directory / "disk"), str(BUILD / "bin/dpo")], capture_output=True, text=True
        )
        if "f.jsonl" in done.stderr:
            self.assertEqual(done.returncode, 1)
            self.assertIn("No space left", done.stderr)

    def test_places_that_cannot_be_written(self) -> None:
        for path in ("/proc/feedback.jsonl", self.directory / "none" / "f.jsonl", self.directory):
            done = dpo("feedback", "add", path, "--prompt", "p", "--answer", "a", "--up")
            self.assertEqual(done.returncode, 1)
            self.assertIn(str(path), done.stderr)


class Training(FeedbackCase):
    def train(self, *extra: object, code: int = 0) -> dict:
        done = dpo("feedback", "train", MODEL, self.file, "--output-dir", self.output, *FLAGS, "--json", *extra)
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout) if done.stdout else {}

    def snapshot(self) -> "dict[str, tuple[int, bytes]]":
        return {
            str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(self.output.rglob("*")) if path.is_file()
        }

    def test_new_records_only_and_nothing_without_them(self) -> None:
        self.fill(4)
        first = self.train()
        self.assertEqual((first["outcome"], first["new"], first["replayed"]), ("finished", 4, 0))
        before = self.snapshot()
        again = self.train()
        self.assertEqual((again["outcome"], again["new"], again["steps"]), ("nothing new", 0, 0))
        self.assertEqual(self.snapshot(), before)
        told = dpo("feedback", "train", MODEL, self.file, "--output-dir", self.output)
        self.assertIn("nothing new", told.stdout)
        self.fill(2, first=4)
        waiting = self.train("--min-records", 3)
        self.assertEqual((waiting["outcome"], waiting["new"]), ("waiting", 2))
        self.assertEqual(self.snapshot(), before)
        second = self.train("--replay", 1)
        self.assertEqual((second["outcome"], second["new"], second["replayed"]), ("finished", 2, 2))
        status = json.loads(dpo("feedback", "status", self.file, "--output-dir", self.output, "--json").stdout)
        self.assertEqual((status["new"], status["trained_to"], len(status["sessions"])), (0, 6, 2))
        self.assertEqual(libdpo.inspect(second["gguf_adapter"])["kind"], "adapter")

    def test_python_trains_in_a_thread_is_stopped_and_goes_on(self) -> None:
        feedback = self.fill(24)
        model = libdpo.Model(MODEL, threads=1)
        straight = feedback.train(model, self.directory / "straight", **SMALL)
        self.assertEqual((straight.outcome, straight.new, straight.steps), ("finished", 24, 24))
        steps, raised, done = [], [], threading.Event()

        def on_event(kind: str, value: object) -> None:
            if kind == "step":
                steps.append(value)
                if len(steps) == 5:
                    done.set()
                    time.sleep(0.2)  # the stop comes before the next step

        def work() -> None:
            try:
                feedback.train(model, self.output, on_event=on_event, **SMALL)
            except libdpo.CancelledError as error:
                raised.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        self.assertTrue(done.wait(120))
        feedback.thumb("meanwhile", "yes", up=True)
        feedback.cancel()
        thread.join(120)
        self.assertEqual((len(raised), len(steps)), (1, 5))
        unfinished = feedback.status(self.output)
        self.assertEqual((unfinished["unfinished"], unfinished["new"]), ({"session": 1, "new": 24}, 1))
        self.assertEqual(feedback.train(model, self.output, **SMALL).steps, 19)
        self.assertEqual((self.output / "adapter.gguf").read_bytes(), (self.directory / "straight/adapter.gguf").read_bytes())
        self.assertEqual(feedback.train(model, self.output, **SMALL).outcome, "waiting")
        self.assertRaises(TypeError, feedback.train, model, self.output, unknown=1)
        self.assertRaises(ValueError, feedback.train, model, self.output, max_seconds=0)

        def stop(kind: str, value: object) -> bool:
            raise KeyError(kind)

        self.assertRaises(KeyError, feedback.train, model, self.output, min_records=1, on_event=stop, **SMALL)

    def test_a_killed_training_loses_a_step_at_most_and_ends_in_the_same_bits(self) -> None:
        self.fill(24)
        self.output, straight = self.directory / "straight", self.output
        self.train()
        self.output, straight = straight, self.output
        rng = random.Random(2)
        command = [
            str(part) for part in (BUILD / "bin/dpo", "feedback", "train", MODEL, self.file, "--output-dir", self.output, *FLAGS)
        ]
        kills = 0
        for _ in range(60):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while kills == 0 and process.poll() is None and not any(self.output.glob("*")):
                time.sleep(0.001)       # the first kill comes as soon as there is something to lose
            try:
                process.wait(0.01 if kills == 0 else 0.05 + rng.random() * 0.4)
                self.assertEqual(process.returncode, 0)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        self.train()
        self.assertGreater(kills, 0)
        self.assertEqual((self.output / "adapter.gguf").read_bytes(), (straight / "adapter.gguf").read_bytes())
        status = Feedback(self.file).status(self.output)
        self.assertEqual((status["new"], status["trained_to"], len(status["sessions"])), (0, 24, 1))

    def test_readers_always_see_a_whole_adapter(self) -> None:
        feedback = self.fill(2)
        feedback.train(MODEL, self.output, min_records=1, **SMALL)
        stop, problems, reads, seen = threading.Event(), [], [0], set()

        def read() -> None:
            while not stop.is_set():
                for name in ("adapter.h5", "adapter.gguf"):
                    try:
                        model = libdpo.Model(MODEL, self.output / name, threads=1)
                        seen.add(model.score(["What did you think of film 0?"], [UP])[0].logp)
                        reads[0] += 1
                    except libdpo.DPOError as error:
                        problems.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(1, 8):
            self.fill(2, first=2 * number)
            feedback.train(MODEL, self.output, min_records=1, num_train_epochs=1, **SMALL)
        time.sleep(0.1)
        stop.set()
        reader.join()
        self.assertEqual(problems, [])
        self.assertGreater(reads[0], 4)
        self.assertGreater(len(seen), 1)

    def test_ctrl_c_and_time_keep_what_was_learnt(self) -> None:
        self.fill(40)
        long = ["--num-train-epochs", 2000]
        done = self.train("--max-seconds", 1.5, *long)
        self.assertEqual(done["outcome"], "stopped")
        self.assertGreater(done["steps"], 0)
        self.assertTrue((self.output / "adapter.gguf").is_file())
        process = subprocess.Popen(
            [str(part) for part in (BUILD / "bin/dpo", "feedback", "train", MODEL, self.file, "--output-dir", self.output, *FLAGS)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for line in process.stderr:
            if line.startswith("step "):
                process.send_signal(signal.SIGINT)
                break
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        status = Feedback(self.file).status(self.output)
        self.assertEqual(status["unfinished"], {"session": 1, "new": 40})

    def test_refusals_change_nothing(self) -> None:
        self.fill(2)
        self.train()
        before = self.snapshot()
        self.fill(2, first=2)
        gguf = FIXTURES / "gguf" / "llama-untied.gguf"
        for arguments, says in (
            ([gguf, self.file, "--output-dir", self.output], "another model"),
            ([MODEL, self.file, "--output-dir", self.output, "--truncation-mode", "keep_end"], "keep_end"),
            ([MODEL, self.directory / "none.jsonl", "--output-dir", self.output], "no such file"),
            ([MODEL, self.file, "--output-dir", MODEL], "holds no training on feedback"),
            ([MODEL, self.file, "--output-dir", self.output, "--lora-r", 0], "lora_r"),
        ):
            flags = [] if "--lora-r" in arguments else FLAGS[:-2]
            done = dpo("feedback", "train", *arguments, *flags, "--min-records", 1)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(says, done.stderr)
            kept = {path: content for path, content in self.snapshot().items() if "/session/" not in path}
            self.assertEqual(kept, {path: content for path, content in before.items() if "/session/" not in path})
        self.assertEqual(self.train()["new"], 2)
        log = self.output / "sessions.jsonl"
        log.write_text(log.read_text().replace('"trained_to"', '"to"', 1))
        done = dpo("feedback", "train", MODEL, self.file, "--output-dir", self.output)
        self.assertEqual(done.returncode, 1)
        self.assertIn('sessions.jsonl: line 1: "trained_to" is missing', done.stderr)


if __name__ == "__main__":
    unittest.main()
