"""Makes golden trajectories with TRL's own trainers on the tiny models, fp32, one process:

golden/trl/RUN.json          the options, the token ids that TRL made of every row, every metric it logged at every step,
                             an evaluation after the last one, and of every trained tensor: norm, norm of its change, first values
golden/losses.json           two steps of every DPO loss, divergence and option: loss, grad_norm, metrics
adapters/RUN-start           where a LoRA run starts (A random, B zero), so that other programs start from the same numbers
adapters/RUN-final           where it ends

    python Tests/Fixtures/scripts/make_trl.py [RUN ...]   torch, transformers, trl, peft, datasets, bitsandbytes
"""
import sys
import tempfile
import warnings

from common import DATA, FIXTURES, GOLDEN, number, numbers, place, rows, write_json

warnings.filterwarnings("ignore")
import torch
from datasets import Dataset
from make_golden import save_adapter
from peft import LoraConfig
from transformers import AutoTokenizer, PrinterCallback, ProgressCallback
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

COMMON = dict(use_cpu=True, bf16=False, gradient_checkpointing=False, logging_steps=1, save_strategy="no", report_to="none",
              disable_tqdm=True, dataset_num_proc=None, model_init_kwargs={"attn_implementation": "eager", "dtype": "float32"})
BASE = dict(per_device_train_batch_size=2, per_device_eval_batch_size=100, max_steps=6, learning_rate=1e-3, max_length=256)

# model, data, TRL options, LoRA options
RUNS = {
    "llama-tied-sigmoid": ("llama-tied", "pairs", dict(weight_decay=0.1, warmup_steps=2, lr_scheduler_type="cosine", max_length=48), None),
    "llama-untied-ipo": ("llama-untied", "pairs", dict(loss_type="ipo", per_device_train_batch_size=5, gradient_accumulation_steps=2,
                                                       max_steps=-1, num_train_epochs=3), None),
    "mistral-sigmoid": ("mistral", "pairs", dict(max_grad_norm=0.5, beta=0.3), None),
    "qwen2-ipo": ("qwen2", "shared", dict(loss_type="ipo", train_sampling_strategy="sequential", weight_decay=0.1), None),
    "qwen3-sigmoid-sft": ("qwen3", "pairs", dict(loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.2], lr_scheduler_type="constant"), None),
    "gpt2-sigmoid": ("gpt2", "pairs", dict(weight_decay=0.1, gradient_accumulation_steps=2, seed=7), None),
    "llama-tied-chat": ("llama-tied", "chat", dict(lr_scheduler_type="constant_with_warmup", warmup_steps=1), None),
    "llama-tied-implicit": ("llama-tied", "implicit", dict(lr_scheduler_type="constant"), None),
    "qwen2-sync": ("qwen2", "pairs", dict(sync_ref_model=True, ref_model_sync_steps=2, ref_model_mixup_alpha=0.6), None),
    "llama-tied-lora-sigmoid": ("llama-tied", "pairs", dict(weight_decay=0.1), dict(r=4, lora_alpha=8, target_modules="all-linear")),
    "llama-untied-lora-ipo": ("llama-untied", "pairs", dict(loss_type="ipo", gradient_accumulation_steps=2),
                              dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], use_rslora=True)),
    "mistral-lora-sigmoid": ("mistral", "pairs", dict(lr_scheduler_type="cosine", warmup_steps=0.4),
                             dict(r=4, lora_alpha=8, target_modules="all-linear")),
    "qwen2-lora-ipo": ("qwen2", "pairs", dict(loss_type="ipo"), dict(r=4, lora_alpha=8, target_modules="all-linear")),
    "qwen3-lora-sigmoid": ("qwen3", "pairs", dict(), dict(r=4, lora_alpha=8, target_modules="all-linear")),
    "gpt2-lora-sigmoid": ("gpt2", "pairs", dict(), dict(r=4, lora_alpha=8, target_modules="all-linear")),
}
# Each optimiser. Those of 8 bits, and Lion, are bitsandbytes' for the CPU.
RUNS |= {
    "llama-tied-adafactor": ("llama-tied", "pairs", dict(optim="adafactor", weight_decay=0.1), None),
    "gpt2-adafactor": ("gpt2", "pairs", dict(optim="adafactor", weight_decay=0.1, lr_scheduler_type="cosine"), None),
    "gpt2-sgd": ("gpt2", "pairs", dict(optim="sgd", optim_args="momentum=0.9, nesterov=True", weight_decay=0.1, learning_rate=0.1), None),
    "qwen3-sgd": ("qwen3", "pairs", dict(optim="sgd", learning_rate=0.5, max_grad_norm=0.5), None),
    "mistral-lion": ("mistral", "pairs", dict(optim="lion_32bit", weight_decay=0.1, learning_rate=1e-4, adam_beta2=0.99), None),
    "llama-untied-adamw-8bit": ("llama-untied", "pairs", dict(optim="adamw_8bit", weight_decay=0.1, learning_rate=1e-4), None),
    "qwen2-lion-8bit": ("qwen2", "pairs", dict(optim="lion_8bit", weight_decay=0.1, learning_rate=1e-4), None),
    "qwen3-lora-adafactor": ("qwen3", "pairs", dict(optim="adafactor"), dict(r=4, lora_alpha=8, target_modules="all-linear")),
}
# With the auxiliary loss of a mixture's routers, two of them with the coefficient of config.json.
RUNS |= {
    "qwen3-moe-sigmoid": ("qwen3-moe", "shared", dict(router_aux_loss_coef=0.5, gradient_accumulation_steps=2), None),
    "qwen3-moe-lora-sigmoid": ("qwen3-moe", "pairs", dict(), dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
}
SFT_RUNS = {
    "qwen3-moe-sft": ("qwen3-moe", "completions", dict(gradient_accumulation_steps=2), None),
    "llama-untied-sft-text": ("llama-untied", "text", dict(weight_decay=0.1), None),
    "qwen3-sft-completions": ("qwen3", "completions", dict(gradient_accumulation_steps=2), None),
    "llama-tied-sft-messages": ("llama-tied", "messages", dict(), None),
    "qwen2-lora-sft-completions": ("qwen2", "completions", dict(), dict(r=4, lora_alpha=8, target_modules="all-linear")),
    "qwen3-sft-dft": ("qwen3", "completions", dict(loss_type="dft", gradient_accumulation_steps=2), None),
    "llama-untied-sft-packed": ("llama-untied", "documents", dict(packing=True, max_length=128), None),
    "qwen3-sft-packed-completions": ("qwen3", "completions", dict(packing=True, max_length=80, gradient_accumulation_steps=2), None),
    "qwen2-sft-assistant": ("qwen2", "messages", dict(assistant_only_loss=True), None),
    "qwen2-sft-assistant-packed": ("qwen2", "messages", dict(assistant_only_loss=True, packing=True), None),
}
# Another chat template than the model's own.
TEMPLATES = {"qwen2-sft-assistant": "qwen2_5_training", "qwen2-sft-assistant-packed": "qwen2_5_training"}
KTO_RUNS = {
    "qwen3-moe-kto": ("qwen3-moe", "unpaired", dict(per_device_train_batch_size=4, router_aux_loss_coef=0.2), None),
    "llama-tied-kto": ("llama-tied", "unpaired", dict(per_device_train_batch_size=4, desirable_weight=1.2), None),
    "mistral-apo-zero": ("mistral", "unpaired", dict(loss_type="apo_zero_unpaired", desirable_weight=1.3,
                                                     train_sampling_strategy="random"), None),
    "qwen2-lora-kto": ("qwen2", "pairs", dict(per_device_train_batch_size=3, gradient_accumulation_steps=2, undesirable_weight=0.7),
                       dict(r=4, lora_alpha=8, target_modules="all-linear")),
}
CPO_RUNS = {
    "llama-tied-cpo": ("llama-tied", "pairs", dict(label_smoothing=0.1, cpo_alpha=0.7, gradient_accumulation_steps=2), None),
    "mistral-cpo-hinge": ("mistral", "shared", dict(loss_type="hinge", beta=0.3, train_sampling_strategy="sequential"), None),
    "qwen2-cpo-ipo": ("qwen2", "pairs", dict(loss_type="ipo", weight_decay=0.1), None),
    "llama-untied-simpo": ("llama-untied", "pairs", dict(loss_type="simpo", beta=2.0, simpo_gamma=1.0, cpo_alpha=0.0), None),
    "qwen3-lora-alphapo": ("qwen3", "pairs", dict(loss_type="alphapo", alpha=0.25, beta=2.5),
                           dict(r=4, lora_alpha=8, target_modules="all-linear")),
}
ORPO_RUNS = {
    "llama-tied-orpo": ("llama-tied", "pairs", dict(gradient_accumulation_steps=2, per_device_train_batch_size=3), None),
    "qwen3-orpo": ("qwen3", "shared", dict(beta=0.5, weight_decay=0.1), None),
}
REWARD_RUNS = {
    "mistral-reward": ("mistral", "shared", dict(weight_decay=0.1, center_rewards_coefficient=0.01), None),
    "llama-tied-reward-margins": ("llama-tied", "margins", dict(lr_scheduler_type="cosine", warmup_steps=1), None),
    "gpt2-reward": ("gpt2", "pairs", dict(gradient_accumulation_steps=2, max_length=32), None),
    "llama-untied-reward-implicit": ("llama-untied", "implicit", dict(), None),
    "qwen2-lora-reward": ("qwen2", "pairs", dict(per_device_train_batch_size=3),
                          dict(r=4, lora_alpha=8, target_modules="all-linear", modules_to_save=["score"])),
    "llama-tied-lora-reward-chat": ("llama-tied", "chat", dict(), dict(r=4, lora_alpha=8, target_modules="all-linear", modules_to_save=["score"])),
}
METHODS = {DPOTrainer: "dpo", SFTTrainer: "sft", KTOTrainer: "kto", CPOTrainer: "cpo", ORPOTrainer: "orpo", RewardTrainer: "reward"}
FORGET = ("runtime", "per_second", "total_flos", "train_loss")


def round_to_the_nearest():
    """bitsandbytes' quantiser for the CPU looks a number up in a table that is too coarse for the smallest ones (3 % of second moments get
    the code beside the nearest): its own one in plain torch, which other processors have, takes the nearest, as that for GPUs does."""
    import bitsandbytes.backends.cpu.ops as ops

    def quantise(values, code, absmax, out, blocksize):
        for block, start in enumerate(range(0, values.numel(), blocksize)):
            part = values.flatten()[start:start + blocksize]
            absmax[block] = part.abs().max()
            share = part / absmax[block] if absmax[block] > 0 else part
            out.view(-1)[start:start + blocksize] = (share[:, None] - code).abs().argmin(1).to(torch.uint8)

    ops._quant_blockwise_fp32_direct = quantise


def token_rows(data):
    """The ids of TRL's prepared rows."""
    for row in data:
        if "chosen_labels" in row:      # CPO and ORPO: prompt and completion in one list, labels of the prompt are −100
            prompt = row["chosen_labels"].count(-100)
            assert prompt == row["rejected_labels"].count(-100) and row["chosen_input_ids"][:prompt] == row["rejected_input_ids"][:prompt]
            yield {"prompt_ids": row["chosen_input_ids"][:prompt], "chosen_ids": row["chosen_input_ids"][prompt:],
                   "rejected_ids": row["rejected_input_ids"][prompt:]}
        else:
            yield {key: row[key] for key in ("prompt_ids", "chosen_ids", "rejected_ids", "input_ids", "completion_mask", "assistant_masks", "seq_lengths") if key in row}


def comparable(entry, trainer_type, settings):
    """CPO and ORPO average logits over padding and prompts too, and tell an NLL of 0 where they do not need it."""
    if trainer_type not in (CPOTrainer, ORPOTrainer):
        return entry
    needless = settings.get("cpo_alpha") == 0 or settings.get("loss_type") == "alphapo"
    return {key: value for key, value in entry.items() if "logits/" not in key and not (needless and "nll_loss" in key)}


def trajectory(trainer_type, model, data, settings, lora=None, before=None, after=None, template=None):
    """What a run of TRL's trainer logs. `model`: a directory, `data`: rows, `lora`: LoraConfig's options; `before` and `after`
    are called with the trainer's model."""
    config_type = {DPOTrainer: DPOConfig, SFTTrainer: SFTConfig, KTOTrainer: KTOConfig, CPOTrainer: CPOConfig, ORPOTrainer: ORPOConfig,
                   RewardTrainer: RewardConfig}[trainer_type]
    task = "SEQ_CLS" if trainer_type is RewardTrainer else "CAUSAL_LM"
    tokenizer = AutoTokenizer.from_pretrained(model)
    if trainer_type in (CPOTrainer, ORPOTrainer) and tokenizer.pad_token is None:      # the others take EOS by themselves
        tokenizer.pad_token = tokenizer.eos_token
    if template:
        tokenizer.chat_template = (FIXTURES / "templates" / f"{template}.jinja").read_text(encoding="utf-8")
    if "8bit" in settings.get("optim", ""):
        round_to_the_nearest()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = trainer_type(
            model=str(model), args=config_type(output_dir=scratch, **COMMON, **settings),
            processing_class=tokenizer, train_dataset=Dataset.from_list(data), eval_dataset=Dataset.from_list(data),
            peft_config=LoraConfig(task_type=task, **lora) if lora else None)
        trainer.remove_callback(ProgressCallback)
        trainer.remove_callback(PrinterCallback)
        if before:
            before(trainer.model)
        start = {key: p.detach().clone() for key, p in trainer.model.named_parameters() if p.requires_grad}
        ids = list(token_rows(trainer.train_dataset))
        trainer.train()
        evaluation = trainer.evaluate()
        if after:
            after(trainer.model)
    name = lambda key: key.replace(".modules_to_save", "").replace(".default.", ".")
    tensors = {name(key): {"norm": number(p.detach().norm()), "change": number((p.detach() - start[key]).norm()),
                                               "first": numbers(p.detach().flatten()[:4])}
               # Those of all experts are one in memory, but one an expert in files.
               for key, p in trainer.model.named_parameters() if p.requires_grad and ".experts." not in key}
    score = {"score": numbers(start["score.weight"].flatten())} if "score.weight" in start else {}   # drawn by torch
    return {"rows": ids, **score, 
            "steps": [comparable(entry, trainer_type, settings) for entry in trainer.state.log_history if "loss" in entry],
            "evaluation": comparable({key: value for key, value in evaluation.items() if not any(word in key for word in FORGET)},
                                     trainer_type, settings), "tensors": tensors}


def run(name, table, trainer_type):
    model, data, options, lora = table[name]
    settings = {**BASE, **options}
    save = lambda part: (lambda trained: save_adapter(trained, FIXTURES / "adapters" / f"{name}-{part}", model)) if lora else None
    return {
        "model": place(model), "data": f"data/{data}.jsonl",
        "method": METHODS[trainer_type], "options": settings, "lora": lora, **({"template": f"templates/{TEMPLATES[name]}.jinja"} if name in TEMPLATES else {}),
        **({"adapter": f"adapters/{name}-start", "final_adapter": f"adapters/{name}-final"} if lora else {}),
        **trajectory(trainer_type, FIXTURES / place(model), rows(DATA / f"{data}.jsonl"), settings, lora, save("start"), save("final"), TEMPLATES.get(name)),
    }


LOSSES = {
    **{name: dict(loss_type=name) for name in ("sigmoid", "hinge", "ipo", "nca_pair", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
                                               "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm")},
    "exo_pair": dict(loss_type="exo_pair", label_smoothing=1e-3),
    "robust": dict(loss_type="robust", label_smoothing=0.1),
    "aot smoothed": dict(loss_type="aot", label_smoothing=0.1),
    "sigmoid forward_kl": dict(f_divergence_type="forward_kl"),
    "sigmoid js_divergence": dict(f_divergence_type="js_divergence"),
    "sigmoid alpha_divergence": dict(f_divergence_type="alpha_divergence", f_alpha_divergence_coef=0.3),
    "ipo js_divergence": dict(loss_type="ipo", f_divergence_type="js_divergence"),
    "sigmoid ld_alpha": dict(ld_alpha=0.5),
    "sigmoid weighting": dict(use_weighting=True),
    "mpo": dict(loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0]),
    "sigmoid precompute": dict(precompute_ref_log_probs=True),
    "sigmoid keep_end": dict(max_length=24, truncation_mode="keep_end"),
    "ipo keep_start": dict(loss_type="ipo", max_length=24),
    "sigmoid accumulated": dict(gradient_accumulation_steps=3, per_device_train_batch_size=4, num_train_epochs=2, max_steps=-1),
}


def main():
    wanted = sys.argv[1:]
    for table, trainer in ((RUNS, DPOTrainer), (SFT_RUNS, SFTTrainer), (KTO_RUNS, KTOTrainer), (CPO_RUNS, CPOTrainer),
                           (ORPO_RUNS, ORPOTrainer), (REWARD_RUNS, RewardTrainer)):
        for name in table:
            if not wanted or name in wanted:
                record = run(name, table, trainer)
                write_json(GOLDEN / "trl" / f"{name}.json", record)
                print(name, [round(step["loss"], 5) for step in record["steps"]], flush=True)
    if not wanted or "losses" in wanted:
        table = {name: ("qwen2", "pairs", dict(max_steps=3, per_device_train_batch_size=4, lr_scheduler_type="constant",
                                               learning_rate=3e-3, **{key: value for key, value in options.items()
                                                                      if key not in ("max_steps", "per_device_train_batch_size")}), None)
                 for name, options in LOSSES.items()}
        for name, options in LOSSES.items():
            table[name][2].update(options)
        result = {}
        for name in table:
            record = run(name, table, DPOTrainer)
            result[name] = {key: record[key] for key in ("model", "data", "options", "steps", "evaluation")}
            print(name, [round(step["loss"], 5) for step in record["steps"]], flush=True)
        write_json(GOLDEN / "losses.json", result)


if __name__ == "__main__":
    main()
