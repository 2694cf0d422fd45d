"""Runs every test of the project: what `make test` calls. The last line is the sum; the exit status says whether all is well.

Usage: Tests/run.py [SUITE...]    suites: style swift docs kernels arm64-kernels abi c sanitize python mpi hostile (all without arguments)
"""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
#: Why tests were left out, one entry a test; never counted as passed.
NOT_RUN: "list[str]" = []
#: Seconds after which a program of tests counts as hung.
TIMEOUT = 1800
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)


#: Those of `make build`: with others, everything would be compiled again.
SWIFT_FLAGS = os.environ.get("SWIFT_FLAGS", "").split()


def run(command: "list[str]", **options: object) -> "subprocess.CompletedProcess[str]":
    """With the output so far and exit status 124 if it does not end in time."""
    options.setdefault("timeout", TIMEOUT)
    try:
        return subprocess.run(command, cwd=ROOT, text=True, errors="replace", **options)  # type: ignore[call-overload]
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
        return subprocess.CompletedProcess(command, 124, output + f"\n{command[0]}: not done after {options['timeout']} s", "")


def style() -> "tuple[int, int]":
    """The format of the Swift and C sources, as `make format` leaves it, and what is made of the tables in options/."""
    swift_format = [os.environ.get("SWIFT", "swift"), "format", "lint", "--strict", "-r", "-p"]
    passed = [
        succeeds([*swift_format, "Sources", "Tests", "examples", "Package.swift"]),
        c_is_formatted(),
        generated_files_are_current(),
    ]
    return sum(passed), len(passed) - sum(passed)


def c_is_formatted() -> bool:
    """include/dpo.h is laid out by hand: it is a manual."""
    tool = pathlib.Path(sys.executable).with_name("clang-format")
    if not tool.exists():
        print(f"   There is no {tool}: run make deps, and this program with .cache/venv/bin/python.")
        return False
    sources = [str(path) for folder in ("Sources", "plugins", "Tests", "examples", "bindings") for suffix in ("c", "h", "cpp")
               for path in sorted((ROOT / folder).rglob(f"*.{suffix}"))]
    sources.append(str(ROOT / "include/dpo.hpp"))
    return succeeds([str(tool), "--dry-run", "-Werror", *sources])


def generated_files_are_current() -> bool:
    if sys.version_info < (3, 11):
        print(f"   options/generate.py needs Python 3.11 or newer (its module tomllib); this is {platform.python_version()}.")
        return False
    return succeeds([sys.executable, "options/generate.py", "--check"])


def succeeds(command: "list[str]") -> bool:
    """Shows what the command printed if it does not."""
    done = run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        print(done.stdout)
    return done.returncode == 0


def swift() -> "tuple[int, int]":
    """The Swift tests of all modules."""
    tool = os.environ.get("SWIFT", "swift")
    # SwiftPM would compile its C targets with CC, which is for the hosts of the C suite and need not be clang.
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CXX")}
    built = run(
        [tool, "build", "-c", "release", *SWIFT_FLAGS, "--build-tests", "-q"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
    )
    if built.returncode:
        print(built.stdout)
        return 0, 1
    with tempfile.TemporaryDirectory() as directory:
        report = pathlib.Path(directory) / "report.xml"
        tested = run(
            [tool, "test", "-c", "release", *SWIFT_FLAGS, "--skip-build", "--xunit-output", str(report)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
        )
        passed = failed = 0
        for path in pathlib.Path(directory).glob("*.xml"):
            for suite in xml.parse(path).getroot().iter("testsuite"):
                broken = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                passed += int(suite.get("tests", 0)) - broken
                failed += broken
    if tested.returncode or failed or not passed:
        print(tested.stdout)
        failed = max(failed, 1)
    return passed, failed


def docs() -> "tuple[int, int]":
    """Every public symbol of the Swift API has a comment, and the code of its articles compiles; after swift."""
    checked = run([sys.executable, "scripts/docs", "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    found = re.search(r"(\d+) passed, (\d+) failed\n*$", checked.stdout)
    if not found or checked.returncode:
        print(checked.stdout)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 1)


def kernels() -> "tuple[int, int]":
    """The C kernels by themselves, on this machine's processor."""
    return kernel_test([], [])


def arm64_kernels() -> "tuple[int, int]":
    """The same for 64-bit Arm processors, under qemu."""
    if platform.machine() in ("aarch64", "arm64"):
        print("   This machine is one: see kernels.")
        return 0, 0
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    missing = [] if emulator else ["qemu-user-static"]
    if not shutil.which("aarch64-linux-gnu-gcc"):
        missing.append("gcc-aarch64-linux-gnu")  # for its start files and libgcc
    if not pathlib.Path("/usr/aarch64-linux-gnu/lib/libc.a").exists():
        missing.append("libc6-dev-arm64-cross")
    if missing:
        reason = f"these packages are not installed: {' '.join(missing)}"
        print(f"   not run: {reason}")
        NOT_RUN.append(reason)
        return 0, 0
    # The system's headers stand last: of them only xxhash.h is taken, which is the same for all processors.
    return kernel_test(["--target=aarch64-linux-gnu", "-fuse-ld=lld", "-static", "-idirafter", "/usr/include"], [str(emulator)])


def kernel_test(flags: "list[str]", runner: "list[str]") -> "tuple[int, int]":
    counts = (0, 0)
    compiler = [swift_clang(), "-O2", "-Wall", "-Wextra", *flags, "-ISources/CKernels/include"]
    with tempfile.TemporaryDirectory() as directory:
        objects = []
        for source in sorted((ROOT / "Sources/CKernels").rglob("*.c")):
            objects.append(f"{directory}/{source.stem}.o")
            compiled = run([*compiler, "-c", str(source), "-o", objects[-1]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if compiled.returncode:
                print(f"{source.name} does not compile:\n{compiled.stdout}")
                return 0, 1
        for source in sorted((ROOT / "Tests/kernels").glob("test_*.c")):
            program = f"{directory}/{source.stem}"
            compiled = run(
                [*compiler, str(source), *objects, "-o", program, "-lm", "-lpthread", "-ldl"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            if compiled.returncode:
                print(f"{source.name} does not compile:\n{compiled.stdout}")
                counts = (counts[0], counts[1] + 1)
                continue
            counts = add(counts, source.name, run([*runner, program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    return counts


def swift_clang() -> str:
    """The compiler that SwiftPM takes for the kernels: they use vector types that only clang has."""
    tool = shutil.which(os.environ.get("SWIFT", "swift"))
    beside = pathlib.Path(tool).resolve().parent / "clang" if tool else None
    return str(beside) if beside and beside.exists() else "clang"


def abi() -> "tuple[int, int]":
    """The binary interface: dpo.h, the exports and Debian's list of them against what packaging/abi holds."""
    if not shutil.which("abidw") or not shutil.which("gcc"):
        reason = "libabigail's abidw (Debian's abigail-tools) or gcc is not installed"
        print(f"   not run: {reason}")
        NOT_RUN.append(reason)
        return 0, 0
    tested = run([sys.executable, "scripts/abi", "--library", str(BUILD / "lib/libdpo.so")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return add((0, 0), "scripts/abi", tested)


def c() -> "tuple[int, int]":
    """Hosts in strict C99 and C++17 against the staged library, and the examples of the manual."""
    passed = failed = 0
    flags = [f"-I{BUILD}/include", f"-L{BUILD}/lib", f"-Wl,-rpath,{BUILD}/lib", "-ldpo", "-lm", "-lpthread"]
    with tempfile.TemporaryDirectory() as directory:
        c_compiler, cpp_compilers = os.environ.get("CC", "cc"), [os.environ.get("CXX", "c++"), swift_clang() + "++"]
        folders = [ROOT / "Tests/c", ROOT / "examples/c", ROOT / "examples/cpp"]
        programs = [(source, compiler) for folder in folders for source in sorted(folder.glob("*.c*"))
                    for compiler in (cpp_compilers if source.suffix == ".cpp" else [c_compiler])]
        for source, compiler in programs:
            standard = "-std=c++17" if source.suffix == ".cpp" else "-std=c99"
            program = pathlib.Path(directory) / source.name.replace(".", "_")
            compiled = run(
                [compiler, standard, *WARNINGS, "-O1", str(source), "-o", str(program), *flags],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            if compiled.returncode:
                print(f"{source.name} does not compile with {compiler}:\n{compiled.stdout}")
                failed += 1
                continue
            if not source.name.startswith("test_"):
                passed += 1  # what examples print is checked in Tests/python and Tests/bindings
                continue
            tested = run([str(program)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            passed, failed = add((passed, failed), source.name, tested)
    return passed, failed


def sanitize() -> "tuple[int, int]":
    """The threads and handles in C, and the C hosts, under sanitizers: the short form of `make sanitize`."""
    tested = run(["scripts/sanitize", "--short"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in tested.stdout.splitlines():
        if "left out" in line:
            print(line)
            NOT_RUN.append(line.strip())
    return add((0, 0), "scripts/sanitize", tested)


def python() -> "tuple[int, int]":
    """The Python package, the command, exported files and the agreement of all interfaces, on what is staged."""
    return unittests(ROOT / "Tests/python")


def mpi() -> "tuple[int, int]":
    """Several processes that train one model, under mpirun."""
    return unittests(ROOT / "Tests/mpi")


def hostile() -> "tuple[int, int]":
    """Damaged and hostile files against the command: one clear sentence, no crash, nothing written."""
    tested = run(
        [sys.executable, "Tests/hostile/check.py", "--dpo", str(BUILD / "bin/dpo")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    found = re.search(r"^(\d+) damaged files, (\d+) not met", tested.stdout, re.MULTILINE)
    if tested.returncode or not found:
        print(tested.stdout)
    cases, bad = (int(found.group(1)), int(found.group(2))) if found else (1, 1)
    return cases - bad, bad


def unittests(directory: pathlib.Path) -> "tuple[int, int]":
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'bindings/python'}:{directory}:{ROOT / 'Tests/python'}", "LIBDPO_LIBRARY": str(BUILD / "lib/libdpo.so.0")}
    passed = failed = 0
    for source in sorted(directory.glob("test_*.py")):
        tested = run(
            [sys.executable, "-m", "unittest", "-b", "-v", source.stem], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment,
        )
        found = re.search(r"^Ran (\d+) tests?", tested.stdout, re.MULTILINE)
        broken = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", tested.stdout))
        if tested.returncode or not found:
            print(f"{source.name}:\n{tested.stdout}")
            broken = max(broken, 1)
        skipped = re.findall(r"\.\.\. skipped (.*)$", tested.stdout, re.MULTILINE)
        for reason in sorted(set(skipped)):
            print(f"   {source.name}: {skipped.count(reason)} not run: {reason}")
        NOT_RUN.extend(skipped)
        passed += max(0, int(found.group(1)) - broken - len(skipped)) if found else 0
        failed += broken
    return passed, failed


def add(
    counts: "tuple[int, int]", name: str, tested: "subprocess.CompletedProcess[str]"
) -> "tuple[int, int]":
    """Counts with those that a program's last line tells; its output is shown when something failed."""
    found = SUMMARY.findall(tested.stdout)
    passed, failed = (int(found[-1][0]), int(found[-1][1])) if found else (0, 0)
    if tested.returncode or failed or not found:
        print(f"{name} (exit status {tested.returncode}):\n{tested.stdout}")
        failed = max(failed, 1)
    return counts[0] + passed, counts[1] + failed


SUITES = {"style": style, "swift": swift, "docs": docs, "kernels": kernels, "arm64-kernels": arm64_kernels, "abi": abi, "c": c,
          "sanitize": sanitize, "python": python, "mpi": mpi, "hostile": hostile}


def main() -> int:
    names = sys.argv[1:] or list(SUITES)
    total_passed = total_failed = 0
    for name in names:
        suite = SUITES[name]
        print(f"== {name}: {suite.__doc__}", flush=True)
        start = time.monotonic()
        passed, failed = suite()
        print(f"   {passed} passed, {failed} failed in {time.monotonic() - start:.0f} s", flush=True)
        total_passed += passed
        total_failed += failed
    left_out = f", {len(NOT_RUN)} skipped" if NOT_RUN else ""
    print(f"{total_passed} passed, {total_failed} failed{left_out}")
    return 1 if total_failed or not total_passed else 0


if __name__ == "__main__":
    sys.exit(main())
