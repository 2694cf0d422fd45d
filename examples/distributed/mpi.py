"""Several processes train one model, and talk through the communicator of a program that uses mpi4py itself.

    mpirun -n 2 --bind-to none python3 mpi.py model.gguf pairs.jsonl run

Without mpi4py, distributed="mpi" does the same with libdpo-mpi.so.
"""

import sys

from mpi4py import MPI

from libdpo import DPOConfig, DPOTrainer, LoraConfig

if len(sys.argv) != 4:
    sys.exit(__doc__)
model, pairs, output = sys.argv[1:]

trainer = DPOTrainer(
    model,
    args=DPOConfig(output_dir=output, distributed=MPI.COMM_WORLD, per_device_train_batch_size=2, learning_rate=2e-4, max_steps=6),
    train_dataset=pairs,
    peft_config=LoraConfig(r=8, target_modules="all-linear"),
)
result = trainer.train()
losses = MPI.COMM_WORLD.gather(result.training_loss)
if losses is not None:  # rank 0, which wrote the files
    print(f"{len(losses)} ranks, {result.global_step} steps, loss {losses[0]:.4f}: {output}/final.h5")
