"""Several processes train one model, and talk through torch.distributed (gloo).

    torchrun --nproc-per-node 2 gloo.py model.gguf pairs.jsonl run

On two machines, once on each with --node-rank 0 and 1:

    torchrun --nnodes 2 --node-rank 0 --nproc-per-node 1 --master-addr HOST --master-port 29500 gloo.py model.gguf pairs.jsonl run
"""

import datetime
import sys

from torch import distributed

from libdpo import DPOConfig, DPOTrainer, LoraConfig

if len(sys.argv) != 4:
    sys.exit(__doc__)
model, pairs, output = sys.argv[1:]

distributed.init_process_group("gloo", timeout=datetime.timedelta(minutes=10))
trainer = DPOTrainer(
    model,
    args=DPOConfig(output_dir=output, distributed="torch", per_device_train_batch_size=2, learning_rate=2e-4, max_steps=6),
    train_dataset=pairs,
    peft_config=LoraConfig(r=8, target_modules="all-linear"),
)
result = trainer.train()
if trainer.is_world_process_zero():  # this one wrote the files
    print(f"{trainer.communicator.size} ranks, {result.global_step} steps, loss {result.training_loss:.4f}: {output}/final.h5")
trainer.close()
trainer.communicator.close()
distributed.destroy_process_group()
