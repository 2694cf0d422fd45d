"""Engines from the outside: the same bits for any number of threads, what is refused, and what OpenBLAS does to a host."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

import libdpo

from support import BUILD, FIXTURES, MODEL, PAIRS, ROOT, Case, dpo, run

GGUF = FIXTURES / "gguf" / "llama-tied-mixed.gguf"
ENGINES = json.loads(dpo("version", "--json").stdout)["engines"]
HERE = [engine["name"] for engine in ENGINES if engine["runs_here"]]
LORA = ("--lora-r", 4, "--lora-target-modules", "all-linear")


class Bits(Case):
    def test_logps_do_not_depend_on_threads(self) -> None:
        for engine in HERE:
            found = {dpo("logps", GGUF, "--data", PAIRS, "--per-token", "--engine", engine, "--threads", threads, "--json").stdout
                     for threads in (1, 2, 3, 5)}
            self.assertEqual(len(found), 1, engine)
            self.assertTrue(json.loads(found.pop())["rows"])

    def test_training_does_not_depend_on_threads(self) -> None:
        for engine in HERE:
            results = set()
            for threads in (1, 2, 3, 5):
                with tempfile.TemporaryDirectory() as folder:
                    made = dpo("train", GGUF, "--data", PAIRS, "--output-dir", folder, *LORA, "--max-steps", 3, "--learning-rate", "1e-2",
                               "--engine", engine, "--threads", threads)
                    self.assertEqual(made.returncode, 0, made.stderr)
                    lines = [json.loads(line) for line in (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()]
                    results.add(json.dumps([[line["loss"], line["grad_norm"]] for line in lines]))
            self.assertEqual(len(results), 1, engine)

    def test_engines_agree_within_round_off(self) -> None:
        first = None
        for engine in HERE:
            rows = json.loads(dpo("logps", GGUF, "--data", PAIRS, "--engine", engine, "--json").stdout)["rows"]
            sums = [row[side] for row in rows for side in ("chosen", "rejected")]
            first = first or sums
            for a, b in zip(sums, first):
                self.assertAlmostEqual(a, b, delta=1e-5 * abs(b), msg=engine)


@unittest.skipUnless(shutil.which("qemu-x86_64-static"), "needs qemu-x86_64-static")
class OtherProcessors(Case):
    def test_a_processor_takes_the_best_that_it_has(self) -> None:
        for processor, engine in (("Haswell", "avx2"), ("core2duo", "portable")):
            def emulated(*arguments: object) -> str:
                found = run("qemu-x86_64-static", "-cpu", processor, BUILD / "bin" / "dpo", *arguments, timeout=120)
                self.assertEqual(found.returncode, 0, found.stderr)
                return found.stdout
            self.assertEqual(json.loads(emulated("version", "--json"))["engine"], engine)
            self.assertEqual(emulated("logps", MODEL, "--data", PAIRS, "--json"),
                             dpo("logps", MODEL, "--data", PAIRS, "--json", "--engine", engine).stdout)


class Refusals(Case):
    def test_an_unknown_engine_is_refused_with_those_that_are(self) -> None:
        for command in (("logps", MODEL, "--data", PAIRS), ("train", MODEL, "--data", PAIRS, "--output-dir", "/nonexistent/x")):
            found = dpo(*command, "--engine", "fast")
            self.assertNotEqual(found.returncode, 0)
            self.assertIn("portable", found.stderr)
        with self.assertRaisesRegex(ValueError, "portable"):
            libdpo.Model(MODEL, engine="fast")

    def test_an_engine_of_another_processor_is_refused_with_those_that_run(self) -> None:
        for name in {engine["name"] for engine in ENGINES} - set(HERE):
            found = dpo("logps", MODEL, "--data", PAIRS, "--engine", name)
            self.assertEqual(found.returncode, 1)
            self.assertRegex(found.stderr, f"{name}.*does not run here.*portable")

    def test_models_change_their_engine(self) -> None:
        model = libdpo.Model(MODEL)
        best = model.score(["one"], [" two"])[0].logp
        for engine in HERE:
            self.assertAlmostEqual(libdpo.Model(MODEL, engine=engine).score(["one"], [" two"])[0].logp, best, delta=1e-5 * abs(best))


def host(program: str, **options: object) -> "subprocess.CompletedProcess[str]":
    """A Python host of its own, so that what OpenBLAS does to a process is seen in that one alone."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(MODEL), str(PAIRS)], capture_output=True, text=True, timeout=120,
        env={"PYTHONPATH": str(ROOT / "bindings/python"), "LIBDPO_LIBRARY": str(BUILD / "lib/libdpo.so.0"), "PATH": "/usr/bin:/bin"}, **options,
    )


class OpenBLAS(Case):
    def test_it_is_not_loaded_before_it_is_asked_for(self) -> None:
        found = host("""
            import sys, libdpo
            libdpo.Model(sys.argv[1]).score(["a"], [" b"])
            print("libopenblas.so" in open("/proc/self/maps").read())  # NumPy brings one of its own
        """)
        self.assertEqual((found.returncode, found.stdout.strip()), (0, "False"), found.stderr)

    def test_little_address_space_gives_errors_or_results_and_never_a_hang(self) -> None:
        for room in (250, 300, 400, 500):
            found = host("""
                import resource, sys, libdpo
                model = libdpo.Model(sys.argv[1], threads=1)
                size = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize"))) << 10
                resource.setrlimit(resource.RLIMIT_AS, (size + (ROOM << 20), -1))
                for engine in ["auto"] + ENGINES:
                    try:
                        libdpo.Model(sys.argv[1], threads=1, engine=engine).score(["a"], [" b"])
                        print("scored")
                    except (MemoryError, RuntimeError, NotImplementedError, OSError) as error:
                        print(type(error).__name__)
            """.replace("ROOM", str(room)).replace("ENGINES", repr(HERE)))
            self.assertEqual(found.returncode, 0, found.stderr)
            self.assertEqual(len(found.stdout.split()), 1 + len(HERE))

    def test_tables_of_a_large_batch_without_room_are_an_error(self) -> None:
        """Lists of half a million tokens: an array that finds no memory would end the host."""
        data = self.directory / "rows.jsonl"
        row = {"prompt": "We have seen", "chosen": " worth seeing twice" * 3, "rejected": " bad" * 8}
        data.write_text((json.dumps(row) + "\n") * 16_000)
        for road in ("evaluate(ROWS, args=args)", "score(['We'] * 16000, [' worth seeing twice' * 3] * 16000)", "encode('worth ' * 2000000)"):
            for room in (100, 180, 220, 240, 250, 260, 280, 320):
                found = host("""
                    import resource, sys, libdpo
                    model = libdpo.Model(sys.argv[1], threads=1)
                    args = libdpo.DPOConfig(per_device_eval_batch_size=16000, threads=1, disable_tqdm=True)
                    size = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize"))) << 10
                    resource.setrlimit(resource.RLIMIT_AS, (size + (ROOM << 20), -1))
                    try:
                        model.ROAD
                        print("done")
                    except MemoryError:
                        print("MemoryError")
                """.replace("ROOM", str(room)).replace("ROAD", road).replace("ROWS", repr(str(data))))
                self.assertEqual(found.returncode, 0, f"{road} with {room} MiB: {found.stderr}")

    def test_small_stacks_of_the_host_start(self) -> None:
        found = host("""
            import sys, threading, libdpo
            model = libdpo.Model(sys.argv[1])
            threading.stack_size(64 << 10)
            thread = threading.Thread(target=lambda: None)
            thread.start(); thread.join()
            print("started")
        """)
        self.assertEqual((found.returncode, found.stdout.strip()), (0, "started"), found.stderr)

    def test_a_child_of_fork_opens_models_while_others_are_opened(self) -> None:
        found = host("""
            import os, sys, threading, libdpo
            stop = False
            def open_models():
                while not stop: libdpo.Model(sys.argv[1], threads=2)
            thread = threading.Thread(target=open_models)
            thread.start()
            hung = 0
            for _ in range(40):
                child = os.fork()
                if child == 0:
                    libdpo.Model(sys.argv[1], threads=1)
                    os._exit(0)
                import time
                end = time.monotonic() + 20
                while os.waitpid(child, os.WNOHANG) == (0, 0):
                    if time.monotonic() > end:
                        os.kill(child, 9); os.waitpid(child, 0); hung += 1
                        break
                    time.sleep(0.002)
            stop = True
            thread.join()
            print(hung)
        """)
        self.assertEqual((found.returncode, found.stdout.strip()), (0, "0"), found.stderr)
