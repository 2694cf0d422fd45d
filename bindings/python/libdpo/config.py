"""Options of a training run, under TRL's names and with TRL's defaults (precision is fp32).

Each field stands in the option table of the library (``dpo train --help``; ``describe_options()``). Options that libdpo does
not have raise TypeError, values that it does not serve raise ValueError or NotImplementedError when the trainer is made.
"""

from __future__ import annotations

import ctypes
import dataclasses
import inspect
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from . import _native, errors, trl_fields
from ._options import UNSET

__all__ = ["LoraConfig", "RunConfig", "describe_options"]


def describe_options() -> "list[dict[str, Any]]":
    """The option table: name, type, default, choices and help of each option."""
    return json.loads(_native.lib.dpo_train_options_describe())


#: What a strategy may be.
_STRATEGIES = {
    "logging_strategy": ("no", "steps", "epoch"), "eval_strategy": (None, "no", "steps", "epoch"),
    "save_strategy": ("no", "steps", "epoch", "best"),
}


class _ReadsTRL(type):
    """Makes a config of keywords under TRL's names: see ``trl_fields``."""

    def __call__(cls, *args: Any, **given: Any) -> Any:
        return super().__call__(*args, **trl_fields.read(cls, given))

    @property
    def __signature__(cls) -> inspect.Signature:
        """What help and editors show: the options."""
        own = inspect.signature(cls.__init__)
        return own.replace(parameters=list(own.parameters.values())[1:])


@dataclass
class RunConfig(metaclass=_ReadsTRL):
    """What every run has beside the options of the library; ``configs`` holds a class for each method.

    Every field of TRL 1.16's config for the method is a keyword too. Those that have no meaning here are taken with a warning,
    and others are refused by a sentence that says what to write: docs/from-trl.md lists them.
    """

    output_dir: Optional[str] = "trainer_output"
    """The directory of the run: metrics, checkpoints, final.h5 and report.html. None: trainer_output."""
    logging_strategy: str = "steps"
    """When ``state.log_history`` and ``report_to`` get an entry: "steps", "epoch" or "no". Files get every step."""
    logging_steps: float = 10
    """Steps between progress lines and log entries, which hold means over them; below 1 a share of the run."""
    logging_first_step: bool = False
    """Log the first step as well."""
    report_to: Union[str, Sequence[str]] = "none"
    """Where log entries go: "tensorboard", "wandb", "trackio", a list of them, "all" for those that are installed, or
    "none"."""
    run_name: Optional[str] = None
    """The name of the run for ``report_to``."""
    project: str = "huggingface"
    """The project of the run for Weights & Biases and Trackio."""
    logging_dir: Optional[str] = None
    """Where TensorBoard's files go. None: output_dir/runs. Source: transformers before 5."""
    eval_strategy: Optional[str] = None
    """When to evaluate: "no", "steps" or "epoch". None: as ``eval_steps`` says, at the end of every epoch where it is
    0, if there is an ``eval_dataset``. Source: not in TRL, where None is "no"."""
    eval_delay: float = 0
    """Steps, or with "epoch" epochs, before the first evaluation."""
    eval_on_start: bool = False
    """Evaluate before the first step, too."""
    save_strategy: str = "steps"
    """When to write checkpoints: "steps", "epoch", "no", or "best": when an evaluation is the best so far."""
    load_best_model_at_end: bool = False
    """End with the weights of the best evaluation instead of the last ones."""
    metric_for_best_model: Optional[str] = None
    """The metric that decides which is the best, with or without "eval_". None: loss."""
    greater_is_better: Optional[bool] = None
    """Whether more of it is better. None: unless its name ends with loss."""
    disable_tqdm: bool = False
    """No progress on stderr."""
    distributed: Any = None
    """The ranks that train together: "mpi", an mpi4py communicator, "torch" or a process group of torch.distributed, or a
    ``Communicator``. None: this process alone. Source: not in TRL."""
    ddp_timeout: float = 1800
    """Seconds that a rank may keep the others waiting; a process group of torch has its own."""

    #: The method that is trained, and whether it learns from answers that the policy draws.
    _method = ""
    _draws = False

    def __post_init__(self) -> None:
        if self.output_dir is None:
            self.output_dir = "trainer_output"
        for name, allowed in _STRATEGIES.items():
            value = getattr(self, name)
            if value not in allowed:
                names = ", ".join(str(each) for each in allowed)
                raise errors.InvalidArgumentError(f"{name} is {value!r}, expected one of {names}")

    def to_dict(self) -> "dict[str, Any]":
        """The fields by name, as transformers' TrainingArguments gives them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to_sanitized_dict(self) -> "dict[str, Any]":
        """The same, with text for what is neither number nor text."""
        return {name: value if isinstance(value, (bool, int, float, str)) else str(value) for name, value in self.to_dict().items()}

    def to_json_string(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), indent=2, default=str)

    def native(self) -> _native.TrainOptions:
        """The options as the library takes them. The result keeps alive what it points to."""
        options = _native.initialised(_native.TrainOptions, _native.lib.dpo_train_options_init)
        options.method = self._method.encode()
        kinds = dict(_native.TrainOptions._fields_)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "loss_weights":
                weights = list(value or [])
                options.loss_weights = (ctypes.c_double * max(1, len(weights)))(*weights)
                options.loss_weight_count = len(weights)
            elif field.name in kinds:
                _set(options, field.name, kinds[field.name], self._steps(field.name, value))
        return options

    def _steps(self, name: str, value: Any) -> Any:
        """Steps between evaluations or checkpoints as the library counts them; 0 where the trainer itself decides."""
        if name not in ("eval_steps", "save_steps"):
            return value
        strategy = self.eval_strategy if name == "eval_steps" else self.save_strategy
        if strategy not in (None, "steps"):
            return 0
        if name == "eval_steps" and strategy == "steps" and value == 0:
            value = self.logging_steps
        if isinstance(value, float) and (0 < value < 1 or value.is_integer()):
            return int(value)
        return value


@dataclass
class RewardedConfig:
    """What methods have that reward the policy's own answers."""

    reward_weights: Optional[Sequence[float]] = None
    """Weight of each reward function. None: 1 each."""
    chat_template_kwargs: Optional["dict[str, Any]"] = None
    """What the chat template of every prompt gets to know besides messages."""


@dataclass
class TextConfig:
    """What methods have that learn from text."""

    dataset_text_field: str = "text"
    """The column that holds the text of a row."""


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
    """Rank of the adapter's matrices. At least 1."""
    lora_alpha: float = 8
    """The adapter is scaled by lora_alpha / r. At least 0."""
    lora_dropout: float = 0.0
    """Dropout before the adapter's matrix A; needs disable_dropout off in the config. 0 to 1."""
    target_modules: Optional[Union[str, Sequence[str]]] = None
    """Modules that get an adapter: names such as q_proj, or "all-linear". None: PEFT's choice for the family."""
    use_rslora: bool = False
    """Scale by lora_alpha / √r instead."""
    init_lora_weights: Union[bool, str] = True
    """What the matrix A is drawn from: True or "kaiming", or "gaussian". B starts at 0."""
    task_type: Optional[str] = None
    """PEFT's kind of task. It changes nothing here."""


#: What PEFT's configuration may say besides: the values that mean nothing is changed, and what to do instead of another.
_NEUTRAL: "dict[str, tuple[tuple[Any, ...], str]]" = {
    "bias": (("none",), "biases are not trained; leave it out"),
    "use_dora": ((False,), "DoRA is not served; leave it out, or use_rslora=True with a higher r"),
    "use_qalora": ((False,), "give a quantised GGUF model instead, on which adapters train as they are"),
    "lora_bias": ((False,), "adapters have no biases; leave it out"),
    "modules_to_save": ((None, [], ["score"]), "no module is trained whole beside an adapter; leave it out, or train every weight"),
    "rank_pattern": ((None, {}), "every module has rank r; leave it out"),
    "alpha_pattern": ((None, {}), "every module has lora_alpha; leave it out"),
    "layers_to_transform": ((None,), "every layer gets an adapter; leave it out, or name modules in target_modules"),
    "layers_pattern": ((None,), "every layer gets an adapter; leave it out"),
    "layer_replication": ((None, []), "layers are not repeated; leave it out"),
    "target_parameters": ((None, []), "name modules in target_modules"),
    "trainable_token_indices": ((None, [], {}), "embeddings are not trained beside an adapter; leave it out"),
    "exclude_modules": ((None, []), "name the other modules in target_modules"),
    "fan_in_fan_out": ((False, True), ""),
    "megatron_config": ((None,), "every rank has the whole model; leave it out"),
    "loftq_config": ((None, {}), "give a quantised GGUF model instead"),
}
#: What PEFT's configuration says that changes no number here.
_HARMLESS = {
    "auto_mapping", "base_model_name_or_path", "inference_mode", "megatron_core", "peft_type", "peft_version", "qalora_group_size",
    "revision", "runtime_config", "task_type",
}


def with_adapter(args: RunConfig, adapter: Any) -> RunConfig:
    """``args`` with the adapter that ``peft_config`` asks for."""
    kind = getattr(adapter, "peft_type", "LORA")
    kind = getattr(kind, "value", kind)
    if kind != "LORA" or not hasattr(adapter, "target_modules"):
        raise errors.UnsupportedError(
            f"peft_config is {type(adapter).__name__} ({kind}); LoRA is the only kind of adapter: give a LoraConfig, PEFT's or libdpo's")
    for name, (neutral, words) in _NEUTRAL.items():
        value = getattr(adapter, name, neutral[0])
        if value not in neutral:
            raise errors.UnsupportedError(f"peft_config.{name} is {value!r}: {words}")
    own = {field.name for field in dataclasses.fields(LoraConfig)} | _HARMLESS | set(_NEUTRAL)
    for field in dataclasses.fields(adapter) if dataclasses.is_dataclass(adapter) else ():
        value = getattr(adapter, field.name)
        if field.name not in own and value not in (None, False, field.default):
            raise errors.UnsupportedError(f"peft_config.{field.name} is {value!r}, which libdpo does not have; leave it out")
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
