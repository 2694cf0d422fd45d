"""A policy that learns to be brief: PPO with a reward that this program computes.

    python ppo.py model.gguf prompts.jsonl

`prompts.jsonl` holds {"prompt": …} as text or chat messages. A reward model or a text classifier can be given instead of the
function.
"""

import sys

from libdpo import LoraConfig, PPOConfig, PPOTrainer

if len(sys.argv) != 3:
    sys.exit(__doc__)


def brief(answers):
    """1 for an answer that ends by itself, less a hundredth for each character."""
    return [float(answer.stopped) - 0.01 * len(answer.completion) for answer in answers]


trainer = PPOTrainer(
    sys.argv[1],
    brief,
    args=PPOConfig(learning_rate=3e-3, max_completion_length=16, max_steps=40),
    train_dataset=sys.argv[2],
    peft_config=LoraConfig(r=8, target_modules="all-linear"),
)
for _ in range(trainer.state.max_steps):
    metrics = trainer.step()
    print(f"step {metrics['step']}: score {metrics['objective/scores']:.3f}, KL {metrics['objective/kl']:.3f}")
