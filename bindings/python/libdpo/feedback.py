"""Level 6: what people say of a model's answers, and the adapter that learns it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from ctypes import byref, c_uint64, c_void_p, pointer
from dataclasses import dataclass
from inspect import signature
from typing import Any, Union

from . import _native, errors
from ._options import feedback_options
from ._run import metrics_of
from ._signatures import takes
from .config import _set
from .model import Model

__all__ = ["Feedback", "FeedbackResult"]

Prompt = Union[str, "list[dict[str, Any]]"]
_OUTCOMES = ("nothing new", "waiting", "finished", "stopped")


@dataclass(frozen=True)
class FeedbackResult:
    """What a call of ``Feedback.train`` came to."""

    outcome: str
    """One of "nothing new", "waiting" (fewer than ``min_records``), "finished", or "stopped" (``max_seconds`` are over)."""
    new: int
    """New records of the session, or that wait for one."""
    replayed: int
    """Older records that the session mixed in."""
    skipped: int
    """New records that cannot be trained on, such as a prompt longer than max_length."""
    steps: int
    """Optimiser steps of this call."""
    metrics: "dict[str, Any]"
    """Metrics of the last of them."""


class Feedback(_native.Handle):
    """A file of thumbs and choices that only grows. Any thread, and any other process, may record while it trains.

        feedback = Feedback("feedback.jsonl")
        feedback.thumb(prompt, answer, up=True)
        feedback.train("model.gguf", "feedback", max_seconds=120)     # → feedback/adapter.gguf
    """

    _release = "dpo_feedback_release"

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        super().__init__()
        _native.check(_native.lib.dpo_feedback_open(_native.path_bytes(path), byref(self._handle)))

    # -------------------------------------------------------------------------------------------------- recording

    def thumb(self, prompt: Prompt, answer: Any, *, up: bool, weight: float = 1.0) -> int:
        """Records a thumb on an answer; it is on the disk when the call returns. The record's number.

        ``prompt``: text, or chat messages, with the answer as text or messages. ``weight`` 0 takes back an earlier thumb.
        """
        return self.record({"prompt": prompt, "completion": answer, "label": bool(up), "weight": weight})

    def choice(self, prompt: Prompt, chosen: Any, rejected: Any, *, weight: float = 1.0) -> int:
        """Records that ``chosen`` was liked better than ``rejected``."""
        return self.record({"prompt": prompt, "chosen": chosen, "rejected": rejected, "weight": weight})

    def record(self, row: "Mapping[str, Any]") -> int:
        """Records a row: the keys above, a ``time`` of your own, and whatever else you want to keep."""
        number = c_uint64()
        text = json.dumps(dict(row)).encode()
        _native.check(_native.lib.dpo_feedback_record_json(self._handle, text, byref(number)))
        return number.value

    # ---------------------------------------------------------------------------------------------------- reading

    def __len__(self) -> int:
        count = c_uint64()
        _native.check(_native.lib.dpo_feedback_count(self._handle, byref(count)))
        return count.value

    def __bool__(self) -> bool:
        return True

    def status(self, output_dir: "str | os.PathLike[str] | None" = None) -> "dict[str, Any]":
        """What the file holds and, with a directory of ``train``, what of it is trained on."""
        text = c_void_p()
        directory = None if output_dir is None else _native.path_bytes(output_dir)
        _native.check(_native.lib.dpo_feedback_status(self._handle, directory, byref(text)))
        return json.loads(_native.take_text(text))

    # --------------------------------------------------------------------------------------------------- training

    @takes(feedback_options)
    def train(
        self,
        model: "Model | str | os.PathLike[str]",
        output_dir: "str | os.PathLike[str]",
        *,
        on_event: "Callable[[str, Any], object] | None" = None,
        **training: Any,
    ) -> FeedbackResult:
        """Trains ``output_dir``/adapter.gguf (and .h5) on what is new; for a thread of its own.

        Stops when ``max_seconds`` are over or at ``cancel()``; the next call goes on. ``training``: the options below, and
        those of a run by name, such as ``learning_rate=1e-4``; defaults are those of ``dpo feedback train``.

        ``on_event(kind, value)`` is called with ("step", metrics), ("saved", path of an adapter) and ("note", text);
        returning True stops.
        """
        own = {name: training.pop(name) for name in list(training) if name in signature(feedback_options).parameters}
        if own.get("max_seconds") is not None and not own["max_seconds"] > 0:
            raise errors.InvalidArgumentError(f"max_seconds is {own['max_seconds']}, expected more than 0, or None")
        options = _native.filled(
            _native.FeedbackOptions, _native.lib.dpo_feedback_options_init, feedback_options(**own)
        )
        run = _native.initialised(_native.TrainOptions, _native.lib.dpo_feedback_training_init)
        kinds = {name: kind for name, kind, *_ in _native.TrainOptions._fields_}
        for name in ("struct_size", "method", "loss_weights", "loss_weight_count"):
            del kinds[name]
        for name, value in training.items():
            if name not in kinds:
                raise TypeError(f"train() got an unexpected keyword argument {name!r}")
            _set(run, name, kinds[name], value)
        options.training = pointer(run)
        raised: "list[BaseException]" = []
        metrics: "dict[str, Any]" = {}

        def handle(event: _native.Event) -> object:
            kind, value = "note", (event.text or b"").decode("utf-8", "replace")
            if event.kind == _native.EVENT_STEP:
                kind, value = "step", metrics_of(event.metrics_json)
                metrics.clear()
                metrics.update(value)
            elif event.kind == _native.EVENT_CHECKPOINT:
                kind = "saved"
            return on_event is not None and on_event(kind, value)

        def called(event: Any, _: object) -> int:
            try:
                return 1 if handle(event.contents) else 0
            except BaseException as error:  # carried over the C frames
                raised.append(error)
                return 1

        opened = model if isinstance(model, Model) else Model(model, threads=1)
        result = _native.FeedbackResult()
        with _native.interrupts(self.cancel) as interrupted:
            status = _native.lib.dpo_feedback_train(
                self._handle, opened._handle, _native.path_bytes(output_dir), byref(options),
                _native.EventCallback(called), None, byref(result),
            )
        if interrupted:
            raise KeyboardInterrupt
        if raised:
            raise raised[0]
        _native.check(status)
        return FeedbackResult(
            _OUTCOMES[result.outcome], result.new_records, result.replayed, result.skipped, result.steps, metrics
        )

    def cancel(self) -> None:
        """Asks a running ``train`` to stop within one micro-batch; it raises CancelledError. Any thread."""
        _native.lib.dpo_feedback_cancel(self._handle)
