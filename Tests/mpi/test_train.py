"""`dpo train` under mpirun: the same bits for any number of ranks, and one end for all when one of them fails."""

import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import time
import unittest

import h5py
import numpy
import ranks
from support import BUILD, FIXTURES, MODEL, PAIRS, Case, dpo, rows

DPO = BUILD / "bin/dpo"
DATA = FIXTURES / "data"
LORA = ("--lora-r", 4, "--lora-target-modules", "all-linear")
JUDGE = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"scores": [sum(map(ord, text)) % 7 for text in json.loads(line)["completions"]]}), flush=True)
"""


def tensors(path: pathlib.Path) -> "dict[str, bytes]":
    found: "dict[str, bytes]" = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None)
    return found


def wide_model(folder: pathlib.Path) -> pathlib.Path:
    """A model like MODEL with 341,760 numbers, of which each of 5 ranks owns some, where MODEL has less than one rank's share. Its
    parameters end anywhere between the blocks of 8-bit states."""
    hidden, inner, keys = 96, 256, 48
    shutil.copytree(MODEL, folder)
    config = json.loads((folder / "config.json").read_text())
    layers = config["num_hidden_layers"] = 3
    config |= {"hidden_size": hidden, "intermediate_size": inner, "head_dim": hidden // config["num_attention_heads"]}
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"model.embed_tokens": (config["vocab_size"], hidden), "model.norm": (hidden,)}
    for layer in range(layers):
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in (
            ("input_layernorm", (hidden,)), ("post_attention_layernorm", (hidden,)), ("self_attn.q_proj", (hidden, hidden)),
            ("self_attn.k_proj", (keys, hidden)), ("self_attn.v_proj", (keys, hidden)), ("self_attn.o_proj", (hidden, hidden)),
            ("mlp.gate_proj", (inner, hidden)), ("mlp.up_proj", (inner, hidden)), ("mlp.down_proj", (hidden, inner)))}
    random, header, content = numpy.random.default_rng(0), {}, b""
    for name, shape in shapes.items():
        numbers = numpy.ones(shape, "<f4") if len(shape) == 1 else random.standard_normal(shape, "f4") * numpy.float32(0.1)
        header[name + ".weight"] = {"dtype": "F32", "shape": shape, "data_offsets": [len(content), len(content) + numbers.nbytes]}
        content += numbers.tobytes()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + content)
    return folder


def metrics(folder: pathlib.Path) -> "list[dict]":
    return [{name: value for name, value in row.items() if "second" not in name and "runtime" not in name}
            for row in rows(folder / "metrics.jsonl")]


@unittest.skipIf(ranks.MISSING, ranks.MISSING)
class Train(Case):
    def setUp(self) -> None:
        super().setUp()
        self.model = MODEL
        # Rows whose lengths differ, and a number of them that no batch divides.
        self.pairs = self.directory / "pairs.jsonl"
        varied = [
            {**row, "chosen": " ".join(row["chosen"].split(" ")[: 3 + turn]), "prompt": f"{'So. ' * turn}{row['prompt']}"}
            for turn in range(3) for row in rows(PAIRS)
        ]
        self.pairs.write_text("".join(json.dumps(row) + "\n" for row in varied[:31]))
        self.judge = self.directory / "judge.py"
        self.judge.write_text(JUDGE)

    def arguments(self, folder: str, *options: object, data: object = None) -> "tuple[object, ...]":
        return (
            DPO, "train", self.model, "--data", data or self.pairs, "--output-dir", self.directory / folder, "--max-steps", 4,
            "--learning-rate", 1e-3, "--threads", 1, *options,
        )

    def alone(self, folder: str, *options: object, **where: object) -> pathlib.Path:
        done = dpo(*self.arguments(folder, *options, **where)[1:])  # type: ignore[arg-type]
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.directory / folder

    def together(self, count: int, folder: str, *options: object, **where: object) -> pathlib.Path:
        status, output = ranks.run(count, *self.arguments(folder, *options, **where))  # type: ignore[arg-type]
        self.assertEqual(status, 0, output)
        self.assertEqual(output.count("done: "), 1, output)
        return self.directory / folder

    def refused(self, count: int, *options: object, **where: object) -> str:
        """What all ranks print; they end by themselves, and without a result."""
        status, output = ranks.run(count, *self.arguments("refused", *options, **where))  # type: ignore[arg-type]
        self.assertNotIn(status, (0, 124), output)
        self.assertFalse((self.directory / "refused/final.h5").exists())
        return output

    def assertSame(self, found: pathlib.Path, expected: pathlib.Path) -> None:
        self.assertEqual(metrics(found), metrics(expected))
        ours, theirs = tensors(found / "final.h5"), tensors(expected / "final.h5")
        self.assertTrue(ours)
        self.assertEqual({name for name in ours if ours[name] != theirs.get(name)}, set())
        self.assertEqual(ours.keys(), theirs.keys())

    def assertSameOnRanks(self, *options: object, micro_batches: int = 12, counts: "tuple[int, ...]" = (2, 3, 4), **where: object) -> None:
        def share(count: int) -> "tuple[object, ...]":
            return (*options, "--gradient-accumulation-steps", micro_batches // count)

        expected = self.alone("alone", *share(1), **where)
        self.assertGreater(len(metrics(expected)), 0)
        for count in counts:
            with self.subTest(ranks=count):
                self.assertSame(self.together(count, f"on-{count}", *share(count), **where), expected)
        for folder in self.directory.glob("*on*"):
            if folder.is_dir():
                shutil.rmtree(folder)

    # ----------------------------------------------------------------------------------------------------- equality

    def every(self, *cases: "tuple[object, ...]", **where: object) -> None:
        for options in cases:
            with self.subTest(" ".join(map(str, options))):
                self.assertSameOnRanks("--per-device-train-batch-size", 1, *options, **where)

    def test_dpo(self) -> None:
        self.every(
            (), LORA, ("--loss-type", "ipo"), ("--loss-type", "aot", "--per-device-train-batch-size", 2), ("--use-weighting",),
            (*LORA, "--no-disable-dropout", "--lora-dropout", 0.2), ("--precompute-ref-log-probs",),
            ("--gradient-checkpointing", "--precision", "bf16"), ("--sync-ref-model", "--ref-model-sync-steps", 2),
        )

    def test_optimizers(self) -> None:
        offload = self.directory / "offload"
        offload.mkdir()
        self.every(
            *(("--optim", name) for name in ("adamw_8bit", "adafactor", "lion_32bit", "lion_8bit", "sgd")),
            ("--optim", "sgd", "--optim-args", "momentum=0.9"), ("--optim-state-dtype", "bf16"), ("--offload", offload),
            ("--max-grad-norm", 0.5, "--weight-decay", 0.1))

    #: Of each optimiser whose states are divided, some on every rank.
    DIVIDED = (
        ("--optim", "adamw_8bit"), ("--optim", "lion_8bit"), (), ("--optim-state-dtype", "bf16"), ("--optim", "lion_32bit"),
        ("--optim", "sgd", "--optim-args", "momentum=0.9"))

    def test_divided_states(self) -> None:
        self.model = wide_model(self.directory / "wide")
        self.every(*((*optimizer, "--max-grad-norm", 0.5) for optimizer in self.DIVIDED))

    def test_memory_of_a_rank_is_planned(self) -> None:
        """States are a share of those of one process, within the block by which shares differ; Adafactor's are whole."""
        self.model = wide_model(self.directory / "wide")

        def planned(count: int, *options: object) -> int:
            words = self.arguments("planned", *options, "--dry-run", "--json")
            output = dpo(*words[1:]).stdout if count == 1 else ranks.run(count, *words)[1]
            plan = json.JSONDecoder().raw_decode(output[output.index("{") :])[0]
            self.assertEqual(plan["ranks"], count)
            return plan["memory_bytes"]["optimizer"]

        for options in self.DIVIDED:
            with self.subTest(" ".join(map(str, options))):
                whole = planned(1, *options)
                for count in (2, 3):
                    self.assertGreaterEqual(planned(count, *options), whole // count)
                    # 341,760 numbers are 5.2 blocks of 65,536.
                    self.assertLess(planned(count, *options), whole * (-(-6 // count)) * 65800 // 341760)
        self.assertEqual(planned(2, "--optim", "adafactor"), planned(1, "--optim", "adafactor"))

    def test_other_methods_on_pairs(self) -> None:
        self.every(*(("--method", method, *LORA) for method in ("cpo", "orpo", "unlikelihood", "reward", "ranked", "bco", "sft")))
        self.every(("--method", "kto", "--per-device-train-batch-size", 2, *LORA))

    def test_ranked_answers_thumbs_and_text(self) -> None:
        for method, data, *more in (
            ("ranked", DATA / "ranked.jsonl"), ("kto", DATA / "unpaired.jsonl"), ("bco", DATA / "unpaired.jsonl"),
            ("sft", DATA / "completions.jsonl"), ("pretrain", DATA / "documents.jsonl", "--max-length", 32),
        ):
            self.every(("--method", method, "--per-device-train-batch-size", 2, *more), data=data)
        self.every(("--method", "sft", "--packing", "--max-length", 64), data=DATA / "completions.jsonl")

    def test_answers_of_the_policy(self) -> None:
        reward = ("--command", f"python3 {self.judge}", "--max-completion-length", 6)
        self.every(
            *(("--method", method, *reward, *LORA, "--per-device-train-batch-size", 2, *more) for method, *more in (
                ("ppo",), ("rloo", "--num-generations", 2), ("grpo", "--num-generations", 2), ("online_dpo",))))

    def test_ranks_that_divide_nothing(self) -> None:
        """Steps of 6 micro-batches of 2 rows; the epoch ends with fewer, of which the last has one row."""
        self.assertSameOnRanks("--per-device-train-batch-size", 2, "--max-steps", 9, *LORA, micro_batches=6, counts=(2, 3, 6))

    def test_evaluation_is_dealt(self) -> None:
        evaluation = ("--eval-data", PAIRS, "--eval-steps", 2, "--per-device-eval-batch-size", 5, "--per-device-train-batch-size", 1)
        self.assertSameOnRanks(*evaluation, *LORA)
        lines = [row for row in metrics(self.alone("once", *evaluation, *LORA)) if "eval_loss" in row]
        self.assertGreaterEqual(len(lines), 2)

    def test_ranks_share_a_cache_of_rows(self) -> None:
        expected = self.alone("plain", "--per-device-train-batch-size", 1, "--gradient-accumulation-steps", 6)
        options = ("--per-device-train-batch-size", 1, "--gradient-accumulation-steps", 2, "--data-cache", self.directory / "cache")
        for turn in ("made", "read"):
            self.assertSame(self.together(3, turn, *options), expected)
        self.assertEqual(len([path for path in (self.directory / "cache").iterdir() if not path.name.startswith(".")]), 1)

    def resumes(self, *pairs: "tuple[int, int]", options: "tuple[object, ...]") -> None:
        options = ("--per-device-train-batch-size", 2, *options)
        whole = self.alone("whole", *options, "--gradient-accumulation-steps", 6, "--save-steps", 2)
        for before, after in pairs:
            with self.subTest(before=before, after=after):
                folder = f"{before}-{after}"
                begin = (*options, "--gradient-accumulation-steps", 6 // before, "--save-steps", 2)
                first = self.alone if before == 1 else lambda *words: self.together(before, *words)
                first(folder, *begin)
                for left in ("final.h5", "checkpoint-4.h5", "report.html"):
                    (self.directory / folder / left).unlink()
                more = (*options, "--gradient-accumulation-steps", 6 // after, "--save-steps", 2, "--resume-from-checkpoint", "last")
                second = self.alone if after == 1 else lambda *words: self.together(after, *words)
                middle = tensors(self.directory / folder / "checkpoint-2.h5")
                self.assertSame(second(folder, *more), whole)
                # The states of all ranks, as one process writes them.
                self.assertEqual(middle, tensors(whole / "checkpoint-2.h5"))
                self.assertEqual(tensors(self.directory / folder / "checkpoint-4.h5"), tensors(whole / "checkpoint-4.h5"))

    def test_resumed_on_other_numbers_of_ranks(self) -> None:
        self.resumes((2, 3), (3, 1), (1, 2), options=LORA)

    def test_divided_states_are_resumed_on_other_numbers_of_ranks(self) -> None:
        self.model = wide_model(self.directory / "wide")
        for optimizer in self.DIVIDED[:4]:
            with self.subTest(" ".join(optimizer)):
                self.resumes((2, 3), (3, 1), (1, 2), options=optimizer)
                for folder in ("whole", "2-3", "3-1", "1-2"):
                    shutil.rmtree(self.directory / folder)

    def test_one_process_of_mpirun_and_none_at_all(self) -> None:
        self.assertSame(self.together(1, "one"), self.alone("none"))
        self.assertSame(self.alone("asked", "--distributed", "mpi"), self.alone("again"))
        config = self.directory / "config.yaml"
        config.write_text("distributed: mpi\nddp_timeout: 5\n")
        self.assertSame(self.alone("by-file", "--config", config), self.directory / "again")
        for line, text in (("distributed: nccl", "distributed is nccl, expected auto, mpi or none"), ("ddp_timeout: soon", "expected a number of seconds")):
            config.write_text(line + "\n")
            refused = dpo(*self.arguments("none-at-all", "--config", config)[1:])
            self.assertEqual(refused.returncode, 2, refused.stderr)
            self.assertIn(text, refused.stderr)

    # ----------------------------------------------------------------------------------------------------- failures

    def test_ranks_of_different_runs(self) -> None:
        other = self.directory / "other.jsonl"
        other.write_text("".join(self.pairs.read_text().splitlines(keepends=True)[:-1]))
        script = self.directory / "rank.sh"
        for name, what in (("--beta 0.2", "beta"), (f"--data {other}", "the training data"), ("--engine portable", "engine"), ("--seed 7", "seed")):
            script.write_text(f'#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 1 ] && set -- "$@" {name}\nexec "$@"\n')
            options = ("--engine", "avx2") if what == "engine" and "avx2" in pathlib.Path("/proc/cpuinfo").read_text() else ()
            words = [word for word in self.arguments("refused", *options)]
            if "--data" in name:  # given twice it would be a mixture
                words[words.index("--data") + 1] = self.pairs
                script.write_text(f'#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 1 ] && cp {other} {self.directory}/mine.jsonl || '
                                  f'cp {self.pairs} {self.directory}/mine0.jsonl\n'
                                  f'[ "$OMPI_COMM_WORLD_RANK" = 1 ] && exec "$@" --data {self.directory}/mine.jsonl\n'
                                  f'exec "$@" --data {self.directory}/mine0.jsonl\n')
                place = words.index("--data")
                del words[place : place + 2]
            script.chmod(0o755)
            with self.subTest(what):
                status, output = ranks.run(2, script, *words)
                self.assertNotIn(status, (0, 124), output)
                self.assertIn("the ranks are not of one run", output)
                self.assertIn(what, output)
                self.assertEqual(len(re.findall("dpo: error:", output)), 1, output)
                self.assertFalse((self.directory / "refused/final.h5").exists())

    def test_ranks_of_different_models(self) -> None:
        """Under the same path, as on two machines."""
        model = self.directory / "model"
        shutil.copytree(MODEL, model)
        weights = bytearray((model / "model.safetensors").read_bytes())
        weights[-1] ^= 1
        other = self.directory / "other"
        shutil.copytree(MODEL, other)
        (other / "model.safetensors").write_bytes(weights)
        script = self.directory / "rank.sh"
        script.write_text(f'#!/bin/sh\nshift 3\n[ "$OMPI_COMM_WORLD_RANK" = 1 ] && exec {DPO} train {other} "$@"\nexec {DPO} train {model} "$@"\n')
        script.chmod(0o755)
        status, output = ranks.run(2, script, *self.arguments("refused"))
        self.assertNotIn(status, (0, 124), output)
        self.assertRegex(output, "the ranks are not of one run; what differs: .*the model [(]rank 0: [0-9a-f]+, rank 1: [0-9a-f]+[)]")
        self.assertFalse((self.directory / "refused/final.h5").exists())

    def test_more_ranks_than_a_step_has_batches(self) -> None:
        self.assertIn("4 ranks, but a step has only 2 micro-batches", self.refused(4, "--per-device-train-batch-size", 16))

    def long(self, folder: str, *options: object) -> "tuple[object, ...]":
        return self.arguments(folder, "--max-steps", 100000, "--save-steps", 50, "--save-total-limit", 2, *options)

    def after_some_steps(self, folder: str, running: ranks.Ranks) -> None:
        lines = self.directory / folder / "metrics.jsonl"
        for _ in range(600):
            if lines.exists() and len(lines.read_text().splitlines()) > 60:
                return
            if running.process.poll() is not None:
                break
            time.sleep(0.1)
        self.fail(f"no steps: {running.wait(1)}")

    def goes_on(self, folder: str) -> None:
        """The run can be resumed on another number of ranks."""
        done = len(rows(self.directory / folder / "metrics.jsonl"))
        lines = rows(self.directory / folder / "metrics.jsonl")
        self.assertEqual([row["step"] for row in lines], list(range(1, done + 1)))
        checkpoints = sorted((self.directory / folder).glob("*.h5"))
        self.assertTrue(checkpoints)
        with h5py.File(checkpoints[-1]):
            pass
        resumed = dpo(*self.arguments(folder, "--resume-from-checkpoint", "last", "--max-steps", done + 200, *LORA,
                                      "--gradient-accumulation-steps", 3, "--allow-mismatch")[1:])
        self.assertEqual(resumed.returncode, 0, resumed.stderr)

    def test_a_rank_is_killed(self) -> None:
        for victim in (0, 2):
            with self.subTest(rank=victim):
                folder = f"killed-{victim}"
                running = ranks.Ranks(3, *self.long(folder, *LORA))
                self.after_some_steps(folder, running)
                os.kill(running.pids()[victim], signal.SIGKILL)
                start = time.monotonic()
                status, output = running.wait(60)
                self.assertLess(time.monotonic() - start, 30)
                self.assertEqual(status, 137, output)
                self.assertEqual(running.pids(), [])
                self.goes_on(folder)

    def test_a_rank_stops_answering(self) -> None:
        running = ranks.Ranks(2, *self.long("stopped", "--ddp-timeout", 2, *LORA))
        self.after_some_steps("stopped", running)
        os.kill(running.pids()[1], signal.SIGSTOP)
        status, output = running.wait(60)
        self.assertNotIn(status, (0, 124), output)
        # The other may wait for it between two steps, or while their gradients are under way.
        self.assertRegex(output, "rank 1 did not come within|though every rank had come")

    def test_interrupted(self) -> None:
        """Ctrl-C in the terminal reaches mpirun; a polite kill may reach one rank alone."""
        for name, send in (
            ("rank", lambda running: os.kill(running.pids()[1], signal.SIGTERM)),
            ("interrupt", lambda running: [os.kill(pid, signal.SIGINT) for pid in running.pids()]),
        ):
            with self.subTest(name):
                running = ranks.Ranks(2, *self.long(name, *LORA))
                self.after_some_steps(name, running)
                send(running)
                status, output = running.wait(60)
                self.assertEqual(status, 130, output)
                self.assertTrue((self.directory / name / "autosave.h5").exists(), output)
                self.goes_on(name)

    def test_mpirun_is_interrupted(self) -> None:
        running = ranks.Ranks(2, *self.long("mpirun", *LORA))
        self.after_some_steps("mpirun", running)
        running.process.send_signal(signal.SIGINT)
        status, output = running.wait(60)
        self.assertNotIn(status, (0, 124), output)
        self.assertEqual(running.pids(), [])

    def test_numbers_that_are_not_finite(self) -> None:
        output = self.refused(3, "--learning-rate", 1e30, "--max-steps", 50, "--max-grad-norm", 1e30)
        self.assertRegex(output, "step [0-9]+: .* is -?(nan|inf).*the step was not applied")
        self.assertEqual(len(re.findall("dpo: error:", output)), 1, output)

    @unittest.skipIf(os.getuid() != 0, "a full disk needs root")
    def test_the_disk_of_rank_0_is_full(self) -> None:
        place = self.directory / "small"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(place)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(place)])
        status, output = ranks.run(2, *self.arguments("small/run", "--save-steps", 1))
        self.assertNotIn(status, (0, 124), output)
        self.assertIn("No space left", output)
        self.assertEqual(len(re.findall("dpo: error:", output)), 1, output)

    @unittest.skipIf(os.getuid() != 0, "a full disk needs root")
    def test_the_disk_is_full_while_states_are_gathered(self) -> None:
        """There is room for one checkpoint of AdamW, and a few of 8 bits. The run goes on from it elsewhere, by itself, and ends as if nothing had been."""
        self.model = wide_model(self.directory / "wide")
        place = self.directory / "small"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=7m", "none", str(place)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(place)])
        for optimizer in ((), ("--optim", "adamw_8bit")):
            with self.subTest(" ".join(optimizer)):
                options = ("--save-steps", 1, "--per-device-train-batch-size", 2, *optimizer)
                status, output = ranks.run(3, *self.arguments("small/run", *options, "--gradient-accumulation-steps", 1))
                self.assertNotIn(status, (0, 124), output)
                self.assertIn("No space left", output)
                self.assertEqual(len(re.findall("dpo: error:", output)), 1, output)
                self.assertTrue((place / "run/checkpoint-1.h5").exists())
                shutil.copytree(place / "run", self.directory / "larger")
                goes_on = self.alone("larger", *options, "--gradient-accumulation-steps", 3, "--resume-from-checkpoint", "last")
                whole = self.alone("whole", *options, "--gradient-accumulation-steps", 3)
                self.assertSame(goes_on, whole)
                for folder in (place / "run", goes_on, whole):
                    shutil.rmtree(folder)

    def test_no_such_file_on_one_rank(self) -> None:
        script = self.directory / "rank.sh"
        script.write_text('#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 1 ] && set -- dpo "$@" --ref-model /none || set -- dpo "$@"\nshift\nexec "$@"\n')
        script.chmod(0o755)
        start = time.monotonic()
        status, output = ranks.run(3, script, *self.arguments("none"))
        self.assertNotIn(status, (0, 124), output)
        self.assertIn("rank 1 of 3", output)
        self.assertIn("/none", output)
        self.assertLess(time.monotonic() - start, 60)

    def test_no_plug_in(self) -> None:
        folder = self.directory / "bin"
        folder.mkdir()
        shutil.copy(DPO, folder)
        status, output = ranks.run(2, folder / "dpo", *self.arguments("none")[1:])
        self.assertNotIn(status, (0, 124), output)
        self.assertIn("libdpo-mpi", output)
        self.assertIn("make mpi", output)

    @unittest.skipUnless(ranks.Mpich.PROGRAM, "there is no MPICH beside Open MPI")
    def test_started_by_another_mpi(self) -> None:
        status, output = ranks.Mpich(2, *self.arguments("none")).wait()
        self.assertEqual(status, 1, output)
        self.assertIn("MPICH's mpiexec (or another by PMI) started 2 processes", output)
        self.assertFalse((self.directory / "none").exists())


if __name__ == "__main__":
    unittest.main()
