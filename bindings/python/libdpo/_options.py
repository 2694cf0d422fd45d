"""Made by options/generate.py from the tables beside it: the structs of dpo.h, and options under TRL's names."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import POINTER, Structure, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32, c_uint64, sizeof
from typing import Optional


class SizedStructure(Structure):
    """A struct that starts with its own size."""

    def __init__(self) -> None:
        super().__init__()
        self.struct_size = sizeof(type(self))


class LossOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("beta", c_double),
        ("label_smoothing", c_double),
        ("discopop_tau", c_double),
        ("f_alpha_divergence_coef", c_double),
        ("f_divergence", c_int32),
        ("reference_free", c_int32),
        ("loss_types", POINTER(c_int32)),
        ("loss_weights", POINTER(c_double)),
        ("loss_count", c_size_t),
    ]


class PPOOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("cliprange", c_double),
        ("cliprange_value", c_double),
        ("vf_coef", c_double),
    ]


class TrainOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("method", c_char_p),
        ("loss_type", c_char_p),
        ("loss_weights", POINTER(c_double)),
        ("loss_weight_count", c_size_t),
        ("beta", c_double),
        ("label_smoothing", c_double),
        ("f_divergence_type", c_char_p),
        ("f_alpha_divergence_coef", c_double),
        ("discopop_tau", c_double),
        ("ld_alpha", c_double),
        ("use_weighting", c_int32),
        ("completion_only_loss", c_int32),
        ("assistant_only_loss", c_int32),
        ("packing", c_int32),
        ("desirable_weight", c_double),
        ("undesirable_weight", c_double),
        ("cpo_alpha", c_double),
        ("simpo_gamma", c_double),
        ("alpha", c_double),
        ("unlikelihood_alpha", c_double),
        ("center_rewards_coefficient", c_double),
        ("reference_free", c_int32),
        ("precompute_ref_log_probs", c_int32),
        ("sync_ref_model", c_int32),
        ("ref_model_mixup_alpha", c_double),
        ("ref_model_sync_steps", c_int32),
        ("kl_coef", c_double),
        ("kl_estimator", c_char_p),
        ("kl_target", c_double),
        ("kl_horizon", c_double),
        ("max_kl", c_double),
        ("cliprange", c_double),
        ("cliprange_value", c_double),
        ("vf_coef", c_double),
        ("gamma", c_double),
        ("lam", c_double),
        ("whiten_rewards", c_int32),
        ("num_ppo_epochs", c_int32),
        ("num_mini_batches", c_int32),
        ("num_generations", c_int32),
        ("max_completion_length", c_int32),
        ("temperature", c_double),
        ("missing_eos_penalty", c_double),
        ("learning_rate", c_double),
        ("lr_scheduler_type", c_char_p),
        ("warmup_steps", c_double),
        ("weight_decay", c_double),
        ("adam_beta1", c_double),
        ("adam_beta2", c_double),
        ("adam_epsilon", c_double),
        ("optim", c_char_p),
        ("optim_args", c_char_p),
        ("optim_state_dtype", c_char_p),
        ("max_grad_norm", c_double),
        ("per_device_train_batch_size", c_int32),
        ("per_device_eval_batch_size", c_int32),
        ("gradient_accumulation_steps", c_int32),
        ("num_train_epochs", c_double),
        ("max_steps", c_int32),
        ("shuffle", c_int32),
        ("seed", c_uint32),
        ("data_seed", c_int64),
        ("max_length", c_int32),
        ("data_cache", c_char_p),
        ("truncation_mode", c_char_p),
        ("lora_r", c_int32),
        ("lora_alpha", c_double),
        ("lora_dropout", c_double),
        ("lora_target_modules", c_char_p),
        ("use_rslora", c_int32),
        ("init_lora_weights", c_char_p),
        ("disable_dropout", c_int32),
        ("eval_steps", c_int32),
        ("save_steps", c_int32),
        ("save_total_limit", c_int32),
        ("autosave_steps", c_int32),
        ("overwrite_output_dir", c_int32),
        ("gradient_checkpointing", c_int32),
        ("offload", c_char_p),
        ("optimizer_in_backward", c_int32),
        ("precision", c_char_p),
        ("threads", c_int32),
        ("memory_limit_mb", c_int32),
        ("engine", c_char_p),
        ("reproducible_sums", c_int32),
        ("router_aux_loss_coef", c_double),
        ("use_bias_correction_kl", c_int32),
    ]


class GenerationOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("max_new_tokens", c_int32),
        ("temperature", c_double),
        ("top_k", c_int32),
        ("top_p", c_double),
        ("min_p", c_double),
        ("seed", c_uint64),
        ("num_return_sequences", c_int32),
        ("add_special_tokens", c_int32),
        ("precision", c_char_p),
    ]


class FeedbackOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("max_seconds", c_double),
        ("replay", c_double),
        ("min_records", c_int32),
        ("retrain", c_int32),
        ("training", POINTER(TrainOptions)),
    ]


class TokenizerOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("vocabulary_size", c_int32),
        ("minimum_frequency", c_int32),
        ("pre_tokenizer", c_char_p),
        ("chat_template", c_char_p),
        ("bos_token", c_char_p),
        ("eos_token", c_char_p),
        ("pad_token", c_char_p),
        ("special_tokens", POINTER(c_char_p)),
        ("special_token_count", c_size_t),
        ("overwrite", c_int32),
    ]


class ModelShape(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("family", c_char_p),
        ("tokenizer", c_char_p),
        ("vocabulary_size", c_int32),
        ("hidden_size", c_int32),
        ("layers", c_int32),
        ("heads", c_int32),
        ("kv_heads", c_int32),
        ("intermediate_size", c_int32),
        ("context_length", c_int32),
        ("tie_word_embeddings", c_int32),
        ("initializer_range", c_double),
        ("seed", c_uint64),
        ("overwrite", c_int32),
    ]


class ExportOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("adapter", c_char_p),
        ("base", c_char_p),
        ("dtype", c_char_p),
        ("merge", c_int32),
        ("overwrite", c_int32),
    ]


#: What stands for None in TrainOptions.
UNSET = {'num_ppo_epochs': 0, 'num_generations': 0, 'max_completion_length': 0, 'data_seed': -1, 'max_length': 0, 'save_total_limit': 0}

#: Numbers of dpo_loss_type.
LOSS_NUMBERS = {
    "sigmoid": 0, "hinge": 1, "ipo": 2, "exo_pair": 3, "nca_pair": 4, "robust": 5, "bco_pair": 6, "sppo_hard": 7, "aot":
    8, "aot_unpaired": 9, "apo_zero": 10, "apo_down": 11, "discopop": 12, "sft": 13, "sigmoid_norm": 14, "conservative":
    15,
}

#: Numbers of dpo_f_divergence.
DIVERGENCE_NUMBERS = {
    "reverse_kl": 0, "forward_kl": 1, "js_divergence": 2, "alpha_divergence": 3,
}


def generation_options(
    *,
    max_new_tokens: "int" = 128,
    temperature: "float" = 1.0,
    top_k: "int" = 0,
    top_p: "float" = 1.0,
    min_p: "float" = 0.0,
    seed: "int" = 42,
    num_return_sequences: "int" = 1,
    add_special_tokens: "bool" = True,
    precision: "str" = "fp32",
) -> "dict[str, object]":
    """How completions are drawn. Warpers apply in Hugging Face's order: temperature, top-k, top-p, min-p.

    max_new_tokens: Most tokens of a completion. At least 1.
    temperature: Sampling temperature; 0: greedy. At least 0.
    top_k: Sample among so many of the likeliest tokens; 0: all. At least 0.
    top_p: Sample among the likeliest tokens that have this probability together; 1: all. More than 0, at most 1.
    min_p: Leave out tokens less likely than this share of the likeliest one's probability; 0: none. 0 to 1.
    seed: A completion depends on the seed and its indices alone, not on what else is in the batch. At least 0.
    num_return_sequences: Completions of each prompt. 1 to 4096.
    add_special_tokens: Off for prompts that a chat template wrote: they hold their special tokens already.
    precision: Arithmetic of the products with weights; bf16 rounds both factors and reads half the bytes. One of
        "fp32", "bf16".
    """
    return {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "seed": seed,
        "num_return_sequences": num_return_sequences,
        "add_special_tokens": add_special_tokens,
        "precision": precision,
    }


def feedback_options(
    *,
    max_seconds: "Optional[float]" = None,
    replay: "float" = 0.0,
    min_records: "int" = 8,
    retrain: "bool" = False,
) -> "dict[str, object]":
    """How feedback is trained on.

    max_seconds: Stop after so many seconds. What was learned is kept, and the next call goes on. More than 0. None: no
        limit.
    replay: Older records that a session mixes in, drawn at random, for each new one; 1: as many old as new. 0 to 1000.
    min_records: New records to wait for before a session begins. At least 1.
    retrain: Start anew: a new adapter, to which every record is new.
    """
    return {
        "max_seconds": max_seconds,
        "replay": replay,
        "min_records": min_records,
        "retrain": retrain,
    }


def tokenizer_options(
    *,
    vocab_size: "int" = 8192,
    min_frequency: "int" = 2,
    pre_tokenizer: "str" = "gpt2",
    chat_template: "Optional[str]" = None,
    bos_token: "Optional[str]" = None,
    eos_token: "Optional[str]" = None,
    pad_token: "Optional[str]" = None,
    special_tokens: "Sequence[str]" = (),
    overwrite: "bool" = False,
) -> "dict[str, object]":
    """How a byte-level BPE tokenizer is learned from text.

    vocab_size: Tokens, special ones and the 256 bytes included. There are fewer where the text has no more pairs. At
        least 1.
    min_frequency: Pairs that occur less often become no token. At least 0.
    pre_tokenizer: How text is cut into words. One of "gpt2", "smollm", "llama3", "qwen2".
    chat_template: "chatml", or Jinja. chatml also makes <|im_end|> the token that ends answers. None: none.
    bos_token: Begins a sequence. None: <|endoftext|>.
    eos_token: Ends documents and answers. None: <|endoftext|>, with chatml <|im_end|>.
    pad_token: Fills up batches in other programs. None: <|endoftext|>.
    special_tokens: More tokens that are never part of a word, in the order of their ids.
    overwrite: Replace what stands there.
    """
    return {
        "vocabulary_size": vocab_size,
        "minimum_frequency": min_frequency,
        "pre_tokenizer": pre_tokenizer,
        "chat_template": chat_template,
        "bos_token": bos_token,
        "eos_token": eos_token,
        "pad_token": pad_token,
        "special_tokens": special_tokens,
        "overwrite": overwrite,
    }


def shape_options(
    *,
    family: "str" = "llama",
    tokenizer: "Optional[str]" = None,
    vocab_size: "Optional[int]" = None,
    hidden_size: "int" = 256,
    layers: "int" = 4,
    heads: "Optional[int]" = None,
    kv_heads: "Optional[int]" = None,
    intermediate_size: "Optional[int]" = None,
    context_length: "int" = 1024,
    tie_word_embeddings: "bool" = True,
    initializer_range: "float" = 0.02,
    seed: "int" = 42,
    overwrite: "bool" = False,
) -> "dict[str, object]":
    """The sizes of a new model. What is not set follows from the others as the family's models usually have it.

    family: Family of the model, by the model_type of Hugging Face's config.json.
    tokenizer: A directory with tokenizer.json, or a model: the new model gets its tokenizer. None: none.
    vocab_size: Tokens of the vocabulary. At least 1. None: the tokenizer's.
    hidden_size: Width of the hidden states. At least 1.
    layers: Number of blocks. At least 1.
    heads: Attention heads. At least 1. None: one for every 64 of hidden_size.
    kv_heads: Heads of keys and values. At least 1. None: heads.
    intermediate_size: Width of the MLP. At least 1. None: 8/3 of hidden_size, rounded up to a multiple of 32; gpt2: 4
        times hidden_size.
    context_length: Tokens that the model reads at most. At least 1.
    tie_word_embeddings: The head is the token embedding.
    initializer_range: Standard deviation of the weights. At least 0.
    seed: Seed of the weights: equal shapes and seeds give equal files. At least 0.
    overwrite: Replace what stands there.
    """
    return {
        "family": family,
        "tokenizer": tokenizer,
        "vocabulary_size": vocab_size,
        "hidden_size": hidden_size,
        "layers": layers,
        "heads": heads,
        "kv_heads": kv_heads,
        "intermediate_size": intermediate_size,
        "context_length": context_length,
        "tie_word_embeddings": tie_word_embeddings,
        "initializer_range": initializer_range,
        "seed": seed,
        "overwrite": overwrite,
    }


def export_options(
    *,
    adapter: "Optional[str]" = None,
    base: "Optional[str]" = None,
    dtype: "str" = "f32",
    merge: "bool" = False,
    overwrite: "bool" = False,
) -> "dict[str, object]":
    """How a model or adapter is converted.

    adapter: An adapter to put on the model. None: none.
    base: The model of an adapter whose file names it no more. None: the one that the adapter's file names.
    dtype: Number format of the weights. q8_0 is for GGUF models only; HDF5 is always f32. One of "f32", "f16", "bf16",
        "q8_0".
    merge: Add the adapter into the weights.
    overwrite: Replace what stands there.
    """
    return {
        "adapter": adapter,
        "base": base,
        "dtype": dtype,
        "merge": merge,
        "overwrite": overwrite,
    }
