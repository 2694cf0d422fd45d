"""Installs the wheel into an environment of its own, as users do, and uses it: by the Python that runs this, with nothing but its library.

Usage: python wheel.py WHEEL FIXTURES
"""

import pathlib
import subprocess
import sys
import tempfile

TRAINING = """
import sys, libdpo
model, pairs, run = sys.argv[1:]
trainer = libdpo.DPOTrainer(model, args=libdpo.DPOConfig(output_dir=run, max_steps=3, threads=1), train_dataset=pairs,
                            peft_config=libdpo.LoraConfig(r=2, target_modules="all-linear"))
trainer.train()
print(libdpo.__version__)
"""


def main() -> int:
    wheel, fixtures = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    model, pairs = str(fixtures / "models/llama-tied"), str(fixtures / "data/pairs.jsonl")
    version = wheel.name.split("-")[1]
    passed = failed = 0
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        python, dpo = str(place / "venv/bin/python"), str(place / "venv/bin/dpo")
        adapter = ["export", f"{place}/run/final.h5", "--to", "gguf-lora", "-o", f"{place}/adapter.gguf"]
        steps = [
            ([sys.executable, "-m", "venv", str(place / "venv")], ""),
            ([python, "-m", "pip", "install", "-q", "--no-index", "--disable-pip-version-check", str(wheel)], ""),
            ([python, "-c", TRAINING, model, pairs, f"{place}/run"], version),
            ([dpo, "version"], f"dpo {version}"),
            ([dpo, "train", model, "--data", pairs, "--output-dir", f"{place}/run-2", "--max-steps", "2", "--lora-r", "2"], ""),
            ([dpo, *adapter], ""),
            ([python, "-m", "libdpo", "version"], f"dpo {version}"),
        ]
        for command, expected in steps:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=directory)
            if done.returncode == 0 and expected in done.stdout:
                passed += 1
            else:
                failed += 1
                print(f"{' '.join(command[:4])} …: exit status {done.returncode}\n{done.stdout}")
    print(f"Python {sys.version.split()[0]}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
