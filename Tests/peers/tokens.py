"""Tokens of real vocabularies: those in models/ of llama.cpp's sources, the files of real.py and
the folders with tokenizer.json of $LIBDPO_TOKENIZERS (separated by colons), beside llama.cpp and `tokenizers`: the pairs of texts and ids that
llama.cpp tests itself with, 500 texts of code, emoji, scripts, blanks and control characters, and where a generation ends.
"""
import json
import os
import unicodedata
from functools import cache, partial
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from make_texts import texts
from real import files
from support import PEERS, SMOLLM2_GGUF, dpo, scratch, write_rows
from tokenizers import Tokenizer

SOURCES = Path(os.environ.get("LIBDPO_LLAMA_CPP") or PEERS / "llama.cpp")
# Of kinds that dpo does not know.
UNKNOWN = ("bert-bge", "nomic-bert-moe")


@cache
def with_model(vocabulary):
    """The file's tokenizer with a tiny model, for what dpo does with models only."""
    reader, path = gguf.GGUFReader(vocabulary), scratch() / f"{vocabulary.stem}.gguf"
    fields = {name: field for name, field in reader.fields.items() if name.startswith("tokenizer.") or name == "general.name"}
    writer, size = gguf.GGUFWriter(path, "llama"), len(fields["tokenizer.ggml.tokens"].data)
    for name, field in fields.items():
        writer.add_key_value(name, field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    for name in ("token_embd", "output_norm", "blk.0.attn_norm", "blk.0.ffn_norm", "blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v",
                 "blk.0.attn_output", "blk.0.ffn_gate", "blk.0.ffn_up", "blk.0.ffn_down"):
        shape = (size, 32) if name == "token_embd" else (32,) if name.endswith("norm") else (32, 32)
        writer.add_tensor(f"{name}.weight", np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def theirs(file):
    return llama_cpp.Llama(str(file), vocab_only=True, verbose=False)


def eos(model):
    return dpo("inspect", model, json=True)["tokenizer"]["eos_token"]["id"]


def compare(model, rows, encode, eos):
    """The ids that dpo makes of whole texts. It puts no BOS where one is, and an EOS behind rows of text."""
    data = write_rows(scratch() / "texts.jsonl", [{"text": text} for text in rows])
    ours = [row["completion_ids"] for row in dpo("tokenize", model, data=data, json=True)["rows"]]
    before, count = encode(""), 0
    for text, found in zip(rows, ours, strict=True):
        expected = encode(text)
        if before and expected[:2] == before * 2:
            expected = expected[1:]
        if expected[-1:] != [eos]:
            expected = [*expected, eos]
        assert found == expected, f"{text!r}: {found}, expected {expected}"
        count += len(found)
    return f"{len(rows)} texts, {count} tokens"


def beside_tokenizers(model, folder, eos):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return compare(model, texts(), lambda text: tokenizer.encode(text).ids, eos)


def folder(path):
    """A folder with tokenizer.json, and tokenizer_config.json that names its EOS."""
    token = json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8"))["eos_token"]
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    return beside_tokenizers(path, path, tokenizer.token_to_id(token["content"] if isinstance(token, dict) else token))


def exported(file):
    """The tokenizer.json that dpo writes for a GGUF file."""
    target = scratch() / f"{file.stem}-folder"
    dpo("export", with_model(file), to="safetensors", output=target)
    return beside_tokenizers(with_model(file), target, eos(with_model(file)))


def alike(file, model):
    """The 500 texts without those that llama.cpp is known to read otherwise (docs/tokenizers.md)."""
    pre, kept = model.metadata.get("tokenizer.ggml.pre", ""), []
    for text in texts():
        text = unicodedata.normalize("NFC", text) if pre.startswith("qwen") else text
        other = {"qwen2": "</s>" in text, "qwen35": "</s>" in text, "deepseek-llm": "\u2028" in text or "\u2029" in text,
                 "falcon": len(text) != len(model.detokenize(model.tokenize(text.encode(), add_bos=False, special=True), special=True).decode(
                     errors="replace"))}.get(pre, False)
        if not other and not ("phi-3" in file.stem and "<|user|> \u2009" in text):
            kept.append(text)
    return kept


def beside_llama_cpp(file):
    model = theirs(file)
    rows = alike(file, model)
    assert len(rows) > 400, f"{len(rows)} texts are left"
    return compare(with_model(file), rows, lambda text: model.tokenize(text.encode(), add_bos=True, special=True), eos(with_model(file)))


def pairs(file):
    """The ids that llama.cpp's sources hold beside each vocabulary."""
    read = lambda end: Path(f"{file}.{end}").read_bytes().decode()
    rows = read("inp").split("\n__ggml_vocab_test__\n")
    ids = [[int(word) for word in line.split()] for line in read("out").split("\n")[:len(rows)]]
    model = theirs(file)
    before = model.tokenize(b"", add_bos=True)
    normalized = model.metadata.get("tokenizer.ggml.pre", "").startswith("qwen")
    kept = {text: before + found for text, found in zip(rows, ids, strict=True)
            if text and not (normalized and unicodedata.normalize("NFC", text) != text)}
    return compare(with_model(file), list(kept), {**kept, "": before}.get, eos(with_model(file)))


def ends(file):
    vocabulary = theirs(file)
    handle = llama_cpp.llama_model_get_vocab(vocabulary.model)
    expected = [id for id in range(llama_cpp.llama_vocab_n_tokens(handle)) if llama_cpp.llama_vocab_is_eog(handle, id)]
    ours = sorted(token["id"] for token in dpo("inspect", with_model(file), json=True)["tokenizer"]["ends"])
    assert ours == expected, f"{ours}, expected {expected}"
    return f"{len(ours)} tokens"


def checks(seed):
    for file in [*sorted((SOURCES / "models").glob("ggml-vocab-*.gguf")), *files(), SMOLLM2_GGUF]:
        name = file.stem.removeprefix("ggml-vocab-")
        if name in UNKNOWN:
            continue
        yield f"real {name} ends", partial(ends, file)
        yield f"real {name} texts llama.cpp", partial(beside_llama_cpp, file)
        yield f"real {name} texts tokenizers", partial(exported, file)
        if Path(f"{file}.inp").exists():
            yield f"real {name} pairs", partial(pairs, file)
    for path in map(Path, filter(None, os.environ.get("LIBDPO_TOKENIZERS", "").split(":"))):
        yield f"real {path.name} texts tokenizers", partial(folder, path)
