"""Makes Tests/Fixtures/gguf/NAME.gguf from Tests/Fixtures/models/NAME as llama.cpp's converter would: its tensor names, its
permutation of the rows of q and k (Llama), its metadata and tokenizer keys; and variants of the Llama models in other
types (BF16, F16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1).

    python Tests/Fixtures/scripts/make_gguf.py            gguf, torch, transformers (reading only)

Mistral is left out: GGUF's "llama" architecture, which llama.cpp uses for it, has no sliding window.
"""
import json
import math

from common import GGUF, MODELS

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM

Q = gguf.GGMLQuantizationType
PRE = {"llama-tied": "llama-bpe", "llama-untied": "smollm", "llama-biased": "llama-bpe", "qwen2": "qwen2", "qwen3": "qwen2", "gpt2": "gpt-2"}
ARCHITECTURES = {"llama-tied": "llama", "llama-untied": "llama", "llama-biased": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gpt2": "gpt2"}
LLAMA_NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
GPT2_NAMES = {"ln_1": "attn_norm", "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
              "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
       "transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm"}


def gguf_name(name):
    path, kind = name.rsplit(".", 1)
    if path in TOP:
        return f"{TOP[path]}.{kind}"
    parts = path.split(".")
    return f"blk.{parts[2]}.{(GPT2_NAMES if parts[0] == 'transformer' else LLAMA_NAMES)['.'.join(parts[3:])]}.{kind}"


def permute(weight, heads):
    """llama.cpp rotates neighbouring rows, transformers rotates halves: [heads, 2, half] → [heads, half, 2]."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def rope_factors(config):
    """Divisors of the frequencies for the `llama3` scaling."""
    rope = config.rope_parameters
    size = config.head_dim
    low, high = (rope["original_max_position_embeddings"] / rope[key] for key in ("low_freq_factor", "high_freq_factor"))
    factors = []
    for i in range(0, size, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (i / size)
        if wavelength < high:
            factors.append(1.0)
        elif wavelength > low:
            factors.append(rope["factor"])
        else:
            smooth = (rope["original_max_position_embeddings"] / wavelength - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"])
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def write(name, path, matrices, embedding=None):
    """`matrices`: type of the matrices, or a list of types that blocks of matrices take in turn."""
    model = AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32)
    config, architecture = model.config, ARCHITECTURES[name]
    tokenizer = json.loads((MODELS / name / "tokenizer.json").read_text())
    settings = json.loads((MODELS / name / "tokenizer_config.json").read_text())
    template = MODELS / name / "chat_template.jinja"
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"tiny random {name}")
    writer.add_type("model")
    writer.add_file_type(0 if matrices == Q.F32 else 1)
    gpt2 = architecture == "gpt2"
    writer.add_block_count(config.n_layer if gpt2 else config.num_hidden_layers)
    writer.add_context_length(config.n_positions if gpt2 else config.max_position_embeddings)
    writer.add_embedding_length(config.n_embd if gpt2 else config.hidden_size)
    writer.add_feed_forward_length(4 * config.n_embd if gpt2 else config.intermediate_size)
    writer.add_head_count(config.n_head if gpt2 else config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    if gpt2:
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_rope_dimension_count(size)
        if config.rope_parameters["rope_type"] == "linear":
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(config.rope_parameters["factor"])
        if size != config.hidden_size // config.num_attention_heads:
            writer.add_key_length(size)
            writer.add_value_length(size)

    tokens = {index: token for token, index in tokenizer["model"]["vocab"].items()}
    kinds = {index: gguf.TokenType.NORMAL for index in tokens}
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    for index in range(config.vocab_size):
        if index not in tokens:
            tokens[index], kinds[index] = f"[PAD{index}]", gguf.TokenType.UNUSED
    ids = {token: index for index, token in tokens.items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE[name])
    writer.add_token_list([tokens[index] for index in range(config.vocab_size)])
    writer.add_token_types([kinds[index] for index in range(config.vocab_size)])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    for key, add in (("bos_token", writer.add_bos_token_id), ("eos_token", writer.add_eos_token_id),
                     ("pad_token", writer.add_pad_token_id)):
        if settings.get(key):
            add(ids[settings[key]])
    writer.add_add_bos_token(name in ("llama-tied", "llama-biased"))
    if template.exists():
        writer.add_chat_template(template.read_text())

    if architecture == "llama" and config.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", rope_factors(config))
    turn = 0
    for hf, tensor in model.state_dict().items():
        if hf == "lm_head.weight" and config.tie_word_embeddings or hf.endswith((".attn.bias", ".attn.masked_bias")):
            continue
        values = tensor.numpy()
        if gpt2 and ".c_" in hf and hf.endswith("weight"):
            values = values.T
        if architecture == "llama" and "q_proj" in hf:
            values = permute(values, config.num_attention_heads)
        if architecture == "llama" and "k_proj" in hf:
            values = permute(values, config.num_key_value_heads)
        values = np.ascontiguousarray(values, dtype=np.float32)
        kind = Q.F32
        if values.ndim == 2 and hf != "transformer.wpe.weight":
            if embedding is not None and ("embed" in hf or "lm_head" in hf):
                kind = embedding
            elif isinstance(matrices, list):
                kind, turn = matrices[turn % len(matrices)], turn + 1
            else:
                kind = matrices
        data = values if kind == Q.F32 else gguf.quantize(values, kind)
        writer.add_tensor(gguf_name(hf), data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(path.name, path.stat().st_size)


def main():
    GGUF.mkdir(exist_ok=True)
    for name in ARCHITECTURES:
        write(name, GGUF / f"{name}.gguf", Q.F32)
    write("llama-untied", GGUF / "llama-untied-q8_0.gguf", Q.Q8_0)
    write("llama-untied", GGUF / "llama-untied-q4_1.gguf", Q.Q4_1, embedding=Q.Q8_0)
    write("llama-tied", GGUF / "llama-tied-mixed.gguf", [Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.F16, Q.BF16], embedding=Q.BF16)
    write("qwen2", GGUF / "qwen2-bf16.gguf", Q.BF16)
    write("qwen3", GGUF / "qwen3-f16.gguf", Q.F16)


if __name__ == "__main__":
    main()
