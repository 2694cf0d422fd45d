"""A small language model from nothing but text: tokenizer, fresh weights, pretraining, and a sample of what it learned.

    python pretrain.py texts 100 model          a directory of .txt or .jsonl files, steps, a new directory
"""

import sys

from libdpo import Model, PretrainConfig, PretrainTrainer, create_model, train_tokenizer

if len(sys.argv) != 4:
    sys.exit(__doc__)
texts, steps, output = sys.argv[1], int(sys.argv[2]), sys.argv[3]

train_tokenizer(texts, f"{output}/tokenizer", vocab_size=2048)
create_model(f"{output}/fresh", tokenizer=f"{output}/tokenizer", hidden_size=128, context_length=256)
trainer = PretrainTrainer(
    f"{output}/fresh",
    args=PretrainConfig(output_dir=f"{output}/run", max_steps=steps, max_length=128, learning_rate=3e-3),
    train_dataset=texts,
)
trainer.train()

[[completion]] = Model(f"{output}/run/final.h5").generate(["The"], max_new_tokens=64)
print("The" + completion.text)
