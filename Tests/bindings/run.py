#!/usr/bin/env python3
"""Tests the bindings in the languages that are installed: what `make test-bindings` calls. The last line is the sum.

Usage: Tests/bindings/run.py [LANGUAGE...]    (all without arguments; a language that is named must be there)

A language is a row of LANGUAGES. Each binding has tests of its own and the same four programs, which check their outcome
themselves and end with status 0 if it is right. Code of its language in docs/hosts/NAME.md stands in one of them word for word:

    losses                          every DPO loss of six pairs beside TRL's numbers
    scoring MODEL                   log-probs, token by token too, and an answer that is shown while it is drawn
    run MODEL PAIRS DIRECTORY       a run with progress that is cancelled, then resumed, then exported
    feedback MODEL DIRECTORY        thumbs and choices are recorded, trained on, and the adapter is used
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build"
#: What a language's tools write; each has a folder of its name in it.
OUTPUT = BUILD / "bindings"
FIXTURES = ROOT / "Tests/Fixtures"
TIMEOUT = 900
PROGRAMS = ("losses", "scoring", "run", "feedback")
#: How test programs tell what passed and failed: ours, cargo's, go's with -v, node's.
SUMS = (
    re.compile(r"^(?P<passed>\d+) passed, (?P<failed>\d+) failed$", re.MULTILINE),
    re.compile(r"^test result: \w+\. (?P<passed>\d+) passed; (?P<failed>\d+) failed", re.MULTILINE),
    re.compile(r"^# pass (?P<passed>\d+)\n# fail (?P<failed>\d+)$", re.MULTILINE),
)
GO = re.compile(r"^--- (PASS|FAIL|SKIP): ", re.MULTILINE)


@dataclass
class Language:
    """`{out}` in a command is the language's folder in build/bindings; commands run in `folder`."""

    name: str
    folder: str
    #: Programs that must be there, and the Debian packages that bring them.
    tools: "tuple[str, ...]"
    packages: str
    #: Compile, and run the tests of the binding; one after the other.
    commands: "list[list[str]]"
    #: How one of the four programs is called; its name stands for {program} or {Program}. The arguments follow.
    program: "list[str]"
    environment: "dict[str, str]" = field(default_factory=dict)
    #: Where the four programs stand, and how the page marks code of the language.
    sources: str = ""
    fence: str = ""
    #: Without a binding, one program does, on the page of all hosts.
    programs: "tuple[str, ...]" = PROGRAMS
    page: str = "docs/hosts/{name}.md"


LANGUAGES: "list[Language]" = [
    Language(
        "rust", "bindings/rust", ("cargo", "rustc", "cc"), "cargo gcc",
        [["cargo", "test", "--workspace", "--offline"]], ["{out}/debug/examples/{program}"],
        {"CARGO_TARGET_DIR": "{out}"}, "libdpo/examples/*.rs", "rust",
    ),
    Language(
        "go", "bindings/go", ("go", "cc", "pkg-config"), "golang-go gcc pkg-config",
        [["go", "vet", "./..."], ["go", "test", "-count=1", "-v", "."], ["go", "build", "-o", "{out}/", "./examples/..."]],
        ["{out}/{program}"], {"GOCACHE": "{out}/cache", "GOPROXY": "off"}, "examples/*/*.go", "go",
    ),
    Language(
        # Its tests, Tests/c/test_hpp.cpp, are part of `make test`.
        "cpp", "examples/cpp", ("c++",), "g++",
        [["c++", "-std=c++17", "-I{root}/build/include", f"{program}.cpp", "-o", f"{{out}}/{program}", "-L{root}/build/lib", "-ldpo",
          "-lpthread"] for program in PROGRAMS],
        ["{out}/{program}"], {}, "*.cpp", "cpp",
    ),
    Language(
        "node", "bindings/node", ("node", "cc", "make"), "nodejs libnode-dev gcc make",
        [["make", "LIBDPO={root}/build"], ["node", "--test", "--test-reporter=tap", "test"]],
        ["node", "examples/{program}.js"], {}, "examples/*.js", "js",
    ),
    Language(
        "java", "bindings/java", ("java", "javac", "cc", "make"), "openjdk-17-jdk-headless gcc make",
        [["make", "LIBDPO={root}/build"],
         ["java", "-Xcheck:jni", "-cp", "build/libdpo.jar", "-Dlibdpo.directory=build", "test/LibdpoTest.java"]],
        ["java", "-cp", "build/libdpo.jar", "-Dlibdpo.directory=build", "examples/{Program}.java"], {}, "examples/*.java", "java",
    ),
    Language(
        "luajit", "examples/luajit", ("luajit",), "luajit", [], ["luajit", "{program}.lua"], {}, "*.lua", "lua", ("run",), "docs/hosts.md",
    ),
]


def environment(language: Language) -> "dict[str, str]":
    """Where the staged library lies, for compilers and for the loader."""
    here = {
        "LIBDPO_DIR": str(BUILD),
        "LIBDPO_FIXTURES": str(FIXTURES),
        "LD_LIBRARY_PATH": ":".join(filter(None, [str(BUILD / "lib"), os.environ.get("LD_LIBRARY_PATH", "")])),
        "PKG_CONFIG_PATH": ":".join(filter(None, [str(BUILD / "lib/pkgconfig"), os.environ.get("PKG_CONFIG_PATH", "")])),
    }
    return {**os.environ, **here, **{name: fill(value, language) for name, value in language.environment.items()}}


def fill(text: str, language: Language, program: str = "") -> str:
    return text.replace("{out}", str(OUTPUT / language.name)).replace("{program}", program).replace("{Program}", program.capitalize()).replace(
        "{root}", str(ROOT))


def run(language: Language, command: "list[str]") -> "tuple[int, str]":
    try:
        done = subprocess.run(
            command, cwd=ROOT / language.folder, env=environment(language), stdin=subprocess.DEVNULL, timeout=TIMEOUT,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
        return 124, output + f"\nnot done after {TIMEOUT} s"
    except OSError as error:
        return 127, str(error)


def counted(status: int, output: str) -> "tuple[int, int]":
    """What a command says that passed and failed; a command that does not say counts as one test."""
    results = GO.findall(output)
    passed, failed = results.count("PASS"), results.count("FAIL")
    for pattern in SUMS:
        for found in pattern.finditer(output):
            passed, failed = passed + int(found["passed"]), failed + int(found["failed"])
    if status:
        return passed, max(failed, 1)
    return (passed, failed) if passed or failed else (1, 0)


def documented(language: Language) -> "tuple[int, int]":
    """The blocks of code on the language's page that stand in its programs, and the others."""
    page = ROOT / language.page.format(name=language.name)
    blocks = re.findall(rf"^```{language.fence}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    sources = [path.read_text() for path in (ROOT / language.folder).glob(language.sources)]
    strange = [block for block in blocks if not any(block in source for source in sources)]
    for block in strange:
        print(f"{page.relative_to(ROOT)} has code that is in none of {language.folder}/{language.sources}:\n{block}")
    return len(blocks) - len(strange), len(strange) + (not blocks)


def tested(language: Language) -> "tuple[int, int]":
    (OUTPUT / language.name).mkdir(parents=True, exist_ok=True)
    passed = failed = 0

    def take(title: str, command: "list[str]") -> None:
        nonlocal passed, failed
        status, output = run(language, command)
        good, bad = counted(status, output)
        passed, failed = passed + good, failed + bad
        if bad:
            print(f"{title} (exit status {status}):\n{output}")

    if language.fence:
        passed, failed = documented(language)
    for command in language.commands:
        filled = [fill(part, language) for part in command]
        take(" ".join(filled), filled)
    with tempfile.TemporaryDirectory() as directory:
        model, pairs = str(FIXTURES / "models/qwen2"), str(FIXTURES / "data/pairs.jsonl")
        arguments = {
            "losses": [], "scoring": [model], "run": [model, pairs, f"{directory}/run"],
            "feedback": [model, f"{directory}/feedback"],
        }
        for program in language.programs:
            command = [fill(part, language, program) for part in language.program]
            take(f"{language.name}: {program}", [*command, *arguments[program]])
    return passed, failed


def main() -> int:
    known = {language.name: language for language in LANGUAGES}
    if unknown := [name for name in sys.argv[1:] if name not in known]:
        sys.exit(f"There is no binding for {', '.join(unknown)}; there are {', '.join(known)}.")
    if not (BUILD / "lib/libdpo.so").exists():
        sys.exit("Nothing is built yet: run make build first.")
    passed = failed = skipped = 0
    for name in sys.argv[1:] or known:
        language = known[name]
        missing = [tool for tool in language.tools if not shutil.which(tool)]
        if missing:
            print(f"{name}: not run, because {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed "
                  f"(apt-get install {language.packages})", flush=True)
            if sys.argv[1:]:
                failed += 1
            else:
                skipped += 1
            continue
        start = time.monotonic()
        good, bad = tested(language)
        passed, failed = passed + good, failed + bad
        print(f"{name}: {good} passed, {bad} failed in {time.monotonic() - start:.0f} s", flush=True)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
