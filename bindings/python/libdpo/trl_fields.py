"""What becomes of each field of TRL 1.16's configs, by options/trl.toml, and the function that reads keywords by that table.

A field that does not stand there is an option of libdpo's config by the same name and with the same meaning.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import warnings
from collections.abc import Callable
from typing import Any, Optional

from . import errors
from ._trl_table import ROWS

__all__ = ["EARLIER", "EVERY_METHOD", "METHODS", "Field", "fields_of", "given_in", "read"]


@dataclasses.dataclass(frozen=True)
class Field:
    """What becomes of a field of TRL's."""

    silent: "tuple[Any, ...]" = ()
    """Values that change nothing here: they are taken without a word."""
    words: str = ""
    """Why another value has no meaning here, or what to say instead of it."""
    refused: bool = False
    """Whether another value is refused; otherwise it is taken with a warning."""
    noted: "tuple[Any, ...]" = ()
    """Values that are taken with a warning all the same."""
    option: str = ""
    """The option here that takes the value."""
    convert: "Optional[Callable[[Any], Any]]" = None
    """Makes the option's value of the field's."""


def _shuffles(strategy: Any) -> bool:
    if strategy not in ("random", "sequential"):
        raise errors.UnsupportedError(
            f"train_sampling_strategy={strategy!r}: expected 'random' or 'sequential'; rows are never padded, so that grouping them "
            "by length saves nothing"
        )
    return strategy == "random"


_CONVERSIONS = {"": None, "shuffles": _shuffles}

EVERY_METHOD: "dict[str, Field]" = {}
"""Fields of every config, from transformers' TrainingArguments."""
METHODS: "dict[str, dict[str, Field]]" = {}
"""Fields of one method's config. TRL 1.16 has none for ppo and bco."""
EARLIER: "dict[str, Field]" = {}
"""Fields that scripts for earlier versions of TRL and transformers set, and TRL 1.16 has no more."""

for _name, _methods, _becomes, _usual, _noted, _why, _option, _convert in ROWS:
    # Whatever a flag says that changes nothing: it is taken without a word.
    _silent = (True, False, None) if _becomes == "nothing" and not _usual else _usual
    _field = Field(_silent, _why, _becomes == "refusal", _noted, _option, _CONVERSIONS[_convert])
    for _method in _methods or ("",):
        _table = {"": EVERY_METHOD, "earlier": EARLIER}.get(_method)
        (METHODS.setdefault(_method, {}) if _table is None else _table)[_name] = _field

#: What None stands for in fields where TRL has it and libdpo another word.
_NONE = {"completion_only_loss": True, "disable_tqdm": False, "eval_steps": 0, "report_to": "none"}

#: Other names of an optimizer: the same rule in another place or by another program.
_OPTIMIZERS = {
    **dict.fromkeys(
        ("adamw_hf", "adamw_torch_xla", "adamw_torch_npu_fused", "adamw_apex_fused", "adamw_anyprecision", "paged_adamw",
         "paged_adamw_32bit"), "adamw_torch"),
    **dict.fromkeys(("adamw_torch_4bit", "adamw_torch_8bit", "paged_adamw_8bit"), "adamw_8bit"),
    "paged_lion_32bit": "lion_32bit", "paged_lion_8bit": "lion_8bit",
}


def fields_of(method: str) -> "dict[str, Field]":
    """The fields that a method's config takes beside its options, by name."""
    return {**EARLIER, **EVERY_METHOD, **METHODS.get(method, {})}


def _plain(value: Any) -> Any:
    """Values of transformers' enums are their names."""
    return value.value if isinstance(value, enum.Enum) else value


def _among(value: Any, values: "tuple[Any, ...]") -> bool:
    """Equal to one of them; True and 1 are not."""
    return any(isinstance(value, bool) == isinstance(each, bool) and value == each for each in values)


def read(kind: type, given: "dict[str, Any]") -> "dict[str, Any]":
    """Keywords of a config under TRL's names, as the config ``kind`` has them. Warns of those that mean nothing here."""
    own = {field.name for field in dataclasses.fields(kind)}
    table = fields_of(kind._method)  # type: ignore[attr-defined]
    values: "dict[str, Any]" = {}
    source: "dict[str, str]" = {}
    for name, value in given.items():
        value, option = _plain(value), name
        field = table.get(name)
        if name in own:
            value = _NONE.get(name, value) if value is None else value
            if name == "optim" and value in _OPTIMIZERS:
                warnings.warn(f"optim={value!r} is {_OPTIMIZERS[value]} here", UserWarning, stacklevel=3)
                value = _OPTIMIZERS[value]
        elif field is None:
            close = difflib.get_close_matches(name, [*own, *table], 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise TypeError(f"{kind.__name__} has no option {name}{hint}")
        elif field.option:
            if value is None:
                continue
            option = field.option
            if option not in own:
                raise TypeError(f"{kind.__name__} has no option {name}")
            value = field.convert(value) if field.convert else value
        else:
            if not _among(value, field.silent):
                if field.refused and not _among(value, field.noted):
                    raise errors.UnsupportedError(f"{name}={value!r}: {field.words}")
                warnings.warn(f"{name}={value!r} has no meaning here: {field.words}", UserWarning, stacklevel=3)
            continue
        if option in values and values[option] != value:
            raise errors.InvalidArgumentError(
                f"{source[option]}={given[source[option]]!r} and {name}={given[name]!r} both set {option}; give one of them"
            )
        values[option], source[option] = value, name
    return values


def given_in(args: Any, kind: type) -> "dict[str, Any]":
    """What a config of TRL or transformers' TrainingArguments sets: what differs from a new one of its class, and of
    TrainingArguments, whose defaults are not TRL's, every option that ``kind`` has."""
    declared = {field.name: field.default for field in dataclasses.fields(args) if field.init}
    fields = list(declared)
    # Some values follow from others, and from the machine.
    kept = (
        "output_dir", "bf16", "fp16", "use_cpu", "per_device_train_batch_size", "gradient_accumulation_steps", "num_generations",
        "gradient_checkpointing",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        standard = type(args)(**{name: getattr(args, name) for name in kept if name in fields})
    options = {field.name for field in dataclasses.fields(kind)}
    found = {}
    for name in fields:
        value = _plain(getattr(args, name))
        same = value == (declared[name] if name in kept else _plain(getattr(standard, name)))
        if not same or (type(args).__name__ == "TrainingArguments" and name in options):
            found[name] = value
    # TRL sets bf16 where nobody says otherwise, and recomputes blocks, which changes no number.
    for name in ("bf16", "use_cpu", "gradient_checkpointing"):
        found.pop(name, None)
    # Where it is not set, TRL does not evaluate.
    found.setdefault("eval_strategy", _plain(getattr(args, "eval_strategy", None)))
    if isinstance(found.get("beta"), list) and len(found["beta"]) == 1:
        found["beta"] = found["beta"][0]
    return found
