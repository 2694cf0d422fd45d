"""Makes gguf/llama-iq.gguf, a tiny random model with tensors of every quantisation that gguf-py decodes but (mostly) cannot
make, and golden/quantised.json, what transformers and PEFT compute in double precision from the numbers that gguf-py
decodes: a record as those of make_families.py.

    python Tests/Fixtures/scripts/make_quantised.py        gguf, torch, transformers, peft
"""
from common import GGUF, GOLDEN, number, numbers, write_json
from golden_families import values

import gguf
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

T = gguf.GGMLQuantizationType
VOCABULARY, WIDTH, INNER, HEADS, GROUPS, SIZE, BLOCKS = 96, 256, 64, 4, 2, 16, 2
ROWS = {"attn_q": (HEADS * SIZE, WIDTH), "attn_k": (GROUPS * SIZE, WIDTH), "attn_v": (GROUPS * SIZE, WIDTH),
        "attn_output": (WIDTH, HEADS * SIZE), "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER)}
TYPES = {"blk.0.attn_q": "IQ1_S", "blk.0.attn_k": "IQ1_M", "blk.0.attn_v": "IQ2_XXS", "blk.0.ffn_gate": "IQ2_XS",
         "blk.0.ffn_up": "IQ2_S", "blk.1.attn_q": "IQ3_XXS", "blk.1.attn_k": "IQ3_S", "blk.1.attn_v": "TQ1_0",
         "blk.1.ffn_gate": "TQ2_0", "blk.1.ffn_up": "IQ4_XS", "blk.0.attn_output": "MXFP4", "blk.0.ffn_down": "NVFP4",
         "blk.1.attn_output": "NVFP4", "blk.1.ffn_down": "MXFP4", "token_embd": "IQ3_S", "output": "IQ2_S"}
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
SCALE_AT = {"TQ1_0": 52, "TQ2_0": 64}
random = np.random.default_rng(14)


def blocks_of(kind, shape):
    """Random blocks [rows, bytes] whose numbers have a deviation of about 0.1."""
    elements, size = gguf.GGML_QUANT_SIZES[T[kind]]
    count = shape[0] * shape[1] // elements
    data = random.integers(0, 256, (count, size), dtype=np.uint8)
    if kind == "MXFP4":
        data[:, 0] = random.integers(121, 125, count)
    elif kind == "NVFP4":
        data[:, :4] = random.integers(0x0C, 0x1C, (count, 4))
    else:
        set_scale(kind, data, np.ones(count))
        deviation = gguf.dequantize(data, T[kind]).std()
        set_scale(kind, data, random.uniform(0.05, 0.15, count) / deviation)
    return data.reshape(shape[0], -1)


def set_scale(kind, data, scales):
    halves = scales.astype("<f2").view("<u2")[:, None]
    if kind == "IQ1_M":
        data[:, 49::2] = data[:, 49::2] & 15 | (halves >> [0, 4, 8, 12] & 15).astype(np.uint8) << 4
    else:
        at = SCALE_AT.get(kind, 0)
        data[:, at:at + 2] = halves.view(np.uint8)


def unpermuted(weight, heads):
    """From llama.cpp's order of rows, of neighbours, to that of halves."""
    return weight.reshape(heads, -1, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def hf_name(name):
    top = {"token_embd": "model.embed_tokens", "output": "lm_head", "output_norm": "model.norm"}
    return top.get(name) or f"model.layers.{name.split('.')[1]}.{NAMES[name.split('.')[2]]}"


def write(path):
    """The file; returns what it means to transformers."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(BLOCKS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_key_length(SIZE)
    writer.add_value_length(SIZE)
    writer.add_rope_dimension_count(SIZE)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")
    weights = {}
    shapes = {"token_embd": (VOCABULARY, WIDTH), "output": (VOCABULARY, WIDTH)}
    for block in range(BLOCKS):
        shapes |= {f"blk.{block}.{name}": shape for name, shape in ROWS.items()}
    for name, shape in shapes.items():
        data = blocks_of(TYPES[name], shape)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=T[TYPES[name]])
        weight = gguf.dequantize(data, T[TYPES[name]])
        if name.endswith(("attn_q", "attn_k")):
            weight = unpermuted(weight, HEADS if name.endswith("q") else GROUPS)
        weights[hf_name(name)] = weight
    for name in ["output_norm", *(f"blk.{b}.{n}" for b in range(BLOCKS) for n in ("attn_norm", "ffn_norm"))]:
        weights[hf_name(name)] = random.uniform(0.5, 1.5, WIDTH).astype(np.float32)
        writer.add_tensor(f"{name}.weight", weights[hf_name(name)])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {f"{name}.weight": torch.from_numpy(np.ascontiguousarray(value)) for name, value in weights.items()}


def logits(model, tokens):
    return model(torch.tensor([tokens])).logits[0].log_softmax(-1)


def scores(model, sequences):
    """Log-probs and entropies of the completions."""
    found, entropies = [], []
    for sequence in sequences:
        for completion in sequence["completions"]:
            tokens = sequence["prompt"] + completion
            rows = logits(model, tokens)[len(sequence["prompt"]) - 1:-1]
            found.append(rows.gather(1, torch.tensor(completion)[:, None])[:, 0])
            entropies.append(-(rows.exp() * rows).sum(-1))
    return found, entropies


def greedy(model, prompt, count):
    tokens, logps = list(prompt), []
    for _ in range(count):
        best = logits(model, tokens)[-1].topk(2)
        assert best.values[0] - best.values[1] > 2e-3, "a tie"
        tokens.append(int(best.indices[0]))
        logps.append(float(best.values[0]))
    return {"prompt": prompt, "tokens": tokens[len(prompt):], "logps": numbers(torch.tensor(logps))}


def with_adapter(model, sequences, weights):
    options = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
    tuned = get_peft_model(model, LoraConfig(**options, task_type="CAUSAL_LM")).double()
    record = {**options, "tensors": []}
    trained = {}
    with torch.no_grad():
        for key, parameter in tuned.named_parameters():
            if "lora_" in key:
                name = key.replace(".default", "")
                row = [name, list(parameter.shape), 0.0, 0.1]
                record["tensors"].append(row)
                parameter.copy_(torch.tensor(values(*row)[1].tolist()).reshape(parameter.shape))
                trained[name] = parameter
    found, _ = scores(tuned, sequences)
    sum(weight * one.sum() for weight, one in zip(weights, found)).backward()
    record["logps"] = [numbers(one.detach()) for one in found]
    record["gradients"] = {name: sketch(parameter.grad, name) for name, parameter in trained.items()}
    return record


def sketch(gradient, name):
    flat = gradient.double().flatten()
    directions = (values(f"{k}:{name}", [flat.numel()], 0, 1)[1] for k in range(3))
    return [number(flat.norm()), *(number(flat.numpy() @ np.array(d, dtype=np.float64)) for d in directions)]


def main():
    path = GGUF / "llama-iq.gguf"
    weights = write(path)
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=BLOCKS,
                         num_attention_heads=HEADS, num_key_value_heads=GROUPS, head_dim=SIZE, rms_norm_eps=1e-5,
                         max_position_embeddings=128, tie_word_embeddings=False, attn_implementation="eager")
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(weights)
    model = model.double()
    sequences = [{"prompt": random.integers(3, VOCABULARY, 9).tolist(),
                  "completions": [random.integers(3, VOCABULARY, n).tolist() for n in (24, 22)]},
                 {"prompt": random.integers(3, VOCABULARY, 5).tolist(),
                  "completions": [random.integers(3, VOCABULARY, n).tolist() for n in (11, 6)]}]
    record = {"config": None, "sequences": sequences, "loss_weights": [0.7, -0.4, 0.5, -0.9]}
    with torch.no_grad():
        record["logps"], record["entropies"] = ([numbers(one) for one in found] for found in scores(model, sequences))
        record["greedy"] = greedy(model, random.integers(3, VOCABULARY, 12).tolist(), 12)
    record["adapter"] = with_adapter(model, sequences, record["loss_weights"])
    write_json(GOLDEN / "quantised.json", record)
    print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
