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

__all__ = [
    "BCOConfig", "CPOConfig", "DPOConfig", "GRPOConfig", "KTOConfig", "LoraConfig", "ORPOConfig", "OnlineDPOConfig",
    "PPOConfig", "PretrainConfig", "RLOOConfig", "RankedConfig", "RewardConfig", "SFTConfig", "UnlikelihoodConfig",
    "describe_options",
]


def describe_options() -> "list[dict[str, Any]]":
    """The option table: name, type, default, choices and help of each option."""
    return json.loads(_native.lib.dpo_train_options_describe())


@dataclass
class _TrainingConfig:
    """Options that every method has."""

    output_dir: str = "trainer_output"
    #: Steps between progress lines and entries of ``state.log_history``. Files get every step.
    logging_steps: int = 10
    disable_tqdm: bool = False

    learning_rate: Optional[float] = None
    lr_scheduler_type: str = "linear"
    warmup_steps: float = 0.0
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0

    per_device_train_batch_size: int = 8
    per_device_eval_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    num_train_epochs: float = 3.0
    max_steps: int = -1
    shuffle: bool = True
    seed: int = 42
    data_seed: Optional[int] = None

    max_length: Optional[int] = 1024
    truncation_mode: str = "keep_start"

    lora_r: int = 0
    lora_alpha: Optional[float] = None
    lora_dropout: float = 0.0
    lora_target_modules: Optional[Union[str, Sequence[str]]] = None
    use_rslora: bool = False
    init_lora_weights: str = "kaiming"
    disable_dropout: bool = True

    eval_steps: int = 0
    save_steps: int = 500
    save_total_limit: Optional[int] = None
    autosave_steps: int = -1
    overwrite_output_dir: bool = False

    gradient_checkpointing: bool = False
    precision: str = "fp32"
    threads: int = 0
    memory_limit_mb: int = 0
    engine: str = "auto"

    _method = ""

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


#: What stands for None in the C struct.
_UNSET = {"num_ppo_epochs": 0, "num_generations": 0, "data_seed": -1, "max_length": 0, "save_total_limit": 0}


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
        if value is None and name in _UNSET:
            value = _UNSET[name]
        elif not isinstance(value, int):
            raise TypeError(f"{name} is {type(value).__name__}, expected int")
        elif name in _UNSET and value <= _UNSET[name]:
            raise errors.InvalidArgumentError(f"{name} is {value}, expected more than {_UNSET[name]}, or None")
        bits = 8 * ctypes.sizeof(kind)
        low, high = (0, 2**bits) if kind is ctypes.c_uint32 else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        if not low <= value < high:
            raise errors.InvalidArgumentError(f"{name} is {value}, which does not fit {bits} bits")
        setattr(options, name, int(value))


@dataclass
class _ReferenceConfig(_TrainingConfig):
    """Options of methods that compare with a reference model."""

    beta: float = 0.1
    reference_free: bool = False
    precompute_ref_log_probs: bool = False
    sync_ref_model: bool = False
    ref_model_mixup_alpha: float = 0.6
    ref_model_sync_steps: int = 512


@dataclass
class _PairLossConfig(_TrainingConfig):
    """Options of the DPO losses."""

    loss_type: Union[str, Sequence[str]] = "sigmoid"
    loss_weights: Optional[Sequence[float]] = None
    beta: float = 0.1
    label_smoothing: float = 0.0
    f_divergence_type: str = "reverse_kl"
    f_alpha_divergence_coef: float = 0.5
    discopop_tau: float = 0.05
    ld_alpha: Optional[float] = None
    use_weighting: bool = False


@dataclass
class DPOConfig(_ReferenceConfig, _PairLossConfig):
    """Options of DPO. ``learning_rate`` None is 1e-6."""

    _method = "dpo"


@dataclass
class RankedConfig(_ReferenceConfig):
    """Options of DPO on ranked answers (Plackett–Luce). ``learning_rate`` None is 1e-6."""

    _method = "ranked"


@dataclass
class SFTConfig(_TrainingConfig):
    """Options of supervised fine-tuning. ``learning_rate`` None is 2e-5."""

    #: "nll" or "dft".
    loss_type: str = "nll"
    completion_only_loss: bool = True
    assistant_only_loss: bool = False
    packing: bool = False

    _method = "sft"


@dataclass
class PretrainConfig(_TrainingConfig):
    """Options of pretraining. ``learning_rate`` None is 5e-4; batches count sequences of ``max_length`` tokens."""

    _method = "pretrain"


@dataclass
class KTOConfig(_ReferenceConfig):
    """Options of KTO, on completions with a thumb up or down. ``learning_rate`` None is 1e-6."""

    #: "kto" or "apo_zero_unpaired".
    loss_type: str = "kto"
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    _method = "kto"


@dataclass
class BCOConfig(_ReferenceConfig):
    """Options of BCO, on completions with a thumb up or down. ``learning_rate`` None is 1e-6."""

    _method = "bco"


@dataclass
class CPOConfig(_TrainingConfig):
    """Options of CPO, SimPO and AlphaPO. ``learning_rate`` None is 1e-6."""

    #: "sigmoid", "hinge", "ipo", "simpo", or "alphapo", which is simpo with ``cpo_alpha`` 0.
    loss_type: str = "sigmoid"
    beta: float = 0.1
    label_smoothing: float = 0.0
    #: Weight of the chosen completions' negative log-likelihood; SimPO has none: 0.
    cpo_alpha: float = 1.0
    simpo_gamma: float = 0.5
    alpha: float = 0.0

    _method = "cpo"


@dataclass
class ORPOConfig(_TrainingConfig):
    """Options of ORPO; ``beta`` is the paper's λ. ``learning_rate`` None is 1e-6."""

    beta: float = 0.1

    _method = "orpo"


@dataclass
class UnlikelihoodConfig(_TrainingConfig):
    """Options of the DPO paper's baseline: log-likelihood of the chosen completion − α · that of the rejected one."""

    unlikelihood_alpha: float = 1.0

    _method = "unlikelihood"


@dataclass
class RewardConfig(_TrainingConfig):
    """Options of a reward model. ``learning_rate`` None is 1e-4; rows longer than ``max_length`` are left out."""

    center_rewards_coefficient: Optional[float] = None

    _method = "reward"


@dataclass
class _RolloutConfig(_TrainingConfig):
    """Options of methods that learn from the policy's own answers. A rollout has ``per_device_train_batch_size`` ×
    ``gradient_accumulation_steps`` rows."""

    max_kl: Optional[float] = 200.0
    num_ppo_epochs: Optional[int] = None
    num_mini_batches: int = 1
    max_completion_length: int = 53
    temperature: Optional[float] = None
    missing_eos_penalty: Optional[float] = None


@dataclass
class PPOConfig(_RolloutConfig):
    """Options of PPO, on prompts that the policy answers itself. ``learning_rate`` None is 3e-6, ``kl_coef`` None is 0.05."""

    kl_coef: Optional[float] = None
    kl_estimator: str = "k1"
    kl_target: Optional[float] = None
    kl_horizon: float = 10000.0
    cliprange: float = 0.2
    cliprange_value: float = 0.2
    vf_coef: float = 0.1
    gamma: float = 1.0
    lam: float = 0.95
    whiten_rewards: bool = False

    _method = "ppo"


@dataclass
class RLOOConfig(_RolloutConfig):
    """Options of RLOO: PPO without a value function, a completion against the others of its prompt. ``learning_rate`` None is
    1e-6, ``num_generations`` None is 2, ``kl_coef`` None is 0.05."""

    num_generations: Optional[int] = None
    kl_coef: Optional[float] = None
    kl_target: Optional[float] = None
    kl_horizon: float = 10000.0
    cliprange: float = 0.2

    _method = "rloo"


@dataclass
class GRPOConfig(_RolloutConfig):
    """Options of GRPO. ``learning_rate`` None is 1e-6, ``num_generations`` None is 8; ``kl_coef``, TRL's beta, is 0 if None."""

    num_generations: Optional[int] = None
    kl_coef: Optional[float] = None
    cliprange: float = 0.2

    _method = "grpo"


@dataclass
class OnlineDPOConfig(_PairLossConfig, _RolloutConfig):
    """Options of online DPO, on the policy's best and worst answer to each prompt. ``learning_rate`` None is 5e-7,
    ``num_generations`` None is 2."""

    num_generations: Optional[int] = None

    _method = "online_dpo"


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


def with_adapter(args: _TrainingConfig, adapter: Any) -> _TrainingConfig:
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
