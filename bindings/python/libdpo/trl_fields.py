"""What becomes of each field of TRL 1.16's configs: the tables, and the function that reads keywords by them.

A field that stands in no table here is an option of libdpo's config by the same name and with the same meaning.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import warnings
from collections.abc import Callable
from typing import Any, Optional

from . import errors

__all__ = ["EARLIER", "EVERY_METHOD", "METHODS", "Field", "fields_of", "given_in", "read"]


@dataclasses.dataclass(frozen=True)
class Field:
    """What becomes of a field of TRL's."""

    silent: "tuple[Any, ...]" = ()
    """Values that change nothing here: they are taken without a word."""
    words: str = ""
    """Why another value has no meaning here, or what to say instead of it."""
    refused: bool = False
    """Whether another value is refused; otherwise it is taken with a warning."""
    noted: "tuple[Any, ...]" = ()
    """Values that are taken with a warning all the same."""
    option: str = ""
    """The option here that takes the value."""
    convert: "Optional[Callable[[Any], Any]]" = None
    """Makes the option's value of the field's."""


def _note(words: str, *silent: Any) -> Field:
    return Field(silent, words)


def _refuse(words: str, *silent: Any, noted: "tuple[Any, ...]" = ()) -> Field:
    return Field(silent, words, True, noted)


def _named(option: str, convert: "Optional[Callable[[Any], Any]]" = None) -> Field:
    return Field(option=option, convert=convert)


#: Flags that change nothing here, whatever they say.
_EITHER = Field((True, False, None))

_ONE_MACHINE = "distributed=\"mpi\" makes the ranks of a job train together, and needs no other setting"
_NO_LOADER = "rows are tokenised once, before the first step, and no loader runs beside it"
_NO_TORCH = "libdpo computes without torch"
_NO_HUB = "libdpo sends nothing anywhere; save_model(directory), then upload that directory"
_NO_GPU_MEMORY = "libdpo computes in the machine's memory, which the plan of a run counts before the first step"
_NO_PADDING = "rows are never padded"
_NO_VLLM = "libdpo draws completions itself"
_NO_TRANSFORMERS = "libdpo draws completions itself, without transformers"
_WHOLE_DISTRIBUTION = "completions are drawn from the whole distribution at temperature, whose log-probs are learned from; leave it out"
_EVALUATED_AT_ONCE = "an evaluation is one call of the library, whose metrics are means over all rows"


def _shuffles(strategy: Any) -> bool:
    if strategy not in ("random", "sequential"):
        raise errors.UnsupportedError(
            f"train_sampling_strategy={strategy!r}: expected 'random' or 'sequential'; rows are never padded, so that grouping them "
            "by length saves nothing"
        )
    return strategy == "random"


EVERY_METHOD: "dict[str, Field]" = {
    "accelerator_config": _note(_ONE_MACHINE, None),
    "activation_checkpointing": _named("gradient_checkpointing"),
    "activation_checkpointing_kwargs": _note(_NO_TORCH, None),
    "auto_find_batch_size": _note("the plan of a run says before the first step whether it fits", False),
    "average_tokens_across_devices": _EITHER,
    "batch_eval_metrics": _refuse(_EVALUATED_AT_ONCE + "; compute_metrics gets all rows at once", False),
    "bf16": _refuse('write precision="bf16"', False, None),
    "bf16_full_eval": _refuse('write precision="bf16", which evaluations follow', False),
    "dataloader_drop_last": _refuse("the last rows of an epoch are trained on, in a smaller batch; leave it out", False),
    "dataloader_in_order": _note(_NO_LOADER, True),
    "dataloader_multiprocessing_context": _note(_NO_LOADER, None),
    "dataloader_num_workers": _note(_NO_LOADER, 0),
    "dataloader_persistent_workers": _note(_NO_LOADER, False),
    "dataloader_pin_memory": _EITHER,
    "dataloader_prefetch_factor": _note(_NO_LOADER, None),
    "ddp_backend": _note(_ONE_MACHINE, None),
    "ddp_broadcast_buffers": _note(_ONE_MACHINE, None, False),
    "ddp_bucket_cap_mb": _note(_ONE_MACHINE, None),
    "ddp_find_unused_parameters": _note(_ONE_MACHINE, None, False),
    "ddp_static_graph": _note(_ONE_MACHINE, None, False),
    "debug": _note(_NO_TORCH, "", [], None),
    "deepspeed": _note(_ONE_MACHINE, None),
    "do_eval": _EITHER,
    "do_predict": _EITHER,
    "do_train": _EITHER,
    "enable_jit_checkpoint": _note("a run that is stopped writes a checkpoint; see autosave_steps", False),
    "eval_accumulation_steps": _note(_EVALUATED_AT_ONCE, None),
    "eval_do_concat_batches": _note(_EVALUATED_AT_ONCE, True),
    "eval_use_gather_object": _note(_ONE_MACHINE, False),
    "fp16": _refuse('fp16 is of GPUs; leave it out, or write precision="bf16"', False, None),
    "fp16_full_eval": _refuse('fp16 is of GPUs; leave it out, or write precision="bf16"', False),
    "fsdp": _note(_ONE_MACHINE, None, "", [], False),
    "fsdp_config": _note(_ONE_MACHINE, None),
    "full_determinism": _EITHER,
    "gradient_checkpointing_kwargs": _note(_NO_TORCH, None),
    "hub_always_push": _note(_NO_HUB, False),
    "hub_model_id": _note(_NO_HUB, None),
    "hub_private_repo": _note(_NO_HUB, None, False),
    "hub_revision": _note(_NO_HUB, None),
    "hub_strategy": _note(_NO_HUB, "every_save"),
    "hub_token": _note(_NO_HUB, None),
    "ignore_data_skip": _refuse("a resumed run goes on with the rows that were next; leave it out", False),
    "include_for_metrics": _refuse("compute_metrics gets log-probs alone; leave it out", [], None),
    "include_num_input_tokens_seen": Field((True, False, "no", "all", "non_padding")),
    "label_names": _note("the columns that are read have fixed names", None, []),
    "label_smoothing_factor": _refuse("label_smoothing of DPOConfig and CPOConfig is for pairs; there is none for tokens", 0, None),
    "length_column_name": _note(_NO_PADDING, "length"),
    "liger_kernel_config": _note(_NO_TORCH, None),
    "local_rank": _note(_ONE_MACHINE, -1, 0),
    "log_level": _note("messages are warnings and lines on stderr; disable_tqdm=True silences the latter", "passive", "warning"),
    "log_level_replica": _note(_ONE_MACHINE, "warning"),
    "log_on_each_node": _EITHER,
    "logging_nan_inf_filter": _note("a loss that is not finite ends the run with an error", True),
    "lr_scheduler_kwargs": _refuse("lr_scheduler_type alone chooses the schedule, with transformers' defaults; leave it out", None, {}, ""),
    "model_init_kwargs": _note("a model is mapped as its file stores it, and computed as precision says", None, {}),
    "neftune_noise_alpha": _refuse("there is no noise on embeddings; leave it out, or set lora_dropout", None),
    "optim_target_modules": _refuse("the optimizers here update every number that is trained; leave it out, or train a LoRA adapter", None),
    "parallelism_config": _note(_ONE_MACHINE, None),
    "prediction_loss_only": _note(_EVALUATED_AT_ONCE, False),
    "push_to_hub": _refuse(_NO_HUB, False),
    "remove_unused_columns": _EITHER,
    "restore_callback_states_from_checkpoint": _refuse("checkpoints hold no state of callbacks; leave it out", False),
    "resume_from_checkpoint": _note("give it to train(resume_from_checkpoint=...)", None, False),
    "save_on_each_node": _note(_ONE_MACHINE, False),
    "save_only_model": _note('checkpoints are whole; save_strategy="no" keeps the final model alone', False),
    "skip_memory_metrics": _EITHER,
    "tf32": _note(_NO_TORCH, None, False),
    "torch_compile": _note(_NO_TORCH, False, None),
    "torch_compile_backend": _note(_NO_TORCH, None),
    "torch_compile_mode": _note(_NO_TORCH, None),
    "torch_empty_cache_steps": _note(_NO_TORCH, None),
    "trackio_bucket_id": _refuse("call trackio.init yourself before train() for a run that is not on this machine", None),
    "trackio_space_id": _refuse("call trackio.init yourself before train() for a run that is not on this machine", None),
    "trackio_static_space_id": _refuse("call trackio.init yourself before train() for a run that is not on this machine", None),
    "train_sampling_strategy": _named("shuffle", _shuffles),
    "trust_remote_code": _note("no code of a model is ever run", False),
    "use_cache": _note(_NO_TRANSFORMERS, False),
    "use_cpu": _EITHER,
    "use_liger_kernel": _note(_NO_TORCH + ", and never holds the logits of a whole batch", False),
}
"""Fields of every config, from transformers' TrainingArguments."""

_ROWS = {
    "activation_offloading": _note(_NO_GPU_MEMORY, False),
    "dataset_num_proc": _note(_NO_LOADER, None),
    "pad_to_multiple_of": _note(_NO_PADDING, "auto", None),
}
_REFERENCE = {"precompute_ref_batch_size": _note("log-probs are computed in batches of per_device_train_batch_size", None)}
_TOKENIZER = {
    "chat_template_path": _refuse("the template in the model's directory is used: put yours there as chat_template.jinja", None),
    "eos_token": _refuse("the model's own EOS ends a row: set it in its tokenizer_config.json", None),
    "pad_token": _note(_NO_PADDING, None),
}
_PAIRS = {
    "dataset_num_proc": _ROWS["dataset_num_proc"],
    "generate_during_eval": _refuse("draw answers with trainer.model.generate in on_evaluate, or by dpo sample", False),
    "is_encoder_decoder": _refuse("models are decoders; leave it out", None, False),
    "max_completion_length": _refuse("max_length cuts prompt and completion together; leave it out", None),
}
_GENERATION = {
    "cache_implementation": _note(_NO_TRANSFORMERS, None),
    "ds3_gather_for_generation": _EITHER,
    "generation_kwargs": _refuse(_WHOLE_DISTRIBUTION, None, {}),
    "min_p": _refuse(_WHOLE_DISTRIBUTION, None, 0),
    "repetition_penalty": _refuse(_WHOLE_DISTRIBUTION, 1, None),
    "top_k": _refuse(_WHOLE_DISTRIBUTION, 0, -1, None),
    "top_p": _refuse(_WHOLE_DISTRIBUTION, 1, None),
    "use_vllm": _note(_NO_VLLM, False),
    "vllm_enable_sleep_mode": _note(_NO_VLLM, False),
    "vllm_gpu_memory_utilization": _note(_NO_VLLM, 0.3, 0.55),
    "vllm_group_port": _note(_NO_VLLM, 51216),
    "vllm_mode": _note(_NO_VLLM, "colocate"),
    "vllm_model_impl": _note(_NO_VLLM, "vllm"),
    "vllm_server_base_url": _note(_NO_VLLM, None),
    "vllm_server_host": _note(_NO_VLLM, "0.0.0.0"),
    "vllm_server_port": _note(_NO_VLLM, 8000),
    "vllm_server_timeout": _note(_NO_VLLM, 240.0),
    "vllm_structured_outputs_regex": _refuse("completions are drawn freely; leave it out", None),
    "vllm_tensor_parallel_size": _note(_NO_VLLM, 1),
}
_ROLLOUT_SIZE = (
    "a rollout is per_device_train_batch_size x gradient_accumulation_steps rows, which num_mini_batches divides into steps; leave it out"
)
_SAME_PENALTY = "only PPO's clipped objective is served; leave it out"
_GROUPS = {
    **_GENERATION,
    "beta": _named("kl_coef"),
    "epsilon": _named("cliprange"),
    "epsilon_high": _refuse("the ratio is clipped at 1 - cliprange and 1 + cliprange; leave it out", None),
    "generation_batch_size": _refuse(_ROLLOUT_SIZE, None),
    "log_completions": _note("report.html holds the curves; print completions in your reward function", False),
    "log_multimodal": _EITHER,
    "log_unique_prompts": _note("completions are not logged", False),
    "mask_truncated_completions": _refuse("missing_eos_penalty lowers the score of completions that do not end", False),
    "num_completions_to_print": _note("completions are not logged", None),
    "num_generations_eval": _refuse("evaluations draw num_generations completions, too; leave it out", None),
    "num_iterations": _named("num_ppo_epochs"),
    "pad_to_multiple_of": _ROWS["pad_to_multiple_of"],
    "ref_model_mixup_alpha": _note("sync_ref_model is for DPO and KTO", 0.6),
    "ref_model_sync_steps": _note("sync_ref_model is for DPO and KTO", 512),
    "shuffle_dataset": _named("shuffle"),
    "steps_per_generation": _refuse(_ROLLOUT_SIZE, None),
    "sync_ref_model": _refuse("the reference of this method stays as it is; leave it out", False),
    "transformers_continuous_batching_config": _note(_NO_TRANSFORMERS, None),
    "use_transformers_continuous_batching": _note(_NO_TRANSFORMERS, False),
    "use_transformers_paged": _note(_NO_TRANSFORMERS, False),
    "vllm_max_model_length": _note(_NO_VLLM, None),
}

METHODS: "dict[str, dict[str, Field]]" = {
    "dpo": {**_ROWS, **_REFERENCE, "pad_token": _TOKENIZER["pad_token"], "padding_free": _EITHER},
    "sft": {
        **_ROWS,
        **_TOKENIZER,
        "dataset_kwargs": _refuse("rows are tokenised as TRL does without it; leave it out", None, {}),
        "eval_packing": _refuse("evaluation rows are packed as training rows are; leave it out", None),
        "packing_strategy": _refuse('sequences are filled by best fit, decreasing: "bfd"; leave it out', "bfd"),
        "padding_free": _EITHER,
        "shuffle_dataset": _EITHER,
    },
    "reward": {**_ROWS, **_TOKENIZER},
    "kto": {
        **_ROWS,
        **_REFERENCE,
        "train_sampling_strategy": _refuse("KTO compares a row with its neighbour, so that rows stay in their order", "sequential"),
    },
    "cpo": dict(_PAIRS),
    "orpo": {**_PAIRS, "padding_value": _note(_NO_PADDING, None)},
    "online_dpo": {
        **_GENERATION,
        "max_new_tokens": _named("max_completion_length"),
        "reward_model_path": _refuse("give the reward model to the trainer: reward_funcs=libdpo.Model(path)", None),
    },
    "rloo": {
        **_GROUPS,
        "normalize_advantages": _refuse("advantages are taken as they are; leave it out", False),
        "reward_clip_range": _refuse("clip the number that your reward function returns", None),
    },
    "grpo": {
        **_GROUPS,
        "cast_lm_head_to_fp32": _EITHER,
        "delta": _refuse(_SAME_PENALTY, None),
        "entropy_coef": _refuse("there is no bonus for entropy; leave it out", 0),
        "entropy_coef_delta": _note("there is no bonus for entropy", 0.005),
        "entropy_coef_max": _note("there is no bonus for entropy", 1.0),
        "entropy_coef_min": _note("there is no bonus for entropy", 0.0),
        "entropy_target": _note("there is no bonus for entropy", 0.2),
        "importance_sampling_level": _refuse("each token has its ratio; RLOOTrainer has one for each completion", "token"),
        "log_completions_hub_repo": _note(_NO_HUB, None),
        "loss_type": _refuse('the sum is divided by the tokens of the step, TRL\'s "dapo"; leave it out', "dapo"),
        "max_tool_calling_iterations": _note("completions call no tools", None),
        "multi_objective_aggregation": _refuse("rewards are summed, then standardised in their group; leave it out", "sum_then_normalize"),
        "off_policy_mask_threshold": _refuse(_SAME_PENALTY, None),
        "sapo_temperature_neg": _note(_SAME_PENALTY, 1.05),
        "sapo_temperature_pos": _note(_SAME_PENALTY, 1.0),
        "scale_rewards": _refuse("rewards are standardised in their group; leave it out", "group", True),
        "top_entropy_quantile": _refuse("all tokens are learned from; leave it out", 1),
        "use_adaptive_entropy": _refuse("there is no bonus for entropy; leave it out", False),
        "use_bias_correction_kl": _note("the KL penalty is not multiplied by the ratio of new and old policy", False),
        "vespo_k_neg": _note(_SAME_PENALTY, 3.0),
        "vespo_k_pos": _note(_SAME_PENALTY, 2.0),
        "vespo_lambda_neg": _note(_SAME_PENALTY, 2.0),
        "vespo_lambda_pos": _note(_SAME_PENALTY, 3.0),
        "vllm_importance_sampling_cap": _note(_NO_VLLM, None),
        "vllm_importance_sampling_clip_max": _note(_NO_VLLM, 3.0),
        "vllm_importance_sampling_clip_min": _note(_NO_VLLM, None),
        "vllm_importance_sampling_correction": _note(_NO_VLLM, True),
        "vllm_importance_sampling_mode": _note(_NO_VLLM, "sequence_mask"),
    },
}
"""Fields of one method's config. TRL 1.16 has none for the methods that are not here, and for ppo and bco."""

EARLIER: "dict[str, Field]" = {
    "evaluation_strategy": _named("eval_strategy"),
    "group_by_length": _note(_NO_PADDING, False),
    "max_prompt_length": _refuse("max_length and truncation_mode cut rows; leave it out", None),
    "max_seq_length": _named("max_length"),
    "no_cuda": _EITHER,
    "response_length": _named("max_completion_length"),
    "rpo_alpha": _refuse('write loss_type=["sigmoid", "sft"], loss_weights=[1, rpo_alpha]', None),
    "save_safetensors": _EITHER,
    "warmup_ratio": _named("warmup_steps"),
}
"""Fields that scripts for earlier versions of TRL and transformers set, and TRL 1.16 has no more."""

#: What None stands for in fields where TRL has it and libdpo another word.
_NONE = {"completion_only_loss": True, "disable_tqdm": False, "eval_steps": 0, "report_to": "none"}

#: Other names of an optimizer: the same rule in another place or by another program.
_OPTIMIZERS = {
    **dict.fromkeys(
        ("adamw_hf", "adamw_torch_xla", "adamw_torch_npu_fused", "adamw_apex_fused", "adamw_anyprecision", "paged_adamw",
         "paged_adamw_32bit"), "adamw_torch"),
    **dict.fromkeys(("adamw_torch_4bit", "adamw_torch_8bit", "paged_adamw_8bit"), "adamw_8bit"),
    "paged_lion_32bit": "lion_32bit", "paged_lion_8bit": "lion_8bit",
}


def fields_of(method: str) -> "dict[str, Field]":
    """The fields that a method's config takes beside its options, by name."""
    return {**EARLIER, **EVERY_METHOD, **METHODS.get(method, {})}


def _plain(value: Any) -> Any:
    """Values of transformers' enums are their names."""
    return value.value if isinstance(value, enum.Enum) else value


def _among(value: Any, values: "tuple[Any, ...]") -> bool:
    """Equal to one of them; True and 1 are not."""
    return any(isinstance(value, bool) == isinstance(each, bool) and value == each for each in values)


def read(kind: type, given: "dict[str, Any]") -> "dict[str, Any]":
    """Keywords of a config under TRL's names, as the config ``kind`` has them. Warns of those that mean nothing here."""
    own = {field.name for field in dataclasses.fields(kind)}
    table = fields_of(kind._method)  # type: ignore[attr-defined]
    values: "dict[str, Any]" = {}
    source: "dict[str, str]" = {}
    for name, value in given.items():
        value, option = _plain(value), name
        field = table.get(name)
        if name in own:
            value = _NONE.get(name, value) if value is None else value
            if name == "optim" and value in _OPTIMIZERS:
                warnings.warn(f"optim={value!r} is {_OPTIMIZERS[value]} here", UserWarning, stacklevel=3)
                value = _OPTIMIZERS[value]
        elif field is None:
            close = difflib.get_close_matches(name, [*own, *table], 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise TypeError(f"{kind.__name__} has no option {name}{hint}")
        elif field.option:
            if value is None:
                continue
            option = field.option
            if option not in own:
                raise TypeError(f"{kind.__name__} has no option {name}")
            value = field.convert(value) if field.convert else value
        else:
            if not _among(value, field.silent):
                if field.refused and not _among(value, field.noted):
                    raise errors.UnsupportedError(f"{name}={value!r}: {field.words}")
                warnings.warn(f"{name}={value!r} has no meaning here: {field.words}", UserWarning, stacklevel=3)
            continue
        if option in values and values[option] != value:
            raise errors.InvalidArgumentError(
                f"{source[option]}={given[source[option]]!r} and {name}={given[name]!r} both set {option}; give one of them"
            )
        values[option], source[option] = value, name
    return values


def given_in(args: Any, kind: type) -> "dict[str, Any]":
    """What a config of TRL or transformers' TrainingArguments sets: what differs from a new one of its class, and of
    TrainingArguments, whose defaults are not TRL's, every option that ``kind`` has."""
    declared = {field.name: field.default for field in dataclasses.fields(args) if field.init}
    fields = list(declared)
    # Some values follow from others, and from the machine.
    kept = (
        "output_dir", "bf16", "fp16", "use_cpu", "per_device_train_batch_size", "gradient_accumulation_steps", "num_generations",
        "gradient_checkpointing",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        standard = type(args)(**{name: getattr(args, name) for name in kept if name in fields})
    options = {field.name for field in dataclasses.fields(kind)}
    found = {}
    for name in fields:
        value = _plain(getattr(args, name))
        same = value == (declared[name] if name in kept else _plain(getattr(standard, name)))
        if not same or (type(args).__name__ == "TrainingArguments" and name in options):
            found[name] = value
    # TRL sets bf16 where nobody says otherwise, and recomputes blocks, which changes no number.
    for name in ("bf16", "use_cpu", "gradient_checkpointing"):
        found.pop(name, None)
    # Where it is not set, TRL does not evaluate.
    found.setdefault("eval_strategy", _plain(getattr(args, "eval_strategy", None)))
    if isinstance(found.get("beta"), list) and len(found["beta"]) == 1:
        found["beta"] = found["beta"][0]
    return found
