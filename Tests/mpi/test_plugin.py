"""libdpo-mpi.so by itself, driven by plugin.c: what it moves, and what it says when ranks are late, gone or of another MPI."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

import ranks
from support import ROOT

FLAGS = ["-std=c17", "-Wall", "-Wextra", "-Werror", "-O1", f"-I{ROOT}/include"]


def open_mpi_compiler() -> str:
    return shutil.which("mpicc.openmpi") or "mpicc"


def compile_host(mpicc: str, folder: str) -> str:
    program = f"{folder}/{pathlib.Path(mpicc).name}-host"
    subprocess.run([mpicc, *FLAGS, str(ROOT / "Tests/mpi/plugin.c"), "-o", program, "-lpthread", "-ldl"], check=True)
    return program


@unittest.skipIf(ranks.MISSING, ranks.MISSING)
class Plugin(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="dpo-mpi-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.host = compile_host(open_mpi_compiler(), cls.folder)

    def drive(self, count: int, *scenario: object) -> "tuple[int, str]":
        return ranks.run(count, self.host, ranks.PLUGIN, *scenario)

    def all_done(self, count: int, *scenario: object) -> str:
        status, output = self.drive(count, *scenario)
        self.assertEqual(status, 0, output)
        self.assertNotIn("FAILED", output)
        self.assertEqual(output.count(": done"), count, output)
        return output

    def test_bytes_arrive(self) -> None:
        for count in (1, 2, 3, 4):
            with self.subTest(ranks=count):
                self.all_done(count, "correct")

    def test_large_calls(self) -> None:
        status, output = self.drive(3, "large", 300_000_000)
        self.assertNotIn("FAILED", output)
        self.assertIn("300 MB: all_to_all", output)
        self.assertNotEqual(status, 124, output)

    def test_who_waits_sleeps(self) -> None:
        self.all_done(3, "late")

    def test_calls_from_any_thread(self) -> None:
        self.all_done(3, "threads")

    def test_mpi_of_the_host(self) -> None:
        self.all_done(2, "host")
        status, output = self.drive(1, "single")
        self.assertEqual(status, 4)
        self.assertIn("MPI_THREAD_SERIALIZED or MPI_THREAD_MULTIPLE", output)

    def test_versions(self) -> None:
        self.assertIn("Open MPI v", self.all_done(2, "versions"))

    def test_a_rank_that_does_not_come_is_named(self) -> None:
        for missing in (0, 1):
            with self.subTest(rank=missing):
                status, output = self.drive(3, "absent", missing)
                self.assertNotIn("FAILED", output)
                self.assertIn(f"rank {missing} did not come within", output)
                for rank in {0, 1, 2} - {missing}:
                    self.assertIn(f"rank {rank}: done", output)
                self.assertNotEqual(status, 124)

    def test_a_rank_that_leaves_is_named_at_once(self) -> None:
        for count in (2, 3):
            _, output = self.drive(count, "leaves")
            self.assertNotIn("FAILED", output)
            self.assertIn(f"rank {count - 1} left while others went on", output)

    def test_a_host_may_forget_to_release(self) -> None:
        self.all_done(3, "forgets")

    def test_calls_in_another_order(self) -> None:
        _, output = self.drive(3, "confused")
        self.assertNotIn("FAILED", output)
        self.assertEqual({f"rank {rank}: done" for rank in range(3) if f"rank {rank}: done" in output},
                         {"rank 0: done", "rank 1: done", "rank 2: done"}, output)

    def test_a_rank_that_ends_ends_all(self) -> None:
        """Long before the timeout of ten minutes."""
        for how, expected in (("exit", 7), ("kill", 128 + 9), ("abort", 9)):
            with self.subTest(how=how):
                start = time.monotonic()
                status, output = self.drive(3, how)
                self.assertEqual(status, expected, output)
                self.assertNotIn("FAILED", output)
                self.assertLess(time.monotonic() - start, 60)

    def test_srun_without_pmix(self) -> None:
        refused = subprocess.run(
            [self.host, str(ranks.PLUGIN), "versions"], capture_output=True, text=True, timeout=60,
            env={**os.environ, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"},
        )
        self.assertEqual(refused.returncode, 4)
        self.assertRegex(refused.stdout, r"refused \(-9\): srun started 2 processes.*Open MPI v.*srun --mpi=pmix")

    @unittest.skipUnless(ranks.Mpich.PROGRAM, "there is no MPICH beside Open MPI")
    def test_started_by_another_mpi(self) -> None:
        status, output = ranks.Mpich(2, self.host, ranks.PLUGIN, "versions").wait()
        self.assertEqual(status, 4, output)
        self.assertEqual(output.count("refused (-9): MPICH's mpiexec (or another by PMI) started 2 processes"), 2, output)
        self.assertIn("built with Open MPI (Open MPI v", output)

    @unittest.skipUnless(shutil.which("mpicc.mpich"), "there is no libmpich-dev beside Open MPI")
    def test_built_with_mpich(self) -> None:
        subprocess.run(["scripts/mpi", "mpicc.mpich", f"{self.folder}/mpich"], check=True, cwd=ROOT, capture_output=True)
        plugin = f"{self.folder}/mpich/lib/libdpo-mpi.so"
        host = compile_host("mpicc.mpich", self.folder)
        for scenario in ("correct", "threads", "host", "late"):
            status, output = ranks.Mpich(3, host, plugin, scenario).wait()
            self.assertEqual((status, output.count(": done")), (0, 3), output)
        _, output = ranks.Mpich(3, host, plugin, "absent", 1).wait()
        self.assertIn("rank 1 did not come within", output)
        # And the reverse: Open MPI's mpirun with this plug-in, and a program that has loaded the other library already.
        status, output = ranks.run(2, host, plugin, "versions")
        self.assertIn("refused (-9): Open MPI's mpirun started 2 processes", output)
        status, output = ranks.Mpich(1, host, ranks.PLUGIN, "versions").wait()
        self.assertIn("the program has loaded MPICH", output)


if __name__ == "__main__":
    unittest.main()
