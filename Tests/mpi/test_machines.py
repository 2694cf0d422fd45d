"""Two network namespaces as two machines: TCP between them, and what happens when the cable is taken out."""

import os
import pathlib
import re
import signal
import tempfile
import time
import unittest

import ranks
from support import BUILD, MODEL, PAIRS, dpo
from test_plugin import compile_host, open_mpi_compiler
from test_train import JUDGE, LORA, tensors

if not ranks.MISSING:
    ranks.Machines.look()
MISSING = ranks.MISSING or ranks.Machines.MISSING


@unittest.skipIf(MISSING, MISSING)
class TwoMachines(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="dpo-mpi-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.host = compile_host(open_mpi_compiler(), folder.name)
        self.machines = ranks.Machines()
        self.machines.__enter__()
        self.addCleanup(self.machines.close)

    def test_bytes_go_through_the_cable(self) -> None:
        status, output = self.machines.start(self.host, ranks.PLUGIN, "correct").wait()
        self.assertEqual((status, output.count(": done")), (0, 2), output)
        before = self.machines.sent()
        _, output = self.machines.start(self.host, ranks.PLUGIN, "large", 100_000_000).wait()
        self.assertNotIn("FAILED", output)
        # 50 MB each way by either function.
        self.assertGreater(self.machines.sent() - before, 200_000_000)

    def training(self, folder: str, *options: object, share: int) -> "tuple[object, ...]":
        return ("train", MODEL, "--data", PAIRS, "--max-steps", 6, "--per-device-train-batch-size", 1, "--threads", 1, "--learning-rate", 1e-3,
                "--gradient-accumulation-steps", share, "--output-dir", self.folder / folder, *options)

    def test_a_training_of_two_machines(self) -> None:
        before = self.machines.sent()
        status, output = self.machines.start(BUILD / "bin/dpo", *self.training("two", share=2)).wait()
        self.assertEqual(status, 0, output)
        # 6 steps of 2 rounds, in which each sends the other half of the gradients, and of the parameters after each step.
        count = int(re.search(r"(\d+) parameters to train", output).group(1))  # type: ignore[union-attr]
        self.assertGreater(self.machines.sent() - before, 6 * 2 * 4 * count)
        alone = dpo(*self.training("one", share=4))
        self.assertEqual(alone.returncode, 0, alone.stderr)
        self.assertEqual(tensors(self.folder / "two/final.h5"), tensors(self.folder / "one/final.h5"))

    def test_methods_and_optimizers_on_two_machines(self) -> None:
        judge = self.folder / "judge.py"
        judge.write_text(JUDGE)
        for name, *options in (
            ("lora", *LORA), ("sft", "--method", "sft"), ("kto", "--method", "kto", *LORA, "--per-device-train-batch-size", 2),
            ("reward", "--method", "reward"), ("8bit", "--optim", "adamw_8bit"),
            ("grpo", "--method", "grpo", *LORA, "--num-generations", 2, "--max-completion-length", 5, "--per-device-train-batch-size", 2,
             "--command", f"python3 {judge}"),
        ):
            with self.subTest(name):
                status, output = self.machines.start(BUILD / "bin/dpo", *self.training(f"{name}-two", *options, share=2)).wait()
                self.assertEqual(status, 0, output)
                alone = dpo(*self.training(f"{name}-one", *options, share=4))
                self.assertEqual(alone.returncode, 0, alone.stderr)
                self.assertEqual(tensors(self.folder / f"{name}-two/final.h5"), tensors(self.folder / f"{name}-one/final.h5"))

    def test_a_rank_of_the_other_machine_is_killed(self) -> None:
        running = self.machines.start(
            BUILD / "bin/dpo", *self.training("killed", *LORA, "--max-steps", 100000, "--save-steps", 50, share=1))
        lines = self.folder / "killed/metrics.jsonl"
        for _ in range(1200):
            if lines.exists() and len(lines.read_text().splitlines()) > 60:
                break
            time.sleep(0.1)
        else:
            running.end()
            self.fail("no steps")
        os.kill(self.machines.ranks(self.machines.NAMES[1])[0], signal.SIGKILL)
        start = time.monotonic()
        status, output = running.wait(60)
        self.assertLess(time.monotonic() - start, 30)
        self.assertNotIn(status, (0, 124), output)
        self.assertEqual(self.machines.ranks(*self.machines.NAMES), [])
        resumed = dpo(*self.training("killed", *LORA, "--max-steps", 200000, share=2), "--resume-from-checkpoint", "last", "--dry-run")
        self.assertEqual(resumed.returncode, 0, resumed.stderr)

    def test_the_cable_is_taken_out(self) -> None:
        running = self.machines.start(self.host, ranks.PLUGIN, "until-lost")
        time.sleep(4)
        self.machines.cut()
        _, output = running.wait(20)
        self.assertIn("rank 0: begun", output)
        self.assertIn("rank 0: rank 1 did not come within", output)


if __name__ == "__main__":
    unittest.main()
