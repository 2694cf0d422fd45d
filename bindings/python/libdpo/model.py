"""Levels 2 and 5: models that score and generate; export between formats."""

from __future__ import annotations

import ctypes
import json
import os
import warnings
from collections.abc import Callable, Sequence
from ctypes import byref, c_char_p, c_double, c_float, c_int32, c_size_t, c_void_p
from dataclasses import dataclass
from typing import Any, Optional, Union

from . import _arrays, _native, errors
from ._options import export_options, generation_options
from ._signatures import takes
from .classifier import TextClassifier
from .configs import DPOConfig
from .hub import local_model

__all__ = ["Completion", "Model", "ModelInfo", "TextScore", "export", "inspect"]

Path = Union[str, "os.PathLike[str]"]
Texts = Union[str, Sequence[str]]


def _texts(texts: Texts) -> "list[str]":
    return [texts] if isinstance(texts, str) else list(texts)


@dataclass(frozen=True)
class ModelInfo:
    """What a model is. ``eos_token`` and ``bos_token`` are None where there is none."""

    architecture: str
    """The family, by the model_type of Hugging Face's config.json."""
    format: str
    """gguf, huggingface or hdf5."""
    parameters: int
    """Numbers in the model, tied ones once."""
    mapped_bytes: int
    """Size of the weights as they lie in the file."""
    vocabulary_size: int
    """Tokens of the vocabulary."""
    hidden_size: int
    """Width of the hidden states."""
    layers: int
    """Number of blocks."""
    context_length: int
    """Tokens that the model reads at most."""
    eos_token: Optional[int]
    """The token that ends a text; None: none."""
    bos_token: Optional[int]
    """The token that begins one; None: none."""
    has_chat_template: bool
    """Whether it can read chat messages."""
    has_adapter: bool
    """Whether an adapter is on it."""
    is_reward_model: bool
    """Whether it scores text and has no log-probs."""


@dataclass(frozen=True)
class TextScore:
    """Log-probability of a completion, summed over its ``tokens`` tokens."""

    logp: float
    """Log-probability in nats, summed over the tokens."""
    tokens: int
    """Tokens of the completion, its EOS included."""


@dataclass(frozen=True)
class Completion:
    """A generated text. ``finish_reason`` is "stop" or "length"."""

    text: str
    """Without special tokens."""
    token_ids: "list[int]"
    """The tokens that were drawn."""
    finish_reason: str
    """stop or length."""


class Model(_native.Handle):
    """A GGUF file, a Hugging Face directory or a libdpo HDF5 file, mapped into memory; or the name of a model on Hugging Face's hub
    that lies in its cache on this machine.

    ``adapter``: a PEFT directory, a libdpo adapter or a GGUF LoRA to put on top. ``threads``: 0 is one a core, and at most that many.
    ``use_mmap=False`` copies the weights into memory, after which the file may be written to. ``engine``: the inner loops to
    compute with, "auto", "avx512", "avx2", "neon", "portable" or "openblas".
    """

    _release = "dpo_model_release"

    def __init__(
        self, path: Path, adapter: Optional[Path] = None, *, threads: int = 0, use_mmap: bool = True,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        path = self.path = local_model(path)
        adapter = self.adapter = None if adapter is None else local_model(adapter)
        self._opened: "dict[str, Any]" = {"threads": threads, "use_mmap": use_mmap, "engine": engine}
        open_model = _native.lib.dpo_model_open if use_mmap else _native.lib.dpo_model_load
        _native.check(
            open_model(
                _native.path_bytes(path), None if adapter is None else _native.path_bytes(adapter), threads,
                byref(self._handle),
            )
        )
        if engine != "auto":
            _native.check(_native.lib.dpo_model_set_engine(self._handle, engine.encode()))

    def _reopened(self, path: Path, adapter: Optional[Path] = None) -> "Model":
        """Another model, opened as this one was."""
        return Model(path, adapter, **self._opened)

    def __repr__(self) -> str:
        return f"Model({self.path!r})" if self.adapter is None else f"Model({self.path!r}, {self.adapter!r})"

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        values = _native.ModelInfo()
        _native.check(_native.lib.dpo_model_get_info(self._handle, byref(values)))
        return ModelInfo(
            architecture=values.architecture.decode(),
            format=values.format.decode(),
            eos_token=None if values.eos_token < 0 else values.eos_token,
            bos_token=None if values.bos_token < 0 else values.bos_token,
            has_chat_template=bool(values.has_chat_template),
            has_adapter=bool(values.has_adapter),
            is_reward_model=bool(values.is_reward_model),
            **{
                name: getattr(values, name)
                for name in ("parameters", "mapped_bytes", "vocabulary_size", "hidden_size", "layers", "context_length")
            },
        )

    # ------------------------------------------------------------------------------------------------------- text

    def encode(self, text: str, *, add_special_tokens: bool = True) -> "list[int]":
        """Token ids of a text."""
        data = text.encode("utf-8")
        count = c_size_t()
        capacity = len(data) + 16
        while True:
            ids = (c_int32 * capacity)()
            _native.check(
                _native.lib.dpo_model_encode(
                    self._handle, data, len(data), bool(add_special_tokens), ids, capacity, byref(count)
                )
            )
            if count.value <= capacity:
                return ids[: count.value]
            capacity = count.value

    def decode(self, ids: Any) -> str:
        """The text of token ids, special tokens included."""
        tokens = _arrays.Input(ids, c_int32, "ids")
        text, size = c_void_p(), c_size_t()
        _native.check(
            _native.lib.dpo_model_decode(self._handle, tokens.pointer, tokens.count, byref(text), byref(size))
        )
        return _native.take_text(text, size.value)

    def apply_chat_template(self, messages: "list[dict[str, Any]]", *, add_generation_prompt: bool = False) -> str:
        """The model's chat template over messages, as text."""
        text, size = c_void_p(), c_size_t()
        _native.check(
            _native.lib.dpo_model_apply_chat_template(
                self._handle, json.dumps(messages).encode(), bool(add_generation_prompt), byref(text), byref(size)
            )
        )
        return _native.take_text(text, size.value)

    def cancel(self) -> None:
        """Ends a running ``generate``, ``score``, ``rewards`` or ``evaluate`` of this model with ``CancelledError``. Any
        thread; Ctrl-C does the same."""
        _native.lib.dpo_model_cancel(self._handle)

    # ----------------------------------------------------------------------------------------------------- scores

    def score(self, prompts: Texts, completions: Texts) -> "list[TextScore]":
        """Log-probability of each completion after its prompt, EOS appended, tokenised as in training. A single text is one of
        each."""
        prompts, completions = _texts(prompts), _texts(completions)
        if len(prompts) != len(completions):
            raise errors.InvalidArgumentError(f"{len(prompts)} prompts for {len(completions)} completions")
        sums, counts = _arrays.Output(len(prompts), c_double), _arrays.Output(len(prompts), c_int32)
        _native.check_interruptibly(
            self.cancel, _native.lib.dpo_model_score_texts,
            self._handle, _native.string_array(list(prompts), "a prompt"),
            _native.string_array(list(completions), "a completion"), len(prompts), sums.pointer, counts.pointer,
        )
        return [TextScore(float(logp), int(tokens)) for logp, tokens in zip(sums.values, counts.values)]

    def score_tokens(
        self, prompts: "Sequence[Any]", completions: "Sequence[Any]", completion_prompts: "Sequence[int] | None" = None
    ) -> "tuple[Any, list[Any]]":
        """Log-probabilities of completions given as token ids.

        Completion j continues prompt ``completion_prompts[j]`` (default: prompt j); a prompt is computed once for all its
        completions. Returns the sums, and for each completion the log-prob of each token. The first token after an
        empty prompt is not predicted by anything and counts 0.
        """
        if completion_prompts is None:
            if len(prompts) != len(completions):
                raise errors.InvalidArgumentError(f"{len(prompts)} prompts for {len(completions)} completions")
            completion_prompts = range(len(prompts))
        elif len(completion_prompts) != len(completions):
            raise errors.InvalidArgumentError(
                f"{len(completion_prompts)} completion_prompts for {len(completions)} completions"
            )
        prompt_ids, prompt_lengths = _arrays.flattened(list(prompts), "prompts")
        ids, lengths = _arrays.flattened(list(completions), "completions")
        parents = _arrays.Input(list(completion_prompts), c_size_t, "completion_prompts")
        sums, tokens = _arrays.Output(len(completions), c_double), _arrays.Output(ids.count, c_float)
        _native.check_interruptibly(
            self.cancel, _native.lib.dpo_model_score_tokens,
            self._handle, prompt_ids.pointer, prompt_lengths.pointer, len(prompts), ids.pointer, lengths.pointer,
            parents.pointer, len(completions), tokens.pointer, sums.pointer,
        )
        each, start = [], 0
        for completion in completions:
            each.append(tokens.values[start : start + len(completion)])
            start += len(completion)
        return sums.values, each

    def rewards(self, prompts: Texts, completions: Texts) -> "list[float]":
        """A reward model's score of each completion after its prompt, EOS appended, tokenised as in training. A single text is one
        of each."""
        prompts, completions = _texts(prompts), _texts(completions)
        if len(prompts) != len(completions):
            raise errors.InvalidArgumentError(f"{len(prompts)} prompts for {len(completions)} completions")
        rewards = _arrays.Output(len(prompts), c_double)
        _native.check_interruptibly(
            self.cancel, _native.lib.dpo_model_reward_texts,
            self._handle, _native.string_array(list(prompts), "a prompt"),
            _native.string_array(list(completions), "a completion"), len(prompts), rewards.pointer,
        )
        return [float(reward) for reward in rewards.values]

    def reward_tokens(self, prompts: "Sequence[Any]", completions: "Sequence[Any]") -> "list[float]":
        """The same of token ids: completion j continues prompt j."""
        if len(prompts) != len(completions):
            raise errors.InvalidArgumentError(f"{len(prompts)} prompts for {len(completions)} completions")
        prompt_ids, prompt_lengths = _arrays.flattened(list(prompts), "prompts")
        ids, lengths = _arrays.flattened(list(completions), "completions")
        parents = _arrays.Input(list(range(len(completions))), c_size_t, "completion_prompts")
        rewards = _arrays.Output(len(completions), c_double)
        _native.check_interruptibly(
            self.cancel, _native.lib.dpo_model_reward_tokens,
            self._handle, prompt_ids.pointer, prompt_lengths.pointer, len(prompts), ids.pointer, lengths.pointer,
            parents.pointer, len(completions), rewards.pointer,
        )
        return [float(reward) for reward in rewards.values]

    # ------------------------------------------------------------------------------------------------- generation

    @takes(generation_options)
    def generate(
        self,
        prompts: Texts,
        *,
        on_token: "Callable[[int, int, int, str], object] | None" = None,
        **options: Any,
    ) -> "list[list[Completion]]":
        """Completions of each prompt.

        ``on_token(prompt, completion, token, text)`` sees each token as it is made; returning a true value stops.
        """
        texts = _texts(prompts)
        drawing = _generation_options(options)
        raised: "list[BaseException]" = []

        def token(prompt: int, completion: int, token: int, text: bytes, _: object) -> int:
            try:
                return 1 if on_token(prompt, completion, token, text.decode("utf-8", "replace")) else 0  # type: ignore[misc]
            except BaseException as error:  # carried over the C frames
                raised.append(error)
                return 1

        result = c_void_p()
        callback = _native.TokenCallback() if on_token is None else _native.TokenCallback(token)
        arguments = (
            self._handle, _native.string_array(texts, "a prompt"), len(texts), byref(drawing), callback, None, byref(result)
        )
        try:
            if on_token is None:
                _native.check_interruptibly(self.cancel, _native.lib.dpo_model_generate, *arguments)
            else:  # on_token is called on this thread
                with _native.interrupts(self.cancel) as interrupted:
                    status = _native.lib.dpo_model_generate(*arguments)
                if interrupted:
                    raise KeyboardInterrupt
                if raised:
                    raise raised[0]
                _native.check(status)
            return [
                [self._completion(result, prompt, index) for index in range(drawing.num_return_sequences)]
                for prompt in range(len(texts))
            ]
        finally:
            _native.lib.dpo_completions_release(result)

    @takes(generation_options, without=("num_return_sequences", "add_special_tokens", "precision"))
    def evaluate(
        self,
        data: Path,
        args: "Any | None" = None,
        *,
        reference: "Optional[Model]" = None,
        samples: int = 0,
        judge: "Union[TextClassifier, Model, None]" = None,
        **options: Any,
    ) -> "dict[str, Any]":
        """Metrics on pairs of a JSON-lines file by TRL's names, their ``"standard_errors"``, and with ``samples`` answers drawn
        to each prompt ``"samples"``: their KL from ``reference`` in nats, and how often ``judge``, a classifier or a reward
        model, prefers them to the chosen ones. dpo.h tells every key.

        ``args``: a DPOConfig or another config. ``reference``: None is this model without its adapter.
        """
        rows = (DPOConfig() if args is None else args).native()
        drawn = _generation_options(options | {"num_return_sequences": samples}) if samples else None
        if not samples:
            generation_options(**options)  # a name that does not exist is an error all the same
        handles = {TextClassifier: None, Model: None}
        if judge is not None:
            if type(judge) not in handles:
                raise TypeError(f"judge is {type(judge).__name__}, expected a TextClassifier or a Model")
            handles[type(judge)] = judge._handle
        text = c_void_p()
        _native.check_interruptibly(
            self.cancel, _native.lib.dpo_model_evaluate,
            self._handle, None if reference is None else reference._handle, _native.path_bytes(data), byref(rows),
            None if drawn is None else byref(drawn), handles[TextClassifier], handles[Model], byref(text),
        )
        return json.loads(_native.take_text(text))

    @staticmethod
    def _completion(result: c_void_p, prompt: int, index: int) -> Completion:
        text, ids, count, stopped = c_char_p(), ctypes.POINTER(c_int32)(), c_size_t(), c_int32()
        _native.check(
            _native.lib.dpo_completions_get(
                result, prompt, index, byref(text), byref(ids), byref(count), byref(stopped)
            )
        )
        return Completion(
            (text.value or b"").decode("utf-8", "replace"), ids[: count.value], "stop" if stopped.value else "length"
        )


def _generation_options(values: "dict[str, Any]") -> _native.GenerationOptions:
    return _native.filled(  # type: ignore[return-value]
        _native.GenerationOptions, _native.lib.dpo_generation_options_init, generation_options(**values)
    )


def inspect(path: Path) -> "dict[str, Any]":
    """What a model, adapter, checkpoint or data file holds."""
    text = c_void_p()
    _native.check(_native.lib.dpo_inspect(_native.path_bytes(path), byref(text)))
    return json.loads(_native.take_text(text))


_FORMATS = {"hdf5": 0, "safetensors": 1, "gguf": 2, "peft": 3, "gguf-lora": 4}


@takes(export_options)
def export(
    source: Path,
    to: str,
    output: Path,
    *,
    check: Optional[Path] = None,
    reference: Optional[Path] = None,
    **options: Any,
) -> "dict[str, Any] | None":
    """Converts a model, adapter or checkpoint: ``to`` is "hdf5", "safetensors", "gguf", "peft" or "gguf-lora".

    ``check``: pairs as JSON lines, which the trained model and the exported one score. What comes of it is returned, and there
    is a warning if rounding has eaten what was learnt; dpo_export_check in dpo.h tells the keys. ``reference``: the model that
    was trained from; None: the adapter's base, or what the file names.
    """
    if to not in _FORMATS:
        raise errors.InvalidArgumentError(f"to is {to!r}; expected one of {', '.join(_FORMATS)}")
    how = _native.filled(_native.ExportOptions, _native.lib.dpo_export_options_init, export_options(**options))
    _native.check(
        _native.lib.dpo_export(_native.path_bytes(source), _FORMATS[to], _native.path_bytes(output), byref(how))
    )
    if check is None:
        return None
    text = c_void_p()
    _native.check(
        _native.lib.dpo_export_check(
            _native.path_bytes(source), _native.path_bytes(output), _native.path_bytes(check),
            None if reference is None else _native.path_bytes(reference), byref(how), byref(text),
        )
    )
    found = json.loads(_native.take_text(text))
    if not found["survives"]:
        warnings.warn(
            f"{os.fspath(output)}: rounding has eaten what was learnt: margins are off by {found['lost']:.0%} of what training "
            f"changed (more than {found['limit']:.0%})",
            stacklevel=2,
        )
    return found
