/// Settings of TRL's config files that `dpo train` does not have: most say how something is done that is not done here.
enum TRLSettings {
  /// What to set instead, or why there is nothing to set.
  static let instead: [String: String] = [
    "attn_implementation": "", "bf16": "set precision: bf16", "bf16_full_eval": "set precision: bf16",
    "dataset_config": "give the files of its rows as data", "dataset_streaming": "",
    "dataset_test_split": "give the files of its rows as eval_data",
    "dataset_train_split": "give the files of its rows as data", "dataset_text_field": "call the column text",
    "deepspeed": "mpirun dpo train divides a run", "do_eval": "", "do_predict": "", "do_train": "",
    "dtype": "set precision: fp32 or bf16", "torch_dtype": "set precision: fp32 or bf16",
    "eval_strategy": "set eval_steps; 0 evaluates after every epoch", "evaluation_strategy": "set eval_steps",
    "fp16": "set precision: bf16 or fp32", "fsdp": "mpirun dpo train divides a run", "hub_model_id": "",
    "label_smoothing_factor": "set label_smoothing", "load_best_model_at_end": "evaluate checkpoints with dpo evaluate",
    "load_in_4bit": "give a GGUF file as the model, which is trained as it is quantised",
    "load_in_8bit": "give a GGUF file as the model, which is trained as it is quantised",
    "log_level": "", "logging_dir": "", "logging_first_step": "", "logging_steps": "", "logging_strategy": "",
    "model_revision": "give the folder of that revision as model", "num_iterations": "set num_ppo_epochs",
    "push_to_hub": "", "remove_unused_columns": "", "report_to": "", "run_name": "",
    "save_strategy": "set save_steps; 0 saves none", "save_only_model": "",
    "trust_remote_code": "", "use_cpu": "", "use_dora": "LoRA is the only kind of adapter",
    "use_peft": "set lora_r for an adapter (16 is TRL's default), and leave it out to train every weight",
    "use_vllm": "libdpo draws the answers itself", "use_liger_kernel": "", "tf32": "", "torch_compile": "",
    "disable_tqdm": "",
    "dataloader_num_workers": "", "dataloader_pin_memory": "", "dataset_num_proc": "",
    "gradient_checkpointing_kwargs": "", "model_init_kwargs": "", "overwrite_hub_revision": "", "hub_strategy": "",
    "packing_strategy": "packing is TRL's best-fit decreasing", "padding_free": "nothing is padded here",
    "average_tokens_across_devices": "",
    "auto_find_batch_size": "dpo train --dry-run tells the memory that a batch takes",
  ]
}
