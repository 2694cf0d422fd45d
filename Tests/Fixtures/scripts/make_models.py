"""Makes Tests/Fixtures/models/NAME, and mixtures/NAME: tiny random models as Hugging Face directories, each with a byte-level
BPE tokenizer trained here under the family's own pre-tokenizer. Weights are drawn large enough that attention,
position and norm matter in the log-probs.

    python Tests/Fixtures/scripts/make_models.py          torch, transformers, tokenizers
"""
import json
import shutil

from common import CORPUS, FIXTURES, MIXTURE, NAMES, place

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig, PreTrainedTokenizerFast,
                          Qwen2Config, Qwen2MoeConfig, Qwen3Config, Qwen3MoeConfig)

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

CHATML = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
          "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
          "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
LLAMA_CHAT = ("{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
              " + message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
              "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
MISTRAL_CHAT = ("{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
                "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
                "{{ ' ' + message['content'] + eos_token }}{% else %}{{ raise_exception('Only user and assistant roles') }}"
                "{% endif %}{% endfor %}")

# pre-tokenizer kind, special tokens, bos, eos, pad, template, whether encoding starts with BOS
TOKENIZERS = {
    "llama-tied": ("llama3", ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
                   "<|begin_of_text|>", "<|end_of_text|>", None, LLAMA_CHAT, True),
    "llama-untied": ("smollm", ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"],
                     "<|im_start|>", "<|im_end|>", "<|im_end|>", CHATML, False),
    "mistral": ("gpt2", ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], "<s>", "</s>", "<unk>", MISTRAL_CHAT, True),
    "qwen2": ("qwen2", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], None, "<|im_end|>", "<|endoftext|>", CHATML, False),
    "qwen3": ("qwen2", ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"],
              None, "<|im_end|>", "<|endoftext|>", CHATML, False),
    "llama-biased": ("llama3", ["<|begin_of_text|>", "<|end_of_text|>"], "<|begin_of_text|>", "<|end_of_text|>", None, None, True),
    "gpt2": ("gpt2", ["<|endoftext|>"], "<|endoftext|>", "<|endoftext|>", None, None, False),
}


# Of the live comparisons alone
SHARED_MIXTURE = "qwen2-moe"
TOKENIZERS[MIXTURE] = TOKENIZERS[SHARED_MIXTURE] = TOKENIZERS["qwen2"]


def make_tokenizer(name):
    kind, specials, bos, eos, pad, template, starts_with_bos = TOKENIZERS[name]
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=kind in ("gpt2", "smollm"))
    if kind == "gpt2":
        tokenizer.pre_tokenizer = byte_level
    elif kind == "smollm":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    else:
        split = pre_tokenizers.Split(Regex(LLAMA3 if kind == "llama3" else QWEN2), behavior="isolated", invert=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    # As released: SmolLM2's and Mistral's special tokens come first, Llama-3's, Qwen's and GPT-2's come last.
    first = kind == "smollm" or name == "mistral"
    trainer = trainers.BpeTrainer(vocab_size=380, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                                  special_tokens=specials if first else [], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    thinking = [token for token in specials if "think>" in token]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in specials if token not in thinking])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in thinking])
    byte_level = processors.ByteLevel(trim_offsets=False)
    if starts_with_bos:
        with_bos = processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1",
                                                 special_tokens=[(bos, tokenizer.token_to_id(bos))])
        tokenizer.post_processor = processors.Sequence([byte_level, with_bos])
    else:
        tokenizer.post_processor = byte_level
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, pad_token=pad,
                                   unk_token="<unk>" if name == "mistral" else None, model_max_length=256,
                                   clean_up_tokenization_spaces=False)
    fast.chat_template = template
    return fast


def make_config(name, tokenizer):
    ids = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    size = dict(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5, **ids)
    if name == "llama-tied":
        rope = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                    original_max_position_embeddings=16)
        return LlamaConfig(**size, rope_parameters=rope, tie_word_embeddings=True)
    if name == "llama-untied":
        return LlamaConfig(**{**size, "num_hidden_layers": 3, "num_key_value_heads": 1}, tie_word_embeddings=False,
                           rope_parameters=dict(rope_type="default", rope_theta=100000.0))
    if name == "llama-biased":    # biases in attention, heads × head_dim ≠ hidden
        return LlamaConfig(**size, attention_bias=True, head_dim=12, tie_word_embeddings=True,
                           rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0))
    if name == "mistral":
        return MistralConfig(**size, head_dim=8, sliding_window=8, tie_word_embeddings=False,
                             rope_parameters=dict(rope_type="default", rope_theta=10000.0))
    if name == "qwen2":     # more rows in the embedding than the tokenizer has tokens, as the released models
        return Qwen2Config(**{**size, "vocab_size": 400, "rms_norm_eps": 1e-6}, tie_word_embeddings=True, use_sliding_window=False,
                           rope_parameters=dict(rope_type="default", rope_theta=1000000.0))
    if name == "qwen3":     # heads × head_dim = 64 ≠ hidden 32
        return Qwen3Config(**{**size, "vocab_size": 392, "rms_norm_eps": 1e-6}, head_dim=16, tie_word_embeddings=False,
                           use_sliding_window=False, rope_parameters=dict(rope_type="default", rope_theta=1000000.0))
    if name == MIXTURE:
        return Qwen3MoeConfig(**size, head_dim=8, moe_intermediate_size=12, num_local_experts=6, num_experts_per_tok=2,
                              norm_topk_prob=True, router_aux_loss_coef=0.3, tie_word_embeddings=True,
                              rope_parameters=dict(rope_type="default", rope_theta=1000000.0))
    if name == SHARED_MIXTURE:
        return Qwen2MoeConfig(**size, moe_intermediate_size=12, shared_expert_intermediate_size=20, num_experts=6,
                              num_experts_per_tok=2, router_aux_loss_coef=0.3, tie_word_embeddings=False,
                              rope_parameters=dict(rope_type="default", rope_theta=1000000.0))
    return GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=256, **ids)


DTYPES = {"mistral": torch.bfloat16, "qwen2": torch.bfloat16, MIXTURE: torch.bfloat16, "qwen3": torch.float16}


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("bias"):
            values = 0.1 * noise
        elif parameter.ndim == 1:
            values = 1 + 0.1 * noise
        else:
            values = noise * (0.35 if "embed" in name or "wte" in name or "lm_head" in name else 0.22)
        parameter.data.copy_(values)


def old_style(config):
    """config.json as transformers 4 wrote it: rope_theta on top, torch_dtype."""
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope["rope_theta"]
    config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.46.0"
    return config


def make(name, directory, seed):
    """Writes a random model of the kind `name` (its configuration, tokenizer and file layout) to `directory`."""
    shutil.rmtree(directory, ignore_errors=True)
    tokenizer = make_tokenizer(name)
    model = AutoModelForCausalLM.from_config(make_config(name, tokenizer), dtype=torch.float32)
    randomise(model, seed)
    model.to(DTYPES.get(name, torch.float32))
    if name == "llama-tied":
        model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|eot_id|>")]
    # Sharded once, so that the index is read as well.
    model.save_pretrained(directory, max_shard_size="60KB" if name == "qwen2" else "5GB")
    tokenizer.save_pretrained(directory)
    if name in ("mistral", "qwen2"):
        path = directory / "config.json"
        path.write_text(json.dumps(old_style(json.loads(path.read_text())), indent=2) + "\n")
    if name in ("mistral", "gpt2") and tokenizer.chat_template:     # the template inside the configuration, as before
        path = directory / "tokenizer_config.json"
        settings = json.loads(path.read_text())
        settings["chat_template"] = tokenizer.chat_template
        path.write_text(json.dumps(settings, indent=2) + "\n")
        (directory / "chat_template.jinja").unlink()
    for path in directory.glob("*.safetensors"):
        path.chmod(0o644)
    return model


def main():
    for index, name in enumerate([*NAMES, MIXTURE]):
        model = make(name, FIXTURES / place(name), 100 + index)
        print(name, sum(parameter.numel() for parameter in model.parameters()))


if __name__ == "__main__":
    main()
