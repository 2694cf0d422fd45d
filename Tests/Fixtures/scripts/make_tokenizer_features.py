"""Writes golden/tokenizer_features.json: what `tokenizers` makes of each step, option and kind of added token.

Two small models (byte-level; characters with byte fallback) and, for each case, the parts of tokenizer.json that are
set, with ids and decoded texts. Needs: pip install tokenizers==0.23.3
"""
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

OUT = Path(__file__).parent.parent / "golden" / "tokenizer_features.json"
CORPUS = ["the hello world, the fox's house; don't 123 they'll see 2024", "hello hello the the world 12 12"] * 4
TEXTS = [
    "", " ", "hello", " hello  the world ", "Hello THE World", "don't they'LL 12345 x1y22", "a\n\nb \n c\t\td", "hello<s>the", "x <s>  y", "<s><s>", "thehello the",
    "été e\u0301te\u0301 ﬁ ① Å", "日本語 the 中文", "🙂👩‍👩‍👧 ok", "\u00a0x\u2003y\u180ez\u3000", "1/2 ½ Ⅷ ٣٤", "a--b_c.d,e!?", "▁the ▁▁ <0x41>", "hellothe the  ", "\r\n x\x00y"]
GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BYTES = {**GPT2, "use_regex": False}


def split(pattern, behavior="Isolated", invert=False):
    kind = "Regex" if isinstance(pattern, str) else "String"
    return {"type": "Split", "pattern": {kind: pattern if kind == "Regex" else pattern[0]}, "behavior": behavior, "invert": invert}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def added(content, id=None, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags}


def replace(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


def metaspace(scheme, split=True):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def template(*pieces):
    single = [{"Sequence": {"id": "A", "type_id": 0}} if p == "A" else {"SpecialToken": {"id": p, "type_id": 0}} for p in pieces]
    return {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {"hello": {"id": "hello", "ids": [5], "tokens": ["hello"]}}}


LLAMA_DECODER = {"type": "Sequence", "decoders": [replace({"String": "▁"}, " "), {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
CASES = [  # (model, parts)
    *(("bytes", {"pre_tokenizer": sequence(split(pattern, behavior, invert), BYTES)}) for pattern in (r"\p{N}{1,2}", ["the"], r"\s+(?!\S)|\s+")
      for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous") for invert in (False, True)),
    *(("bytes", {"pre_tokenizer": sequence(split(pattern), BYTES)}) for pattern in (
        r"\s", r"\S", r"\w+", r"\W+", r"\h+", r"$", r"^", r"a*", r"(?=t)", r"\u0068|\x{65}", r"[[:alpha:]]+", r"\p{Han}", r"(?i:'s|'ll)", r"[^\r\n\p{L}\p{N}]?+\p{L}+")),
    *(("bytes", {"pre_tokenizer": p}) for p in (
        GPT2, BYTES, {**GPT2, "add_prefix_space": True}, sequence({"type": "Digits", "individual_digits": True}, GPT2), sequence({"type": "Digits", "individual_digits": False}, GPT2),
        sequence({"type": "Whitespace"}, BYTES), sequence({"type": "WhitespaceSplit"}, BYTES), sequence({"type": "Punctuation", "behavior": "Isolated"}, BYTES), sequence(GPT2, split("Ġ"), BYTES))),
    *(("bytes", {"pre_tokenizer": GPT2, "normalizer": n}) for n in (
        *({"type": t} for t in ("NFC", "NFD", "Lowercase", "ByteLevel")), {"type": "Prepend", "prepend": "▁"}, {"type": "Strip", "strip_left": True, "strip_right": False},
        {"type": "Strip", "strip_left": True, "strip_right": True}, replace({"String": "the"}, "THE"), replace({"Regex": r"\d+"}, "#"), replace({"Regex": "l+"}, "-"),
        {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, replace({"String": " "}, "_")]})),
    *(("bytes", {"pre_tokenizer": GPT2, "normalizer": n, "added_tokens": [added("<s>", **flags), added("the", **flags), added("  ", **flags)]}) for n in (None, {"type": "Lowercase"})
      for flags in ({}, {"special": True}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"single_word": True}, {"normalized": True}, {"normalized": True, "special": True, "rstrip": True})),
    *(("bytes", {"pre_tokenizer": GPT2, "post_processor": p}) for p in (
        template("hello", "A"), template("A", "hello"), template("hello", "A", "hello", "A"), {"type": "Sequence", "processors": [GPT2, template("hello", "A")]},
        {"type": "BertProcessing", "sep": ["the", 6], "cls": ["hello", 5]})),
    ("bytes", {"pre_tokenizer": GPT2, "model": {"ignore_merges": True}}), ("bytes", {"pre_tokenizer": None}), ("bytes", {"pre_tokenizer": GPT2, "decoder": None}),
    *(("characters", {"pre_tokenizer": p, "decoder": {**metaspace("always")}}) for p in (None, metaspace("always"), metaspace("first"), metaspace("never"), metaspace("first", split=False))),
    *(("characters", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace({"String": " "}, "▁")]}, "decoder": LLAMA_DECODER, "model": m}) for m in (
        {}, {"byte_fallback": False}, {"byte_fallback": False, "fuse_unk": True}, {"byte_fallback": False, "unk_token": None}, {"ignore_merges": True})),
]


def train(byte_level):
    tokenizer = Tokenizer(models.BPE(unk_token=None if byte_level else "<unk>", byte_fallback=not byte_level))
    alphabet = pre_tokenizers.ByteLevel.alphabet() if byte_level else list("abcdefghijklmnopqrstuvwxyz▁")
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(False) if byte_level else pre_tokenizers.Metaspace()
    if byte_level:
        tokenizer.decoder = decoders.ByteLevel()
    special = ["<unk>", "a-", "b-", "c-", "d-", "hello", "the"] if byte_level else ["<unk>", *(f"<0x{i:02X}>" for i in range(256))]
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, special_tokens=special, show_progress=False))
    document = json.loads(tokenizer.to_str())
    return {**document, "added_tokens": [], "pre_tokenizer": None}


def main():
    base = {"bytes": train(True), "characters": train(False)}
    cases = []
    for model, parts in CASES:
        parts = dict(parts)
        tokens = parts.get("added_tokens")
        if tokens:  # new ones get the ids behind the vocabulary
            vocab, ids = base[model]["model"]["vocab"], {}
            for token in tokens:
                ids[token["content"]] = vocab.get(token["content"], len(vocab) + sum(c not in vocab for c in ids))
            parts["added_tokens"] = [{"id": ids[t["content"]], **t} for t in tokens]
        document = {**base[model], **parts}
        document["model"] = {**base[model]["model"], **parts.get("model", {})}
        tokenizer, rows = Tokenizer.from_str(json.dumps(document)), []
        for text in TEXTS:
            ids, special = tokenizer.encode(text, add_special_tokens=False).ids, tokenizer.encode(text).ids
            row = {"text": text, "ids": ids, "decoded": tokenizer.decode(special, skip_special_tokens=True)}
            rows.append({**row, "special": special} if special != ids else row)
        cases.append({"model": model, "set": parts, "rows": rows})
    OUT.write_text(json.dumps({"models": base, "cases": cases}, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(len(cases), "cases,", OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
