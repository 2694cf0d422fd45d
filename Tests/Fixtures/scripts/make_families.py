"""Makes golden/families/NAME.json: tiny models of many families, proven against transformers (eager, fp32) and
llama.cpp.

    LLAMA_CPP=.../vendor/llama.cpp python Tests/Fixtures/scripts/make_families.py [NAME ...]
                                                            torch, transformers, peft, safetensors, llama_cpp

LLAMA_CPP: the sources that llama-cpp-python 0.3.36 vendors; their converter decides what the GGUF of a family is.

No weights are kept. Value i of tensor NAME is shift + scale * (2u - 1), rounded to float32, with u of a SplitMix64
stream seeded by FNV-1a of NAME (`stream` below). Each file lists

config          config.json as transformers writes it; null where it has no class of the family: then `alike` is that
                of a class which computes the same, whose tensors are listed
version4        the same in the form that most models are published in, mostly that of transformers 4; computes the same
                (asserted)
tensors         [name, shape, shift, scale] of model.safetensors, also of those that a reader passes over
sequences       ids of prompts and completions, the same for most families; `logps`, `entropies`: of the completions
gradients       of sum_c loss_weights[c] * sum_t logps[c][t]: {name: [norm, d0, d1, d2]}, d_k the dot product with
                the values 2u - 1 of the stream of "k:NAME"
greedy          a greedy continuation
adapter         a LoRA by PEFT on the frozen model: its tensors, `logps`, `gradients`. target_modules: what PEFT was
                given; `linear`: what "all-linear" means of the family, where another was given
expert_adapter  the same of gate, up and down of each expert, as PEFT reads them into the tensors of all experts
gguf            what llama.cpp's converter writes: [key, type, value] and [name, shape, source]; null if no GGUF can
                have the model. A source is {"of": tensor}, or {"stack": name} of the tensors with 0, 1, ... for `*`,
                and, in this order, "rows": [from, to]; "permute": heads (rows of halves to neighbours); "qkv_by_head":
                heads (rows [head][q, k, v] to [q, k, v][head]); "regroup": [axis, from, groups, each] (of an axis from
                there on, [group][one][...] to [one][group][...]); "transpose" of the last two axes; "slice": [from,
                to, step] of axis 1, to may be null; "negative_exp": -exp; "add": number. It takes the shape of the
                row. Or it is {"values": [...]}
llama_cpp_config    what llama.cpp computes where that differs, as changes of config; then gguf.logps are
                transformers' of that
llama_cpp       largest difference of log-probs, llama.cpp on that GGUF in F32; `llama_cpp_note`: what differs and why
llama_cpp_gelu  [largest, median] if transformers takes GELU as llama.cpp does: with tanh, of a half, rounded to a
                half. The largest stays large where a value falls on the other side of a rounding
matters         changes of config, each of which moves a log-prob by more than 0.01 (asserted here)
"""
import copy
import ctypes
import json
import logging
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

from common import GOLDEN, number, numbers, write_json

os.environ["TQDM_DISABLE"] = "1"
LLAMA_CPP = Path(os.environ["LLAMA_CPP"])
sys.path[1:1] = [str(LLAMA_CPP), str(LLAMA_CPP / "gguf-py")]

import gguf
import llama_cpp
import numpy as np
import torch
import transformers
from conversion import ModelBase, get_model_class
from conversion.base import ModelType, get_model_architecture
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
VOCABULARY = 96
LOSS_WEIGHTS = [0.7, -0.4, 0.5, -0.9]
TYPES = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "string": 8, "u64": 10}


def stream(name, count):
    """Doubles of [0, 1)."""
    seed = 14695981039346656037
    for byte in name.encode():
        seed = (seed ^ byte) * 1099511628211 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


def tensor(name, shape, shift, scale):
    values = shift + scale * (2 * stream(name, int(np.prod(shape))) - 1)
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def ids(name, count):
    """Ids from 3: 0 is padding, and 1 and 2 stand for the tokens of images."""
    return [3 + int(u * (VOCABULARY - 3)) for u in stream(name, count)]


SEQUENCES = [{"prompt": ids("prompt 0", 9), "completions": [ids("completion 0", 24), ids("completion 1", 22)]},
             {"prompt": ids("prompt 1", 5), "completions": [ids("completion 2", 11), ids("completion 3", 6)]}]
# Longer than the chunks of 64 tokens that torch_chunk_gated_delta_rule computes at once
LONG_SEQUENCES = [{"prompt": ids("prompt 0", 9), "completions": [ids("completion 0", 66), ids("completion 1", 22)]},
                  SEQUENCES[1]]


def internlm2(config, tensors):
    """Its configuration and tensors, from those of Llama: q, k and v are one matrix of rows [kv head][q..., k, v]."""
    groups, width = config["num_key_value_heads"], config["hidden_size"]
    size, native = width // config["num_attention_heads"], {}
    renamed = {"self_attn.o_proj": "attention.wo", "input_layernorm": "attention_norm", "lm_head": "output",
               "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "feed_forward.w1",
               "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2", "embed_tokens": "tok_embeddings"}
    for name, value in tensors.items():
        if "q_proj" in name:
            parts = [tensors[name.replace("q_proj", part)].reshape(groups, -1, size, width)
                     for part in ("q_proj", "k_proj", "v_proj")]
            native[name.replace("self_attn.q_proj", "attention.wqkv")] = torch.cat(parts, 1).reshape(-1, width)
        elif "k_proj" not in name and "v_proj" not in name:
            for old, new in renamed.items():
                name = name.replace(old, new)
            native[name] = value
    return {**config, "model_type": "internlm2", "architectures": ["InternLM2ForCausalLM"]}, native


def minicpm(config, tensors):
    return {**config, "model_type": "minicpm", "architectures": ["MiniCPMForCausalLM"],
            "scale_emb": config["embedding_multiplier"],
            "scale_depth": config["residual_multiplier"] * config["num_hidden_layers"]**0.5,
            "dim_model_base": config["hidden_size"] / config["logits_scaling"]}, tensors


def rope(*changes):
    return [{"rope_parameters": change} for change in changes]


def text(*changes):
    return [{"text_config": change} for change in changes]


SIZES = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2)
SLIDING, FULL = ["sliding_attention"] * 5, ["full_attention"] * 5
GEMMA = dict(head_dim=12, query_pre_attn_scalar=12, sliding_window=8)
PATTERN6 = {"layer_types": ..., "_sliding_window_pattern": ..., "sliding_window_pattern": 6}
GEMMA3 = dict(GEMMA, model_type="gemma3_text", num_hidden_layers=7)
LOCAL = {"rope_type": "default", "rope_theta": 10000.0}
SCALAR = dict(
    matters=[{"query_pre_attn_scalar": 12}], llama_config={"query_pre_attn_scalar": 12},
    note="GGUF has no key of query_pre_attn_scalar: llama.cpp takes head_dim, or embedding length / heads if the "
         "number of layers is that of the 27B model")
GRANITE = dict(model_type="granite", embedding_multiplier=1.7, attention_multiplier=0.6, residual_multiplier=0.6,
               logits_scaling=1.5)
GRANITE_MATTERS = [{"embedding_multiplier": 1.0}, {"attention_multiplier": 8**-0.5}, {"residual_multiplier": 1.0},
                   {"logits_scaling": 1.0}]
MINICPM = dict(model_type="granite", embedding_multiplier=2.0, residual_multiplier=1.4 / 3**0.5, logits_scaling=2.0,
               attention_multiplier=8**-0.5, rms_norm_eps=1e-5, tie_word_embeddings=True)
MINISTRAL = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 8.0, "original_max_position_embeddings": 16,
             "max_position_embeddings": 128, "beta_fast": 1.0, "beta_slow": 0.25, "mscale": 1.0, "mscale_all_dim": 1.0,
             "llama_4_scaling_beta": 0.3}
LONG, ONES = [1.5, 2.0, 3.0, 7.0], [1.0] * 4
LONGROPE = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.2, 1.5, 2.0], "long_factor": LONG}
PHI = dict(model_type="phi3", rope_parameters=LONGROPE)
PHI4 = {"partial_rotary_factor": ..., "rope_scaling": {"type": "longrope", "short_factor": LONGROPE["short_factor"],
                                                       "long_factor": LONG}}
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16}
YARN_MATTERS = rope({"factor": 8.0}, {"original_max_position_embeddings": 64}, {"rope_type": "default"})
LLAMA3 = {"rope_type": "llama3", "rope_theta": 1000.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
PARTIAL = rope({"partial_rotary_factor": 1.0})
NEOX = dict(model_type="gpt_neox", intermediate_size=128)
NEOX4 = {"partial_rotary_factor": ..., "rope_theta": ..., "rope_scaling": ..., "rotary_pct": 0.25,
         "rotary_emb_base": 10000}
STABLE = dict(model_type="stablelm",
              rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25})
QWEN35 = dict(num_hidden_layers=5, head_dim=32, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8,
              linear_value_head_dim=8, linear_conv_kernel_dim=4,
              rope_parameters={"rope_type": "default", "rope_theta": 10000000.0, "partial_rotary_factor": 0.25,
                               "mrope_interleaved": True, "mrope_section": [2, 1, 1]})
QWEN35_ROW = dict(sequences=LONG_SEQUENCES, recurrent=True, zero_norms=True,
                  scales={"linear_attn.norm.weight": (1.0, 0.3), "A_log": (-1.5, 1.5)})
QWEN35_MATTERS = rope({"partial_rotary_factor": 1.0}, {"rope_theta": 100.0})
MTP = {"fc": [32, 64], "norm": [32], "pre_fc_norm_embedding": [32], "pre_fc_norm_hidden": [32],
       **{f"layers.0.{name}": shape for name, shape in {
           "input_layernorm": [32], "post_attention_layernorm": [32], "mlp.gate_proj": [48, 32],
           "mlp.up_proj": [48, 32], "mlp.down_proj": [32, 48], "self_attn.q_proj": [256, 32],
           "self_attn.k_proj": [64, 32], "self_attn.v_proj": [64, 32], "self_attn.o_proj": [32, 128],
           "self_attn.q_norm": [32], "self_attn.k_norm": [32]}.items()}}
LFM2 = dict(model_type="lfm2", num_hidden_layers=5, full_attn_idxs=[2, 4])
S, F = "sliding_attention", "full_attention"
GEMMA4 = dict(
    head_dim=8, global_head_dim=16, sliding_window=8, layer_types=[S, F, S, F, S, S, F], num_hidden_layers=7,
    num_kv_shared_layers=3, hidden_size_per_layer_input=6, vocab_size_per_layer_input=VOCABULARY,
    rope_parameters={"full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25,
                                        "rope_theta": 1000000.0}, "sliding_attention": LOCAL})
GEMMA4_HEADS = {"per_layer_config": ..., "global_head_dim": 16, "num_global_key_value_heads": None}
GEMMA4_MATTERS = [{"sliding_window": 9}, *rope(
    {"full_attention": {"partial_rotary_factor": 1.0}}, {"full_attention": {"rope_theta": 100.0}},
    {"sliding_attention": {"rope_theta": 100.0}})]
GEMMA4_ROW = dict(version4=GEMMA4_HEADS, embedding=0.35, scales={"q_norm.weight": (0.5, 0.2)})
EXPERTS = dict(num_experts_per_tok=2, num_local_experts=6)
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MOE_ROW = dict(experts=2, adapter={"target_modules": ATTENTION})
SHARED = dict(num_experts_per_tok=2, num_experts=6, moe_intermediate_size=24, shared_expert_intermediate_size=48)
SHARED_ROW = dict(
    experts=2, expert_adapter=False, scales={"mlp.gate.weight": (0.0, 1.0), "shared_expert_gate.weight": (0.0, 1.5)})


def shared_keys(prefix, layers, heads):
    """Keys and values of the layers that take those of others: published, but not read."""
    sizes = {layer: GEMMA4["head_dim" if GEMMA4["layer_types"][layer] == S else "global_head_dim"] for layer in layers}
    return {f"{prefix}.{layer}.self_attn.{name}.weight": shape for layer, size in sizes.items()
            for name, shape in {"k_proj": [heads * size, 32], "v_proj": [heads * size, 32], "k_norm": [size]}.items()}


# config: of transformers, over SIZES unless it is `nested`; embedding: scale of embeddings and head; zero_norms: norms
# multiply by 1 + w; scales: of tensors whose name ends so; native: the files that the converter reads, where they are
# others; published: keys that the converter reads but transformers does not keep; version4: what else is other in that
# form, `...` for what is absent; unread: tensors of the files that no class reads; recurrent: has other states than
# keys and values; experts: used of a token; adapter: other settings of the LoRA; expert_adapter: PEFT reads those of
# each expert's layers
FAMILIES = {
    "gemma3": dict(
        config=dict(GEMMA3, rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
                                             "sliding_attention": LOCAL}),
        version4=PATTERN6, zero_norms=True, embedding=0.35,
        matters=[{"sliding_window": 9}, {"sliding_window": 128}, {"layer_types": ["sliding_attention"] * 7},
                 *rope({"full_attention": {"rope_theta": 10000.0}}, {"sliding_attention": {"rope_theta": 1000000.0}})]),
    "gemma2": dict(
        config=dict(GEMMA, model_type="gemma2", attn_logit_softcapping=1.5, final_logit_softcapping=4.0),
        version4={"layer_types": ...}, zero_norms=True, embedding=0.35,
        matters=[{"attn_logit_softcapping": None}, {"final_logit_softcapping": None}, {"sliding_window": 9}]),
    "gemma2-scalar": dict(
        config=dict(GEMMA, model_type="gemma2", query_pre_attn_scalar=6, num_hidden_layers=2),
        zero_norms=True, embedding=0.35, **SCALAR),
    "gemma3-scalar": dict(
        config=dict(GEMMA3, query_pre_attn_scalar=6, num_hidden_layers=2), zero_norms=True, embedding=0.35, **SCALAR),
    "gemma3-nested": dict(
        nested=True,
        config=dict(
            model_type="gemma3", mm_tokens_per_image=1, image_token_index=1, boi_token_index=1, eoi_token_index=2,
            vision_config=dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
                               image_size=4, patch_size=2),
            text_config=dict(SIZES, **GEMMA3, rope_parameters={
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                "sliding_attention": LOCAL})),
        version4=PATTERN6, zero_norms=True, embedding=0.35,
        matters=text({"rope_parameters": {"full_attention": {"factor": 1.0}}}, {"sliding_window": 128})),
    "granite": dict(config=dict(GRANITE, tie_word_embeddings=True), embedding=0.4, matters=GRANITE_MATTERS),
    "granite-biased": dict(config=dict(GRANITE, attention_bias=True, num_hidden_layers=2), matters=GRANITE_MATTERS),
    "smollm3": dict(
        config=dict(model_type="smollm3", num_hidden_layers=5,
                    rope_parameters={"rope_type": "default", "rope_theta": 5000.0}),
        matters=[{"no_rope_layers": [1] * 5}]),
    "qwen3vl": dict(
        nested=True,
        config=dict(
            model_type="qwen3_vl", tie_word_embeddings=True, image_token_id=1, video_token_id=1,
            vision_start_token_id=1, vision_end_token_id=2,
            vision_config=dict(hidden_size=8, intermediate_size=8, depth=1, num_heads=2, patch_size=2,
                               out_hidden_size=32, num_position_embeddings=4, deepstack_visual_indexes=[0]),
            text_config=dict(SIZES, head_dim=12, rope_parameters={
                "rope_type": "default", "rope_theta": 5000000.0, "mrope_interleaved": True,
                "mrope_section": [2, 2, 2]})),
        matters=text({"rope_parameters": {"rope_theta": 10000.0}})),
    "ministral3": dict(
        nested=True,
        config=dict(
            model_type="mistral3", tie_word_embeddings=False, image_token_index=1, spatial_merge_size=1,
            vision_config=dict(model_type="pixtral", hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                               num_attention_heads=2, head_dim=4, image_size=4, patch_size=2),
            text_config=dict(SIZES, model_type="ministral3", head_dim=16, tie_word_embeddings=False,
                             rope_parameters=MINISTRAL)),
        matters=text(*rope({"factor": 4.0}, {"llama_4_scaling_beta": 0.0}, {"original_max_position_embeddings": 32},
                           {"beta_fast": 32.0}, {"beta_slow": 1.0}))),
    "phi3-short": dict(
        config=dict(PHI, max_position_embeddings=512, original_max_position_embeddings=256, sliding_window=64),
        version4=PHI4, matters=rope({"short_factor": ONES}, {"attention_factor": 1.0})),
    "phi3-long": dict(
        config=dict(PHI, original_max_position_embeddings=10),
        version4=PHI4, matters=rope({"long_factor": ONES}, {"attention_factor": 1.0})),
    "phi3-switch": dict(
        config=dict(PHI, original_max_position_embeddings=16, sliding_window=8),
        version4=PHI4, matters=[*rope({"short_factor": ONES}, {"long_factor": ONES}), {"sliding_window": 9}],
        llama_config={"sliding_window": None, "rope_parameters": {"short_factor": LONG}},
        note="transformers takes the long factors if the sequence is longer than the original context, llama.cpp if "
             "its context (at least 256) is; and llama.cpp has no window for phi3"),
    "phi4": dict(config=dict(model_type="phi3", rope_parameters={"rope_type": "default", "rope_theta": 250000.0})),
    "phi4mini": dict(
        config=dict(PHI, original_max_position_embeddings=10, tie_word_embeddings=True, sliding_window=64,
                    rope_parameters=dict(LONGROPE, partial_rotary_factor=0.75, short_factor=[1.0] * 3,
                                         long_factor=[1.0, 1.5, 6.0])),
        embedding=0.4, matters=rope({"long_factor": [1.0] * 3})),
    "llama-yarn": dict(
        config=dict(model_type="llama", rope_parameters=YARN), matters=YARN_MATTERS,
        version4={"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}}),
    "llama-yarn-options": dict(
        config=dict(model_type="llama", head_dim=16, rope_parameters=dict(
            YARN, beta_fast=1.0, beta_slow=0.25, attention_factor=1.5, truncate=False)),
        matters=[*YARN_MATTERS, *rope({"beta_fast": None}, {"beta_slow": None}, {"attention_factor": 1.0},
                                      {"truncate": True})],
        llama_config={"rope_parameters": {"beta_fast": None, "beta_slow": None, "attention_factor": None,
                                          "truncate": True}},
        note="llama.cpp reads yarn_beta_fast and yarn_beta_slow for Grok and Mistral 3 only, and yarn_attn_factor "
             "without using it; truncate has no key"),
    "llama-linear": dict(
        config=dict(model_type="llama", rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}),
        matters=rope({"factor": 1.0})),
    "llama-dynamic": dict(config=dict(model_type="llama", rope_parameters=DYNAMIC)),
    "llama-dynamic-beyond": dict(
        config=dict(model_type="llama", max_position_embeddings=16, rope_parameters=DYNAMIC),
        matters=[*rope({"factor": 2.0}), {"max_position_embeddings": 128}],
        llama_config={"max_position_embeddings": 128}, note="GGUF has no dynamic scaling: llama.cpp rotates unscaled"),
    "llama-longrope": dict(
        config=dict(model_type="llama", original_max_position_embeddings=16, rope_parameters=LONGROPE),
        matters=rope({"short_factor": ONES}, {"long_factor": ONES}, {"attention_factor": 1.0}),
        llama_config={"rope_parameters": {"rope_type": "default"}},
        note="of LlamaForCausalLM the converter writes rope.scaling.type longrope, but no factors or attn_factor"),
    "qwen3-yarn": dict(config=dict(model_type="qwen3", head_dim=16, rope_parameters=YARN), matters=YARN_MATTERS),
    "olmo2": dict(config=dict(model_type="olmo2")),
    "olmo3": dict(
        config=dict(model_type="olmo3", num_hidden_layers=5, sliding_window=8, rope_parameters={
            "full_attention": dict(YARN, rope_theta=500000.0, attention_factor=1.1386294361119891),
            "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0}}),
        version4={"rope_local_base_freq": ...},
        matters=[{"sliding_window": 9}, {"layer_types": SLIDING}, *rope({"full_attention": {"factor": 1.0}})]),
    "exaone4": dict(
        config=dict(model_type="exaone4", sliding_window=None, layer_types=["full_attention"] * 3,
                    tie_word_embeddings=True, rope_parameters=dict(LLAMA3, factor=16.0)),
        embedding=0.4, matters=rope({"rope_type": "default"})),
    "exaone4-hybrid": dict(
        config=dict(model_type="exaone4", sliding_window=8, num_hidden_layers=5),
        version4={"sliding_window_pattern": "LLLG"},
        matters=[{"sliding_window": 9}, {"layer_types": SLIDING}, {"layer_types": FULL}],
        llama_config={"sliding_window": None, "layer_types": FULL},
        note="llama.cpp takes the window, and no rotation without it, for models of 64 layers only (tried: 4e-5)"),
    "hunyuan": dict(
        config=dict(model_type="hunyuan_v1_dense", head_dim=128, max_position_embeddings=32768,
                    tie_word_embeddings=True, rope_parameters=dict(DYNAMIC, factor=1.0, alpha=1000.0)),
        version4={"rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0, "beta_fast": 32, "beta_slow": 1,
                                   "mscale": 1.0, "mscale_all_dim": 1.0}},
        embedding=0.4, matters=rope({"alpha": 1.0})),
    "glm4": dict(config=dict(model_type="glm4", head_dim=8, rms_norm_eps=1e-5), matters=PARTIAL),
    "glm": dict(config=dict(model_type="glm", head_dim=8, rms_norm_eps=1e-5), matters=PARTIAL),
    "cohere2": dict(
        config=dict(model_type="cohere2", num_hidden_layers=5, sliding_window=8, logit_scale=0.5),
        version4={"layer_types": ..., "sliding_window_pattern": 4, "rotary_pct": 1.0}, published={"rotary_pct": 1.0},
        matters=[{"sliding_window": 9}, {"layer_types": SLIDING}, {"layer_types": FULL}, {"logit_scale": 1.0}]),
    "cohere": dict(config=dict(model_type="cohere", logit_scale=0.5), matters=[{"logit_scale": 1.0}]),
    "phi": dict(config=dict(model_type="phi", num_key_value_heads=4, intermediate_size=128), matters=PARTIAL),
    "gpt_neox": dict(
        config=NEOX, version4=NEOX4, published={"rotary_pct": 0.25}, matters=[{"use_parallel_residual": False}]),
    "gpt_neox-sequential": dict(
        config=dict(NEOX, use_parallel_residual=False), version4=NEOX4, published={"rotary_pct": 0.25}),
    "stablelm": dict(config=dict(STABLE, use_qkv_bias=True), matters=PARTIAL),
    "stablelm-parallel": dict(config=dict(STABLE, use_parallel_residual=True)),
    "ernie4_5": dict(
        config=dict(model_type="ernie4_5", head_dim=12,
                    rope_parameters={"rope_type": "default", "rope_theta": 500000.0}),
        embedding=0.4),
    "internlm2": dict(config=dict(model_type="llama"), native=internlm2),
    "minicpm": dict(config=MINICPM, native=minicpm, embedding=0.4),
    "minicpm-longrope": dict(
        config=dict(MINICPM, max_position_embeddings=512,
                    rope_parameters=dict(LONGROPE, original_max_position_embeddings=512)),
        native=minicpm, embedding=0.4, matters=rope({"short_factor": ONES})),
    "internlm3": dict(config=dict(model_type="internlm3", head_dim=8)),
    "seed_oss": dict(config=dict(model_type="seed_oss", head_dim=12, attention_dropout=0.0, residual_dropout=0.0)),
    "arcee": dict(config=dict(model_type="arcee")),
    "apertus": dict(config=dict(model_type="apertus", rope_parameters=dict(LLAMA3, factor=8.0)),
                    scales={"act_fn.beta": (0.5, 0.0), "act_fn.eps": (-1e-6, 0.0)}),
    "starcoder2": dict(
        config=dict(model_type="starcoder2", sliding_window=8), embedding=0.4, matters=[{"sliding_window": 9}],
        llama_config={"sliding_window": None}, note="llama.cpp has no window for starcoder2"),
    "nemotron": dict(config=dict(model_type="nemotron"), zero_norms=True, matters=PARTIAL),
    "olmo": dict(config=dict(model_type="olmo", clip_qkv=1.5), matters=[{"clip_qkv": None}]),
    "gemma": dict(config=dict(model_type="gemma", head_dim=12), zero_norms=True, embedding=0.35),
    "qwen3_5": dict(
        QWEN35_ROW, nested=True,
        config=dict(
            model_type="qwen3_5", tie_word_embeddings=True, image_token_id=1, video_token_id=1, vision_start_token_id=1,
            vision_end_token_id=2,
            vision_config=dict(hidden_size=8, intermediate_size=8, depth=1, num_heads=2, patch_size=2,
                               out_hidden_size=32, num_position_embeddings=4),
            text_config=dict(SIZES, **QWEN35, tie_word_embeddings=True, attn_output_gate=True,
                             full_attention_interval=4, mamba_ssm_dtype="float32", mtp_num_hidden_layers=1,
                             mtp_use_dedicated_embeddings=False)),
        unread={f"mtp.{name}.weight": shape for name, shape in MTP.items()}, embedding=0.4,
        matters=text(*QWEN35_MATTERS)),
    "qwen3_5-text": dict(
        QWEN35_ROW, config=dict(QWEN35, model_type="qwen3_5_text", linear_num_value_heads=6, tie_word_embeddings=False),
        version4={"layer_types": ..., "full_attention_interval": 4}, matters=QWEN35_MATTERS),
    "qwen3_5-equal": dict(
        QWEN35_ROW, config=dict(QWEN35, model_type="qwen3_5_text", linear_num_key_heads=4, num_hidden_layers=4)),
    "qwen3_5-wide": dict(
        QWEN35_ROW, config=dict(QWEN35, model_type="qwen3_5_text", linear_value_head_dim=16, num_hidden_layers=4),
        matters=QWEN35_MATTERS, gguf=False,
        note="llama.cpp has one size of linear heads, of keys and values; no published model has two"),
    "lfm2": dict(
        config=dict(LFM2, intermediate_size=80, block_multiple_of=8), recurrent=True, embedding=0.4,
        version4={"layer_types": ..., "intermediate_size": ..., "block_ff_dim": 80, "tie_word_embeddings": ...,
                  "tie_embedding": True},
        matters=rope({"rope_theta": 100.0})),
    "lfm2-fixed": dict(
        config=dict(LFM2, block_auto_adjust_ff_dim=False, conv_L_cache=4, tie_word_embeddings=False), recurrent=True),
    "gemma4": dict(
        GEMMA4_ROW, nested=True,
        config=dict(
            model_type="gemma4", image_token_id=1, video_token_id=1, audio_token_id=1, boi_token_id=1, eoi_token_id=2,
            boa_token_id=1, eoa_token_index=2,
            vision_config=dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
                               head_dim=4, num_key_value_heads=2, patch_size=2, position_embedding_size=4,
                               pooling_kernel_size=1),
            audio_config=dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, output_proj_dims=8,
                              subsampling_conv_channels=[2, 2], conv_kernel_size=3),
            text_config=dict(SIZES, **GEMMA4, use_double_wide_mlp=True, final_logit_softcapping=4.0)
            | dict(num_key_value_heads=1)),
        unread=shared_keys("model.language_model.layers", (4, 5, 6), 1),
        adapter={"exclude_modules": r".*(vision|visual|multi_modal|audio).*"},
        matters=text(*GEMMA4_MATTERS, {"final_logit_softcapping": None})),
    "gemma4-text": dict(
        GEMMA4_ROW, config=dict(GEMMA4, model_type="gemma4_text", final_logit_softcapping=8.0),
        unread=shared_keys("model.layers", (4, 5, 6), 2), matters=[*GEMMA4_MATTERS, {"num_kv_shared_layers": 0}]),
    "gemma4-equal": dict(
        GEMMA4_ROW | dict(version4=dict(GEMMA4_HEADS, num_global_key_value_heads=1)),
        config=dict(GEMMA4, model_type="gemma4_text", attention_k_eq_v=True, num_global_key_value_heads=1,
                    num_kv_shared_layers=0, hidden_size_per_layer_input=0, final_logit_softcapping=4.0),
        matters=GEMMA4_MATTERS),
    "olmoe": dict(
        MOE_ROW, config=dict(EXPERTS, model_type="olmoe", num_key_value_heads=4),
        matters=[{"norm_topk_prob": True}, {"num_experts_per_tok": 3}, {"clip_qkv": 0.5}]),
    "qwen3_moe": dict(
        MOE_ROW,
        config=dict(EXPERTS, model_type="qwen3_moe", head_dim=16, moe_intermediate_size=24, norm_topk_prob=True),
        version4={"num_local_experts": ..., "num_experts": 6}, scales={"mlp.gate.weight": (0.0, 1.0)},
        matters=[{"norm_topk_prob": False}, {"num_experts_per_tok": 3}]),
    "qwen3_5_moe": dict(
        QWEN35_ROW | SHARED_ROW,
        config=dict(QWEN35 | SHARED, model_type="qwen3_5_moe_text", num_hidden_layers=4),
        scales=QWEN35_ROW["scales"] | SHARED_ROW["scales"] | {"mlp.gate.weight": (0.0, 0.6)},
        version4={"layer_types": ..., "full_attention_interval": 4},
        matters=[*QWEN35_MATTERS, {"num_experts_per_tok": 3}]),
    "qwen2_moe": dict(
        SHARED_ROW, config=dict(SHARED, model_type="qwen2_moe"), version4={"layer_types": ...},
        matters=[{"norm_topk_prob": True}, {"num_experts_per_tok": 3}]),
    "qwen2_moe-window": dict(
        SHARED_ROW, adapter={"target_modules": [*ATTENTION, "gate_proj", "up_proj", "down_proj"]},
        config=dict(SHARED | dict(num_experts=4, shared_expert_intermediate_size=40), model_type="qwen2_moe", use_sliding_window=True,
                    sliding_window=8, max_window_layers=2, qkv_bias=False, norm_topk_prob=True),
        version4={"layer_types": ...}, matters=[{"sliding_window": 9}, {"layer_types": FULL[:3]}], gguf=False,
        note="llama.cpp has no window for qwen2moe, and does not norm the weights of experts"),
    "granitemoe": dict(
        MOE_ROW, config=dict(EXPERTS, **GRANITE | dict(model_type="granitemoe"), tie_word_embeddings=True),
        embedding=0.4,
        scales={"input_linear.weight": (0.0, 0.38), "output_linear.weight": (0.0, 0.31),
                "router.layer.weight": (0.0, 1.0)},
        matters=[*GRANITE_MATTERS, {"num_experts_per_tok": 3}]),
    "granitemoeshared": dict(
        experts=2, adapter={"target_modules": [*ATTENTION, "input_linear", "output_linear"]},
        config=dict(EXPERTS, **GRANITE | dict(model_type="granitemoeshared"), shared_intermediate_size=40,
                    tie_word_embeddings=True),
        embedding=0.4,
        scales={"input_linear.weight": (0.0, 0.38), "output_linear.weight": (0.0, 0.31),
                "router.layer.weight": (0.0, 1.0)},
        matters=[*GRANITE_MATTERS, {"num_experts_per_tok": 3}]),
    "gpt_oss": dict(
        MOE_ROW,
        config=dict(EXPERTS, model_type="gpt_oss", head_dim=16, sliding_window=8, rope_parameters=dict(
            YARN, beta_fast=32.0, beta_slow=1.0, truncate=False)),
        scales={"gate_up_proj": (0.0, 1.5), "down_proj": (0.0, 0.1), "router.weight": (0.0, 0.8)},
        matters=[{"sliding_window": 9}, {"layer_types": FULL[:3]}, {"swiglu_limit": 70.0}, {"num_experts_per_tok": 3},
                 *YARN_MATTERS, *rope({"truncate": True})],
        llama_config={"rope_parameters": {"truncate": True}}, note="truncate has no key: llama.cpp truncates"),
}


def parameters(name, shape, family):
    """Shift and scale: log-probs shall depend on attention, norms and positions, and stay moderate."""
    for suffix, values in family.get("scales", {}).items():
        if name.endswith(suffix):
            return values
    if name.endswith("bias"):
        return 0.0, 0.2
    if len(shape) < 2:
        return (0.0 if family.get("zero_norms") else 1.0), 0.3
    if "embed" in name or "lm_head" in name:
        return 0.0, family.get("embedding", 0.6)
    return 0.0, float(f"{2.15 / max(1, np.prod(shape[1:]))**0.5:.2g}")


def merged(config, change):
    return {**config, **{key: merged(config[key], value) if isinstance(value, dict) else value
                         for key, value in change.items()}}


def version4(config, changes):
    if "text_config" in config:
        return {**config, "text_config": version4(config["text_config"], changes)}
    config = copy.deepcopy(config)
    if "per_layer_config" in config:    # Gemma 4 never had another form of rope_parameters
        return {key: value for key, value in {**config, **changes}.items() if value is not ...}
    parameters = config.pop("rope_parameters")
    scaling = parameters.get("full_attention", parameters)
    config["rope_theta"] = scaling.pop("rope_theta")
    if "sliding_attention" in parameters:
        config["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
    if "partial_rotary_factor" in scaling:
        config["partial_rotary_factor"] = scaling.pop("partial_rotary_factor")
    config["rope_scaling"] = scaling if len(scaling) > 1 else None
    return {key: value for key, value in {**config, **changes}.items() if value is not ...}


def load(config, tensors, directory):
    """The model of a configuration and tensors, by way of the files that Hugging Face would have."""
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    vocabulary = {"model": {"vocab": {str(i): i for i in range(VOCABULARY)}}, "added_tokens": []}
    (directory / "tokenizer.json").write_text(json.dumps(vocabulary))    # the converter counts the tokens of Gemma 3
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    model, info = getattr(transformers, config["architectures"][0]).from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager",
        output_loading_info=True)
    assert not info["unexpected_keys"] and not info["mismatched_keys"], info
    assert all("lm_head" in key or "output" in key for key in info["missing_keys"]), info
    return model.eval()


def log_softmax(model, tokens):
    for module in model.modules():
        if getattr(module, "rope_type", None) == "dynamic":    # else it scales for the longest sequence so far
            module.inv_freq, module.max_seq_len_cached = module.original_inv_freq, module.original_max_seq_len
    return model(torch.tensor([tokens]), use_cache=False).logits[0].log_softmax(-1)


def scores(model, prompt, completion):
    logits = log_softmax(model, prompt + completion)[len(prompt) - 1:-1]
    return logits.gather(-1, torch.tensor(completion)[:, None])[:, 0], -(logits.exp() * logits).sum(-1)


def pairs(sequences):
    return [(row["prompt"], completion) for row in sequences for completion in row["completions"]]


def all_scores(model, sequences):
    with torch.no_grad():
        return [scores(model, *pair) for pair in pairs(sequences)]


def on_disk(parameter, tensors):
    """[name, where in the parameter]: the experts of a layer are one parameter, but mostly many tensors."""
    def name_of(place):
        return next((name for name, value in tensors.items() if value.equal(parameter.data[place])), None)

    if whole := name_of(()):
        return [(whole, ())]
    half, places = parameter.shape[1] // 2, []
    for expert in range(len(parameter)):
        places += [(expert,)] if name_of((expert,)) else [(expert, slice(half)), (expert, slice(half, None))]
    return [(name_of(place), place) for place in places]


def backward(model, sequences):
    model.zero_grad()
    sum(weight * scores(model, *pair)[0].sum() for weight, pair in zip(LOSS_WEIGHTS, pairs(sequences))).backward()


def sketch(name, gradient):
    gradient = gradient.double().flatten()
    return numbers([gradient.norm()] + [
        gradient @ torch.from_numpy(2 * stream(f"{k}:{name}", gradient.numel()) - 1) for k in range(3)])


def gradients(model, names, sequences):
    """`names`: parameter → [name on disk, where in the parameter]."""
    backward(model, sequences)
    return {name: sketch(name, parameter.grad[place]) for key, parameter in model.named_parameters()
            if key in names and parameter.requires_grad and parameter.grad is not None for name, place in names[key]}


def assert_steps(model, tokens):
    """The cache, with recurrent states and those of convolutions, gives what the whole sequence at once gives."""
    with torch.no_grad():
        whole, cache, rows = model(torch.tensor([tokens]), use_cache=False).logits[0], None, []
        for token in tokens:
            output = model(torch.tensor([[token]]), past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            rows.append(output.logits[0, 0])
    shift = float((torch.stack(rows) - whole).abs().max())
    print(f"  token by token: {shift:.2g}")
    assert shift < 1e-3


def assert_clear(model, used, sequences):
    """No expert is chosen by a hair."""
    gaps, hooks = [], []
    for module in model.modules():
        if type(module).__name__.endswith("TopKRouter"):
            hooks.append(module.register_forward_hook(
                lambda _, inputs, output: gaps.append(-output[0].topk(used + 1).values.diff()[:, -1])))
    all_scores(model, sequences)
    for hook in hooks:
        hook.remove()
    print(f"  experts: {min(gap.min() for gap in gaps):.2g}")
    assert min(gap.min() for gap in gaps) > 3e-4


def greedy(model):
    """Of the first prompt with a continuation that is clear, varied and without special tokens."""
    for attempt in range(200):
        prompt = ids(f"greedy {attempt}", 12)
        tokens, logps = [], []
        while len(tokens) < 16:
            with torch.no_grad():
                top = log_softmax(model, prompt + tokens)[-1].topk(2)
            if top.values[0] - top.values[1] < 2e-3 or top.indices[0] < 3:
                break
            tokens.append(int(top.indices[0]))
            logps.append(number(top.values[0]))
        if len(tokens) == 16 and len(set(tokens)) >= 4:
            return {"prompt": prompt, "tokens": tokens, "logps": logps}
    raise ValueError("no prompt has a clear greedy continuation")


def adapter(model, directory, family, sequences):
    options = dict(r=4, lora_alpha=8, target_modules="all-linear", exclude_modules=r".*(vision|visual|multi_modal).*")
    options.update(family.get("adapter", {}))
    linear = sorted({key.split(".")[-1] for key, module in model.named_modules()
                     if isinstance(module, torch.nn.Linear) and key != "lm_head"})
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    adapted.save_pretrained(directory)
    shapes = {key: list(value.shape) for key, value in load_file(directory / "adapter_model.safetensors").items()}
    tensors = [[key, shape, 0.0, 0.3 if "lora_B" in key else 0.5] for key, shape in sorted(shapes.items())]
    values = {row[0]: tensor(*row) for row in tensors}
    names = {key: [(key.replace(".default.", "."), ())] for key, _ in adapted.named_parameters() if "lora_" in key}
    assert {name for [(name, _)] in names.values()} == set(shapes)
    for key, parameter in adapted.named_parameters():
        if key in names:
            parameter.data.copy_(values[names[key][0][0]])
    record = {**options, "tensors": tensors, "logps": [numbers(row[0]) for row in all_scores(adapted, sequences)],
              "gradients": gradients(adapted, names, sequences)}
    if options["target_modules"] != "all-linear":
        record["linear"] = linear
    if "experts" in family:
        assert_clear(adapted, family["experts"], sequences)
    assert set(record["gradients"]) == set(shapes)
    return record


def expert_adapter(config, tensors, directory, family, sequences):
    """With dW of the merged weights W + s B A, dA = s Bᵀ dW and dB = s dW Aᵀ."""
    modules = sorted(name.removesuffix(".weight") for name in tensors if ".experts." in name)
    options = dict(r=4, lora_alpha=8, target_modules=["down_proj", "gate_proj", "up_proj"])
    tensor_rows, scale = [], options["lora_alpha"] / options["r"]
    for module in modules:
        (rows, columns), name = tensors[module + ".weight"].shape, "base_model.model." + module
        tensor_rows += [[name + ".lora_A.weight", [4, columns], 0.0, 0.5], [name + ".lora_B.weight", [rows, 4], 0.0, 0.3]]
    values = {row[0]: tensor(*row) for row in tensor_rows}
    model = load(config, tensors, directory)
    adapted = directory / "adapter"
    adapted.mkdir()
    save_file(values, adapted / "adapter_model.safetensors")
    (adapted / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "task_type": "CAUSAL_LM", **options}))
    logps = [row[0] for row in all_scores(PeftModel.from_pretrained(model, adapted).eval(), sequences)]

    merged_tensors = dict(tensors)
    for module in modules:
        a, b = (values[f"base_model.model.{module}.lora_{which}.weight"] for which in "AB")
        merged_tensors[module + ".weight"] = tensors[module + ".weight"] + scale * b @ a
    model = load(config, merged_tensors, directory)
    assert_clear(model, family["experts"], sequences)
    assert max(float((row[0] - own).abs().max()) for row, own in zip(all_scores(model, sequences), logps)) < 2e-5
    backward(model, sequences)
    record = {}
    for key, parameter in model.named_parameters():
        for name, place in on_disk(parameter, merged_tensors) if ".experts." in key else []:
            name = "base_model.model." + name.removesuffix(".weight")
            a, b = (values[f"{name}.lora_{which}.weight"].double() for which in "AB")
            gradient = scale * parameter.grad[place].double()
            for which, part in (("A", b.T @ gradient), ("B", gradient @ a.T)):
                record[f"{name}.lora_{which}.weight"] = sketch(f"{name}.lora_{which}.weight", part)
    assert set(record) == set(values)
    return {**options, "tensors": tensor_rows, "logps": [numbers(row) for row in logps], "gradients": record}


def permuted(rows, heads):
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def by_head(rows, heads):
    return rows.reshape(heads, 3, rows.shape[0] // heads // 3, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)


def regrouped(value, axis, start, groups, each):
    head, tail = np.split(value, [start], axis)
    split = (*tail.shape[:axis], groups, each, tail.shape[axis] // groups // each, *tail.shape[axis + 1:])
    return np.concatenate([head, tail.reshape(split).swapaxes(axis, axis + 1).reshape(tail.shape)], axis)


def numbered(pattern, tensors):
    return [tensors[name] for i in range(len(tensors)) if (name := pattern.replace("*", str(i))) in tensors]


def from_recipe(source, tensors):
    if "values" in source:
        return np.array(source["values"], dtype=np.float32)
    value = (torch.stack(numbered(source["stack"], tensors)) if "stack" in source else tensors[source["of"]]).numpy()
    if "rows" in source:
        value = value[slice(*source["rows"])]
    if "permute" in source:
        value = permuted(value, source["permute"])
    if "qkv_by_head" in source:
        value = by_head(value, source["qkv_by_head"])
    if "regroup" in source:
        value = regrouped(value, *source["regroup"])
    if "transpose" in source:
        value = value.swapaxes(-1, -2)
    if "slice" in source:
        value = value[:, slice(*source["slice"])]
    if "negative_exp" in source:
        value = -np.exp(value)
    return value + np.float32(source.get("add", 0))


def further_sources(tensors, decoder):
    """Of what only some families have."""
    options = [{}]
    if "linear_num_value_heads" in decoder:
        groups = decoder["linear_num_key_heads"]
        each, keys = decoder["linear_num_value_heads"] // groups, 2 * groups * decoder["linear_key_head_dim"]
        options += [{"regroup": [axis, start, groups, each]} for axis, start in ((0, 0), (0, keys), (1, 0))]
        options += [{**option, "negative_exp": True} for option in options]
    if "num_experts_per_tok" in decoder:
        half = decoder.get("moe_intermediate_size") or decoder["intermediate_size"]
        slices = [{}] + [{"slice": [*ends]} for ends in ((0, half, 1), (half, None, 1), (0, None, 2), (1, None, 2))]
        options += [{**whole, **part} for whole in ({}, {"transpose": True}) for part in slices]
    stacks = sorted({re.sub(r"experts\.\d+\.", "experts.*.", name) for name in tensors if ".experts." in name})
    return [{**base, **option} for base in [{"of": name} for name in tensors] + [{"stack": name} for name in stacks]
            for option in options]


def recipe(value, tensors, decoder):
    """The source that gives a tensor of the converter's."""
    heads = [decoder[key] for key in ("num_attention_heads", "num_key_value_heads")
             if key in decoder and "linear_num_value_heads" not in decoder]
    for name, whole in tensors.items():
        if whole.ndim != value.ndim or whole.shape[1:] != value.shape[1:] or whole.shape[0] < value.shape[0]:
            continue
        for add in (0, 1):
            same = whole.numpy() + np.float32(add) == value[0]
            for start in np.flatnonzero(same.reshape(whole.shape[0], -1).all(1)):
                base = {"of": name}
                if whole.shape[0] != value.shape[0]:
                    base["rows"] = [int(start), int(start) + value.shape[0]]
                for option in [{}, *({key: count} for key in ("permute", "qkv_by_head") for count in heads)]:
                    source = {**base, **option, **({"add": 1} if add else {})}
                    try:
                        if np.array_equal(from_recipe(source, tensors), value):
                            return source
                    except ValueError:
                        continue
    for source in further_sources(tensors, decoder):
        try:
            made = from_recipe(source, tensors)
        except (ValueError, ZeroDivisionError, RuntimeError, IndexError):
            continue
        if made.size == value.size and np.allclose(made.reshape(value.shape), value, atol=0,
                                                   rtol=1e-6 if "negative_exp" in source else 0):
            return source
    assert value.ndim == 1, f"no source of a tensor of shape {value.shape}"
    return {"values": numbers(value)}


def convert(directory, tensors, decoder, published):
    """Metadata and sources of tensors as llama.cpp's converter writes them."""
    kind = get_model_class(get_model_architecture(ModelBase.load_hparams(directory, False), ModelType.TEXT))
    kind.no_mtp = not any("mtp." in name for name in tensors)
    path = directory / "converted.gguf"
    converter = kind(directory, gguf.LlamaFileType.ALL_F32, path, eager=True)
    converter = getattr(converter, "impl", converter)
    converter.hparams.update(published)
    vocabulary = f"{gguf.MODEL_ARCH_NAMES[converter.model_arch]}.vocab_size"

    def no_vocabulary():
        converter.gguf_writer.add_tokenizer_model("none")
        if vocabulary not in converter.gguf_writer.kv_data[0]:
            converter.gguf_writer.add_vocab_size(VOCABULARY)

    converter.set_vocab = no_vocabulary
    converter.write()
    reader = gguf.GGUFReader(path)
    names, metadata = {value: key for key, value in TYPES.items()}, []
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or (key.startswith("general.") and key != "general.architecture"):
            continue
        value, element = field.contents(), names[int(field.types[-1])]
        if element == "f32":
            value = numbers(value) if isinstance(value, list) else number(value)
        metadata.append([key, f"[{element}]" if len(field.types) > 1 else element, value])
    sources = []
    for item in reader.tensors:
        value = np.array(item.data)
        sources.append([item.name, list(value.shape), recipe(value, tensors, decoder)])
    return {"metadata": metadata, "tensors": sources}


def write_gguf(record, tensors, path):
    writer = gguf.GGUFWriter(path, record["metadata"][0][2])
    for key, kind, value in record["metadata"][1:]:
        if kind[0] == "[":
            writer.add_key_value(key, value, gguf.GGUFValueType.ARRAY, sub_type=gguf.GGUFValueType(TYPES[kind[1:-1]]))
        else:
            writer.add_key_value(key, value, gguf.GGUFValueType(TYPES[kind]))
    for name, shape, source in record["tensors"]:
        value = np.ascontiguousarray(from_recipe(source, tensors)).reshape(shape)
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


SILENT = llama_cpp.llama_log_callback(lambda *_: None)
llama_cpp.llama_log_set(SILENT, ctypes.c_void_p(0))


def llama_scores(path, sequences):
    settings = llama_cpp.llama_model_default_params()
    settings.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), settings)
    assert model, "llama.cpp does not load the model"
    options = llama_cpp.llama_context_default_params()
    options.n_ctx, options.n_batch, options.n_ubatch, options.n_threads, options.n_threads_batch = 256, 128, 64, 1, 1
    options.type_k, options.type_v, options.flash_attn_type, options.swa_full = 0, 0, 0, True    # F32, no flash
    context = llama_cpp.llama_init_from_model(model, options)
    result = []
    for tokens in sequences:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, 1
        assert llama_cpp.llama_decode(context, batch) == 0
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(context), (len(tokens), VOCABULARY))
        result.append(torch.from_numpy(logits.copy()).double().log_softmax(-1))
        llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return result


def differences(model, sequences, theirs):
    with torch.no_grad():
        return torch.cat([(log_softmax(model, tokens) - other).abs().flatten()
                          for tokens, other in zip(sequences, theirs)])


class HalfGELU(torch.nn.Module):
    def forward(self, x):
        table = torch.nn.functional.gelu(x.half().float(), approximate="tanh").half().float()
        return torch.where(x <= -10, torch.zeros_like(x), torch.where(x >= 10, x, table))


def half_gelu(model):
    for module in list(model.modules()):
        for name, child in module.named_children():
            if "GELU" in type(child).__name__.upper():
                setattr(module, name, HalfGELU())
    return model


def compare_llama(family, model, record, tensors, directory):
    config = record["config"]
    load(config, tensors, directory)
    if "native" in family:
        own, values = family["native"](config, tensors)
        (directory / "config.json").write_text(json.dumps(own))
        save_file(values, directory / "model.safetensors")
        record["config"], record["alike"] = None, config
    record["gguf"] = convert(directory, tensors, config.get("text_config", config), family.get("published", {}))
    write_gguf(record["gguf"], tensors, directory / "model.gguf")
    if "llama_config" in family:
        record["llama_cpp_config"] = family["llama_config"]
        config = merged(config, family["llama_config"])
        model = load(config, tensors, directory / "other")
        record["gguf"]["logps"] = [numbers(row[0]) for row in all_scores(model, record["sequences"])]
    sequences = [prompt + completion for prompt, completion in pairs(record["sequences"])]
    sequences.append(record["greedy"]["prompt"] + record["greedy"]["tokens"])
    theirs = llama_scores(directory / "model.gguf", sequences)
    shift = differences(model, sequences, theirs)
    record["llama_cpp"] = number(shift.max())
    print(f"  llama.cpp: {shift.max():.2g}, median {shift.median():.2g}")
    if shift.median() > 2e-5:
        shift = differences(half_gelu(load(config, tensors, directory / "other")), sequences, theirs)
        print(f"  llama.cpp with its GELU: {shift.max():.2g}, median {shift.median():.2g}")
        record["llama_cpp_gelu"] = numbers([shift.max(), shift.median()])
        record["llama_cpp_note"] = "llama.cpp takes GELU with tanh, from a table of halves: see llama_cpp_gelu"
    assert shift.max() < 2e-3 and shift.median() < 2e-5, "llama.cpp computes something else"
    if "note" in family:
        record["llama_cpp_note"] = "; ".join(filter(None, (record.get("llama_cpp_note"), family["note"])))


def make(name, directory):
    family = FAMILIES[name]
    options = copy.deepcopy(family["config"])
    if not family.get("nested"):
        known = transformers.CONFIG_MAPPING[options["model_type"]]
        options = {**{key: value for key, value in SIZES.items() if hasattr(known, key)}, **options}
    config = transformers.AutoConfig.for_model(**options)
    mapping = transformers.AutoModelForImageTextToText if family.get("nested") else transformers.AutoModelForCausalLM
    architecture = mapping._model_mapping[type(config)]
    architecture(config).save_pretrained(directory)
    config = json.loads((directory / "config.json").read_text())
    config.pop("transformers_version", None)
    rows = [[key, list(value.shape), *parameters(key, value.shape, family)]
            for key, value in load_file(directory / "model.safetensors").items()]
    rows += [[key, shape, *parameters(key, shape, family)] for key, shape in family.get("unread", {}).items()]
    tensors = {row[0]: tensor(*row) for row in rows}

    model = load(config, tensors, directory)
    sequences = family.get("sequences", SEQUENCES)
    results = all_scores(model, sequences)
    record = {"name": name, "config": config, "tensors": rows, "sequences": sequences,
              "logps": [numbers(row[0]) for row in results], "entropies": [numbers(row[1]) for row in results],
              "loss_weights": LOSS_WEIGHTS}
    assert min(min(row) for row in record["logps"]) > -40 and min(np.mean(row) for row in record["entropies"]) > 0.5
    names = {key: on_disk(parameter, tensors) for key, parameter in model.named_parameters()}
    record["gradients"] = gradients(model, names, sequences)
    record["greedy"] = greedy(model)
    if "experts" in family:
        assert_clear(model, family["experts"], sequences + [
            {"prompt": record["greedy"]["prompt"], "completions": [record["greedy"]["tokens"]]}])
    if family.get("recurrent"):
        assert_steps(model, sum(pairs(sequences)[0], []))

    record["matters"] = family.get("matters", [])
    for change in record["matters"]:
        changed = all_scores(load(merged(config, change), tensors, directory), sequences)
        shift = max(float((row[0] - old[0]).abs().max()) for row, old in zip(changed, results))
        print(f"  {change}: {shift:.2g}")
        assert shift > 0.01, change

    if "native" not in family:
        record["version4"] = version4(config, family.get("version4", {}))
        again = all_scores(load(record["version4"], tensors, directory), sequences)
        assert all(row[0].equal(old[0]) for row, old in zip(again, results)), "version4 computes something else"

    if family.get("gguf", True):
        compare_llama(family, model, record, tensors, directory)
    else:
        record["gguf"], record["llama_cpp_note"] = None, family["note"]
    record["adapter"] = adapter(model, directory / "adapter", family, sequences)
    if any(".experts.0." in key for key in tensors) and family.get("expert_adapter", True):
        record["expert_adapter"] = expert_adapter(config, tensors, directory / "experts", family, sequences)
    path = GOLDEN / "families" / f"{name}.json"
    write_json(path, record)
    assert path.stat().st_size < 120_000, path.stat().st_size


for name in sys.argv[1:] or FAMILIES:
    print(name, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        make(name, Path(scratch))
