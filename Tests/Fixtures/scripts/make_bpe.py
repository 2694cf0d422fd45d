"""Makes golden/bpe.json: tokenizers that the BpeTrainer of Hugging Face's `tokenizers` learns from small texts, one for each way
to cut words and several settings, with the ids that they give to texts which were not in the corpus.

    python Tests/Fixtures/scripts/make_bpe.py          tokenizers 0.23.3
"""
import json

from common import CORPUS, DATA, GOLDEN, rows, write_json

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
RUNS = ["aaaaaaaa aaa aaaa aaaaa baaab", "---------- ---- --- ------- *-*-*-*", "     x       y   \n\n\n z", "abababab ababab abab bababa",
        "1000000 100000 10000 2000000", "e\u0301e\u0301 \u00e9\u00e9 na\u0131\u0308ve"]
TEXTS = ["The old captain's boat wasn't there.", "Ünknown wörds, 12345 and 日本語!", "aaaaaaa ------ ababa", "  indented\n\tcode(x) = 10000",
         "e\u0301t\u00e9 <|im_start|>user\nhi<|im_end|>", ""]
# corpus, words, vocabulary, minimum frequency, special tokens
CASES = {
    "gpt2": ("prose", "gpt2", 600, 2, ["<|endoftext|>"]),
    "gpt2 once": ("prose", "gpt2", 2000, 0, ["<|endoftext|>"]),
    "smollm": ("prose", "smollm", 700, 2, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]),
    "llama3": ("prose", "llama3", 500, 2, ["<|begin_of_text|>", "<|end_of_text|>"]),
    "qwen2": ("all", "qwen2", 800, 3, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]),
    "runs": ("runs", "gpt2", 330, 1, ["<|endoftext|>"]),
    "bytes": ("runs", "gpt2", 257, 1, ["<|endoftext|>"]),
}


def train(corpus, words, size, frequency, special):
    ignores = words == "llama3"
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignores))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words in ("gpt2", "smollm"))
    before = {"gpt2": [], "smollm": [pre_tokenizers.Digits(individual_digits=True)],
              "llama3": [pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated")],
              "qwen2": [pre_tokenizers.Split(Regex(QWEN2), behavior="isolated")]}[words]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(before + [byte_level])
    if words == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=size, min_frequency=frequency, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def main():
    text = [row["text"] for row in rows(DATA / "text.jsonl")]
    corpora = {"prose": CORPUS + text, "runs": RUNS, "all": CORPUS + RUNS + text}
    out = {"corpora": corpora, "texts": TEXTS}
    for name, (corpus, words, size, frequency, special) in CASES.items():
        tokenizer = train(corpora[corpus], words, size, frequency, special)
        vocab = tokenizer.get_vocab()
        out[name] = {"corpus": corpus, "words": words, "vocab_size": size, "min_frequency": frequency, "special": special,
                     "vocab": sorted(vocab, key=vocab.get), "merges": json.loads(tokenizer.to_str())["model"]["merges"],
                     "ids": [tokenizer.encode(text).ids for text in TEXTS]}
    write_json(GOLDEN / "bpe.json", out)


if __name__ == "__main__":
    main()
