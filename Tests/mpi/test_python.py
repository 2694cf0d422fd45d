"""The Python package on several ranks: config, callbacks, evaluation of several sets, and engines beside libdpo-mpi.so."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import unittest

import libdpo
import ranks
from support import BUILD, MODEL, PAIRS, ROOT, Case
from test_train import metrics, tensors

ENVIRONMENT = {
    "PYTHONPATH": f"{ROOT / 'bindings/python'}:{os.environ.get('PYTHONPATH', '')}",
    "LIBDPO_LIBRARY": os.environ.get("LIBDPO_LIBRARY", str(BUILD / "lib/libdpo.so.0")),
}
#: Trains as its arguments say, and prints what each rank found.
SCRIPT = """
import json, sys
import libdpo
model, pairs, output, distributed, share, kind = sys.argv[1:]

class Notes(libdpo.TrainerCallback):
    seen = []
    def on_step_end(self, args, state, control, **kwargs):
        self.seen.append(state.global_step)
        if kind == "stops" and state.global_step == 2:
            control.should_training_stop = True
    def on_evaluate(self, args, state, control, metrics, **kwargs):
        self.seen.append(round(metrics.get("eval_loss", metrics.get("eval_a_loss", metrics.get("eval_b_loss"))), 6))

common = dict(output_dir=output, per_device_train_batch_size=1, gradient_accumulation_steps=int(share), max_steps=4, learning_rate=1e-3,
              distributed=None if distributed == "none" else distributed, ddp_timeout=60, threads=1)
if kind == "sets":
    args = libdpo.DPOConfig(**common, eval_strategy="steps", eval_steps=2, load_best_model_at_end=True, save_strategy="best")
    trainer = libdpo.DPOTrainer(model, args=args, train_dataset=pairs, eval_dataset={"a": pairs, "b": pairs}, callbacks=[Notes])
    trainer.args.metric_for_best_model = "a_loss"
elif kind == "rewards":
    args = libdpo.GRPOConfig(**common, num_generations=2, max_completion_length=5)
    reward = lambda completions, **_: [float(len(text) % 5) for text in completions]
    trainer = libdpo.GRPOTrainer(model, reward, args, train_dataset=pairs, callbacks=[Notes])
else:
    trainer = libdpo.DPOTrainer(model, args=libdpo.DPOConfig(**common), train_dataset=pairs, eval_dataset=pairs, callbacks=[Notes],
                                peft_config=libdpo.LoraConfig(r=4, target_modules="all-linear"))
result = trainer.train()
evaluated = trainer.evaluate() if kind != "rewards" else {}
if kind == "plain":
    trainer.save_model(output + "/peft")
rank = trainer.communicator.rank if trainer.communicator else 0
print(json.dumps({"rank": rank, "first": trainer.is_world_process_zero(), "steps": result.global_step, "loss": result.training_loss,
                  "seen": Notes.seen, "eval": {key: value for key, value in evaluated.items() if "loss" in key}}), flush=True)
"""


@unittest.skipIf(ranks.MISSING, ranks.MISSING)
class Python(Case):
    def setUp(self) -> None:
        super().setUp()
        self.script = self.directory / "train.py"
        self.script.write_text(SCRIPT)

    def found(self, output: str) -> "list[dict]":
        """What the ranks printed; lines of two ranks may come as one."""
        decoder, lines = json.JSONDecoder(), []
        for start in [place for place in range(len(output)) if output.startswith('{"rank"', place)]:
            lines.append(decoder.raw_decode(output[start:])[0])
        return sorted(lines, key=lambda line: line["rank"])

    def one(self, kind: str, share: int) -> dict:
        done = subprocess.run(
            [sys.executable, str(self.script), str(MODEL), str(PAIRS), str(self.directory / "one"), "none", str(share), kind],
            capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.found(done.stdout)[0]

    def assertSame(self, kind: str, distributed: str = "mpi", python: str = sys.executable) -> None:
        expected = self.one(kind, 6)
        for count in (2, 3):
            with self.subTest(ranks=count):
                folder = self.directory / f"{kind}-{count}"
                status, output = ranks.run(
                    count, python, self.script, MODEL, PAIRS, folder, distributed, 6 // count, kind, environment=ENVIRONMENT)
                self.assertEqual(status, 0, output)
                for rank, line in enumerate(self.found(output)):
                    self.assertEqual(line, {**expected, "rank": rank, "first": rank == 0}, output)
                self.assertEqual(len(self.found(output)), count, output)
                self.assertEqual(tensors(folder / "final.h5"), tensors(self.directory / "one/final.h5"))
                self.assertEqual(metrics(folder), metrics(self.directory / "one"))
                if kind == "plain":
                    self.assertTrue((folder / "peft/adapter_model.safetensors").exists())
                # Only one rank shows progress.
                self.assertEqual(output.count("tokens an epoch"), 1, output)

    def test_the_config_asks_for_mpi(self) -> None:
        self.assertSame("plain")

    def test_a_callback_stops_all_ranks(self) -> None:
        self.assertSame("stops")

    def test_several_evaluation_sets_and_the_best_model(self) -> None:
        self.assertSame("sets")

    def test_reward_functions_get_the_answers_of_their_rank(self) -> None:
        self.assertSame("rewards")

    def test_a_script_that_fails_on_one_rank(self) -> None:
        text = self.script.read_text().replace("result = trainer.train()", 'assert trainer.communicator.rank != 1, "by intention"\nresult = trainer.train()')
        self.script.write_text(text)
        status, output = ranks.run(
            3, sys.executable, self.script, MODEL, PAIRS, self.directory / "run", "mpi", 2, "plain", environment=ENVIRONMENT)
        self.assertNotIn(status, (0, 124), output)
        self.assertIn("by intention", output)

    def test_the_example_with_mpi4py(self) -> None:
        python = next((each for each in ("python3", "/usr/bin/python3") if shutil.which(each) and not subprocess.run(
            [each, "-c", "import mpi4py.MPI"], capture_output=True).returncode), None)
        if python is None:
            self.skipTest("there is no mpi4py (Debian's python3-mpi4py)")
        example = ROOT / "examples/distributed/mpi.py"
        status, output = ranks.run(2, python, example, MODEL, PAIRS, self.directory / "run", environment=ENVIRONMENT)
        self.assertEqual(status, 0, output)
        self.assertIn("2 ranks, 6 steps, loss ", output)
        again = "import sys; sys.argv = sys.argv[1:]; exec(open(sys.argv[0]).read().replace('MPI.COMM_WORLD,', '\"mpi\",'))"
        status, output = ranks.run(2, python, "-c", again, example, MODEL, PAIRS, self.directory / "plug-in", environment=ENVIRONMENT)
        self.assertEqual(status, 0, output)
        self.assertEqual(tensors(self.directory / "run/final.h5"), tensors(self.directory / "plug-in/final.h5"))


class OwnEngine(Case):
    """Functions of Python, over two threads of this process."""

    def ranks(self, count: int) -> "list[libdpo.Communicator]":
        barrier, sent = threading.Barrier(count, timeout=60), [b""] * count

        def functions(rank: int) -> libdpo.Communicator:
            def all_gather(send, receive, sizes):  # type: ignore[no-untyped-def]
                sent[rank] = bytes(send)
                barrier.wait()
                receive[:] = b"".join(sent)
                barrier.wait()

            def all_to_all(send, send_sizes, receive, receive_sizes):  # type: ignore[no-untyped-def]
                sent[rank] = [bytes(send[sum(send_sizes[:to]) : sum(send_sizes[: to + 1])]) for to in range(count)]  # type: ignore[call-overload]
                barrier.wait()
                receive[:] = b"".join(each[rank] for each in sent)  # type: ignore[misc]
                barrier.wait()

            return libdpo.Communicator.from_callables(rank, count, all_gather, all_to_all, name="threads")

        return [functions(rank) for rank in range(count)]

    def train(self, name: str, share: int, communicator: "libdpo.Communicator | None" = None) -> pathlib.Path:
        args = libdpo.DPOConfig(
            output_dir=str(self.directory / name), per_device_train_batch_size=1, gradient_accumulation_steps=share, max_steps=3,
            learning_rate=1e-3, threads=1, disable_tqdm=True, distributed=communicator)
        libdpo.DPOTrainer(str(MODEL), args=args, train_dataset=str(PAIRS)).train()
        return self.directory / name

    def test_the_same_bits(self) -> None:
        expected = self.train("one", 4)
        raised: "list[BaseException]" = []

        def work(communicator: libdpo.Communicator) -> None:
            try:
                self.train("two", 2, communicator)
            except BaseException as error:
                raised.append(error)

        communicators = self.ranks(2)
        self.assertEqual([(each.rank, each.size) for each in communicators], [(0, 2), (1, 2)])
        threads = [threading.Thread(target=work, args=(each,)) for each in communicators]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(raised, [])
        self.assertEqual(tensors(self.directory / "two/final.h5"), tensors(expected / "final.h5"))

    def test_exceptions_are_told(self) -> None:
        def fails(*_: object) -> None:
            raise OSError("the cable is out")

        communicator = libdpo.Communicator.from_callables(1, 2, fails, fails, name="no engine")
        with self.assertRaisesRegex(libdpo.DPOError, "rank 1 of 2: the cable is out .no engine."):
            self.train("none", 1, communicator)
        with self.assertRaisesRegex(libdpo.DPOError, "cannot end its ranks"):
            communicator.abort()

    def test_what_distributed_may_be(self) -> None:
        self.assertRaises(TypeError, libdpo.Communicator)
        self.assertRaises(TypeError, libdpo.Communicator.of, "nccl")
        self.assertRaises(libdpo.InvalidArgumentError, libdpo.Communicator.from_callables, 2, 2, print, print)
        self.assertRaises(libdpo.FileError, libdpo.Communicator.mpi, "/no/plug-in.so")


if __name__ == "__main__":
    unittest.main()
