"""Preference-tune a model on a file of pairs, then see what changed.

    python quick_start.py model.gguf pairs.jsonl run
"""

import json
import sys

from libdpo import DPOConfig, DPOTrainer, LoraConfig, Model, export

if len(sys.argv) != 4:
    sys.exit(__doc__)
model_path, pairs_path, output = sys.argv[1:]

trainer = DPOTrainer(
    model_path,
    args=DPOConfig(output_dir=output, learning_rate=2e-4, per_device_train_batch_size=4, num_train_epochs=2),
    train_dataset=pairs_path,
    peft_config=LoraConfig(r=8, target_modules="all-linear"),
)
trainer.train(resume_from_checkpoint=True)  # goes on where an interrupted run stopped

# How much likelier the chosen answer is than the rejected one, before and after.
with open(pairs_path) as file:
    pair = json.loads(file.readline())
for name, model in (("before", Model(model_path)), ("after", Model(model_path, f"{output}/final.h5"))):
    chosen, rejected = model.score([pair["prompt"]] * 2, [pair["chosen"], pair["rejected"]])
    print(f"{name}: log p(chosen) {chosen.logp:.2f}, log p(rejected) {rejected.logp:.2f}")

export(f"{output}/final.h5", "peft", f"{output}/adapter", overwrite=True)
print(f"adapter for PEFT in {output}/adapter")
