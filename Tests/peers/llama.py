"""llama.cpp loads the GGUF models and GGUF LoRA adapters that we write, tokenises alike, and its log-probs move as ours do.

With F32 weights and an F32 cache it computes what we compute. On quantised weights it multiplies quantised activations: sums of
about 15 tokens are off by 0.1–0.6 nats, so there the shifts that an adapter brings are compared, not the sums.
"""
import ctypes
from contextlib import contextmanager
from functools import partial

import llama_cpp
import numpy as np
import torch
from make_golden import tokenized
from support import AutoTokenizer, GGUF, SMOLLM2_GGUF, close, dpo, our_sums, random_model, random_pairs, scratch, write_rows

NAMES = ["llama-tied", "llama-untied", "llama-biased", "qwen2", "qwen3", "gpt2"]    # GGUF's "llama" has no sliding window for mistral
GELU_TABLE = 5e-2    # llama.cpp takes GELU from a table of half floats


@contextmanager
def load(path, lora=None):
    model = llama_cpp.Llama(str(path), n_ctx=256, logits_all=True, verbose=False, type_k=0, type_v=0,
                            lora_path=str(lora) if lora else None)
    try:
        yield model
    finally:
        model.close()


SILENT = llama_cpp.llama_log_callback(lambda *_: None)


def logps(path, pairs, lora=None):
    """Log-probs of the tokens of completions after prompts, both as ids, also of a model without tokenizer."""
    llama_cpp.llama_log_set(SILENT, ctypes.c_void_p(0))
    settings = llama_cpp.llama_model_default_params()
    settings.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), settings)
    assert model, f"llama.cpp does not load {path.name}"
    options = llama_cpp.llama_context_default_params()
    options.n_ctx, options.n_batch, options.n_ubatch, options.n_threads, options.n_threads_batch = 256, 128, 64, 1, 1
    options.type_k, options.type_v, options.flash_attn_type, options.swa_full = 0, 0, 0, True    # F32, no flash
    context = llama_cpp.llama_init_from_model(model, options)
    try:
        if lora:
            loaded = llama_cpp.llama_adapter_lora_init(model, str(lora).encode())
            assert loaded, f"llama.cpp does not load {lora.name}"
            adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(loaded)
            assert llama_cpp.llama_set_adapters_lora(context, adapters, 1, (ctypes.c_float * 1)(1.0)) == 0
        rows, result = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model)), []
        for prompt, completion in pairs:
            tokens = prompt + completion
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
            batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
            batch.n_tokens = len(tokens)
            for i, token in enumerate(tokens):
                batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = token, i, 1, 0
                batch.logits[i] = 1
            assert llama_cpp.llama_decode(context, batch) == 0
            logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(context), (len(tokens), rows))
            scores = torch.from_numpy(logits[len(prompt) - 1:-1].copy()).double().log_softmax(-1)
            result.append(scores.gather(-1, torch.tensor(completion)[:, None])[:, 0].tolist())
            llama_cpp.llama_batch_free(batch)
        return result
    finally:
        llama_cpp.llama_free(context)
        llama_cpp.llama_model_free(model)


def their_sums(model, ids):
    """(chosen, rejected) of [(prompt, chosen, rejected)] token ids."""
    result = []
    for prompt, *sides in ids:
        pair = []
        for side in sides:
            model.reset()
            model.eval(prompt + side)
            scores = torch.tensor(np.array(model.scores[:len(prompt) + len(side) - 1])).double().log_softmax(-1)[max(len(prompt) - 1, 0):]
            target = torch.tensor((prompt + side)[1:])[max(len(prompt) - 1, 0):]
            pair.append(float(scores.gather(-1, target[:, None]).sum()))
        result.append(tuple(pair))
    return result


def ids_of(tokenizer, pairs):
    return [tokenized(tokenizer, row) for row in pairs]


def gguf_export(name, seed, dtype, tolerance):
    model, target, pairs = random_model(name, seed), scratch() / f"{name}-llama-{dtype}.gguf", random_pairs(seed + 6, 6)
    dpo("export", model, to="gguf", dtype=dtype, output=target)
    tokenizer, data = AutoTokenizer.from_pretrained(model), write_rows(scratch() / "llama.jsonl", pairs)
    ours = our_sums(target, data)
    with load(target) as theirs:
        close(their_sums(theirs, ids_of(tokenizer, pairs)), ours, tolerance, 1e-4, "log-prob sum")
        for row in pairs:
            text = row["prompt"] + row["chosen"] + "\n\n <|im_end|>1234"
            assert theirs.tokenize(text.encode(), add_bos=True, special=True) == tokenizer(text)["input_ids"], f"tokens of {text!r} differ"


def lora(name, seed):
    """Trained on a GGUF, exported for that very file."""
    base, pairs = GGUF / f"{name}.gguf", random_pairs(seed + 7, 6)
    data, output = write_rows(scratch() / "lora.jsonl", pairs), scratch() / f"{name}-llama"
    targets = ["attn.c_attn", "c_fc"] if name == "gpt2" else ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]
    dpo("train", base, data=data, output_dir=output, max_steps=6, learning_rate=0.02, lr_scheduler_type="constant", lora_r=4, lora_alpha=8,
        lora_target_modules=targets, json=True)
    dpo("export", output / "final.h5", to="gguf-lora", output=scratch() / f"{name}-lora.gguf")
    ours, before = our_sums(base, data, adapter=output / "final.h5"), our_sums(base, data)
    assert max(abs(a - b) for x, y in zip(ours, before) for a, b in zip(x, y)) > 0.5, "training changed nothing"
    ids = [(row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]) for row in dpo("tokenize", base, data=data, json=True)["rows"]]
    with load(base, scratch() / f"{name}-lora.gguf") as theirs:
        close(their_sums(theirs, ids), ours, GELU_TABLE if name == "gpt2" else 5e-3, 1e-4, "log-prob sum")


def smollm2(seed):
    pairs = random_pairs(seed + 8, 6)
    data, output = write_rows(scratch() / "smollm2.jsonl", pairs), scratch() / "smollm2-llama"
    dpo("train", SMOLLM2_GGUF, data=data, output_dir=output, max_steps=4, learning_rate=2e-3, lr_scheduler_type="constant", lora_r=8,
        lora_alpha=16, json=True, per_device_train_batch_size=6)
    dpo("export", output / "final.h5", to="gguf-lora", output=scratch() / "smollm2-lora.gguf")
    before, after = our_sums(SMOLLM2_GGUF, data), our_sums(SMOLLM2_GGUF, data, adapter=output / "final.h5")
    ids = [(row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]) for row in dpo("tokenize", SMOLLM2_GGUF, data=data, json=True)["rows"]]
    with load(SMOLLM2_GGUF) as model:
        their_before = their_sums(model, ids)
    with load(SMOLLM2_GGUF, scratch() / "smollm2-lora.gguf") as model:
        their_after = their_sums(model, ids)
    flat = lambda value: np.array(value).ravel()
    counts = np.array([[len(side) for side in row[1:]] for row in ids]).ravel()
    base, noise = np.abs(flat(before) - flat(their_before)), 0.5 + 0.08 * counts
    assert (base < noise).all(), f"log-prob sums of {counts} tokens without adapter are off by {base.round(2)}"
    ours, theirs = flat(after) - flat(before), flat(their_after) - flat(their_before)
    assert np.abs(ours).max() > 3, f"training moved no sum by more than {np.abs(ours).max():.2f} nats"
    off = np.abs(ours - theirs)
    # A shift is a difference of two sums, each with that noise, which grows with what the adapter changes.
    assert (off < np.sqrt(2) * noise + 0.05 * np.abs(ours)).all() and off.mean() < 1, f"shifts {theirs.round(2)}, expected {ours.round(2)}"
    return f"shifts up to {np.abs(ours).max():.1f} nats, followed within {off.max():.2f}; without adapter within {base.max():.2f}"


def checks(seed):
    for name in NAMES:
        yield f"llama.cpp gguf f32 {name}", partial(gguf_export, name, seed, "f32", GELU_TABLE if name == "gpt2" else 2e-3)
        yield f"llama.cpp gguf lora {name}", partial(lora, name, seed)
    yield "llama.cpp gguf f16 llama-untied", partial(gguf_export, "llama-untied", seed, "f16", 0.3)
    yield "llama.cpp gguf bf16 qwen2", partial(gguf_export, "qwen2", seed, "bf16", 1.0)
    yield "llama.cpp lora on Q4_1 smollm2", partial(smollm2, seed)
