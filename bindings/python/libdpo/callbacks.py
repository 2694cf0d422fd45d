"""Callbacks of a run, with transformers' names and signatures, so that its own callbacks work as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from . import errors
from .progress import Progress, summary

__all__ = [
    "EarlyStoppingCallback", "PrinterCallback", "ProgressCallback", "TrainerCallback", "TrainerControl", "TrainerState",
]


@dataclass
class TrainerState:
    """Where a run stands, as transformers' class of this name has it."""

    global_step: int = 0
    """Optimiser steps done."""
    max_steps: int = 0
    """Optimiser steps of the whole run."""
    epoch: float = 0.0
    """Passes over the data done, a fraction within one."""
    log_history: "list[dict[str, Any]]" = field(default_factory=list)
    """An entry every ``logging_steps`` with means over these steps, one for each evaluation, and one of the whole run."""
    best_metric: Optional[float] = None
    """The best value of ``metric_for_best_model`` so far."""
    best_global_step: Optional[int] = None
    """The step that had it."""
    best_model_checkpoint: Optional[str] = None
    """The checkpoint that holds it, with ``load_best_model_at_end`` or ``save_strategy="best"``."""
    logging_steps: int = 0
    """Steps between log entries."""
    eval_steps: int = 0
    """Steps between evaluations, 0 where they come by epochs or not at all."""
    save_steps: int = 0
    """Steps between checkpoints, 0 where they come by epochs or not at all."""
    train_batch_size: int = 0
    """Rows of a micro-batch."""
    num_train_epochs: float = 0.0
    """Passes over the data that the run was asked for."""
    is_local_process_zero: bool = True
    """True: there is one process."""
    is_world_process_zero: bool = True
    """True: there is one process."""
    is_hyper_param_search: bool = False
    """False: libdpo searches no hyperparameters."""


@dataclass
class TrainerControl:
    """What a callback asks for: set a field, or return another ``TrainerControl``."""

    should_training_stop: bool = False
    """End the run after this step, with a checkpoint to resume from."""
    should_epoch_stop: bool = False
    """End the run at the end of this epoch. A run has one plan of all its steps, so that an epoch alone cannot be cut
    short."""
    should_save: bool = False
    """Write a checkpoint after this step."""
    should_evaluate: bool = False
    """Evaluate after this step."""
    should_log: bool = False
    """Log the means since the last entry after this step."""


class TrainerCallback:
    """Override what you need. Every event gets the config, the state and the control, and as keywords ``model``, which during
    ``train`` is the model as it was opened, and ``processing_class``; ``optimizer`` and the loaders are None.

    transformers' ``on_substep_end``, ``on_prediction_step`` and ``on_push_begin`` are never called: the library takes a whole
    step or evaluation in one call, and sends nothing anywhere.
    """

    def on_init_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The trainer was made."""

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """``train`` was called."""

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """``train`` is about to return."""

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The next step is the first of an epoch."""

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The last step was the last of an epoch."""

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """An optimiser step begins."""

    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The gradients of a step are complete, and not clipped yet."""

    def on_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The parameters were changed."""

    def on_substep_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Never called."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """An optimiser step is done; the keyword ``metrics`` has its metrics."""

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> Any:
        """``logs`` was added to ``state.log_history``."""

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> Any:
        """An evaluation is done."""

    def on_prediction_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Never called."""

    def on_predict(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> Any:
        """``predict`` is about to return."""

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A checkpoint, or the final model, was written."""

    def on_push_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Never called."""

    def on_note(self, args: Any, state: TrainerState, control: TrainerControl, note: str = "", **kwargs: Any) -> Any:
        """The library has something to say. Not in transformers."""


Callback = Union[Any, type]
"""What a trainer takes as a callback: an instance, or a class to make one of."""


class CallbackHandler:
    """The callbacks of a trainer, in their order."""

    def __init__(self, callbacks: "Sequence[Callback]") -> None:
        self.callbacks: "list[Any]" = []
        for callback in callbacks:
            self.add(callback)

    def add(self, callback: Callback) -> None:
        """Appends a callback."""
        self.callbacks.append(callback() if isinstance(callback, type) else callback)

    def pop(self, callback: Callback) -> Any:
        """Takes out a callback, or the first one of a class; None where there is none."""
        for each in self.callbacks:
            if isinstance(each, callback) if isinstance(callback, type) else each == callback:
                self.callbacks.remove(each)
                return each
        return None

    def overrides(self, name: str) -> bool:
        """Whether a callback does something at an event."""
        for each in self.callbacks:
            base = next((kind for kind in type(each).__mro__ if kind.__name__ == "TrainerCallback"), object)
            if getattr(type(each), name, None) is not getattr(base, name, None):
                return True
        return False

    def call(self, name: str, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        """Calls an event of each, and returns what the last one that returned a control returned."""
        for each in list(self.callbacks):
            event = getattr(each, name, None)
            result = event(args, state, control, **kwargs) if event is not None else None
            control = control if result is None else result
        return control


class ProgressCallback(TrainerCallback):
    """The progress of a run on stderr or in a notebook. Every trainer has one unless ``disable_tqdm`` is set."""

    def __init__(self) -> None:
        self._progress: Optional[Progress] = None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._progress = Progress(state.max_steps, state.logging_steps or state.max_steps)

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        if self._progress:
            self._progress.step(state.global_step, metrics or {})

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        if self._progress:
            self._progress.note(f"evaluation after step {state.global_step}: {summary(metrics or {})}")

    def on_note(self, args: Any, state: TrainerState, control: TrainerControl, note: str = "", **kwargs: Any) -> None:
        if self._progress:
            self._progress.note(note)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._progress:
            self._progress.close()
            self._progress = None


class PrinterCallback(TrainerCallback):
    """Prints every log entry on stdout."""

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        print(logs)


class EarlyStoppingCallback(TrainerCallback):
    """Ends the run when ``metric_for_best_model`` has not become better for ``early_stopping_patience`` evaluations, as
    transformers' class of this name does.

    ``early_stopping_patience``: evaluations in a row that may be worse; default 1. ``early_stopping_threshold``: how much a
    metric has to change to be better; default 0.
    """

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float = 0.0) -> None:
        self.early_stopping_patience = early_stopping_patience
        self.early_stopping_threshold = early_stopping_threshold
        #: Evaluations in a row that were not better.
        self.early_stopping_patience_counter = 0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if args.metric_for_best_model is None and not args.load_best_model_at_end:
            raise errors.InvalidArgumentError(
                'EarlyStoppingCallback needs to know what is better: set metric_for_best_model, such as "eval_loss"'
            )
        if args.eval_strategy == "no":
            raise errors.InvalidArgumentError('EarlyStoppingCallback needs evaluations: eval_strategy is "no"')

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        name, greater = best_metric(args)
        value = (metrics or {}).get(name)
        if value is None:
            return
        best = state.best_metric
        if best is None or (
            (value > best if greater else value < best) and abs(value - best) > self.early_stopping_threshold
        ):
            self.early_stopping_patience_counter = 0
        else:
            self.early_stopping_patience_counter += 1
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True


def best_metric(args: Any) -> "tuple[str, bool]":
    """The name of the metric that decides which model is the best, and whether more of it is better."""
    name = args.metric_for_best_model or "loss"
    greater = args.greater_is_better if args.greater_is_better is not None else not name.endswith("loss")
    return name if name.startswith("eval_") else f"eval_{name}", greater
