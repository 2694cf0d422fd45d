#!/usr/bin/env python3
"""Makes Sources/CKernels/grids.c: the grids of ggml's IQ formats, from the tables of gguf-py. Needs gguf 0.19."""
from pathlib import Path

from gguf import quants

GRIDS = {"iq1": quants.IQ1_S, "iq2_xxs": quants.IQ2_XXS, "iq2_xs": quants.IQ2_XS, "iq2_s": quants.IQ2_S,
         "iq3_xxs": quants.IQ3_XXS, "iq3_s": quants.IQ3_S}
WIDTH = 14  # numbers a line

out = """// The grids of ggml's IQ formats: which groups of eight or four elements there are. kernels/grids.h says what the
// numbers mean. Made by Tests/Fixtures/scripts/make_grids.py from the tables of gguf-py, which are those of ggml
// (https://github.com/ggml-org/llama.cpp) under this license:
//
// MIT License
//
// Copyright (c) 2023-2026 The ggml authors
//
// Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
// documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
// rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to
// permit persons to whom the Software is furnished to do so, subject to the following conditions:
//
// The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
// Software.
//
// THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
// WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
// COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
// OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
#include "kernels/grids.h"
"""
for name, table in GRIDS.items():
    packed = bytes.fromhex(table.grid_hex.decode())
    numbers = [f"0x{packed[i] | packed[i + 1] << 8:04X}" for i in range(0, len(packed), 2)]
    lines = [", ".join(numbers[i:i + WIDTH]) for i in range(0, len(numbers), WIDTH)]
    out += f"\nconst uint16_t ck_{name}_grid[{len(numbers)}] = {{\n    " + ",\n    ".join(lines) + ",\n};\n"
(Path(__file__).resolve().parents[3] / "Sources/CKernels/grids.c").write_text(out)
