"""Train with a loss of your own in NumPy: forward, your loss and its gradient, backward, optimiser step.

    python own_loss.py model.gguf pairs.jsonl

The loss is a squared hinge on the margin of the log-ratios, max(0, 1 − β(a − b))², which libdpo does not have.
"""

import sys

import numpy as np
from libdpo import DPOConfig, DPOTrainer, LoraConfig

if len(sys.argv) != 3:
    sys.exit(__doc__)

BATCH, STEPS, BETA = 4, 8, 0.1

trainer = DPOTrainer(
    sys.argv[1],
    args=DPOConfig(learning_rate=1e-3, lr_scheduler_type="constant", max_steps=STEPS),
    train_dataset=sys.argv[2],
    peft_config=LoraConfig(r=8, target_modules="all-linear"),
)
rows = np.arange(len(trainer.train_dataset))

for step in range(STEPS):
    batch = np.take(rows, np.arange(step * BATCH, (step + 1) * BATCH), mode="wrap")
    scores = trainer.forward(batch)
    a = scores.policy_chosen - scores.reference_chosen
    b = scores.policy_rejected - scores.reference_rejected
    gap = np.maximum(0, 1 - BETA * (a - b))
    gradient = -2 * BETA * gap / len(batch)  # d mean(gap²) / d log p(chosen); minus that for rejected
    trainer.backward(gradient, -gradient)
    metrics = trainer.apply()
    print(f"step {metrics['step']}: loss {np.mean(gap**2):.6f}, gradient norm {metrics['grad_norm']:.4f}")
