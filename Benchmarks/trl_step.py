"""Time of one optimiser step of TRL's DPOTrainer on CPU."""
import tempfile
import time
from pathlib import Path

import common


def main():
    options = common.parser(__doc__)
    options.add_argument("--gradient-checkpointing", action="store_true",
                         help="TRL's own default; off here because it trades speed for memory")
    args = options.parse_args()
    common.limit_threads(args.threads)

    start = time.perf_counter()
    import torch
    from datasets import Dataset, disable_progress_bars
    from peft import LoraConfig
    from transformers import AutoTokenizer, PrinterCallback, ProgressCallback, TrainerCallback
    from trl import DPOConfig, DPOTrainer
    import_seconds = time.perf_counter() - start
    torch.set_num_threads(args.threads)
    disable_progress_bars()

    rows, name = common.load_rows(args.workload), Path(args.workload).stem
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    ids = common.token_ids(rows, lambda text: tokenizer(text)["input_ids"], tokenizer.eos_token_id)

    class Clock(TrainerCallback):
        """Ends of steps: differences include batch fetching and logging, as a user sees them."""
        ends = []
        losses = []

        def on_step_end(self, *_, **__):
            self.ends.append(time.perf_counter())

        def on_log(self, _, __, ___, logs=None, **____):
            if "loss" in logs:
                self.losses.append(logs["loss"])

    lora = None
    if args.lora:
        lora = LoraConfig(r=args.lora, lora_alpha=2 * args.lora, target_modules="all-linear", task_type="CAUSAL_LM")
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        config = DPOConfig(
            output_dir=scratch, use_cpu=True, bf16=args.precision == "bf16",
            gradient_checkpointing=args.gradient_checkpointing,
            per_device_train_batch_size=len(rows), gradient_accumulation_steps=1, max_steps=args.steps + 1,
            max_length=None, learning_rate=1e-6, lr_scheduler_type="constant", logging_steps=1, save_strategy="no", report_to="none",
            disable_tqdm=True)
        clock = Clock()
        trainer = DPOTrainer(model=args.model, args=config, train_dataset=Dataset.from_list(rows),
                             processing_class=tokenizer, peft_config=lora, callbacks=[clock])
        trainer.remove_callback(ProgressCallback)
        trainer.remove_callback(PrinterCallback)
        start_train = time.perf_counter()
        trainer.train()

    ends = clock.ends
    common.report(
        bench="trl", workload=name, tokens=common.token_counts(ids), precision=args.precision,
        dtype="fp32 weights" + (", bf16 autocast" if args.precision == "bf16" else ""), lora_r=args.lora,
        gradient_checkpointing=args.gradient_checkpointing, threads=torch.get_num_threads(), steps=args.steps,
        **common.timing([b - a for a, b in zip(ends, ends[1:])]),
        import_seconds=round(import_seconds, 2), setup_seconds=round(start_train - start, 2),
        first_step_seconds=round(ends[0] - start_train, 2), losses=clock.losses, peak_rss_mb=common.peak_rss_mb(),
        versions=common.versions("torch", "transformers", "trl", "peft", "accelerate", "datasets"))


if __name__ == "__main__":
    main()
