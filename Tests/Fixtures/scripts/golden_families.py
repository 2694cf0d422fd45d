"""The files of the models of golden/families, whose weights are a formula of their names (make_families.py). Needs the
standard library only."""
import json
import struct
from array import array
from functools import cached_property
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parent.parent / "golden/families"
NAMES = sorted(path.stem for path in DIRECTORY.glob("*.json"))
GGUF_TYPES = {"u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?"), "string": (8, None)}
MASK = 2**64 - 1


def values(name, shape, shift, scale):
    """(shape, numbers) of a row [name, shape, shift, scale]."""
    seed, count = 14695981039346656037, 1
    for byte in name.encode():
        seed = (seed ^ byte) * 1099511628211 & MASK
    for size in shape:
        count *= size

    def uniform(index):
        z = seed + (index + 1) * 0x9E3779B97F4A7C15 & MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        return ((z ^ z >> 31) >> 11) * 2.0**-53

    return list(shape), array("f", (shift + scale * (2 * uniform(i) - 1) for i in range(count)))


def safetensors(tensors):
    header, at = {}, 0
    for name, (shape, numbers) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * len(numbers)]}
        at += 4 * len(numbers)
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(numbers.tobytes() for _, numbers in tensors.values())


def gguf(metadata, tensors):
    """A file of [key, type, value] and {name: (shape, numbers)}."""
    def string(text):
        return struct.pack("<Q", len(text.encode())) + text.encode()

    def bare(value, layout):
        return string(value) if layout is None else struct.pack("<" + layout, value)

    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, kind, value in metadata:
        number, layout = GGUF_TYPES[kind.strip("[]")]
        if kind[0] == "[":
            out += string(key) + struct.pack("<IIQ", 9, number, len(value)) + b"".join(bare(v, layout) for v in value)
        else:
            out += string(key) + struct.pack("<I", number) + bare(value, layout)
    data = b""
    for name, (shape, numbers) in tensors.items():
        out += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), 0, len(data))
        data += numbers.tobytes()
        data += bytes(-len(data) % 32)
    return out + bytes(-len(out) % 32) + data


def made(source, tensors):
    """Numbers of a tensor of a GGUF file; its rows in another order, or some of them."""
    if "values" in source:
        return array("f", source["values"])
    if pattern := source.get("stack"):
        stacked, expert = array("f"), 0
        while (name := pattern.replace("*", str(expert))) in tensors:
            stacked.extend(tensors[name][1])
            expert += 1
        return stacked
    shape, numbers = tensors[source["of"]]
    if "transpose" in source or "slice" in source:
        return part_of_experts(shape, numbers, source)
    columns = len(numbers) // shape[0]
    order = list(range(shape[0]))[slice(*source.get("rows", [None]))]
    if heads := source.get("permute"):
        size = len(order) // heads
        order = [order[row // size * size + row % 2 * (size // 2) + row % size // 2] for row in range(len(order))]
    if heads := source.get("qkv_by_head"):
        size = len(order) // 3 // heads
        order = [order[(row // size % heads * 3 + row // (heads * size)) * size + row % size]
                 for row in range(len(order))]
    add = source.get("add", 0)
    return array("f", (numbers[row * columns + i] + add for row in order for i in range(columns)))


def part_of_experts(shape, numbers, source):
    """Of [experts, rows, columns], or [experts, rows], with the last two axes exchanged if it says so, some rows of
    each."""
    experts, rows, columns = [*shape, 1][:3]
    turned = source.get("transpose", False)
    if turned:
        rows, columns = columns, rows
    return array("f", (numbers[expert * rows * columns + (column * rows + row if turned else row * columns + column)]
                       for expert in range(experts) for row in range(rows)[slice(*source.get("slice", [None]))]
                       for column in range(columns)))


class GoldenFamily:
    """What a test knows of one: `record` is the JSON, the rest are files as {name: bytes}, or bytes."""

    def __init__(self, name):
        self.record = json.loads((DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))

    @cached_property
    def tensors(self):
        return {row[0]: values(*row) for row in self.record["tensors"]}

    def model(self, config=None):
        """A Hugging Face directory without tokenizer."""
        return {"config.json": json.dumps(config or self.record["config"]).encode(),
                "model.safetensors": safetensors(self.tensors)}

    def adapter(self, base, which="adapter"):
        """PEFT's directory of an adapter on the model at `base`."""
        adapter = self.record[which]
        config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base),
                  **{key: adapter[key] for key in ("r", "lora_alpha", "target_modules")}}
        return {"adapter_config.json": json.dumps(config).encode(),
                "adapter_model.safetensors": safetensors({row[0]: values(*row) for row in adapter["tensors"]})}

    @property
    def metadata(self):
        return self.record["gguf"]["metadata"]

    @cached_property
    def gguf_tensors(self):
        return {name: (shape, made(source, self.tensors)) for name, shape, source in self.record["gguf"]["tensors"]}

    def gguf(self):
        """As llama.cpp's converter writes it."""
        return gguf(self.metadata, self.gguf_tensors)
