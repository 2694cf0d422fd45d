"""From prompts to a tuned model without a human in the loop: sample, let a classifier judge, train on its judgements.

    python sample_and_label.py model.gguf labelled_texts.jsonl prompts.jsonl run

labelled_texts.jsonl holds {"text", "label"} (1: what you want more of), prompts.jsonl {"prompt"}.
"""

import json
import sys

from libdpo import DPOConfig, DPOTrainer, LoraConfig, Model, TextClassifier

if len(sys.argv) != 5:
    sys.exit(__doc__)
model_path, texts_path, prompts_path, output = sys.argv[1:]


def rows(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.strip()]


texts, prompts = rows(texts_path), [row["prompt"] for row in rows(prompts_path)]
judge = TextClassifier.train([row["text"] for row in texts], [row["label"] for row in texts])


def sample(model, seed):
    """For every prompt, (log-odds, completion) of four samples, worst first."""
    drawn = model.generate(prompts, max_new_tokens=24, num_return_sequences=4, seed=seed)
    answers = [[completion.text for completion in completions] for completions in drawn]
    scores = judge.log_odds([prompt + text for prompt, four in zip(prompts, answers) for text in four])
    return [sorted(zip(scores[4 * i : 4 * i + 4], four)) for i, four in enumerate(answers)]


def mean(judged):
    return sum(score for four in judged for score, _ in four) / (4 * len(judged))


own = sample(Model(model_path), seed=1)
pairs = [
    {"prompt": prompt, "chosen": four[-1][1], "rejected": four[0][1]}
    for prompt, four in zip(prompts, own)
    if four[-1][0] > four[0][0]
]
print(f"{len(pairs)} pairs from {len(prompts)} prompts")

trainer = DPOTrainer(
    model_path,
    args=DPOConfig(output_dir=output, learning_rate=4e-4, per_device_train_batch_size=8, num_train_epochs=2),
    train_dataset=pairs,
    peft_config=LoraConfig(r=16, target_modules="all-linear"),
)
trainer.train()

tuned = sample(Model(model_path, f"{output}/final.h5"), seed=2)
print(f"mean log-odds: before {mean(own):.2f}, after {mean(tuned):.2f}")
