"""Makes workloads/{short,mid,long}.jsonl: preference rows of English-like text, cut to exact numbers of SmolLM2's tokens.

A workload is one batch: every step of every benchmark uses all its pairs. The counts are the ones a trainer sees:
a completion's count includes the end-of-sequence token that trainers append (it is not in the text).

    $LIBDPO_PEERS/venv/bin/python Benchmarks/workload.py
"""
import argparse
import json
import random
from collections import namedtuple

from common import HERE, MODEL, token_ids

Shape = namedtuple("Shape", "pairs prompt chosen rejected")
SHAPES = {
    "short": Shape(4, 64, 65, 65),
    "mid": Shape(8, 128, 64, 64),
    "long": Shape(2, 396, 48, 48),
}

ADJECTIVES = """old young quiet bright careful common heavy simple modern distant early famous gentle honest large local
narrow open plain public rapid recent rough serious silent small special steady strange strong sudden useful warm whole
wooden ancient bitter broken clever curious empty familiar foreign golden hidden lonely nervous patient proper"""
NOUNS = """answer argument market mountain village teacher doctor window river question letter garden bridge market
engine island farmer captain station window harbour kitchen journey lesson library machine memory message morning winter
summer neighbour number office paper picture planet problem reader record reason result road sailor school season
shadow signal soldier stranger street student system table theory traveller valley visitor voice weather writer"""
VERBS = """answered avoided believed bought brought built called carried caught changed chose closed collected counted
covered crossed described discovered drew entered examined expected explained followed forgot found gathered guarded
helped ignored imagined invited kept learned left lifted measured missed needed noticed offered opened painted placed
praised promised protected reached remembered repaired repeated replaced returned searched studied touched watched"""
LINKS = """and but while because before after although until when since so"""
PLACES = """above across against along around behind below beside beyond inside near outside over past through toward
under within"""
STARTS = """Perhaps Later Often Usually Finally Meanwhile Sometimes Once Today Yesterday Still Indeed"""
FILL = "the of and to in that it was for on with as at by from this but not or all".split()


def words(random_source):
    """Words of endless simple sentences, punctuation attached."""
    one = {name: text.split() for name, text in (
        ("a", ADJECTIVES), ("n", NOUNS), ("v", VERBS), ("l", LINKS), ("p", PLACES), ("s", STARTS))}
    pick = lambda kind: random_source.choice(one[kind])
    while True:
        start = [pick("s") + ",", "the"] if random_source.random() < 0.3 else ["The"]
        sentence = start + [pick("a"), pick("n"), pick("v"), "the", pick("n")]
        if random_source.random() < 0.6:
            sentence += [pick("p"), "the", pick("a"), pick("n")]
        if random_source.random() < 0.5:
            sentence += [pick("l"), "the", pick("n"), pick("v"), "a", pick("a"), pick("n")]
        sentence[-1] += random_source.choice("...?!")
        yield from sentence


def fit(random_source, target, count):
    """Words whose count(words) is `target`, or the nearest below that a few hundred attempts find."""
    source, chosen = words(random_source), []
    while count(chosen) < target:
        chosen.append(next(source))
    for _ in range(300):
        if count(chosen) == target:
            break
        if count(chosen) > target:
            chosen.pop()
        else:
            chosen.append(random_source.choice(FILL))
    while count(chosen) > target:
        chosen.pop()
    return " ".join(chosen)


def make(name, encode, seed=0):
    """Rows {"prompt", "chosen", "rejected"} of workload `name`."""
    shape = SHAPES[name]
    rows = []
    for index in range(shape.pairs):
        source = random.Random(f"{name}/{seed}/{index}")
        prompt = fit(source, shape.prompt, lambda parts: len(encode(" ".join(parts))))
        row = {"prompt": prompt}
        for key in ("chosen", "rejected"):
            row[key] = " " + fit(source, getattr(shape, key) - 1,
                                 lambda parts: len(encode(" ".join([prompt] + parts))) - len(encode(prompt)))
        rows.append(row)
    return rows


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--tokenizer", default=str(MODEL / "tokenizer.json"), metavar="FILE")
    args = options.parse_args()
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(args.tokenizer)
    encode = lambda text: tokenizer.encode(text).ids
    (HERE / "workloads").mkdir(exist_ok=True)
    for name, shape in SHAPES.items():
        rows = make(name, encode, args.seed)
        (HERE / "workloads" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        for row in token_ids(rows, encode, 2):
            assert tuple(map(len, row)) == shape[1:], f"{name}: {list(map(len, row))}, expected {shape[1:]}"


if __name__ == "__main__":
    main()
