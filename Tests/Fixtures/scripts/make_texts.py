"""Makes golden/texts.json: 500 random texts (code, emoji, scripts, blanks and control characters, 100 of each), and for each tokenizer
the digests of the ids that `tokenizers` makes of them with special tokens: those of the tiny models, and of the real SmolLM2.

    python Tests/Fixtures/scripts/make_texts.py SMOLLM2-DIRECTORY      tokenizers

Characters are of Unicode 3.2, or emoji: newer letters are letters in one library and none in another.
"""
import random
import sys
from unicodedata import ucd_3_2_0

from common import GOLDEN, MODELS, NAMES, digest, smollm2, write_json
from tokenizers import Tokenizer

LINES = [
    "def {0}({1}, *, {2}=None):", "    return {0}[{3}:-{3}] ** {4} // {1}", "\tif ({0} != {1} && !{2}) {{ {0}++; }}", "#include <{0}.h>",
    "  \"{0}\": [{3}, {4}.{3}e-{3}, null, true],", "<{0} id='{1}'>&nbsp;{2}</{0}>", "SELECT * FROM {0} WHERE {1} >= '{2}';", "}}\n\n\n", "",
    "for (int {0} = 0; {0} < {3}; ++{0}) {1}[{0}] |= 0x{4:X}u;", "$ {0} --{1}={2} | grep -v '^#' > /tmp/{0}.log 2>&1",
    "let {0} = {1}?.{2} ?? \"\\({0})\\n\"", "// TODO({0}): {1}'s {2}, isn't it?", "@{0}(\"{1}/{2}/*.py\")", "     * @param {0}  {1}\r\n",
    "\\frac{{{0}}}{{{1}}}^{{{3}}}", "https://{0}.org:{4}/{1}?{2}=%C3%A9&x={3}#{0}", "lambda x: (x@{0}).T[..., {3}]  # {1}",
]
IDENTIFIERS = "x i self userName HTTPServer snake_case _private __init__ kMaxValue T1 utf8 naïve größe 变量 don't".split()
EMOJI = "😀 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 🇩🇪 1️⃣ #️⃣ ❤️ ❤ ☺︎ 🧑🏿‍🚀 👨🏻‍❤️‍💋‍👨🏼 🏴󠁧󠁢󠁥󠁮󠁧󠁿 © ™️ ♀ 🙋🏾‍♀️ 🫠 ✨ 🎉 🀄 ㊗️ ‼️ 🏽 🇦 ⃣".split()
SCRIPTS = [    # first and last code point, and whether its words are apart
    (0x41, 0x7A, 1), (0xC0, 0x24F, 1), (0x250, 0x2AF, 1), (0x370, 0x3FF, 1), (0x400, 0x4FF, 1), (0x530, 0x58F, 1), (0x590, 0x5F4, 1),
    (0x600, 0x6FF, 1), (0x700, 0x74A, 1), (0x900, 0x96F, 1), (0x980, 0x9F1, 1), (0xA00, 0xA74, 1), (0xB80, 0xBF2, 1), (0xE01, 0xE5B, 0),
    (0xE80, 0xEDD, 0), (0xF00, 0xFBC, 0), (0x1000, 0x1059, 0), (0x10A0, 0x10FB, 1), (0x1100, 0x11F9, 1), (0x1200, 0x137C, 1),
    (0x13A0, 0x13F4, 1), (0x1780, 0x17E9, 0), (0x1810, 0x18A9, 1), (0x1E00, 0x1EF9, 1), (0x1F00, 0x1FFE, 1), (0x3041, 0x3096, 0),
    (0x30A0, 0x30FF, 0), (0x4E00, 0x9FA5, 0), (0xAC00, 0xD7A3, 1), (0xFB00, 0xFB4F, 1), (0xFB50, 0xFDFC, 1), (0xFF01, 0xFFEE, 0),
    (0x2070, 0x218F, 1), (0x2190, 0x22FF, 0), (0x2460, 0x24FF, 0), (0x10330, 0x1034A, 1), (0x1D400, 0x1D7FF, 1), (0x20000, 0x2A6D6, 0),
]
MARKS = [chr(code) for code in range(0x300, 0x34F)]
DIGITS = "0123456789" * 3 + "٠١٢٣४५६๗๘½²Ⅷ①"
BLANKS = [" "] * 12 + ["\t"] * 3 + ["\n"] * 4 + ["\r\n", "\r", "\v", "\f", "\x85", "\u00a0", "\u1680", "\u2003", "\u2009", "\u200b", "\u2028", "\u2029",
                                                "\u202f", "\u3000", "\ufeff"]
CONTROLS = [chr(code) for code in [*range(1, 32), *range(127, 160), 0xAD, 0x61C, 0x70F, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
                                   *range(0x2060, 0x2064), 0xE000, 0xF8FF, 0xFDD0, *range(0xFFF9, 0xFFFE), 0xFFFF, 0xE0001, 0xE0041,
                                   0xF0000, 0x10FFFF]]
WORDS = "the film we'll THE It's I'M café 12 1999 3.50 a of <|im_end|> </s> <s> <|endoftext|> <|eot_id|> <|user|> <unk> [INST] ... -- ?! ( \" “".split()


def code(source):
    name = lambda: source.choice(IDENTIFIERS)
    number = lambda: source.choice([0, 7, 10, 42, 365, 1000, 65535, 1234567])
    return "\n".join(source.choice(["", "  ", "\t"]) + source.choice(LINES).format(name(), name(), name(), number(), number())
                     for _ in range(source.randint(1, 5)))


def emoji(source):
    return "".join(source.choice(EMOJI) + source.choice(["", "", " ", "!", source.choice(WORDS)]) for _ in range(source.randint(1, 10)))


def script(source):
    first, last, apart = source.choice(SCRIPTS)
    letters = [chr(code) for code in range(first, last + 1) if ucd_3_2_0.category(chr(code)) not in ("Cn", "Cs")]
    words = []
    for _ in range(source.randint(1, 8)):
        word = [source.choice(letters) for _ in range(source.randint(1, 9))]
        if source.random() < 0.2:
            word.insert(source.randint(0, len(word)), source.choice(MARKS))
        words += ["".join(word), source.choice(DIGITS) * source.randint(1, 5)][:1 + (source.random() < 0.2)]
    return (source.choice([" ", "、", "-", "’"]) if apart else "").join(words)


def blanks(source):
    run = lambda: source.choice([source.choice(BLANKS) * source.randint(1, 18), "".join(source.choices(BLANKS, k=source.randint(1, 6)))])
    return "".join(source.choice([run, run, lambda: source.choice(WORDS)])() for _ in range(source.randint(1, 9)))


def controls(source):
    return "".join(source.choice([source.choice(CONTROLS), source.choice(CONTROLS), source.choice(WORDS), " "]) for _ in range(source.randint(1, 14)))


def texts(seed=14, each=100):
    source = random.Random(seed)
    found = {}
    for make in (code, emoji, script, blanks, controls):
        end = len(found) + each
        while len(found) < end:
            found[make(source)] = None
    return list(found)


def digests(tokenizer):
    return " ".join(digest(" ".join(map(str, tokenizer.encode(text).ids)).encode()) for text in texts())


def main():
    made = {name: digests(Tokenizer.from_file(str(MODELS / name / "tokenizer.json"))) for name in NAMES}
    write_json(GOLDEN / "texts.json", {"texts": texts(), **made, "smollm2": digests(smollm2(sys.argv[1]))})


if __name__ == "__main__":
    main()
