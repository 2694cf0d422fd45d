"""Two network namespaces as two machines: TCP between them, and what happens when the cable is taken out."""

import pathlib
import re
import tempfile
import time
import unittest

import ranks
from support import BUILD, MODEL, PAIRS, dpo
from test_plugin import compile_host, open_mpi_compiler
from test_train import tensors

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

    def test_a_training_of_two_machines(self) -> None:
        words = ("train", MODEL, "--data", PAIRS, "--max-steps", 6, "--per-device-train-batch-size", 1, "--threads", 1, "--learning-rate", 1e-3)
        before = self.machines.sent()
        status, output = self.machines.start(
            BUILD / "bin/dpo", *words, "--gradient-accumulation-steps", 2, "--output-dir", self.folder / "two").wait()
        self.assertEqual(status, 0, output)
        # 6 steps of 2 rounds, in which each sends the other half of the gradients, and of the parameters after each step.
        count = int(re.search(r"(\d+) parameters to train", output).group(1))  # type: ignore[union-attr]
        self.assertGreater(self.machines.sent() - before, 6 * 2 * 4 * count)
        alone = dpo(*words, "--gradient-accumulation-steps", 4, "--output-dir", self.folder / "one")
        self.assertEqual(alone.returncode, 0, alone.stderr)
        self.assertEqual(tensors(self.folder / "two/final.h5"), tensors(self.folder / "one/final.h5"))

    def test_the_cable_is_taken_out(self) -> None:
        running = self.machines.start(self.host, ranks.PLUGIN, "until-lost")
        time.sleep(4)
        self.machines.cut()
        _, output = running.wait(20)
        self.assertIn("rank 0: begun", output)
        self.assertIn("rank 0: rank 1 did not come within", output)


if __name__ == "__main__":
    unittest.main()
