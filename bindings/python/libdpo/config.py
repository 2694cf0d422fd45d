"""Options of a training run, under TRL's names and with TRL's defaults (precision is fp32).

Each field stands in the option table of the library (``dpo train --help``; ``describe_options()``). Options that libdpo does
not have raise TypeError, values that it does not serve raise ValueError or NotImplementedError when the trainer is made.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from . import _native, errors
from ._options import UNSET

__all__ = ["LoraConfig", "RunConfig", "describe_options"]


def describe_options() -> "list[dict[str, Any]]":
    """The option table: name, type, default, choices and help of each option."""
    return json.loads(_native.lib.dpo_train_options_describe())


@dataclass
class RunConfig:
    """What every run has beside the options of the library; ``configs`` holds a class for each method."""

    output_dir: str = "trainer_output"
    #: Steps between progress lines and entries of ``state.log_history``, which hold means over them; below 1 a share of the run.
    #: Files get every step.
    logging_steps: float = 10
    disable_tqdm: bool = False

    #: The method that is trained, and whether it learns from answers that the policy draws.
    _method = ""
    _draws = False

    def native(self) -> _native.TrainOptions:
        """The options as the library takes them. The result keeps alive what it points to."""
        options = _native.initialised(_native.TrainOptions, _native.lib.dpo_train_options_init)
        options.method = self._method.encode()
        kinds = dict(_native.TrainOptions._fields_)
        for field in dataclasses.fields(self):
            if field.name == "loss_weights":
                weights = list(self.loss_weights or [])  # type: ignore[attr-defined]
                options.loss_weights = (ctypes.c_double * max(1, len(weights)))(*weights)
                options.loss_weight_count = len(weights)
            elif field.name in kinds:
                _set(options, field.name, kinds[field.name], getattr(self, field.name))
        return options


def _set(options: _native.TrainOptions, name: str, kind: Any, value: Any) -> None:
    if kind is ctypes.c_char_p:
        if value is None or isinstance(value, str):
            text = value
        elif isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
            text = ",".join(value)
        else:
            raise TypeError(f"{name} is {type(value).__name__}, expected str")
        setattr(options, name, None if text is None else _native.text_bytes(text, name))
    elif kind is ctypes.c_double:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise TypeError(f"{name} is {type(value).__name__}, expected a number")
        if value is not None and math.isnan(value):
            raise errors.InvalidArgumentError(f"{name} is NaN")
        setattr(options, name, math.nan if value is None else float(value))
    else:
        if value is None and name in UNSET:
            value = UNSET[name]
        elif not isinstance(value, int):
            raise TypeError(f"{name} is {type(value).__name__}, expected int")
        elif name in UNSET and value <= UNSET[name]:
            raise errors.InvalidArgumentError(f"{name} is {value}, expected more than {UNSET[name]}, or None")
        bits = 8 * ctypes.sizeof(kind)
        low, high = (0, 2**bits) if kind is ctypes.c_uint32 else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        if not low <= value < high:
            raise errors.InvalidArgumentError(f"{name} is {value}, which does not fit {bits} bits")
        setattr(options, name, int(value))


@dataclass
class LoraConfig:
    """A new LoRA adapter, with PEFT's names and defaults; PEFT's own ``LoraConfig`` is taken as well."""

    r: int = 8
    lora_alpha: float = 8
    lora_dropout: float = 0.0
    target_modules: Optional[Union[str, Sequence[str]]] = None
    use_rslora: bool = False
    init_lora_weights: Union[bool, str] = True


#: What PEFT's configuration may say besides, and the values that mean nothing is changed.
_NEUTRAL = {
    "bias": ("none",), "use_dora": (False,), "lora_bias": (False,), "modules_to_save": (None, [], ["score"]),
    "rank_pattern": (None, {}), "alpha_pattern": (None, {}), "layers_to_transform": (None,), "layers_pattern": (None,),
    "layer_replication": (None,), "target_parameters": (None, []), "trainable_token_indices": (None,),
    "exclude_modules": (None, []), "fan_in_fan_out": (False, True), "megatron_config": (None,),
}


def with_adapter(args: RunConfig, adapter: Any) -> RunConfig:
    """``args`` with the adapter that ``peft_config`` asks for."""
    for name, neutral in _NEUTRAL.items():
        value = getattr(adapter, name, neutral[0])
        if value not in neutral:
            raise errors.UnsupportedError(f"peft_config.{name} is {value!r}; libdpo serves {neutral[0]!r} only")
    kinds = {True: "kaiming", "kaiming": "kaiming", "gaussian": "gaussian"}
    initialization = getattr(adapter, "init_lora_weights", True)
    if initialization not in kinds:
        raise errors.UnsupportedError(f"peft_config.init_lora_weights is {initialization!r}; expected True or 'gaussian'")
    targets = adapter.target_modules
    if isinstance(targets, str) and targets != "all-linear" and not targets.replace("_", "").isalnum():
        raise errors.UnsupportedError(f"peft_config.target_modules is the pattern {targets!r}; give a list of names")
    return dataclasses.replace(
        args,
        lora_r=adapter.r,
        lora_alpha=float(adapter.lora_alpha),
        lora_dropout=float(adapter.lora_dropout),
        lora_target_modules=sorted(targets) if isinstance(targets, (set, frozenset)) else targets,
        use_rslora=bool(adapter.use_rslora),
        init_lora_weights=kinds[initialization],
    )
