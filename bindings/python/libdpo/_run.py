"""The events of a run: what a trainer tells its callbacks and does between steps."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _native, errors
from .config import RunConfig

if TYPE_CHECKING:
    from .trainer import Trainer


def metrics_of(text: Union[bytes, str]) -> "dict[str, Any]":
    """The metrics of a step or evaluation by TRL's names."""
    values = json.loads(text)
    return {name: value for name, value in values.items() if name not in ("step", "seconds")}


def every(value: float, total: int) -> int:
    """Steps that a number of steps, or below 1 a share of the run, stands for."""
    return max(1, math.ceil(total * value) if value < 1 else int(value))


class Log:
    """Means over the steps since the last entry, as TRL logs them."""

    #: These tell where the run stands.
    _LAST = ("epoch", "learning_rate", "num_tokens", "total_steps")

    def __init__(self, args: RunConfig, total: int) -> None:
        self.strategy = args.logging_strategy
        self.every = every(args.logging_steps, total)
        self.first = args.logging_first_step
        self.total = total
        self._epoch = 0.0
        self._steps: "list[dict[str, Any]]" = []

    def add(self, step: int, metrics: "dict[str, Any]", asked: bool = False) -> "dict[str, Any] | None":
        """The entry of a step, where one is due or asked for."""
        self._steps.append(metrics)
        ended = ends_epoch(self._epoch, metrics.get("epoch", 0.0))
        self._epoch = metrics.get("epoch", 0.0)
        due = {"no": False, "steps": step % self.every == 0, "epoch": ended}[self.strategy]
        due = due or (self.strategy != "no" and (step == self.total or (self.first and step == 1)))
        if not due and not asked:
            return None
        entry = dict(metrics)
        for name, value in metrics.items():
            if isinstance(value, float) and name not in self._LAST:
                values = [step[name] for step in self._steps if isinstance(step.get(name), (int, float))]
                entry[name] = sum(values) / len(values)
        self._steps.clear()
        return {**entry, "step": step}


def ends_epoch(before: float, now: float) -> bool:
    """Whether an epoch ended between two numbers of epochs done."""
    return math.floor(now + 1e-6) > math.floor(before + 1e-6)


class Reduced:
    """While it is entered, ``on_pre_optimizer_step`` is called with each complete gradient, before the user's own reduce."""

    def __init__(self, trainer: Trainer, run: "Run") -> None:
        self._trainer, self._run, self._own = trainer, run, trainer._user_reduce

    def __enter__(self) -> None:
        def reduce(gradients: Any) -> object:
            try:
                self._run.begin_step()
                self._trainer._event("on_pre_optimizer_step")
            except BaseException as error:  # carried over the C frames
                self._run.raised.append(error)
                return True
            return self._own(gradients) if self._own else False

        self._trainer.set_reduce(reduce)

    def __exit__(self, *_: object) -> None:
        self._trainer.set_reduce(self._own)


class Run:
    """The events of one call of ``train``. What the library does not do by itself (evaluations of several sets, checkpoints that
    callbacks ask for) is done between two of its calls: it stops with a checkpoint, and then goes on in the same bits."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.log = Log(trainer.args, trainer.state.max_steps)
        self.losses: "list[float]" = []
        self.last: "dict[str, Any]" = {}
        self.raised: "list[BaseException]" = []
        #: What is to be done before the next step: "evaluate", "save".
        self.pending: "set[str]" = set()
        #: Whether the library was stopped to do it.
        self._paused = False
        #: Whether the next step and epoch were announced.
        self._step_begun = self._epoch_begun = False
        #: Whether the library goes on after a pause, of which its notes need not tell but for those of a step.
        self._goes_on = False

    def go(self, resume: Optional[bytes]) -> int:
        """Runs the plan to its end or to a stop; the library's last status."""
        trainer = self.trainer
        callback = _native.EventCallback(self._on_event)
        directory = _native.path_bytes(trainer.args.output_dir)  # type: ignore[arg-type]
        while True:
            self._paused = False
            if resume is None:
                self.begin_step()
            with _native.interrupts(trainer.cancel) as interrupted:
                status = _native.lib.dpo_trainer_run(trainer._handle, directory, resume, callback, None)
            if interrupted:
                raise KeyboardInterrupt
            if self.raised:
                raise self.raised[0]
            is_stopped = status == errors.CancelledError.code
            if not (is_stopped and (self._paused or trainer.control.should_training_stop)):
                _native.check(status)
            if self._work() and status == 0:
                self._report_again(directory)
            if not is_stopped or trainer.control.should_training_stop:
                return status
            resume = b"last"
            self._goes_on = True
            self.begin_step()

    def _work(self) -> bool:
        """Does what is pending; whether an evaluation was."""
        trainer, pending = self.trainer, self.pending
        self.pending = set()
        evaluates = "evaluate" in pending
        if evaluates:
            metrics = trainer._evaluate_sets("eval")
            self._write(metrics)
            trainer._note_best(metrics)
        if "save" in pending:
            trainer.control.should_save = False
            trainer.save_checkpoint(trainer._file(f"checkpoint-{trainer.state.global_step}.h5"))
            trainer._event("on_save")
        return evaluates

    def _write(self, metrics: "dict[str, Any]") -> None:
        """Metrics of an evaluation into the step's line of metrics.jsonl, where the library writes its own."""
        if not self.trainer.is_world_process_zero():
            return
        lines = self.trainer._lines()
        if lines and lines[-1].get("step") == self.trainer.state.global_step:
            lines[-1].update({name: value for name, value in metrics.items() if name != "epoch"})
            path = self.trainer._file("metrics.jsonl")
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            os.replace(path + ".new", path)

    def _report_again(self, directory: bytes) -> None:
        """The report of a finished run once more, with the evaluation after its last step."""
        trainer = self.trainer
        trainer.save_checkpoint(trainer._file("autosave.h5"))
        quiet = _native.EventCallback(lambda event, _: 0)
        _native.check(_native.lib.dpo_trainer_run(trainer._handle, directory, b"last", quiet, None))

    def begin_step(self) -> None:
        """Tells once that the next step, and where one begins the next epoch, begin."""
        trainer = self.trainer
        if self._step_begun or trainer.state.global_step >= trainer.state.max_steps:
            return
        self._step_begun = True
        control = trainer.control
        control.should_save = control.should_evaluate = control.should_log = False
        if not self._epoch_begun:
            self._epoch_begun = True
            trainer._event("on_epoch_begin")
        trainer._event("on_step_begin")

    def _on_event(self, event: Any, _: object) -> int:
        try:
            self._handle(event.contents)
            self._paused = bool(self.pending)
            return 1 if self._paused or self.trainer.control.should_training_stop else 0
        except BaseException as error:  # carried over the C frames
            self.raised.append(error)
            return 1

    def _handle(self, event: Any) -> None:
        trainer = self.trainer
        text = (event.text or b"").decode("utf-8", "replace")
        if event.kind == _native.EVENT_STEP:
            self._step(event)
        elif event.kind == _native.EVENT_EVALUATION:
            metrics = metrics_of(event.metrics_json)
            trainer.log(metrics)
            trainer.control.should_evaluate = False
            trainer._event("on_evaluate", metrics=metrics)
            trainer._note_best(metrics)
        elif event.kind == _native.EVENT_CHECKPOINT:
            # Where the library was stopped to do other work, the file that it stops with is its own affair.
            if not (self._paused and text.endswith("autosave.h5")):
                trainer.control.should_save = False
                trainer._event("on_save")
        elif event.kind == _native.EVENT_NOTE:
            if not self._goes_on or text.startswith("step "):
                trainer._event("on_note", note=text)
        elif event.kind == _native.EVENT_PROGRESS and (event.done == event.total or event.done % 1000 == 0):
            trainer._event("on_note", note=f"{text}: {event.done} of {event.total} rows")

    def _step(self, event: Any) -> None:
        trainer, state, control = self.trainer, self.trainer.state, self.trainer.control
        self.begin_step()
        self._goes_on = False
        values = event.metrics.contents
        metrics = {**metrics_of(event.metrics_json), **trainer._more_metrics()}
        self.last.clear()
        self.last.update(metrics)
        self.losses.append(values.loss)
        ended = ends_epoch(state.epoch, values.epoch) or values.step == state.max_steps
        trainer._event("on_optimizer_step")
        state.global_step, state.epoch = values.step, values.epoch
        trainer._event("on_step_end", metrics=metrics)
        if ended:
            trainer._event("on_epoch_end")
            self._epoch_begun = False
        control = trainer.control
        if control.should_epoch_stop and ended:
            control.should_training_stop = True
        entry = self.log.add(values.step, metrics, control.should_log)
        if entry is not None:
            trainer.log(entry)
        self._step_begun = False
        if control.should_evaluate and trainer.eval_dataset is not None or self._evaluation_due(ended):
            self.pending.add("evaluate")
        if control.should_save or self._save_due(ended):
            self.pending.add("save")
        if not self.pending and not control.should_training_stop:
            self.begin_step()

    def _evaluation_due(self, ended: bool) -> bool:
        """Whether the trainer, not the library, evaluates after this step."""
        trainer, state, args = self.trainer, self.trainer.state, self.trainer.args
        if not trainer._evaluates or trainer._library_evaluation() is not None:
            return False
        if state.eval_steps:
            due = state.global_step % state.eval_steps == 0 or state.global_step == state.max_steps
            return due and state.global_step >= args.eval_delay
        return ended and state.epoch + 1e-6 >= args.eval_delay

    def _save_due(self, ended: bool) -> bool:
        """Whether the trainer, not the library, saves after this step."""
        state, args = self.trainer.state, self.trainer.args
        if args.save_strategy == "epoch":
            return ended
        steps = getattr(args, "save_steps", 0)
        return args.save_strategy == "steps" and 0 < steps < 1 and state.global_step % state.save_steps == 0
