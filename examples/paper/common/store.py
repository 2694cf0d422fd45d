"""Where an experiment's work lies, so that what is finished is never done twice, and the form of its results."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import libdpo
import numpy

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache"


@dataclass(frozen=True)
class Made:
    """A model that was trained here. `key` stands for everything it was made from."""

    path: Path
    key: str
    facts: "dict[str, Any]"
    #: The model whose adapter it is.
    base: "Path | None" = None

    def open(self) -> libdpo.Model:
        return libdpo.Model(self.base or self.path, self.path if self.base else None)


def _plain(value: Any) -> Any:
    """Settings as JSON; a model stands for what it was made from."""
    if isinstance(value, Made):
        return value.key
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _key(name: str, settings: "dict[str, Any]") -> str:
    text = json.dumps(_plain(settings), sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def write_json(path: Path, value: Any, indent: "int | None" = None) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


class Work:
    """A directory of finished cells. A cell's file is named by its settings and those of the models it uses: the same settings
    find it again, other settings make another."""

    def __init__(self, quick: bool, root: "Path | None" = None, start: "Path | None" = None) -> None:
        self.quick = quick
        #: The model that the user asked for instead of SmolLM2.
        self.start = start
        name = ("quick" if quick else "full") + (f"-{start.stem}" if start else "")
        self.root = root or ROOT / "build" / "paper" / name
        (self.root / "cells").mkdir(parents=True, exist_ok=True)
        (self.root / "models").mkdir(exist_ok=True)
        self._seconds: "dict[Path, float]" = {}

    @property
    def is_published(self) -> bool:
        """The results go beside the experiments: it is no trial, and of the models that they speak of."""
        return not self.quick and self.start is None

    @property
    def seconds(self) -> float:
        """What all cells that were asked for took, whether made now or before."""
        return sum(self._seconds.values())

    def cell(self, name: str, settings: "dict[str, Any]", make: "Callable[[], dict[str, Any]]") -> "dict[str, Any]":
        """The result of `make()`, from an earlier run if there is one. `settings`: all that it depends on."""
        path = self._cell(name, settings)
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
        else:
            print(f"  {name} {_short(settings)}", end="", file=sys.stderr, flush=True)
            begun = time.monotonic()
            found = {"settings": _plain(settings), "result": make()}
            found["seconds"] = round(time.monotonic() - begun, 2)
            write_json(path, found)
            print(f": {found['seconds']:.0f} s", file=sys.stderr, flush=True)
        self._seconds[path] = found["seconds"]
        return found["result"]

    def model(
        self, name: str, settings: "dict[str, Any]", make: "Callable[[Path], dict[str, Any]]", base: "Path | None" = None
    ) -> Made:
        """A trained model, or an adapter of `base`. `make(path)` writes it to `path`, which is new, and returns what is worth
        knowing about it."""
        key = _key(name, settings)
        path = self.root / "models" / f"{key}.h5"
        about = (f"model {name}", {**settings, "kept as": key})
        if not (
            path.exists() and self._cell(*about).exists()
        ):  # one without the other is the trace of a run that was killed
            path.unlink(missing_ok=True)
            self._cell(*about).unlink(missing_ok=True)
        return Made(path, key, self.cell(*about, lambda: make(path)), base)

    def _cell(self, name: str, settings: "dict[str, Any]") -> Path:
        return self.root / "cells" / f"{_key(name, settings)}.json"

    def scratch(self) -> Path:
        path = self.root / "scratch"
        path.mkdir(exist_ok=True)
        return path


def _short(settings: "dict[str, Any]") -> str:
    shown = (
        f"{name}={value}"
        for name, value in settings.items()
        if isinstance(value, (int, float, str)) and name != "kept as"
    )
    return " ".join(shown)


def machine() -> "dict[str, Any]":
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system()}


def save_results(folder: Path, work: Work, results: "dict[str, Any]") -> None:
    """Writes results.json beside the experiment; of a quick run or another model only in the work directory."""
    document = {
        "experiment": folder.name,
        "quick": work.quick,
        **results,
        "versions": {"libdpo": libdpo.__version__, "numpy": numpy.__version__, "python": platform.python_version()},
        "machine": machine(),
        "seconds": round(work.seconds),
    }
    write_json(output(folder, work, "results.json"), document, indent=1)


def output(folder: Path, work: Work, name: str) -> Path:
    """Where a result goes: the experiment's folder, or for a quick run or another model the work directory."""
    if work.is_published:
        return folder / name
    (work.root / folder.name).mkdir(exist_ok=True)
    return work.root / folder.name / name


def save_table(folder: Path, work: Work, table: str) -> None:
    """Puts the measured table between the marks of the experiment's README.md, so that its numbers are those of results.json."""
    begin, end = "<!-- measured -->\n", "<!-- /measured -->"
    print(table)
    if work.is_published:
        path = folder / "README.md"
        before, rest = path.read_text(encoding="utf-8").split(begin, 1)
        path.write_text(before + begin + "\n" + table + "\n\n" + end + rest.split(end, 1)[1], encoding="utf-8")


def work_asked_for(description: str, starts_from_nothing: bool = False) -> Work:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a minute's version that shows that everything runs, not a result"
    )
    if starts_from_nothing:
        return Work(parser.parse_args().quick)
    parser.add_argument("--model", type=Path, metavar="PATH", help="the model to start from instead of SmolLM2")
    asked = parser.parse_args()
    if asked.model is not None and not asked.model.exists():
        parser.error(f"{asked.model} does not exist")
    return Work(asked.quick, start=asked.model and asked.model.resolve())
