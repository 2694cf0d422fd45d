"""Makes gguf/llama-spm.gguf, llama-untied with a SentencePiece vocabulary in its metadata, and golden/spm.json: token ids by
llama.cpp of random texts, with and without a blank put before them, and under the name of Phi 3, whose special tokens take the
blanks behind them.

    python Tests/Fixtures/scripts/make_spm.py            llama-cpp-python
"""
import random
import sys
import tempfile
from pathlib import Path

from common import FIXTURES, GGUF, GOLDEN, TEXT, write_json
from llama_cpp import Llama

sys.path.insert(0, str(FIXTURES.parent / "hostile"))
from cases import GGUF as File  # noqa: E402

BLANK = "\u2581"
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
FLOAT, STRING, ARRAY, INT, BOOL = 6, 8, 9, 5, 7


def vocabulary(size):
    """Specials, bytes, the letters of the text, and its most frequent unions, which are worse the later they are made."""
    pieces = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    pieces += [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    pieces += [("<tool>", 0.0, USER), (BLANK * 2, 0.0, USER), ("<spare>", 0.0, UNUSED)]
    words = [list(BLANK + word) for word in TEXT.split()]
    letters = sorted({letter for word in words for letter in word if letter.isascii() and letter.isalpha()} | {BLANK, "é", "今"})[:40]
    pieces += [(letter, -1000.0 - index, NORMAL) for index, letter in enumerate(letters)]
    known = set(letters)
    while len(pieces) < size:
        counts = {}
        for word in words:
            for a, b in zip(word, word[1:]):
                if a in known and b in known:
                    counts[a + b] = counts.get(a + b, 0) + 1
        best = max((union for union in counts if union not in known), key=lambda union: (counts[union], union))
        known.add(best)
        pieces.append((best, -float(len(known)), NORMAL))
        for word in words:
            index = 0
            while index + 1 < len(word):
                if word[index] + word[index + 1] == best:
                    word[index:index + 2] = [best]
                index += 1
    return pieces[:size]


def main():
    original = File((GGUF / "llama-untied.gguf").read_bytes())
    size = len(original.keys["tokenizer.ggml.tokens"][1][1])
    pieces = vocabulary(size)
    drop = {key: None for key in original.keys if key.startswith("tokenizer.")}
    keys = {
        **drop, "tokenizer.ggml.model": (STRING, "llama"), "tokenizer.ggml.pre": (STRING, "default"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, [text for text, _, _ in pieces])),
        "tokenizer.ggml.scores": (ARRAY, (FLOAT, [score for _, score, _ in pieces])),
        "tokenizer.ggml.token_type": (ARRAY, (INT, [kind for _, _, kind in pieces])),
        "tokenizer.ggml.bos_token_id": (4, 1), "tokenizer.ggml.eos_token_id": (4, 2), "tokenizer.ggml.unknown_token_id": (4, 0),
    }
    (GGUF / "llama-spm.gguf").write_bytes(original.encode(keys=keys))
    source = random.Random(11)
    pool = list("abcdefghilmnorstuvw      \n\t.,!?0123é今👍ß" + BLANK) + ["the ", "  ", "<s>", "</s>", "<tool>", "<unk>", "The harbour was"]
    texts = ["", " ", "the", " the  harbour", "<tool> x", "a<s> b"]
    texts += ["".join(source.choice(pool) for _ in range(source.randint(1, 40))) for _ in range(150)]
    # llama.cpp wants the token.
    phi = [("<|endoftext|>", score, CONTROL) if text == "<spare>" else (text, score, kind) for text, score, kind in pieces]
    variants = {
        "prefix": {}, "plain": {"tokenizer.ggml.add_space_prefix": (BOOL, False)},
        "phi3": {"general.name": (STRING, "Phi-3 Mini"), "tokenizer.ggml.tokens": (ARRAY, (STRING, [text for text, _, _ in phi])),
                 "tokenizer.ggml.token_type": (ARRAY, (INT, [kind for _, _, kind in phi]))},
    }
    golden = {}
    for name, changes in variants.items():
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "m.gguf"
            path.write_bytes(original.encode(keys={**keys, **changes}))
            llama = Llama(str(path), vocab_only=True, verbose=False)
            golden[name] = [
                {"text": text, "ids": llama.tokenize(text.encode(), add_bos=False, special=True)} for text in texts]
    write_json(GOLDEN / "spm.json", golden)


if __name__ == "__main__":
    main()
