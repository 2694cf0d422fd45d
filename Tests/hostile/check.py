#!/usr/bin/env python3
"""Runs the staged `dpo` on damaged files and fails unless each is met with one clear error, or read.

    python Tests/hostile/check.py [--dpo build/bin/dpo] [--seed 1] [--random 40] [--only TEXT]
    python Tests/hostile/check.py --seconds 300        random damage only, seeds 1, 2, … until the time is over

A case fails if the command ends in a signal, traps, hangs, takes too much memory, floods its output, changes its input,
leaves files behind, writes something other than JSON to stdout, accepts what it must refuse, or refuses it without naming
the place. Needs the standard library only.
"""
import argparse
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cases import DATA, FEEDBACK, MODEL, TEXTS, all_cases, lines, random_cases

TRAP = re.compile(r"Fatal error|Stack dump|Crash:|Segmentation|Illegal|Sanitizer|Assertion|HDF5-DIAG|terminate called|double free|Traceback")
SECONDS, MEMORY, MESSAGE = 30, 1500 << 20, 8 << 10


def write(files, directory):
    directory.mkdir()
    for name, content in files.items():
        if isinstance(content, bytes):
            (directory / name).write_bytes(content)
        else:
            content(str(directory / name))


def fingerprint(directory):
    def one(path):
        status = path.lstat()
        small = path.is_file() and not path.is_symlink() and status.st_size < 1 << 24
        return path.name, status.st_mode, status.st_size, hashlib.sha256(path.read_bytes()).digest() if small else b""
    return sorted(map(one, directory.iterdir()))


def command(case, path, folder):
    train = ["--output-dir", f"{folder}/run", "--max-steps", "1", "--json"]
    data = [] if "--data" in case.arguments else ["--data", str(DATA)]
    if case.kind == "data":
        return ["train", str(MODEL), "--data", path, *train, *case.arguments]
    if case.kind == "export":
        return ["export", path, "--to", "hdf5", "-o", f"{folder}/run", "--json"]
    if case.kind == "adapter":
        return ["logps", str(MODEL), "--adapter", path, *data, "--json"]
    if case.kind == "checkpoint":
        return ["train", str(MODEL), *data, "--resume-from-checkpoint", path, *train]
    if case.kind == "cache":
        return ["train", str(MODEL), *data, "--data-cache", path, *train]
    if case.kind == "inspected":
        return ["inspect", path, "--json"]
    if case.kind == "samples":
        return ["label", "--data", path, "-o", f"{folder}/run", "--command", "cat", "--json"]
    if case.kind == "classifier":
        return ["classifier", "evaluate", path, "--data", "case/texts.jsonl", "--json"]
    if case.kind == "feedback":
        return ["feedback", "train", str(MODEL), path, "--min-records", "1", "--threads", "1", *train]
    if case.kind == "trained":
        good = Path(folder, "good.jsonl")
        good.write_bytes(lines(FEEDBACK))
        return ["feedback", "status", str(good), "--output-dir", path, "--json"]
    return ["logps", path, *data, "--json", *case.arguments]


def run(dpo, arguments, folder):
    """(exit code, problem or None, stdout, stderr)"""
    with open(f"{folder}/out", "w+b") as out, open(f"{folder}/err", "w+b") as err:
        began, problem = time.monotonic(), None
        child = subprocess.Popen([dpo, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if problem is None and time.monotonic() - began > SECONDS:
                problem = f"no end after {SECONDS} s"
                child.kill()
            time.sleep(0.005)
        child.returncode = os.waitstatus_to_exitcode(status)
        if usage.ru_maxrss * 1024 > MEMORY:
            problem = problem or f"{usage.ru_maxrss // 1024} MiB of memory"
        return child.returncode, problem, *(stream.seek(0) or stream.read(1 << 26) for stream in (out, err))


def problems(case, code, problem, out, err, folder):
    text = err.decode("utf-8", "replace")
    if problem:
        yield problem
        return
    if code not in (0, 1):
        yield f"exit code {code}"
    if TRAP.search(text):
        yield "a trap"
    if len(err) > MESSAGE:
        yield f"{len(err)} bytes of messages"
    if re.search(r"[\x00-\x08\x0b\x0e-\x1f\x7f]", text):
        yield "control characters in the message"
    if code == 1 and not text.strip():
        yield "no message"
    if out.strip():
        try:
            json.loads(out, parse_constant=lambda name: 1 / 0)
        except (ValueError, ZeroDivisionError):
            yield "stdout is not one JSON document"
    if case.expect is not None and code == 0:
        yield "accepted"
    if case.expect and code == 1 and not any(word in text.lower() for word in case.expect):
        yield f"the message names none of {case.expect}"
    if case.expect is not None and os.path.exists(f"{folder}/run"):
        yield "the output directory was made"


def check(case, dpo):
    with tempfile.TemporaryDirectory(prefix="dpo-hostile-") as folder:
        content = Path(folder) / "case"
        write(case.files, content)
        before = fingerprint(content)
        arguments = command(case, str(content / case.path), folder)
        code, problem, out, err = run(dpo, arguments, folder)
        found = list(problems(case, code, problem, out, err, folder))
        if case.kind == "cache":
            if code and case.expect is None and not found:
                found.append("a cache that is of no use stopped the run")
        elif fingerprint(content) != before:
            found.append("the input was changed")
        return case, arguments, found, err.decode("utf-8", "replace").strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dpo", type=Path, default=Path("build/bin/dpo"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=40, metavar="N", help="randomly scrambled files")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose description holds this")
    parser.add_argument("--seconds", type=float, help="random damage from seed to seed for so long, and nothing else")
    options = parser.parse_args()
    dpo = str(options.dpo.resolve())
    with tempfile.TemporaryDirectory(prefix="dpo-hostile-") as folder:
        train = [dpo, "train", str(MODEL), "--data", str(DATA), "--output-dir", f"{folder}/run", "--max-steps", "1", "--save-steps", "1", "--data-cache", f"{folder}/cache", "--json"]
        made = subprocess.run(train, capture_output=True)
        if made.returncode:
            sys.exit(f"the valid files are refused: {made.stderr.decode()}")
        checkpoint, classifier, texts = (Path(folder) / name for name in ("run/checkpoint-1.h5", "classifier.h5", "texts.jsonl"))
        (cache,) = Path(folder, "cache").glob("*.h5")
        texts.write_bytes(TEXTS)
        subprocess.run([dpo, "classifier", "train", "--data", texts, "-o", classifier, "--folds", "2"], check=True, capture_output=True)
        count = failed = 0
        began = time.monotonic()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for seed in itertools.count(options.seed):
                cases = random_cases(checkpoint, classifier, cache, seed, 100) if options.seconds else all_cases(checkpoint, classifier, cache, seed, options.random)
                chosen = (c for c in cases if options.only in f"{c.kind}: {c.what}")
                for case, arguments, found, message in pool.map(lambda c: check(c, dpo), chosen):
                    count += 1
                    failed += bool(found)
                    for problem in found:
                        print(f"{case.kind}: {case.what}: {problem}\n    dpo {' '.join(arguments)}\n    {message[:300]}", flush=True)
                if not options.seconds or time.monotonic() - began > options.seconds:
                    break
    print(f"{count} damaged files, {failed} not met as they should be")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
