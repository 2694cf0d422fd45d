"""Makes golden/pre.json: token ids by llama.cpp of random texts under every name in `tokenizer.ggml.pre` that both it and libdpo know, with
a vocabulary whose merges were learnt across words, so that every split shows. Texts are NFC, and under the names of APPROXIMATE have no
combining marks: there libdpo does as transformers does, and llama.cpp does not.

    python Tests/Fixtures/scripts/make_pre.py            llama-cpp-python, tokenizers
"""
import json
import random
import re
import sys
import tempfile
import unicodedata
from pathlib import Path

from common import FIXTURES, GGUF, GOLDEN, write_json
from llama_cpp import Llama
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

sys.path.insert(0, str(FIXTURES.parent / "hostile"))
from cases import GGUF as File  # noqa: E402

TABLE = FIXTURES.parents[1] / "Sources/DPOText/GGUFPreTokenizer.swift"
APPROXIMATE = {"tekken", "gpt-4o"}    # first names of rows for which llama.cpp's expression leaves \p{M} out of words
STRING, ARRAY, INT, BOOL = 8, 9, 5, 7
POOL = list("abcdeXYZ      \n\n\t\r.,!?'/-_=<>^~|`$+012345é\u0301ß今日のはकािष한ไ👍«»·¹½\u00a0") + [
    "'s", "'LL", "'re", " the", " The", "HeLLo", "  ", "\r\n", "\n\n", " 1234567", "don't", "、", "ⅷ"]


def name_lists():
    """The names of each row of the table."""
    return [re.findall(r'"([^"]+)"', found) for found in re.findall(r"names: \[(.*?)\]", TABLE.read_text(), re.DOTALL)]


def texts(source, count, longest):
    return [unicodedata.normalize("NFC", "".join(source.choice(POOL) for _ in range(source.randint(1, longest)))) for _ in range(count)]


def vocabulary(source):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=1600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts(source, 6000, 30), trainer)
    made = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(made["vocab"], key=made["vocab"].get)
    return tokens, [" ".join(pair) for pair in made["merges"]]


def main():
    source = random.Random(5)
    tokens, merges = vocabulary(source)
    rows = texts(source, 70, 24)
    original = File((GGUF / "llama-untied.gguf").read_bytes())
    keys = {
        **{key: None for key in original.keys if key.startswith("tokenizer.")}, "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)), "tokenizer.ggml.merges": (ARRAY, (STRING, merges)),
        "tokenizer.ggml.token_type": (ARRAY, (INT, [1] * len(tokens))),
    }
    golden, unknown = {"tokens": tokens, "merges": merges, "texts": rows}, []
    for names in name_lists():
        found = {}
        for name in names:
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / "m.gguf"
                path.write_bytes(original.encode(keys={**keys, "tokenizer.ggml.pre": (STRING, name)}))
                try:
                    llama = Llama(str(path), vocab_only=True, verbose=False)
                except ValueError:
                    unknown.append(name)
                    continue
                found[name] = [
                    None if names[0] in APPROXIMATE and any(unicodedata.category(letter)[0] == "M" for letter in text)
                    else llama.tokenize(text.encode(), add_bos=False, special=False) for text in rows]
        for name, ids in found.items():
            same = next((other for other, those in golden.items() if those == ids), None)
            golden[name] = same if same else ids
    print(f"not known to this llama.cpp: {', '.join(unknown) or 'none'}")
    write_json(GOLDEN / "pre.json", golden)


if __name__ == "__main__":
    main()
