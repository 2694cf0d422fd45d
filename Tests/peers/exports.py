"""What `dpo export` writes, loaded by transformers, PEFT, h5py and gguf-py: same numbers, same log-probs."""
from functools import lru_cache, partial

import gguf
import h5py
import numpy as np
from peft import PeftModel
from support import AutoTokenizer, NAMES, close, dpo, model_of, our_sums, random_model, random_pairs, scratch, sums, write_rows

TARGETS = {"gpt2": ["c_attn", "c_fc"]}


def pairs_file(seed):
    return write_rows(scratch() / "export.jsonl", random_pairs(seed + 5, 6))


@lru_cache(maxsize=None)
def trained(name, seed, lora):
    """final.h5 of a short run with a large rate, so that it differs from where it began."""
    output = scratch() / f"{name}-export-{lora}"
    flags = dict(lora_r=4, lora_alpha=8, lora_target_modules=TARGETS.get(name, ["q_proj", "k_proj", "down_proj"])) if lora else {}
    dpo("train", random_model(name, seed), data=pairs_file(seed), output_dir=output, max_steps=4, learning_rate=0.02 if lora else 3e-3,
        lr_scheduler_type="constant", json=True, **flags)
    return output / "final.h5"


def changed(ours, name, seed):
    before = our_sums(random_model(name, seed), pairs_file(seed))
    assert max(abs(a - b) for x, y in zip(ours, before) for a, b in zip(x, y)) > 0.05, "training changed nothing"


def safetensors(name, seed, dtype):
    final, target = trained(name, seed, False), scratch() / f"{name}-hf-{dtype}"
    dpo("export", final, to="safetensors", dtype=dtype, output=target)
    tokenizer, data = AutoTokenizer.from_pretrained(target), random_pairs(seed + 5, 6)
    ours = our_sums(target if dtype != "f32" else final, pairs_file(seed))
    close(ours, sums(model_of(target), tokenizer, data), 1e-4, 1e-5, "log-prob sum")
    changed(ours, name, seed)
    original = AutoTokenizer.from_pretrained(random_model(name, seed))
    text = "It's 1234 déjà vu!\n\n 今天 <|im_end|>"
    assert tokenizer(text)["input_ids"] == original(text)["input_ids"], "the exported tokenizer gives other ids"
    assert (tokenizer.eos_token, tokenizer.bos_token, tokenizer.pad_token, tokenizer.chat_template) == (
        original.eos_token, original.bos_token, original.pad_token, original.chat_template), "special tokens or template differ"


def peft(name, seed):
    final, target = trained(name, seed, True), scratch() / f"{name}-peft"
    dpo("export", final, to="peft", output=target)
    model, data = random_model(name, seed), random_pairs(seed + 5, 6)
    ours = our_sums(model, pairs_file(seed), adapter=final)
    theirs = sums(PeftModel.from_pretrained(model_of(model), target).eval(), AutoTokenizer.from_pretrained(model), data)
    close(ours, theirs, 1e-4, 1e-5, "log-prob sum")
    changed(ours, name, seed)


def merged(name, seed):
    final, target = trained(name, seed, True), scratch() / f"{name}-merged"
    dpo("export", final, to="safetensors", merge=True, dtype="f32", output=target)
    ours = our_sums(random_model(name, seed), pairs_file(seed), adapter=final)
    close(sums(model_of(target), AutoTokenizer.from_pretrained(target), random_pairs(seed + 5, 6)), ours, 1e-4, 1e-5, "log-prob sum")


def hdf5(name, seed):
    model, target = random_model(name, seed), scratch() / f"{name}.h5"
    dpo("export", model, to="hdf5", output=target)
    with h5py.File(target) as file:
        for key, value in model_of(model).state_dict().items():
            if key == "lm_head.weight" and key not in file["model"] or key.endswith((".attn.bias", ".attn.masked_bias")):
                continue
            ours, theirs = np.array(file[f"model/{key}"]), value.numpy()
            if ours.shape != theirs.shape:     # GPT-2's Conv1D is stored as [out, in]
                ours = ours.T
            if ours.dtype == np.uint16:        # BF16 bits
                ours = (ours.astype(np.uint32) << 16).view(np.float32)
            assert np.array_equal(ours.astype(np.float32), theirs), f"/model/{key} differs"
    close(our_sums(target, pairs_file(seed)), our_sums(model, pairs_file(seed)), 0, 0, "log-prob sum")


def q8_0(name, seed):
    """Bytes of every Q8_0 block as gguf-py's own quantiser makes them, from the numbers in the F32 file."""
    plain, small = scratch() / f"{name}-f32.gguf", scratch() / f"{name}-q8_0.gguf"
    dpo("export", random_model(name, seed), to="gguf", dtype="f32", output=plain)
    dpo("export", random_model(name, seed), to="gguf", dtype="q8_0", output=small)
    exact = {tensor.name: tensor for tensor in gguf.GGUFReader(plain).tensors}
    blocks = 0
    for tensor in gguf.GGUFReader(small).tensors:
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
            wanted = gguf.quantize(np.array(exact[tensor.name].data, dtype=np.float32), tensor.tensor_type)
            assert np.array_equal(tensor.data, wanted), f"{tensor.name} differs"
            blocks += tensor.data.size // 34
    assert blocks, "no tensor is Q8_0"


def checks(seed):
    for name in NAMES:
        yield f"export safetensors {name}", partial(safetensors, name, seed, "f32")
        yield f"export peft {name}", partial(peft, name, seed)
        yield f"export merged {name}", partial(merged, name, seed)
        yield f"export hdf5 {name}", partial(hdf5, name, seed)
    for dtype in ("bf16", "f16"):
        yield f"export safetensors {dtype} qwen3", partial(safetensors, "qwen3", seed, dtype)
    for name in ("llama-tied", "qwen2", "gpt2"):
        yield f"export q8_0 {name}", partial(q8_0, name, seed)
