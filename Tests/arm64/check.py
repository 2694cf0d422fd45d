"""Runs a build for 64-bit Arm processors under qemu, beside the build for this machine: what `make test-arm64` ends with.

Usage: Tests/arm64/check.py --build build/arm64 --sysroot DIRECTORY [--native build] [--swift-tests PROGRAM]
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import h5py
import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests"))
import run as suites  # noqa: E402

FIXTURES = ROOT / "Tests/Fixtures"
PAIRS = FIXTURES / "data/pairs.jsonl"
MODELS = sorted(path for path in (FIXTURES / "models").iterdir() if path.is_dir()) + sorted(
    path for path in (FIXTURES / "gguf").glob("llama-*.gguf") if path.name != "llama-iq.gguf")  # which has no tokenizer
#: A processor that Swift for arm64 of Debian is at home on.
EMULATOR = [shutil.which("qemu-aarch64-static") or "qemu-aarch64", "-cpu", "neoverse-n1"]

#: Options of the runs that are compared.
RUNS = {"full": (), "lora": ("--lora-r", 4), "bf16": ("--precision", "bf16")}


class Both:
    """The command for Arm, and the one for this machine."""

    def __init__(self, arm: pathlib.Path, native: pathlib.Path, sysroot: pathlib.Path):
        self.arm = [*EMULATOR, "-L", str(sysroot), str(arm / "bin/dpo")]
        self.native = [str(native / "bin/dpo")]


def ask(command: "list[str]", *arguments: object) -> dict:
    done = subprocess.run([*command, *map(str, arguments), "--json"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def version(both: Both, _: pathlib.Path) -> None:
    """The version is told, and the engine of these processors."""
    told = subprocess.run([*both.arm, "version", "--verbose"], capture_output=True, text=True, check=True).stdout
    here = subprocess.run([*both.native, "version"], capture_output=True, text=True, check=True).stdout
    print("   " + told.strip().replace("\n", "\n   "))
    assert told.splitlines()[0] == here.splitlines()[0]
    assert "engine: neon" in told.splitlines()[1]


def numbers(rows: "list[dict]") -> numpy.ndarray:
    return numpy.array([number for row in rows for side in ("chosen_logps", "rejected_logps") for number in row[side]])


def log_probs(both: Both, _: pathlib.Path) -> None:
    """Log-probs of every token, of every family, within 1e-5 of this machine's, relatively."""
    worst = 0.0
    for model in MODELS:
        arguments = ("logps", model, "--data", PAIRS, "--per-token")
        arm, native = (numbers(ask(command, *arguments)["rows"]) for command in (both.arm, both.native))
        assert arm.size and arm.shape == native.shape
        worst = max(worst, float(numpy.max(numpy.abs(arm - native) / numpy.maximum(1, numpy.abs(native)))))
    print(f"   {len(MODELS)} models, largest relative difference {worst:.1e}")
    assert worst < 1e-5


def generation(both: Both, _: pathlib.Path) -> None:
    """Greedy completions are those of this machine."""
    for model in MODELS:
        arguments = ("generate", model, "--prompt", "The film", "--max-new-tokens", 12, "--temperature", 0)
        arm, native = (ask(command, *arguments)["rows"] for command in (both.arm, both.native))
        assert arm[0]["token_ids"] == native[0]["token_ids"], model.name


def train(command: "list[str]", out: pathlib.Path, *extra: object) -> None:
    ask(
        command, "train", FIXTURES / "models/llama-tied", "--data", PAIRS, "--output-dir", out, "--per-device-train-batch-size", 4,
        "--learning-rate", 1e-3, "--max-steps", 3, "--save-steps", 1, *extra,
    )


def values(path: pathlib.Path) -> "dict[str, numpy.ndarray]":
    found = {}
    with h5py.File(path) as file:
        for group in ("model", "adapter"):
            if group in file:
                found.update({f"{group}/{name}": numpy.asarray(file[group][name]) for name in file[group]})
    assert found
    return found


def same(a: "dict[str, numpy.ndarray]", b: "dict[str, numpy.ndarray]") -> bool:
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def steps(both: Both, directory: pathlib.Path) -> None:
    """Three steps end in the same bits after a resume, and have this machine's losses, the first within 1e-5."""
    for name, extra in RUNS.items():
        straight, resumed, native = (directory / f"{name}-{kind}" for kind in ("straight", "resumed", "native"))
        train(both.arm, straight, *extra)
        resumed.mkdir()
        checkpoint = sorted(straight.glob("checkpoint-*1*"))[0]
        train(both.arm, resumed, *extra, "--resume-from-checkpoint", checkpoint)
        expected = values(straight / "final.h5")
        assert same(values(resumed / "final.h5"), expected), f"{name}: a resumed run ends in other bits"

        train(both.native, native, *extra)
        losses = [[json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()] for out in (straight, native)]
        assert [len(each) for each in losses] == [3, 3]
        apart = [abs(a - b) / max(1, abs(b)) for a, b in zip(*losses)]
        print(f"   {name}: {len(expected)} tensors; losses differ by {', '.join(f'{each:.1e}' for each in apart)}")
        # AdamW's first steps have the size of the learning rate however small a gradient is, so that rounding soon shows. In
        # bf16, products are rounded at places that depend on the engine.
        assert apart[0] < (1e-2 if name == "bf16" else 1e-5) and max(apart) < (1e-2 if name == "bf16" else 1e-3)


def threads(both: Both, directory: pathlib.Path) -> None:
    """The same bits for 1 and 2 threads: log-probs, completions, trained weights."""
    different = []
    for model in MODELS:
        for arguments in (
            ("logps", model, "--data", PAIRS, "--per-token"),
            ("generate", model, "--prompt", "The film", "--max-new-tokens", 12, "--temperature", 0),
        ):
            one, two = (ask(both.arm, *arguments, "--threads", count)["rows"] for count in (1, 2))
            if one != two:
                different.append(f"{arguments[0]} of {model.name}")
    for name, extra in RUNS.items():
        for count in (1, 2):
            train(both.arm, directory / f"{name}-{count}", *extra, "--threads", count)
        if not same(*(values(directory / f"{name}-{count}" / "final.h5") for count in (1, 2))):
            different.append(f"training {name}")
    assert not different, f"the number of threads changes {', '.join(different)}"


def hosts(build: pathlib.Path, sysroot: pathlib.Path) -> "tuple[int, int]":
    """Hosts in C99 and C++17 against libdpo.so."""
    counts = (0, 0)
    flags = [
        "--target=aarch64-linux-gnu", f"--sysroot={sysroot}", "-fuse-ld=lld", "-O1", f"-I{build}/include", f"-L{build}/lib",
        f"-Wl,-rpath,{build.resolve()}/lib", f"-Wl,-rpath-link,{sysroot}/usr/lib/aarch64-linux-gnu",
    ]
    with tempfile.TemporaryDirectory() as directory:
        for source in sorted((ROOT / "Tests/c").glob("test_*.c*")):
            program = f"{directory}/{source.stem}"
            language = ["--driver-mode=g++", "-std=c++17"] if source.suffix == ".cpp" else ["-std=c99"]
            compiled = suites.run(
                [suites.swift_clang(), *language, *flags, str(source), "-o", program, "-ldpo", "-lm", "-lpthread"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            if compiled.returncode:
                print(f"{source.name} does not compile:\n{compiled.stdout}")
                counts = (counts[0], counts[1] + 1)
                continue
            tested = suites.run([*EMULATOR, "-L", str(sysroot), program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            counts = suites.add(counts, source.name, tested)
    return counts


def commands(both: Both) -> "tuple[int, int]":
    """Tests/python/test_command.py: the command, beside what this machine's own library tells of the options."""
    with tempfile.TemporaryDirectory() as directory:
        tool = pathlib.Path(directory) / "bin/dpo"
        tool.parent.mkdir()
        words = " ".join(f"'{word}'" for word in [*both.arm[:-1], str(pathlib.Path(both.arm[-1]).resolve())])
        tool.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        tool.chmod(0o755)
        (pathlib.Path(directory) / "share").symlink_to(ROOT / "build/share")
        tested = suites.run(
            [sys.executable, "-m", "unittest", "-b", "-v", "test_command"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}/Tests/python:{ROOT}/bindings/python", "DPO_BUILD": directory, "DPO_EMULATED": "1"},
        )
    found = re.search(r"^Ran (\d+) tests?", tested.stdout, re.MULTILINE)
    broken = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", tested.stdout))
    if tested.returncode or not found:
        print(tested.stdout)
        broken = max(broken, 1)
    skipped = sum(int(number) for number in re.findall(r"skipped=(\d+)", tested.stdout))
    return (int(found.group(1)) - broken - skipped if found else 0), broken


def swift_tests(program: pathlib.Path, sysroot: pathlib.Path) -> "tuple[int, int]":
    """The Swift tests of the lower modules. Those above take long under qemu, and what they test is tested through the command."""
    tested = suites.run(
        [*EMULATOR, "-L", str(sysroot), "-E", "LD_LIBRARY_PATH=/usr/lib/swift/linux", "-E", "NO_COLOR=1", str(program), "--testing-library",
         "swift-testing", "--no-parallel", "--filter", "DPO(Kernels|Base|Text)Tests"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    found = re.search(r"Test run with (\d+) tests? .*(?:passed|failed) after", tested.stdout)
    failed = len(re.findall(r"^. Test .* failed after", tested.stdout, re.MULTILINE))
    if tested.returncode or not found:
        print("\n".join(line for line in tested.stdout.splitlines() if not re.search(r" (started|passed after .*)\.$", line)))
        failed = max(failed, 1)
    return (int(found.group(1)) - failed if found else 0), failed


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--sysroot", type=pathlib.Path, required=True)
    parser.add_argument("--native", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--swift-tests", type=pathlib.Path)
    options = parser.parse_args()
    both = Both(options.build, options.native, options.sysroot)
    total = (0, 0)

    def count(counted: "tuple[int, int]", start: float) -> None:
        nonlocal total
        print(f"   {counted[0]} passed, {counted[1]} failed in {time.monotonic() - start:.0f} s", flush=True)
        total = (total[0] + counted[0], total[1] + counted[1])

    for check in (version, log_probs, generation, steps, threads):
        print(f"== {check.__name__}: {check.__doc__}", flush=True)
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            try:
                check(both, pathlib.Path(directory))
                counted = (1, 0)
            except Exception:
                traceback.print_exc()
                counted = (0, 1)
        count(counted, start)
    rest = [(hosts, (options.build, options.sysroot)), (commands, (both,))]
    if options.swift_tests:
        rest.append((swift_tests, (options.swift_tests, options.sysroot)))
    for suite, arguments in rest:
        print(f"== {suite.__name__}: {suite.__doc__}", flush=True)
        start = time.monotonic()
        count(suite(*arguments), start)
    print(f"{total[0]} passed, {total[1]} failed")
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main())
