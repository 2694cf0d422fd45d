"""Makes golden/router_loss.json: the auxiliary loss of the routers of every mixture in golden/families, as transformers
computes it over its sequences in one padded batch, each with its own prompt, and its gradients as sketches (make_families.py).

    python Tests/Fixtures/scripts/make_router_loss.py       torch, transformers
"""
import tempfile
from pathlib import Path

from common import GOLDEN, number, numbers, write_json

import torch
import transformers
from golden_families import GoldenFamily, values


def sketch(name, gradient):
    gradient = gradient.double().flatten()
    directions = [torch.tensor(values(f"{k}:{name}", gradient.shape, 0, 1)[1]).double() for k in range(3)]
    return numbers([gradient.norm()] + [gradient @ direction for direction in directions])


def make(name):
    family = GoldenFamily(name)
    with tempfile.TemporaryDirectory() as directory:
        for file, content in family.model().items():
            (Path(directory) / file).write_bytes(content)
        model = getattr(transformers, family.record["config"]["architectures"][0]).from_pretrained(
            directory, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()
    texts = [row["prompt"] + completion for row in family.record["sequences"] for completion in row["completions"]]
    longest = max(map(len, texts))
    tokens = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    loss = model(tokens, attention_mask=mask, output_router_logits=True, use_cache=False).aux_loss
    loss.backward()
    on_disk = {row[0]: torch.tensor(values(*row)[1]).reshape(row[1]) for row in family.record["tensors"]}
    gradients = {}
    for key, parameter in model.named_parameters():
        name = next((name for name, value in on_disk.items() if value.equal(parameter.data)), None)
        if name and parameter.grad is not None:     # not of what is many tensors in files: the experts of most
            gradients[name] = sketch(name, parameter.grad)
    assert any(key.endswith(("gate.weight", "router.weight", "router.layer.weight")) for key in gradients), name
    return {"aux_loss": number(loss), "coefficient": model.config.router_aux_loss_coef, "gradients": gradients}


write_json(GOLDEN / "router_loss.json", {name: make(name) for name in ("olmoe", "qwen3_moe", "granitemoe", "gpt_oss")})
