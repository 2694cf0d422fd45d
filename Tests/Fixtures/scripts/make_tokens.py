"""Makes golden/tokenize/NAME.json: what `tokenizers` makes of tricky strings with the tokenizer of every tiny model, and of the
real SmolLM2 (the pre-tokenizer that it was released with: digits one by one, then GPT-2's). `ids` without, `ids_special`
with the special tokens that a tokenizer adds (left out where equal), `text` decoded with and without special tokens where it
is not the input; `decode`: texts of arbitrary ids, which may cut a character (U+FFFD as Rust's from_utf8_lossy has it).
And golden/pretokenize.json: the strings, and for each kind of pre-tokenizer the UTF-8 lengths of the pieces that it cuts each
into (no normaliser, special tokens as plain text): tiny vocabularies have too few merges to show every wrong cut.

    python Tests/Fixtures/scripts/make_tokens.py [SMOLLM2-DIRECTORY]      tokenizers
"""
import json
import random
import sys

from common import GOLDEN, MODELS, NAMES, smollm2, write_json

from tokenizers import Tokenizer

FIXED = [
    "", " ", "  ", "   ", "\n", "\n\n", " \n ", "\t", "\t\tx", "\r\n", "a\r\nb\r\n\r\nc", "\r", " a", "a ", "  a  ", "a  b   c    d",
    "Hello, world!", "hello world", "HELLO", "I'm you're he's we'll they'd can't I've it'S WE'LL I'M 'tis o'clock don''t '", "'s 's's",
    "it’s ’tis", "0", "1 22 333 4444 55555 666666 7777777", "3.14159", "1,234,567.89", "2024-02-29T12:34:56Z", "x1y22z333",
    "½ ¾ ² ³ ⅷ Ⅳ ① ٣٤٥ ६७ 〇一二 𝟙𝟚 ௧௨", "v1.2.3-rc4+5", "$5.00 €10 £3 ¥7", "100% #1 @you A&B", "(a)[b]{c}<d>", "!!!???...", "—–-_‑",
    "a_b-c.d/e\\f|g", "http://example.org/?q=1&r=%20#x", "me@example.org", "for i in range(10):\n    print(i)\n\n\n# end",
    "def f(x):\n\treturn x**2\n", "if (a==b) { c+=1; } // ok", "{\"a\": [1, 2.5e-3, null]}", "<p>Hi &amp; bye</p>",
    "Straße GROẞ", "naïve café", "nai\u0308ve cafe\u0301", "e\u0301\u0300\u0323", "\u0301", "A\u030A Å Å", "ﬁ ﬀ ſ", "İıIi",
    "ǅ ǆ Ǆ ʰ ª º", "Привет, мир!", "Ελληνικά ς Σ", "עברית שלום", "مرحبا بالعالم", "हिन्दी क्षत्रिय", "தமிழ்", "ไทยภาษา", "ខ្មែរ",
    "日本語のテキスト", "今天天气很好。", "한국어 문장", "\u1112\u1161\u11ab", "한", "ｆｕｌｌ　ｗｉｄｔｈ", "Tiếng Việt", "ქართული", "አማርኛ",
    "👍", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷🇩🇪", "❤️", "☺︎", "1️⃣", "🧑🏿‍🚀 in space", "a👍b", "👍👍👍👍", "\U0001F9FF\U0001FAE0",
    "\u200b", "a\u200bb", "a\u200db", "\u00a0", "a\u00a0b", "a\u00a0\u00a0b", "\u2003x\u2003", "\u3000", "\u2028", "a\u2028b\u2029c", "\u0085",
    "a\u0085b", "\ufeffBOM", "\u202eRTL\u202c", "\x00", "a\x00b", "\x01\x02\x1f\x7f", "\x0b\x0c", "\x1c\x1d\x1e\x1fx", "\u0600\u06dd", "\u180e",
    "\ufffd", "\uffff", "\ue000", "\U000e0041", "\U0010ffff", "\u0378", "z̷̧̢̛a̴l̸g̵o̶", "𝔉𝔯𝔞𝔨𝔱𝔲𝔯", "𝒳𝓎", "𐍈𐌰", "𓀀𓀁", "ꙮ", "ʼn ŉ",
    "<|im_start|>user\nhi<|im_end|>\n", "<|endoftext|>", "a<|endoftext|>b", " <|im_end|> ", "<|im_end|><|im_end|>", "<|im_end|", "<| im_end |>",
    "<|begin_of_text|>x", "<|eot_id|>\n\ny", "<s>a</s>", "[INST] hi [/INST]", "<unk>", "<think>\nwell\n</think>\n\nok", "<repo_name>x", "<|IM_END|>",
    "  <|endoftext|>  x", "é<|im_end|>́", "\n<|im_start|>\n", "end.\n\n\n", "end.   \n   next", "a\n b\n  c\n   d", "x \n\n y", "  \n\n  \n", "\n \n \n",
    "\t\n\t", "a\t b \tc", "...\n\n...", "?!\r\n?!\r\n", ")\n\n(", "word\nword", "word \nword", "word\n word", "   word", "    \tword", "1\n2\n3", "1 \n2",
    "'S", "’S", "'LL'RE", "a's b'S C'T", "ſ's 'ſ", "K'K", "don't", "DON'T", "don`t", "rock'n'roll", "'''", "''s", " 's", "1's", "!'s", "\n's",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "    " * 20, "ab" * 40, "=" * 33, "- " * 21, "\n" * 17, "the the the the the the", "0" * 30, "é" * 9,
    "The harbour was quiet in the early morning, and the old fisherman counted his boats twice before the fog came in.",
    "In 1999 the price rose from $3.50 to $4.75, or by 35.7 %; by 2024 nobody remembered either number.",
    "She said: \"I've never seen a film that was so wonderful!\" – and she'd seen 1,000s…",
]
POOL = (list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") * 2 + list("0123456789") * 3 + list("     \n\n\t\r'\"!?.,;:-_()[]{}<>|/\\@#$%^&*+=~`") * 2
        + list("éüñßøåçАбвгдЖабвαβγδאבגمرحब्क今天好世界日本語한국어①½²٣६") + ["\u0301", "\u0308", "\u200d", "\ufe0f", "\u00a0", "\u3000", "\u2028", "\u0085"]
        + list("👍🏽👩🚀❤🇫🇷😀𝟙𝔉") + ["the ", " a", "'s", "'ll", "\r\n", "  ", "ing", " film", "12"])


def strings():
    source = random.Random(3)
    return FIXED + ["".join(source.choice(POOL) for _ in range(source.randint(1, 30))) for _ in range(160)]


def make(name, path, tokenizer):
    source, entries = random.Random(5), []
    for text in strings():
        entry = {"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}
        special = tokenizer.encode(text).ids
        if special != entry["ids"]:
            entry["ids_special"] = special
        for key, skip in (("decoded", False), ("decoded_skipping", True)):
            decoded = tokenizer.decode(entry["ids"], skip_special_tokens=skip)
            if decoded != text:
                entry[key] = decoded
        entries.append(entry)
    size = tokenizer.get_vocab_size()
    decode = []
    for _ in range(60):
        ids = [source.randrange(size) if source.random() < 0.5 else source.randrange(min(size, 300)) for _ in range(source.randint(1, 12))]
        decode.append({"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False), "text_skipping": tokenizer.decode(ids)})
    lines = ['"tokenizer":' + json.dumps(path)]
    for key, values in (("rows", entries), ("decode", decode)):
        lines.append(f'"{key}":[\n' + ",\n".join(json.dumps(value, separators=(",", ":")) for value in values) + "\n]")
    (GOLDEN / "tokenize").mkdir(parents=True, exist_ok=True)
    (GOLDEN / "tokenize" / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(name, len(entries), sum(len(entry["ids"]) for entry in entries))


def cuts(name):
    tokenizer = Tokenizer.from_file(str(MODELS / name / "tokenizer.json"))
    return [[len(piece) for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)] for text in strings()]


def main():
    write_json(GOLDEN / "pretokenize.json", {"strings": strings(), **{kind: cuts(name) for kind, name in (
        ("gpt2", "gpt2"), ("llama3", "llama-tied"), ("qwen2", "qwen2"), ("smollm", "llama-untied"))}})
    for name in NAMES:
        make(name, f"models/{name}", Tokenizer.from_file(str(MODELS / name / "tokenizer.json")))
    if sys.argv[1:]:
        make("smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", smollm2(sys.argv[1]))


if __name__ == "__main__":
    main()
