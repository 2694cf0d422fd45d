"""Makes golden/expert_parameters.json: of every mixture in golden/families an adapter as PEFT saves it of the parameters that hold
all experts of a block (`target_parameters`), with its log-probs: what adapter_config.json says, and the tensors as [name, shape,
shift, scale] (make_families.py).

    python Tests/Fixtures/scripts/make_expert_parameters.py     torch, transformers, peft
"""
import tempfile
from pathlib import Path

from common import GOLDEN, numbers, write_json

import torch
import transformers
from golden_families import GoldenFamily, values
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

OPTIONS = dict(r=3, lora_alpha=6, target_modules=["q_proj"], rank_pattern={"experts.down_proj": 2},
               alpha_pattern={"experts.down_proj": 5}, target_parameters=["experts.gate_up_proj", "experts.down_proj"])
# Of one of two parameters, with another scale.
OTHERS = {"olmoe": dict(OPTIONS, target_parameters=["experts.down_proj"]), "gpt_oss": dict(OPTIONS, use_rslora=True)}


def make(name):
    family, options = GoldenFamily(name), OTHERS.get(name, OPTIONS)
    with tempfile.TemporaryDirectory() as scratch:
        base, directory = Path(scratch) / "base", Path(scratch) / "adapter"
        base.mkdir()
        for file, content in family.model().items():
            (base / file).write_bytes(content)

        def load():
            return getattr(transformers, family.record["config"]["architectures"][0]).from_pretrained(
                base, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()

        get_peft_model(load(), LoraConfig(task_type="CAUSAL_LM", **options)).save_pretrained(directory)
        shapes = load_file(directory / "adapter_model.safetensors")
        rows = [[key, list(value.shape), 0.0, 0.3 if "lora_B" in key else 0.5] for key, value in sorted(shapes.items())]
        save_file({row[0]: torch.tensor(values(*row)[1]).reshape(row[1]) for row in rows},
                  directory / "adapter_model.safetensors")
        model = PeftModel.from_pretrained(load(), directory).eval()
        plain, logps, shift = load(), [], 0.0
        for sequence in family.record["sequences"]:
            for completion in sequence["completions"]:
                tokens = torch.tensor([sequence["prompt"] + completion])

                def scores(model):
                    with torch.no_grad():
                        rows = model(tokens, use_cache=False).logits[0, len(sequence["prompt"]) - 1:-1].log_softmax(-1)
                    return rows.gather(-1, torch.tensor(completion)[:, None])[:, 0]

                logps.append(numbers(scores(model)))
                shift = max(shift, float((scores(model) - scores(plain)).abs().max()))
        assert shift > 0.1, f"{name}: the adapter changes little: {shift}"
    return {"settings": options, "tensors": rows, "logps": logps}


write_json(GOLDEN / "expert_parameters.json",
           {name: make(name) for name in ("olmoe", "qwen3_moe", "granitemoe", "gpt_oss")})
