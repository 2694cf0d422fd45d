"""Damaged models, tokenizers, templates, adapters, checkpoints and data files, made from the valid ones in Tests/Fixtures.

The families' models (golden_families.py) have no tokenizer, so the command exports them.

A case is valid content with one thing wrong. `Case.expect` lists words of which the error message must hold one (lower
case); None means that the file may be read or refused, but not crash, hang or flood. The random edits come from a seed.
"""
import gzip
import json
import os
import random
import re
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / "Fixtures"
sys.dont_write_bytecode = True
sys.path.append(str(FIXTURES / "scripts"))
from golden_families import GoldenFamily, gguf as gguf_bytes, safetensors as safetensors_bytes  # noqa: E402

MODEL, GGUF_FILE = FIXTURES / "models/llama-untied", FIXTURES / "gguf/llama-untied-q8_0.gguf"
QUANTISED = FIXTURES / "gguf/llama-iq.gguf"
ADAPTER, DATA = FIXTURES / "adapters/llama-untied-random", FIXTURES / "data/pairs.jsonl"
DEEP = 100_000
INFINITE, CONTROL = "1e999", "\x1b[2J\x07"


@dataclass
class Case:
    kind: str  # model, gguf, export, adapter, data, checkpoint, samples, classifier, feedback, trained: what the command is given
    what: str
    files: dict  # path within the case's directory → bytes, or a function that makes something else there
    path: str = "."  # what the command is given, within the case's directory
    expect: tuple | None = ()  # () : any error
    arguments: list = field(default_factory=list)


def tree(directory):
    return {p.name: p.read_bytes() for p in sorted(directory.iterdir())}


def replaced(files, name, content):
    """The files with one exchanged, or left out (None)."""
    files = {**files, name: content}
    return {k: v for k, v in files.items() if v is not None}


SPECIAL = {
    "a directory": os.mkdir,
    "a FIFO": os.mkfifo,
    "an endless device": lambda path: os.symlink("/dev/zero", path),
    "a symbolic link to itself": lambda path: os.symlink(os.path.basename(path), path),
    "a sparse TiB": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40),
    "empty": lambda path: open(path, "wb").close(),
}


def scrambled(data, seed):
    """One to five random edits: flipped bits, wild integers, cuts, repeats, noise."""
    rng = random.Random(seed)
    out = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        size = rng.choice([1, 2, 4, 8])
        at = rng.randrange(max(1, min(len(out) - size, rng.choice([64, 2048, 1 << 30]))))
        old = bytes(out[at:at + size])
        wild = rng.choice([0, 1, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1])
        out[at:at + size] = rng.choice([
            bytes([old[0] ^ 1 << rng.randrange(8)]) + old[1:] if old else b"", b"", old * 100, rng.randbytes(size),
            (wild % 256**size).to_bytes(size, "little"), rng.choice([b'"', b"{", b"[", b"]", b"\0", b"\xff", b"9" * 400]) + old])
    return bytes(out)


# ------------------------------------------------------------------ JSON

class Raw(str):
    """A JSON token that Python does not write."""


def dump(value):
    text = json.dumps(value, default=str)
    return re.sub(r'"@raw ([^"]*)@"', r"\1", text).encode()


def edited(document, path, value):
    """JSON text of the document with the value at a path of keys set, or removed (KeyError)."""
    document = json.loads(json.dumps(document))
    at = document
    for key in path[:-1]:
        at = at[key]
    if value is KeyError:
        at.pop(path[-1], None)
    else:
        at[path[-1]] = f"@raw {value}@" if isinstance(value, Raw) else value
    return dump(document)


def json_cases(kind, files, name, edits, **rest):
    """What may befall any JSON file, then edits: (path, expected words or None, values)."""
    good = files[name]
    for what, content in {
        **SPECIAL, "cut in half": good[:len(good) // 2], "followed by text": good + b"}{", "null": b"null",
        "in an array": b"[" + good + b"]", "UTF-16": good.decode().encode("utf-16"), "not UTF-8": good.replace(b'"', b'"\xff', 1),
        "all brackets": b"[" * DEEP, "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP, "left out": None,
    }.items():
        yield Case(kind, f"{name}: {what}", replaced(files, name, content), expect=(name,), **rest)
    yield from json_edits(kind, files, name, edits, **rest)


KEY = ("the key",)


def json_edits(kind, files, name, edits, **rest):
    """`edits` as above; of `KEY` only the key itself is expected."""
    document = json.loads(files[name])
    for path, expect, *values in edits:
        path = [path] if isinstance(path, str) else path
        for value in values:
            shown = "left out" if value is KeyError else repr(value)[:40]
            yield Case(kind, f"{name}: {'.'.join(map(str, path))[-60:]} {shown}", replaced(files, name, edited(document, path, value)),
                       expect=expect and (*(() if expect == KEY else expect), path[-1].lower() if isinstance(path[-1], str) else name), **rest)


# ------------------------------------------------------------------ safetensors

def safetensors_parts(data):
    length, = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + length]), data[8 + length:]


def safetensors_file(header, data, length=None):
    header = header if isinstance(header, bytes) else dump(header)
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def safetensors_cases(kind, files, name):
    header, data = safetensors_parts(files[name])
    tensor = next(k for k in header if "q_proj" in k)
    entry = header[tensor]
    start, end = entry["data_offsets"]
    text = dump(header)

    def case(what, content, expect=()):
        return Case(kind, f"{name}: {what}", replaced(files, name, content), expect=expect)

    for what, content in {**SPECIAL, "left out": None}.items():
        yield case(what, content, ("safetensors",))
    for length in (0, 1, len(text) - 1, len(text) + len(data) + 1, 2**31, 2**63, 2**64 - 1):
        yield case(f"header length {length}", safetensors_file(header, data, length))
    for what, content in {"an array": b"[1]", "nothing": b"", "without tensors": b"{}", "all brackets": b"[" * DEEP, "not JSON": b"hello"}.items():
        yield case(f"header is {what}", safetensors_file(content, data))
    for key, values in {
        "data_offsets": ([end, start], [-8, end], [start, end + len(data)], [start, start], [start, end - 4], [start], "x", None,
                         [2**63, 2**63 + 4], [start + 0.5, end], Raw(f"[{INFINITE}, 1]"), Raw(f"[{'9' * 400}, 1]"), header[next(k for k in header if k != tensor and k != "__metadata__")]["data_offsets"]),
        "dtype": ("F7", "I64", "f32", 32, None, "F" * DEEP), "shape": ([2**32, 2**32], [2**63, 2], [-1, 1], [1.5, 2], [], [1] * 1000, "x", None),
    }.items():
        for value in values:
            yield case(f"{key} {str(value)[:40]}", safetensors_file(edited(header, [tensor, key], value), data), (tensor.lower(),))
    yield case("a tensor left out", safetensors_file(edited(header, [tensor], KeyError), data), (tensor.lower().split(".lora_")[0],))
    yield case("a tensor twice", safetensors_file(text[:-1] + b"," + dump({tensor: entry})[1:], data))
    for extra in ("", CONTROL, "n" * DEEP, "../../x"):
        yield case(f"an extra tensor {extra[:10]!r}", safetensors_file({**header, extra: entry}, data))
    for what, junk in {"NaN": b"\xff" * 8, "infinity": struct.pack("<2f", float("inf"), float("inf"))}.items():
        if entry["dtype"] == "F32":
            yield case(f"{what} among the weights", safetensors_file(header, data[:start] + junk + data[start + 8:]), (tensor.lower(),))
    whole = files[name]
    for at in (1, 8, 8 + len(text) // 2, 8 + len(text), len(whole) - len(data) // 2, len(whole) - 1):
        yield case(f"cut at byte {at}", whole[:at])


def shard_cases():
    files = tree(FIXTURES / "models/qwen2")
    name = "model.safetensors.index.json"
    tensor = next(iter(json.loads(files[name])["weight_map"]))
    yield from json_cases("model", files, name, [
        (["weight_map", tensor], (name,), "../../../etc/passwd", "/etc/passwd", "missing.safetensors", "", ".", 7, None, "x" * 5000),
        ("weight_map", (name,), KeyError, [], {}, "x", None)])


# ------------------------------------------------------------------ configuration, tokenizer, template

def configuration_cases():
    files = tree(MODEL)
    name = "config.json"
    config = json.loads(files[name])
    wrong = (KeyError, "64", 6.5, None, [64], -64, 0, 10**9, 2**63, Raw(INFINITE))
    scalings = [{"type": "linear"}, {"type": "linear", "factor": 0}, {"rope_type": "nope"}, {"rope_type": "llama3"}, {"rope_type": 7}, "linear", []]
    yield from json_cases("model", files, name, [
        *((key, (name,), *wrong, config[key] * 2) for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")),
        ("num_key_value_heads", (name,), "2", -1, 0, 3, 10**9), ("head_dim", (name,), -1, 7, 10**9, "8"), ("rms_norm_eps", (name,), "x", [], -1.0),
        ("rope_parameters", (name,), *scalings), ("rope_scaling", (name,), *[s for s in scalings if s]), ("hidden_act", (name,), "nope", 7, CONTROL),
        ("model_type", (name,), "nope", "", 7, None, KeyError, "a" * DEEP), ("attention_bias", (name,), True), ("mlp_bias", (name,), True),
        ("quantization_config", (name,), {"quant_method": "gptq"}, 7), ("eos_token_id", None, -1, 10**9, "x", []),
        ("max_position_embeddings", None, 0, 10**12, "x"), ("tie_word_embeddings", None, "x", True)])
    yield Case("model", "hidden_size twice", replaced(files, name, files[name].rstrip()[:-1] + b', "hidden_size": 7}'), expect=("hidden_size",))
    yield Case("model", "an empty directory", {})
    yield Case("model", "only config.json", {name: files[name]})


def tokenizer_cases():
    files = tree(MODEL)
    name = "tokenizer.json"
    vocabulary = json.loads(files[name])["model"]["vocab"]
    word = list(vocabulary)[-1]

    def split(regex):
        return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}

    yield from json_cases("model", files, name, [
        ("model", (name,), KeyError, None, [], {}), (["model", "type"], (name,), "Nope", 7), (["model", "vocab"], (name,), [], None, {"a": "b"}),
        (["model", "vocab", word], (name,), -1, 1.5, "3", None, Raw(INFINITE)), (["model", "vocab", word], None, 0, 10**9),
        (["model", "merges"], (name,), "x", ["nospace"], [["a"]], [["zzqq", "qqzz"]], [None]),
        ("pre_tokenizer", (name,), {"type": "Nope"}, {}, 7, *map(split, ("(", "[z-a]", "\\p{Nope}", 7))),
        ("pre_tokenizer", None, *map(split, ("(a+)+$", "^(([a-z])+.)+[A-Z]$", "", "a*"))),
        ("normalizer", (name,), {"type": "Nope"}, 7), ("added_tokens", (name,), "x", [1], [{"id": 1}]), ("added_tokens", None, None, KeyError)])


TEMPLATES = [
    "{% for i in range(10**12) %}x{% endfor %}", "{{ 'a' * 10**12 }}", "{{ 10 ** 10 ** 10 }}", "{{ 1 // 0 }}", "{{ nope() }}", "{{ 'x' | nope }}", "{% nope %}",
    "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}", "{{ ''.__class__ }}", "{% include '/etc/passwd' %}", "{{", "{% if %}", "{{ messages[99].role }}",
    "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", "{{ raise_exception('roles must alternate') }}"]
ODD_TEMPLATES = ["{{ " + "(" * DEEP + "1" + ")" * DEEP + " }}", "{{ 9223372036854775807 + 1 }}", "{% if true %}" * 9999, "{{ 'abc'[::-9223372036854775808] }}"]


def template_cases():
    files = {k: v for k, v in tree(MODEL).items() if k != "chat_template.jinja"}
    chat = dict(arguments=["--data", str(FIXTURES / "data/chat.jsonl")])
    for source in TEMPLATES:
        yield Case("model", f"chat template {source[:50]}", replaced(files, "chat_template.jinja", source.encode()), **chat)
    for source in ODD_TEMPLATES:
        yield Case("model", f"chat template {source[:30]}", replaced(files, "chat_template.jinja", source.encode()), expect=None, **chat)


# ------------------------------------------------------------------ GGUF

class GGUF:
    """A GGUF file taken apart; `encode` puts it together again with lies in it."""
    NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}

    def __init__(self, data):
        self.position, self.bytes = 8, data
        tensors, keys = self.take("QQ")
        self.keys = {}
        for _ in range(keys):
            key = self.string()
            kind, = self.take("I")
            self.keys[key] = (kind, self.value(kind))
        self.tensors = {}
        for _ in range(tensors):
            name = self.string()
            count, = self.take("I")
            self.tensors[name] = (list(self.take(f"{count}Q")), *self.take("IQ"))
        self.data = data[-(-self.position // 32) * 32:]
        self.data += bytes(-len(self.data) % 32)

    def take(self, layout):
        values = struct.unpack_from("<" + layout, self.bytes, self.position)
        self.position += struct.calcsize("<" + layout)
        return values

    def string(self):
        length, = self.take("Q")
        self.position += length
        return self.bytes[self.position - length:self.position].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            inner, count = self.take("IQ")
            return inner, [self.value(inner) for _ in range(count)]
        return self.take(self.NUMBERS[kind])[0]

    def encode_value(self, kind, value):
        if isinstance(value, bytes):  # as it stands
            return value
        if kind == 8:
            return struct.pack("<Q", len(value.encode())) + value.encode()
        if kind == 9:
            return struct.pack("<IQ", value[0], len(value[1])) + b"".join(self.encode_value(value[0], v) for v in value[1])
        return struct.pack("<" + self.NUMBERS[kind], value)

    def room(self, name, dims):
        """The entry of one more F32 tensor, whose data are added."""
        entry, count = (name, dims, 0, len(self.data)), 1
        for size in dims:
            count *= size
        self.data += struct.pack("<f", 1) * -(-count // 8) * 8
        return entry

    def encode(self, keys={}, tensors={}, extra=(), magic=b"GGUF", version=3, counts=(None, None), patch=None):
        pairs = [(k, *v) for k, v in {**self.keys, **keys}.items() if v]
        infos = [(k, *v) for k, v in {**self.tensors, **tensors}.items() if v] + list(extra)
        out = magic + struct.pack("<IQQ", version, *(n if c is None else c for n, c in zip((len(infos), len(pairs)), counts)))
        for key, kind, value in pairs:
            out += self.encode_value(8, key) + struct.pack("<I", kind) + self.encode_value(kind, value)
        for name, dims, kind, offset in infos:
            out += self.encode_value(8, name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
        data = bytearray(self.data)
        if patch:
            data[patch[0]:patch[0] + len(patch[1])] = patch[1]
        return out + bytes(-len(out) % 32) + bytes(data)


def gguf_cases():
    g = GGUF(GGUF_FILE.read_bytes())

    def case(what, content, expect=()):
        return Case("gguf", what, {"model.gguf": content}, "model.gguf", expect)

    for what, content in {**SPECIAL, "one byte": b"G"}.items():
        yield case(what, content)
    yield case("another magic", g.encode(magic=b"GGML"))
    yield from (case(f"version {v}", g.encode(version=v), ("version",)) for v in (0, 1, 4, 3 << 24))
    for n in (0, 10**4, 2**31, 2**63, 2**64 - 1):
        yield case(f"{n} tensors claimed", g.encode(counts=(n, None)))
        yield case(f"{n} keys claimed", g.encode(counts=(None, n)))
    for what, kind, value in (
        ("a string of 2^64-1 bytes", 8, struct.pack("<Q", 2**64 - 1)), ("2^61 integers", 9, struct.pack("<IQ", 10, 2**61)), ("2^60 strings", 9, struct.pack("<IQ", 8, 2**60)),
        ("arrays 100,000 deep", 9, struct.pack("<IQ", 9, 1) * DEEP), ("type 99", 99, bytes(8)), ("elements of type 99", 9, struct.pack("<IQ", 99, 1) + bytes(8))):
        yield case(what, g.encode(keys={"x": (kind, value)}))
    layers, heads, width = (g.keys["llama." + k][1] for k in ("block_count", "attention.head_count", "embedding_length"))
    some, tokens = 2**32 - 1, g.keys["tokenizer.ggml.tokens"][1][1]
    for key, kind, *values in (
        ("general.alignment", 4, 0, 3, some), ("general.architecture", 8, None, "", "nope", CONTROL), ("llama.block_count", 4, None, 0, layers + 1, some),
        ("llama.block_count", 8, "2"), ("llama.block_count", 6, 2.5), ("llama.block_count", 10, 2**63), ("llama.embedding_length", 4, None, 0, width * 2, some),
        ("llama.attention.head_count", 4, None, 0, heads * 2 + 1, some), ("llama.attention.head_count_kv", 4, 0, heads * 2, some),
        ("llama.feed_forward_length", 4, 0, 7, some), ("llama.rope.dimension_count", 4, 3, 2**31), ("llama.rope.freq_base", 6, 0.0, -1.0),
        ("llama.attention.layer_norm_rms_epsilon", 6, -1.0, float("nan"), float("inf")), ("llama.rope.scaling.type", 8, "nope"), ("llama.expert_count", 4, 8),
        ("tokenizer.ggml.model", 8, None, "nope"), ("tokenizer.ggml.tokens", 9, None, (8, []), (4, [1, 2]), (8, tokens + ["zz1", "zz2"]), (8, tokens[:-1] + [tokens[-2]])),
        ("tokenizer.ggml.merges", 9, (8, ["nospace"]), (8, ["zzqq qqzz"]), (6, [1.0])), ("tokenizer.ggml.token_type", 9, (5, [1]))):
        for value in values:
            yield case(f"{key} {str(value)[:40]} (type {kind})", g.encode(keys={key: None if value is None else (kind, value)}),
                       (key.split(".")[-1], "blk.", "token"))
    name = "blk.0.attn_q.weight"
    dims, kind, offset = g.tensors[name]
    for what, info in {
        "no dimensions": ([], kind, offset), "five dimensions": (dims + [1] * 3, kind, offset), "2^32 × 2^32": ([2**32, 2**32], kind, offset), "a dimension of 0": ([dims[0], 0], kind, offset),
        "a longer row": ([dims[0] + 32, dims[1]], kind, offset), "one dimension": ([dims[0] * dims[1]], kind, offset), "an odd offset": (dims, kind, offset + 1),
        "an offset beyond the file": (dims, kind, 2**40), "an offset near 2^64": (dims, kind, 2**64 - 32), "another's place": (dims, kind, g.tensors["blk.0.attn_norm.weight"][2]),
        "a removed type": (dims, 4, offset), "an IQ type": (dims, 16, offset), "Q1_0": (dims, 41, offset), "an unknown type": (dims, 99, offset)}.items():
        yield case(f"{name}: {what}", g.encode(tensors={name: info}), (name,))
    for left in (name, "token_embd.weight", "output_norm.weight", "blk.1.ffn_down.weight"):
        yield case(f"{left} left out", g.encode(tensors={left: None}), (left,))
    yield case(f"{name} twice", g.encode(extra=[(name, dims, kind, offset)]), (name,))
    for at, junk in (("blk.0.attn_norm.weight", b"\xff" * 64), (name, b"\xff" * 64), ("output_norm.weight", struct.pack("<f", float("inf")))):
        yield case(f"NaN in {at}", g.encode(patch=(g.tensors[at][2], junk)), (at,))
    whole = g.encode()
    for at in (4, 8, 23, 24, 40, 1000, len(whole) - len(g.data) - 10, len(whole) - len(g.data), len(whole) - 64):
        yield case(f"cut at byte {at} of {len(whole)}", whole[:at])


def quantisation_cases():
    """Scales must be finite; all other bytes may have any pattern."""
    g, rng = GGUF(QUANTISED.read_bytes()), random.Random(41)

    def case(what, content, expect):
        return Case("export", what, {"model.gguf": content}, "model.gguf", expect)

    for name, (dims, kind, offset) in g.tensors.items():
        if kind in (0, 40):  # F32, and NVFP4, whose scales are all finite
            continue
        yield case(f"scales of type {kind} in {name}: NaN", g.encode(patch=(offset, b"\xff" * 136)), (name,))
        yield case(f"{name} of type {kind}: random bytes", g.encode(patch=(offset, rng.randbytes(2000))), None)
        yield case(f"{name} of type {kind}: half a block more", g.encode(tensors={name: ([dims[0] + 16, dims[1]], kind, offset)}), (name,))
    name = "blk.0.ffn_down.scale"  # llama.cpp multiplies NVFP4 weights with it
    yield case(name, g.encode(extra=[g.room(name, [1])]), (name,))


def sentencepiece_cases():
    g = GGUF((FIXTURES / "gguf/llama-spm.gguf").read_bytes())
    tokens, scores, types = (g.keys[f"tokenizer.ggml.{key}"][1][1] for key in ("tokens", "scores", "token_type"))
    nan, infinite, count = float("nan"), float("inf"), len(tokens)
    for key, *values in (
        ("scores", None, (6, []), (6, scores[:-1]), (6, scores + [0.0]), (8, ["0"] * count), (6, scores[:-1] + [nan]),
         (6, scores[:300] + [-infinite] + scores[301:]), (6, [infinite] * count)),
        ("tokens", (8, []), (8, tokens[:-1]), (8, tokens[:-1] + [tokens[-2]]), (8, [tokens[0]] * count)),
        ("token_type", (5, types[:-1]), (5, []), (8, ["1"] * count), (5, [99] * count), (5, [-1] * count))):
        for value in values:
            shown = "left out" if value is None else f"{len(value[1])} × {value[0]}, …{str(value[1][-2:])[-40:]}"
            # llama.cpp takes unknown kinds of tokens for ordinary ones.
            yield Case("gguf", f"SentencePiece: {key} {shown}",
                       {"model.gguf": g.encode(keys={f"tokenizer.ggml.{key}": value and (9, value)})}, "model.gguf",
                       None if value and value[1] and value[1][0] in (99, -1) else ("token", key))


# ------------------------------------------------------------------ families

def lied(family, keys={}, **rest):
    """The GGUF file of a family's model with other keys or tensors. A key is "key" of the architecture, or "general.…"."""
    g = GGUF(GoldenFamily(family).gguf())
    architecture = g.keys["general.architecture"][1]
    named = {key if key.startswith("general.") else f"{architecture}.{key}": value for key, value in keys.items()}
    return g, g.encode(keys=named, **rest)


def family_gguf_cases():
    def case(what, content, expect):
        return Case("export", what, {"model.gguf": content}, "model.gguf", expect)

    nan, infinite, some = float("nan"), float("inf"), 2**32 - 1
    norm = [(6, 0.0), (6, -1e-6), (6, nan), (6, infinite), (6, 2.0), (8, "1e-6"), (7, 1), (9, (6, [1e-6])), None]
    base = [(6, 0.0), (6, -1e4), (6, nan), (6, infinite), (8, "10000"), (9, (6, [1e4])), (7, 1)]
    factor = [(6, -1.0), (6, nan), (6, infinite), (8, "1"), (7, 1), (9, (6, [1.0]))]
    for family, key, values in (
        ("gemma3", "attention.layer_norm_rms_epsilon", norm), ("granite", "attention.layer_norm_rms_epsilon", norm),
        ("gpt_neox", "attention.layer_norm_epsilon", norm),
        ("gemma3", "attention.sliding_window", [(5, -8), (8, "8"), (6, 8.0), (10, 2**63), (4, some), (9, (4, [8])), (7, 1)]),
        ("gemma3", "attention.sliding_window_pattern", [
            (9, (7, [1] * 6)), (9, (7, [])), (9, (7, [1] * 1000)), (9, (8, ["1"] * 7)), (8, "6"),
            (5, -6), (6, 6.0)]),
        ("gemma3", "attention.key_length", [(4, 0), (4, 16), (5, -12), (8, "12"), (4, some), None]),
        ("gemma3", "attention.value_length", [(4, 0), (4, 16), (8, "12"), None]),
        ("gemma3", "final_logit_softcapping", factor), ("gemma3", "rope.freq_base", base),
        ("gemma3", "rope.freq_base_swa", base), ("gpt_neox", "rope.freq_base", base),
        ("smollm3", "rope.scaling.factor", [(6, -8.0), (6, nan), (6, infinite), (8, "8"), (7, 1)]),
        ("smollm3", "rope.scaling.type", [(8, "spiral"), (8, ""), (8, CONTROL), (8, "x" * DEEP), (4, 1), (7, 1)]),
        ("smollm3", "rope.dimension_count", [(4, 0), (4, 6), (4, 10), (4, some), (5, -8), (8, "8"), (6, 8.0)]),
        ("gpt_neox", "rope.dimension_count", [(4, 3), (4, 10), (5, -2), (8, "2")]),
        ("gpt_neox", "use_parallel_residual", [(4, 1), (8, "true"), (9, (7, [1]))]),
        ("phi3-long", "rope.scaling.attn_factor", [(6, 0.0), *factor]),
        ("phi3-long", "rope.scaling.original_context_length", [(4, 0), (5, -10), (8, "10"), (6, 10.0), (4, some)]),
        ("granite", "logit_scale", [None, (6, 0.0), *factor]), ("granite", "attention.scale", factor),
        ("granite", "embedding_scale", factor), ("granite", "residual_scale", factor),
        ("gemma4", "attention.shared_kv_layers", [(4, 6), (4, 7), (4, some), (5, -1), (8, "3"), (6, 3.0), (9, (4, [3]))]),
        ("gemma4", "attention.head_count_kv", [(9, (5, [1] * 6)), (9, (5, [0] * 7)), (9, (5, [1, 3] + [1] * 5)), (9, (5, [1, 2] + [1] * 5)),
                                               (9, (5, [5] * 7)), (9, (5, [-1] * 7)), (8, "1")]),
        ("gemma4", "attention.key_length", [(4, 0), (4, 24), (5, -16), (8, "16"), None]),
        ("gemma4", "attention.key_length_swa", [(4, 0), (4, 4097), (4, some), (5, -8), (8, "8"), None]),
        ("gemma4", "attention.value_length_swa", [(4, 0), (4, 16), (8, "8"), None]),
        ("gemma4", "feed_forward_length", [(9, (5, [48] * 6)), (9, (5, [48] * 4 + [96, 96, 95])), (9, (5, [48] * 3 + [96] * 4)), (9, (5, [0] * 7)),
                                           (9, (5, [])), (8, "48"), None]),
        ("gemma4", "embedding_length_per_layer_input", [(4, some), (5, -6), (8, "6"), (6, 6.0), None]),
        ("gemma4", "rope.dimension_count_swa", [(4, 0), (4, 3), (4, 10), (4, some), (5, -8), (8, "8")]),
        ("gemma4", "attention.sliding_window_pattern", [(9, (7, [1] * 6)), (9, (7, [])), (8, "6")]),
        ("gemma4", "final_logit_softcapping", factor), ("gemma4", "expert_count", [(4, 8)]),
        ("granite", "an.unknown.key", [(6, 0.5)]), ("granite", "block_count", [(4, 2), (4, 4)]), ("granite", "expert_count", [(4, 8)]),
        ("olmoe", "expert_count", [(4, 0), (4, 1), (4, 5), (4, 7), (4, some), (5, -6), (8, "6"), (6, 6.0), (9, (4, [6])), None]),
        ("olmoe", "expert_used_count", [(4, 0), (4, 7), (4, some), (5, -2), (8, "2"), (7, 1), None]),
        ("qwen3_moe", "expert_feed_forward_length", [(4, 0), (4, 23), (4, 48), (4, some), (5, -24), (8, "24"), None]),
        ("qwen2_moe", "expert_shared_feed_forward_length", [(4, 47), (4, 49), (4, some), (5, -48), (8, "48"), (6, 48.0), (9, (4, [48]))]),
        ("granitemoeshared", "expert_shared_feed_forward_length", [(4, 0), (4, 39), (4, some), (5, -40), (8, "40"), None]),
        ("gpt_oss", "expert_count", [(4, 5), (4, 0)]), ("granitemoe", "expert_shared_count", [(4, 1)]),
        ("granitemoe", "expert_weights_norm", [(7, 0)])):
        for value in values:
            shown = "left out" if value is None else f"{str(value[1])[:40]} (type {value[0]})"
            expect = [key.split(".")[-1]]
            if key == "block_count":
                expect = ["blk.2", "blk.3"]
            elif key.startswith("expert_"):
                expect += ["blk.0.ffn_", "expert_used_count"]
            elif key.startswith("attention.") and key.endswith("_length"):
                expect.append("blk.0")    # a head then has embedding_length / head_count numbers, which the tensors contradict
            yield case(f"{family}: {key} {shown}", lied(family, {key: value})[1], expect)
    for key, value, expect in (("embedding_length_per_layer_input", (4, 7), "blk.0.inp_gate.weight"), ("attention.key_length_swa", (4, 6), "value_length_swa"),
                               ("embedding_length_per_layer_input", (4, 0), "has no place"), ("feed_forward_length", (4, 48), "blk.4.ffn_gate.weight")):
        yield case(f"gemma4: {key} {value}", lied("gemma4", {key: value})[1], (expect,))
    # What llama.cpp has a default for.
    for family, key, value in (("gemma3", "attention.sliding_window", None), ("gemma3", "attention.sliding_window", (4, 0)),
                               ("gemma3", "rope.freq_base_swa", None), ("granite", "rope.freq_base", None),
                               ("granite", "embedding_scale", (6, 0.0))):
        yield case(f"{family}: {key} {value}", lied(family, {key: value})[1], None)
    for family, names in {
        "gemma3": ("blk.0.attn_q_norm.weight", "blk.6.post_attention_norm.weight", "blk.3.post_ffw_norm.weight", "output_norm.weight"),
        "gemma4": ("per_layer_token_embd.weight", "per_layer_model_proj.weight", "per_layer_proj_norm.weight", "blk.0.inp_gate.weight",
                   "blk.6.proj.weight", "blk.3.post_norm.weight", "blk.2.layer_output_scale.weight", "blk.3.attn_k.weight", "rope_freqs.weight"),
        "gpt_neox": ("blk.0.attn_qkv.weight", "blk.1.attn_qkv.bias", "blk.2.attn_norm.bias", "output_norm.bias", "output.weight"),
        "olmoe": ("blk.0.ffn_gate_inp.weight", "blk.0.ffn_gate_exps.weight", "blk.2.ffn_down_exps.weight"),
        "qwen2_moe": ("blk.0.ffn_gate_inp_shexp.weight", "blk.1.ffn_gate_shexp.weight", "blk.2.ffn_down_shexp.weight"),
        "granitemoeshared": ("blk.0.ffn_up_shexp.weight",),
        "gpt_oss": ("blk.0.attn_sinks.weight", "blk.1.ffn_gate_inp.bias", "blk.1.ffn_up_exps.bias", "blk.2.ffn_down_exps.weight"),
        "phi3-long": ("blk.0.ffn_up.weight", "rope_factors_long.weight", "rope_factors_short.weight")}.items():
        for name in names:
            g, left = lied(family, tensors={name: None})
            dims, kind, offset = g.tensors[name]
            # Without its head a model is taken for a tied one.
            yield case(f"{family}: {name} left out", left, None if name == "output.weight" else (name,))
            for shape in ([], dims + [2], [n + 1 for n in dims], [n // 2 for n in dims], [0] * len(dims), [some] * len(dims)):
                yield case(f"{family}: {name} of {shape}", lied(family, tensors={name: (shape, kind, offset)})[1], (name,))
            junk = struct.pack("<2f", nan, infinite)
            yield case(f"{family}: NaN in {name}", lied(family, patch=(offset, junk))[1], (name,))
    for name in ("rope_factors_long.weight", "rope_factors_short.weight"):
        g, _ = lied("phi3-long")
        dims, kind, offset = g.tensors[name]
        for number in (0.0, -1.5, -0.0):
            yield case(f"phi3-long: {number} in {name}", lied("phi3-long", patch=(offset, struct.pack("<f", number)))[1], (name,))
        for kind in (1, 8, 24, 99):
            yield case(f"phi3-long: {name} of type {kind}", lied("phi3-long", tensors={name: (dims, kind, offset)})[1], (name,))
        yield case(f"phi3-long: {name} twice", g.encode(extra=[g.room(name, dims)]), (name,))
        g, _ = lied("granite")
        yield case(f"granite: {name} alone", g.encode(extra=[g.room(name, [4])]), ("rope_factors",))
    for name in ("rope_freqs.weight", "blk.0.attn_sinks.weight", "telescope.0.weight", "blk.3.ffn_up.weight_extra", CONTROL):
        g, _ = lied("phi3-long")
        yield case(f"phi3-long: an extra tensor {name!r}", g.encode(extra=[g.room(name, [4])]),
                   ("tensor ",) if name == CONTROL else (name, "attn_factor") if name == "rope_freqs.weight" else (name,))
    for family, other in (("gemma3", "gemma2"), ("gemma3", "llama"), ("gemma3", "qwen3"), ("granite", "llama"), ("granite", "gemma3"),
                          ("phi3-long", "llama"), ("phi3-long", "gptneox"), ("gpt_neox", "phi2"), ("gpt_neox", "stablelm"),
                          ("smollm3", "exaone4"), ("smollm3", "olmo2"), ("smollm3", "granite")):
        g, same = lied(family, {"general.architecture": (8, other)})
        yield case(f"{family} says that it is {other}", same, (f"{other}.",))
        own = g.keys["general.architecture"][1]
        g.keys = {key.replace(f"{own}.", f"{other}."): value for key, value in g.keys.items()}
        g.keys["general.architecture"] = (8, other)
        yield case(f"{family} says that it is {other} in all keys", g.encode(), (f"{other}.", "tensor "))


def part_cases():
    """Files NAME-0000K-of-0000N.gguf, of which the command is given the first."""
    def split(family, count, names=()):
        family, parts = GoldenFamily(family), []
        items = list(family.gguf_tensors.items())
        for part in range(count):
            keys = [["split.no", "u32", part], ["split.count", "u32", count], ["split.tensors.count", "i32", len(items)]]
            some = dict(item for i, item in enumerate(items) if i * count // len(items) == part)
            parts.append(gguf_bytes(family.metadata + keys if part == 0 else keys, some))
        return parts

    names = [f"model-0000{part}-of-00003.gguf" for part in (1, 2, 3)]
    good, other, gpt = dict(zip(names, split("granite", 3))), split("smollm3", 3), split("gpt_neox", 3)

    def case(what, files, expect, path=names[0]):
        return Case("export", f"three parts: {what}", files, path, expect)

    yield case("as they should be", good, None)
    for number, name in enumerate(names[1:], 2):
        yield case(f"{number} opened", good, (names[0],), name)
        yield case(f"{number} left out", replaced(good, name, None), (name,))
        for what, content in {**SPECIAL, "cut in half": good[name][:len(good[name]) // 2], "not GGUF": b"hello"}.items():
            yield case(f"{number} {what}", replaced(good, name, content), (name,))
        for copied in set(names) - {name}:
            yield case(f"{number} is {copied[7:11]} again", replaced(good, name, good[copied]), (name,))
        yield case(f"{number} of smollm3", replaced(good, name, other[number - 1]), (name, "tensor "))
        yield case(f"{number} of gpt_neox", replaced(good, name, gpt[number - 1]), (name, "tensor "))
        g = GGUF(good[name])
        tensor = next(iter(g.tensors))
        yield case(f"{number} lacks a tensor", replaced(good, name, g.encode(tensors={tensor: None})), (tensor, "split.tensors.count"))
        first = GGUF(good[names[0]])
        twice = next(iter(first.tensors))
        yield case(f"{number} holds a tensor of the first", replaced(good, name, g.encode(extra=[g.room(twice, [4])])),
                   (twice, "split.tensors.count"))
        yield case(f"{number} holds a tensor of the first in place of its own", replaced(
            good, name, g.encode(tensors={tensor: None}, extra=[g.room(twice, first.tensors[twice][0])])), (twice,))
    yield case("without the first", replaced(good, names[0], None), (names[0],))
    yield case("under another name", {**good, "other.gguf": good[names[0]]}, ("other.gguf",), "other.gguf")
    for number, name in enumerate(names):
        g = GGUF(good[name])
        for key, values in {
            "split.no": (None, (4, (number + 1) % 3), (4, 7), (5, -1), (8, "1"), (6, 1.0), (4, 2**32 - 1)),
            "split.count": (None, (4, 0), (4, 1), (4, 2), (4, 4), (4, 2**32 - 1), (5, -3), (8, "3"), (10, 2**63)),
            "split.tensors.count": ((4, 0), (4, 10**6), (5, -1), (8, "30"), (10, 2**63))}.items():
            for value in values:
                content = replaced(good, name, g.encode(keys={key: value}))
                # The first part begins with 0, and alone it lacks tensors.
                expect = None if number == 0 and key == "split.no" and value is None else (
                    (name,) if key == "split.tensors.count" else (name, key, "tensor "))
                yield case(f"{key} of the {number + 1}. {value or 'left out'}", content, expect)


def family_configuration_cases():
    # Every error names the file, so the key has to be in it.
    name, wrong_number = "config.json", (-1, 0, "8", [8], {}, True, Raw(INFINITE))
    scalings = ([], "linear", 7, {"rope_type": "nope"}, {"rope_type": 7}, {"rope_type": []}, {"rope_type": "linear"},
                {"rope_type": "linear", "factor": 0}, {"rope_type": "linear", "factor": "8"}, {"rope_theta": -1}, {"rope_theta": "x"},
                {"rope_theta": f"@raw {INFINITE}@"}, {"rope_type": "yarn", "factor": -4}, {"rope_type": "longrope"},
                {"rope_type": "longrope", "short_factor": [1], "long_factor": [1]}, {"rope_type": "llama3", "factor": 8})
    kinds = ("full_attention", [], {}, ["full_attention"], ["full_attention"] * 8, ["nope"] * 7, [7] * 7, [None] * 7,
             [["full_attention"]] * 7, ["full_attention"] * 6 + [CONTROL], ["full_attention"] * 100_000)

    rope_words = ("rope_parameters", "rope_theta")

    def attention(inner):
        return [(inner + ["layer_types"], KEY, *kinds),
                (inner + ["sliding_window"], KEY, -1, "8", [8], 8.5, True, 2**63, Raw(INFINITE)),
                (inner + ["rms_norm_eps"], KEY, *wrong_number, 2.0),
                (inner + ["query_pre_attn_scalar"], KEY, *wrong_number),
                (inner + ["rope_parameters"], rope_words, [], "linear", 7, *({"full_attention": s} for s in scalings),
                 *({"full_attention": {"rope_type": "default"}, "sliding_attention": s} for s in scalings)),
                (inner + ["head_dim"], KEY, -1, "12", 10**9), (inner + ["head_dim"], ("q_proj.weight",), 16), (inner + ["hidden_activation"], KEY, "nope", 7, [])]

    plain = GoldenFamily("gemma3").model()
    yield from json_edits("export", plain, name, attention([]))
    nested = GoldenFamily("gemma3-nested").model()
    inner = ["text_config"]
    yield from json_edits("export", nested, name, [
        *attention(inner), (inner, KEY, KeyError, None, [], [{}], "gemma3_text", 7, {}, {"text_config": {}}), (inner, ("model_type",), {"hidden_size": 32}),
        *((inner + [key], KEY, KeyError, None, "32", 6.5, [32], {}, -32, 0, 10**9)
          for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")),
        (inner + ["model_type"], KEY, "nope", 7, [], CONTROL), (inner + ["model_type"], ("tensor ",), "llama", "gemma2"), ("model_type", None, "nope", "llama", 7, KeyError),
        ("vision_config", None, KeyError, None, [], 7), (inner + ["tie_word_embeddings"], ("lm_head",), "x", 1, False),
        ("quantization_config", KEY, {"quant_method": "gptq"}, 7)])
    deep = json.loads(nested[name])
    for _ in range(3):
        deep = {**deep, "text_config": deep}
    yield Case("export", "config.json: text_config in text_config", replaced(nested, name, dump(deep)), expect=("text_config",))
    yield from json_edits("export", GoldenFamily("smollm3").model(), name, [
        ("no_rope_layers", KEY, [1, 1], [1] * 6, [1] * 100_000, [], {}, "11101", 7, [1, 1, 2, 0, 1], [1, 1, None, 0, 1], [1, 1, "1", 0, 1],
         [1, 1, 0.5, 0, 1], [1, 1, [1], 0, 1], [1, 1, True, 0, 1]),
        ("no_rope_layer_interval", None, 0), ("rope_parameters", rope_words, *scalings), ("layer_types", None, ["nope"] * 5)])
    rope = ["rope_parameters"]
    factors = ([], [1.0] * 3, [1.0] * 5, [1.0] * 100_000, [1, 2, 0, 4], [1, 2, -3, 4], [1, 2, "3", 4], [1, 2, None, 4], "1234", 7, {}, None, KeyError,
               Raw(f"[1, 2, {INFINITE}, 4]"))
    yield from json_edits("export", GoldenFamily("phi3-long").model(), name, [
        (rope + ["long_factor"], KEY, *factors), (rope + ["short_factor"], KEY, *factors),
        (rope + ["attention_factor"], KEY, *wrong_number), ("original_max_position_embeddings", KEY, *wrong_number),
        (rope + ["rope_type"], KEY, "spiral", "", 7, []), ("rope_parameters", KEY, [], 7, "longrope")])
    yield from json_edits("export", GoldenFamily("granite").model(), name, [
        (key, KEY, *wrong_number) for key in ("embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling")])
    yield from json_edits("export", GoldenFamily("gpt_neox").model(), name, [
        ("use_parallel_residual", KEY, 1, "true", []), ("layer_norm_eps", KEY, *wrong_number), ("hidden_act", KEY, "nope", 7),
        (rope + ["partial_rotary_factor"], KEY, -1, 0, 1.5, "0.25", 0.45, 0.01, []), ("attention_bias", None, False)])
    shared = GoldenFamily("gemma4-text")
    layers = ["per_layer_config"]
    yield from json_edits("export", shared.model(), name, [
        ("num_kv_shared_layers", KEY, 6, 7, 8, -1, "3", 2.5, 10**9),
        ("layer_types", KEY, [], ["full_attention"] * 6, "sliding_attention", [7] * 7, ["nope"] * 7),
        (layers, KEY, [], 7, "x", {"0": {"head_dim": 16}}, {"1": {"head_dim": 16}}, {"1": {"window": 5}}, {"1": 7}),
        (layers + ["1", "head_dim"], KEY, 0, -1, 15, 18, "16", 10**9), (layers + ["1"], ("per_layer_config",), [], 7, {"head_dim": 16, "more": 1}),
        ("hidden_size_per_layer_input", KEY, -1, "6", 2.5, 10**9), ("hidden_size_per_layer_input", ("tensor ",), 7, 0),
        ("vocab_size_per_layer_input", KEY, KeyError, 95, 97, 0, "96"), ("attention_k_eq_v", ("v_proj",), True), ("attention_k_eq_v", KEY, "yes", 1),
        ("use_double_wide_mlp", ("mlp.",), True), ("enable_moe_block", KEY, True, "x"), ("use_bidirectional_attention", KEY, "all", 7),
        ("attention_bias", KEY, True, "x"), ("head_dim", KEY, 0, -8, 7, "8"), ("head_dim", ("tensor ",), 6), ("sliding_window", KEY, -8, 0, "8", 8.5),
        ("num_key_value_heads", KEY, 0, 3, 5, "2"), (["rope_parameters", "full_attention", "partial_rotary_factor"], KEY, 0, -1, 1.5, "x"),
        (["rope_parameters", "full_attention"], rope_words, 7, []), ("final_logit_softcapping", KEY, 0, -1, "8")])
    yield from json_edits("export", shared.model(shared.record["version4"]), name, [
        ("global_head_dim", KEY, 0, -1, 15, "16", 10**9), ("global_head_dim", ("tensor ",), 8, KeyError)])
    numbers = (0, -1, "6", [6], {}, 6.5, True, 10**9)
    yield from json_edits("export", GoldenFamily("olmoe").model(), name, [
        ("num_experts", KEY, *numbers), ("num_experts", ("expert", "mlp.gate"), 1, 5, 7), ("num_experts_per_tok", KEY, *numbers, 7),
        ("norm_topk_prob", KEY, "x", 1, []), ("clip_qkv", KEY, 0.5, "x", []), ("router_aux_loss_coef", KEY, -0.5, "0.1", [], True)])
    yield from json_edits("export", GoldenFamily("qwen3_moe").model(), name, [
        ("num_local_experts", KEY, *numbers), ("moe_intermediate_size", KEY, *numbers), ("moe_intermediate_size", ("expert",), 23, 25),
        ("decoder_sparse_step", KEY, 2, 0, "1"), ("mlp_only_layers", KEY, [0], [0, 1, 2])])
    yield from json_edits("export", GoldenFamily("granitemoe").model(), name, [
        ("num_local_experts", KEY, *numbers), ("num_local_experts", ("block_sparse_moe",), 5, 7), ("intermediate_size", ("block_sparse_moe",), 47)])
    yield from json_edits("export", GoldenFamily("qwen2_moe").model(), name, [
        ("shared_expert_intermediate_size", KEY, *numbers, KeyError), ("shared_expert_intermediate_size", ("shared_expert",), 47, 49),
        ("qkv_bias", KEY, "x", 1), ("qkv_bias", ("k_proj.bias",), False), ("mlp_only_layers", KEY, [0])])
    yield from json_edits("export", GoldenFamily("granitemoeshared").model(), name, [
        ("shared_intermediate_size", KEY, *numbers[1:]), ("shared_intermediate_size", ("shared_mlp",), 0, 39, 41, KeyError)])
    for family, part in (("qwen2_moe", "mlp.shared_expert.up_proj"), ("qwen2_moe", "mlp.shared_expert_gate"),
                         ("granitemoeshared", "shared_mlp.input_linear"), ("granitemoeshared", "shared_mlp.output_linear")):
        golden, key = GoldenFamily(family), f"model.layers.1.{part}.weight"
        (rows, columns), values = golden.tensors[key]
        for what, change in (("left out", None), ("without its last row", ([rows - 1, columns], values[:-columns])),
                             ("turned", ([columns, rows], values)), ("a vector", ([rows * columns], values))):
            tensors = {other: value for other, value in golden.tensors.items() if other != key}
            yield Case("export", f"{family}: {key} {what}",
                       replaced(golden.model(), "model.safetensors", safetensors_bytes({**tensors, **({key: change} if change else {})})), expect=(key,))
    yield from json_edits("export", GoldenFamily("gpt_oss").model(), name, [
        ("num_local_experts", ("experts", "router"), 5, 7), ("swiglu_limit", KEY, 0, 8.0, "7", []), ("swiglu_alpha", KEY, 1.7, -1),
        ("rope_parameters", ("rope_parameters",), [], None, KeyError)])
    families = ("gemma3", "gemma3-nested", "phi3-long", "granite", "smollm3", "gpt_neox", "olmoe", "granitemoe", "granitemoeshared")
    weights = {family: GoldenFamily(family).model() for family in families}
    for family in families:
        for other in families:
            if other != family and {family, other} != {"gemma3", "gemma3-nested"}:
                yield Case("export", f"config.json of {family}, tensors of {other}", {**weights[other], name: weights[family][name]},
                           expect=("tensor ", "lm_head.weight"))
    for extra, expect in (("model.telescope.0.weight", ("telescope",)), ("telescope.0.weight", ("telescope",)),
                          ("language_model.model.layers.0.self_attn.sinks", ("sinks",)), ("language_model.model.layers.7.mlp.up_proj.weight", None),
                          ("vision_tower.another.weight", None), (CONTROL, ("tensor ",)), ("", ("tensor ",)), ("vision_tower." + "n" * DEEP, None)):
        tensors = {**GoldenFamily("gemma3-nested").tensors, extra: GoldenFamily("granite").tensors["model.norm.weight"]}
        yield Case("export", f"gemma3-nested: an extra tensor {extra[:60]!r}",
                   replaced(nested, "model.safetensors", safetensors_bytes(tensors)), expect=expect)


# ------------------------------------------------------------------ adapter, checkpoint, data

def adapter_cases():
    files = tree(ADAPTER)
    name = "adapter_config.json"
    yield from json_cases("adapter", files, name, [
        ("r", (name,), KeyError, 0, -1, 7, 10**9, "8", None), ("lora_alpha", (name,), "x", [], Raw(INFINITE)), ("target_modules", (name,), ["nope_proj"], [], 7, None, [7]),
        ("target_modules", None, "(a+)+$", "(", "all-linear"), ("peft_type", (name,), "IA3", 7, None, KeyError), ("use_dora", (name,), True), ("bias", (name,), "all"),
        ("modules_to_save", (name,), ["lm_head"]), ("target_parameters", KEY, ["x"], 7, [7], {}), ("layer_replication", (name,), [[0, 1]]), ("rank_pattern", None, {"(a+)+$": 8}, 7),
        ("base_model_name_or_path", None, "../../etc", CONTROL, 7)])
    yield from safetensors_cases("adapter", files, "adapter_model.safetensors")
    yield Case("adapter", "only pickled weights", replaced(replaced(files, "adapter_model.safetensors", None), "adapter_model.bin", b"\x80\x02."), expect=("adapter_model",))
    yield Case("adapter", "an adapter of another model", tree(FIXTURES / "adapters/gpt2-random"))


def checkpoint_cases(checkpoint):
    data = checkpoint.read_bytes()
    rng = random.Random(len(data))

    def case(what, content, expect=()):
        return Case("checkpoint", what, {"checkpoint.h5": content}, "checkpoint.h5", expect)

    for what, content in SPECIAL.items():
        yield case(what, content)
    for at in (7, 8, 96, 2048, len(data) // 2, len(data) - 1):
        yield case(f"cut at byte {at} of {len(data)}", data[:at])
    for at in sorted(rng.sample(range(len(data)), 20)):
        yield case(f"bit flipped in byte {at}", data[:at] + bytes([data[at] ^ 1]) + data[at + 1:], None)
    for what, fill in {"zeros": b"\0", "ones": b"\xff"}.items():
        yield case(f"a superblock of {what}", data[:8] + fill * 200)


def cache_cases(cache):
    """Tokens kept beside rows: what is damaged is made anew, so that every run ends well."""
    data = cache.read_bytes()
    rng = random.Random(len(data))

    def case(what, content, expect=None):
        return Case("cache", what, {cache.name: content}, ".", expect)

    for what, content in SPECIAL.items():
        yield case(what, content, ("regular file",) if what in ("a directory", "a FIFO", "an endless device") else None)
    for at in (0, 7, 8, 96, 2048, len(data) // 2, len(data) - 1):
        yield case(f"cut at byte {at} of {len(data)}", data[:at])
    for at in sorted(rng.sample(range(len(data)), 40)):
        yield case(f"bit flipped in byte {at}", data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
    for what, fill in {"zeros": b"\0", "ones": b"\xff"}.items():
        yield case(f"a superblock of {what}", data[:8] + fill * 200)
    yield Case("inspected", "a cache cut in half", {cache.name: data[:len(data) // 2]}, cache.name)
    for at in sorted(rng.sample(range(len(data)), 20)):
        yield Case("inspected", f"bit flipped in byte {at} of a cache", {cache.name: data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]}, cache.name, None)


ROWS = [{"prompt": f"Row {i}:", "chosen": " good", "rejected": " bad"} for i in range(3)]


def lines(rows):
    return b"".join(dump(row) + b"\n" for row in rows)


def data_cases():
    def case(what, content, expect=(), **rest):
        return Case("data", what, {"data.jsonl": content}, "data.jsonl", expect, **rest)

    good, row2 = lines(ROWS), ("line 2", "row 2", ":2")
    for what, content in SPECIAL.items():
        yield case(what, content)
    for what, bad in {
        "not JSON": b"hello", "an array": b'["a", "b"]', "a number": b"7", "null": b"null", "not UTF-8": b'{"prompt": "\xff", "chosen": "a", "rejected": "b"}',
        "all brackets": b"[" * DEEP, "an empty object": b"{}", "cut": dump(ROWS[1])[:20], "10 MB of brackets": b"[]" * 5_000_000}.items():
        yield case(f"line 2 is {what}", lines(ROWS[:1]) + bad + b"\n" + lines(ROWS[2:]), row2)
    for key in ("prompt", "chosen", "rejected"):
        for value in (KeyError, None, 7, [7], {}, [None], Raw(INFINITE)):
            yield case(f"{key} {value} in row 2", lines(ROWS[:1]) + edited(ROWS[1], [key], value) + b"\n", row2)
    for key, value in (("chosen", " bad"), ("chosen", ""), ("prompt", "a" * 10_000_000), ("prompt", "x\u0301" * 200_000), ("chosen", "b" * 10_000_000)):
        yield case(f"{key} {value[:8]!r} × {len(value)} in row 2", lines(ROWS[:1]) + edited(ROWS[1], [key], value) + b"\n", None)
    for what, content, expect in (
        ("only blank lines", b"\n \n\t\n", ()), ("UTF-16", good.decode().encode("utf-16"), ()), ("CSV", b"prompt,chosen,rejected\na,b,c\n", ()), ("the last line cut", good[:-9], ()),
        ("CRLF", good.replace(b"\n", b"\r\n"), None), ("a byte order mark", b"\xef\xbb\xbf" + good, None), ("10 MB of newlines", b"\n" * 10_000_000 + good, None),
        ("paired and unpaired rows", good + dump({"prompt": "a", "completion": "b", "label": True}), ())):
        yield case(what, content, expect)
    yield case("--max-length 1", good, None, arguments=["--max-length", "1"])
    ranked = {"prompt": "Row:", "completions": [" good", " fair", " bad"], "ranks": [1, 2, 3]}
    ranking = dict(arguments=["--method", "ranked", "--precompute-ref-log-probs"])
    yield case("ranked answers", lines([ranked] * 3), None, **ranking)
    for key, values in {
        "ranks": (KeyError, None, 7, [], [1], [1, 2, None], [1, 2, "3"], Raw(f"[1, 2, {INFINITE}]"), [1, 2, 3, 4], [[1], 2, 3]),
        "completions": (KeyError, None, "abc", [], [" good"], [" good", None, 7], [" good"] * 100_000, {})}.items():
        for value in values:
            text = f"{len(value)} items" if isinstance(value, list) and len(value) > 9 else value
            yield case(f"{key} {text} in row 2 of ranked answers", lines([ranked]) + edited(ranked, [key], value) + b"\n", row2, **ranking)


def form_cases():
    """Rows in the other forms, and settings in files."""
    def case(what, name, content, expect=(), **rest):
        return Case("data", f"{name}: {what}", {name: content}, name, expect, **rest)

    good = lines(ROWS)
    array = b"[" + good[:-1].replace(b"\n", b",\n") + b"]"
    table = b"prompt,chosen,rejected\n" + b"".join(f"{row['prompt']},{row['chosen']},{row['rejected']}\n".encode() for row in ROWS)
    for name, content in (("data.json", array), ("data.csv", table), ("data.jsonl.gz", gzip.compress(good, mtime=0)), ("data.csv.gz", gzip.compress(table, mtime=0))):
        yield case("as it should be", name, content, None)
        for what, bad in SPECIAL.items():
            yield case(what, name, bad)
        for at in range(1, len(content), max(1, len(content) // 12)):
            yield case(f"cut after {at} bytes", name, content[:at], None if name == "data.csv" else ())
            yield case(f"bit flipped in byte {at}", name, content[:at] + bytes([content[at] ^ 4]) + content[at + 1:], None)
    for what, content in {
        "all brackets": b"[" * DEEP, "objects in objects": b"[" + b'{"a":' * DEEP, "10 MB of blanks": b"[" + b" " * 10_000_000, "a string that does not end": b'[{"a": "' + b"x" * 10_000_000,
        "commas": b"[,]", "two arrays": array + array, "lines and an array": good + array}.items():
        yield case(what, "data.json", content)
    for what, content in {
        "10 MB of quotes": b"prompt,chosen,rejected\n" + b'"' * 10_000_001, "10 MB of commas": b"prompt,chosen,rejected\n" + b"," * 10_000_000, "a million columns": b",".join(b"%d" % i for i in range(1_000_000)),
        "NUL": b"prompt,chosen,rejected\na,\0\n", "not UTF-8": b"prompt,chosen,rejected\na,\xff,c\n"}.items():
        yield case(what, "data.csv", content)
    yield case("200 MB of zeros in one line", "data.jsonl.gz", gzip.compress(b"{" + b"0" * 200_000_000, 1, mtime=0), ("128 mib",))
    yield case("200 MB of blanks", "data.jsonl.gz", gzip.compress(b" \n" * 100_000_000 + good, 1, mtime=0), None)
    yield case("a header alone", "data.jsonl.gz", gzip.compress(b"", mtime=0)[:10])


def sample_cases():
    row = {"prompt": "Row:", "completions": [" good", " bad"]}

    def case(what, content):
        return Case("samples", what, {"samples.jsonl": content}, "samples.jsonl", ("line 2", "samples.jsonl"))

    for what, content in SPECIAL.items():
        yield case(what, content)
    for key in row:
        for value in (KeyError, None, 7, [7], {}, [None], Raw(INFINITE), [[{"role": "user"}]]):
            yield case(f"{key} {value} in row 2", dump(row) + b"\n" + edited(row, [key], value) + b"\n")
    yield case("row 2 is an array", dump(row) + b"\n[]\n")


TEXTS = lines([{"text": f"a {word} film", "label": label} for label, words in ((1, ("good", "warm")), (False, ("bad", "dull"))) for word in words])


def classifier_cases(classifier):
    data = classifier.read_bytes()
    rng = random.Random(len(data))

    def case(what, content, expect=(), texts=TEXTS):
        return Case("classifier", what, {"classifier.h5": content, "texts.jsonl": texts}, "classifier.h5", expect)

    for what, content in SPECIAL.items():
        yield case(what, content)
    yield case("another kind of HDF5 file", (FIXTURES / "hdf5/gpt2-adapter.h5").read_bytes(), ("classifier",))
    for at in (7, 96, 2048, len(data) // 2, len(data) - 1):
        yield case(f"cut at byte {at} of {len(data)}", data[:at])
    for at in sorted(rng.sample(range(len(data)), 10)):
        yield case(f"bit flipped in byte {at}", data[:at] + bytes([data[at] ^ 1]) + data[at + 1:], None)
    for label in (KeyError, None, 2, "yes", [1]):
        yield case(f"label {label} in row 2", data, ("line 2",), lines([{"text": "a", "label": 1}]) + edited({"text": "a", "label": 1}, ["label"], label))


FEEDBACK = [{"id": 1, "prompt": "Row:", "completion": " good", "label": True}, {"id": 2, "prompt": "Row:", "chosen": " good", "rejected": " bad"}]
SESSION = {"session": 1, "trained_to": 2, "record": "0", "model": "0", "new": 2, "replayed": 0, "skipped": 0, "stages": [{"name": "thumbs", "rows": 1}]}


def feedback_cases():
    def case(what, content, expect=("line 2", "feedback.jsonl"), **rest):
        return Case("feedback", what, {"feedback.jsonl": content}, "feedback.jsonl", expect, **rest)

    first, second = (dump(row) + b"\n" for row in FEEDBACK)
    for what, content in SPECIAL.items():
        yield case(what, content, None if what == "empty" else ("feedback.jsonl",))
    for what, bad in {"not JSON": b"hello", "an array": b"[]", "null": b"null", "empty": b"{}", "all brackets": b"[" * DEEP, "not UTF-8": b'{"prompt": "\xff"}'}.items():
        yield case(f"line 2 is {what}", first + bad + b"\n" + second)
    for key in ("prompt", "chosen", "rejected", "id"):
        # Null is absent, as id and weight may be.
        for value in (7.5, [7], {}, [None], Raw(INFINITE), -1, 1, "1") + (() if key in ("id", "weight") else (None,)) + (() if key == "id" else (KeyError,)):
            if not (key != "id" and value == "1"):
                yield case(f"{key} {value} in record 2", first + edited(FEEDBACK[1], [key], value) + b"\n")
    for value in (-1, "1", [], Raw(INFINITE)):
        yield case(f"weight {value} in record 2", first + edited(FEEDBACK[1], ["weight"], value) + b"\n")
    yield case("chosen equals rejected", first + edited(FEEDBACK[1], ["chosen"], " bad") + b"\n")
    yield case("the last line cut", first + second[:-9], None)
    yield case("a prompt of 1 MB", first + edited(FEEDBACK[1], ["prompt"], "a" * 1_000_000) + b"\n", None)
    yield case("an id near 2^63", first + edited(FEEDBACK[1], ["id"], 2**63 - 1) + b"\n")


def trained_cases():
    """Directories of `dpo feedback train`, read by `dpo feedback status`."""
    def case(what, log, expect=("sessions.jsonl",), session=None):
        def made(path):
            os.mkdir(path)
            Path(path, "session.json").write_bytes(session)
        files = {"sessions.jsonl": log, **({"session": made} if session is not None else {})}
        return Case("trained", what, files, ".", expect)

    for what, content in SPECIAL.items():
        if what != "empty":
            yield case(what, content)
    for key in SESSION:
        for value in (KeyError, None, -1, 2.5, [None], {}, Raw(INFINITE)):
            yield case(f"{key} {value} in the log", edited(SESSION, [key], value) + b"\n")
            yield case(f"{key} {value} in session.json", b"", ("session.json",), edited(SESSION, [key], value))
    for name in (None, 7, "nope", "../../etc", CONTROL):
        yield case(f"stage {name!r}", b"", ("session.json",), edited(SESSION, ["stages"], [{"name": name, "rows": 1}]))
    yield case("a log of other records", dump(SESSION) + b"\n", ("record 2",))
    yield case("a torn log", dump(SESSION)[:-5], None)
    yield case("something else in the directory", lambda path: Path(path).with_name("other").write_bytes(b""), ("holds no training",))


def random_cases(checkpoint, classifier, cache, seed, count):
    rng = random.Random(seed)
    samples = [("model", tree(MODEL)), ("adapter", tree(ADAPTER)), ("gguf", {"model.gguf": GGUF_FILE.read_bytes()}),
               ("export", GoldenFamily("gemma3-nested").model()), ("export", {"model.gguf": GoldenFamily("phi3-long").gguf()}),
               ("export", {"model.gguf": QUANTISED.read_bytes()}),
               ("data", {"data.jsonl": lines(ROWS)}), ("checkpoint", {"checkpoint.h5": checkpoint.read_bytes()}),
               ("cache", {cache.name: cache.read_bytes()}),
               ("classifier", {"classifier.h5": classifier.read_bytes(), "texts.jsonl": TEXTS}),
               ("feedback", {"feedback.jsonl": lines(FEEDBACK)}), ("trained", {"sessions.jsonl": lines([SESSION])})]
    for i in range(count):
        kind, files = rng.choice(samples)
        name = rng.choice(sorted(files))
        whole = kind in ("model", "adapter", "trained", "cache") or "config.json" in files
        path = "." if whole else "classifier.h5" if kind == "classifier" else name
        yield Case(kind, f"{name} scrambled, seed {seed}/{i}", replaced(files, name, scrambled(files[name], f"{seed}/{i}")), path, None)


def all_cases(checkpoint, classifier, cache, seed, count):
    yield from gguf_cases()
    yield from quantisation_cases()
    yield from sentencepiece_cases()
    yield from family_gguf_cases()
    yield from part_cases()
    yield from configuration_cases()
    yield from family_configuration_cases()
    yield from safetensors_cases("model", tree(MODEL), "model.safetensors")
    yield from shard_cases()
    yield from tokenizer_cases()
    yield from template_cases()
    yield from adapter_cases()
    yield from checkpoint_cases(checkpoint)
    yield from cache_cases(cache)
    yield from data_cases()
    yield from form_cases()
    yield from sample_cases()
    yield from classifier_cases(classifier)
    yield from feedback_cases()
    yield from trained_cases()
    yield from random_cases(checkpoint, classifier, cache, seed, count)
