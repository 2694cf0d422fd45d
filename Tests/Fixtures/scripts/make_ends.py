"""Makes golden/ends.json: the tokens at which llama.cpp ends a generation, for random vocabularies and keys of GGUF files.

    python Tests/Fixtures/scripts/make_ends.py            llama-cpp-python
"""
import random
import sys
import tempfile
from pathlib import Path

import llama_cpp
from common import FIXTURES, GGUF, GOLDEN, write_json

sys.path.insert(0, str(FIXTURES.parent / "hostile"))
from cases import GGUF as File  # noqa: E402

STRING, ARRAY, INT, FLOAT, ID = 8, 9, 5, 6, 4
TEXTS = ("<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> <|endoftext|> </s> <|eom_id|> <EOT> _<EOT> "
         "[EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos> <turn|> <|tool_response> <｜end▁of▁sentence｜> [e~[ <|plamo:eos|> "
         "<|im_start|> <s> <unk> <|END_OF_TURN_TOKEN|> <|user|> <|channel|> <|fim_prefix|> </S> <|eot|> [PAD7] <pad>").split()
# llama.cpp takes one of a kind, by the order of a hash table.
KINDS = ["<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD]", "<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>", "<|file_sep|>"]
KEYS = ["eot_token_id", "eom_token_id", "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id"]


def case(source, original, path):
    model = source.choice(["gpt2", "llama"])
    special = source.sample(TEXTS, source.randint(0, len(TEXTS) if source.random() < 0.3 else 6))
    special += [source.choice(kind.split()) for kind in KINDS if source.random() < 0.3]
    tokens = ["<0x0A>", "Ċ", "a", "b", "ab", "c", "d", "e", "f", "g", "h", "i", *special]
    source.shuffle(tokens)
    types = [6 if token == "<0x0A>" else source.choice([1, 3, 3, 4]) if token in special else 1 for token in tokens]
    name = lambda: source.choice([source.randrange(len(tokens)), source.randrange(len(tokens)), 2**32 - 1])
    ids = {key: name() for key in KEYS if source.random() < 0.2}
    if source.random() < 0.6:
        ids["eos_token_id"] = name()
    keys = {
        **{key: None for key in original.keys if key.startswith("tokenizer.")}, "tokenizer.ggml.model": (STRING, model),
        "tokenizer.ggml.pre": (STRING, "gpt-2"), "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
        "tokenizer.ggml.token_type": (ARRAY, (INT, types)), **{f"tokenizer.ggml.{key}": (ID, id) for key, id in ids.items()},
        **({"tokenizer.ggml.merges": (ARRAY, (STRING, ["a b"]))} if model == "gpt2" else
           {"tokenizer.ggml.scores": (ARRAY, (FLOAT, [0.0] * len(tokens)))}),
    }
    path.write_bytes(original.encode(keys=keys))
    llama = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    vocabulary = llama_cpp.llama_model_get_vocab(llama.model)
    ends = [id for id in range(len(tokens)) if llama_cpp.llama_vocab_is_eog(vocabulary, id)]
    return {"model": model, "tokens": tokens, "keys": ids, "ends": ends}


def main():
    source, original = random.Random(7), File((GGUF / "llama-untied.gguf").read_bytes())
    with tempfile.TemporaryDirectory() as directory:
        write_json(GOLDEN / "ends.json", {str(number): case(source, original, Path(directory) / "m.gguf") for number in range(120)})


if __name__ == "__main__":
    main()
