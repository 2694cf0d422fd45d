"""Levels 3 and 4: training, with the shape of TRL's trainers."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int64, c_size_t, c_void_p
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from . import _arrays, _native, errors
from .classifier import TextClassifier
from .config import RunConfig, with_adapter
from .dataset import Data, Dataset, as_dataset
from .model import Model, export, inspect
from .progress import Progress, summary

__all__ = ["Answer", "Forward", "TrainOutput", "TrainerCallback", "TrainerControl", "TrainerState"]



def _metrics(text: bytes) -> "dict[str, Any]":
    """The metrics of a step or evaluation by TRL's names."""
    values = json.loads(text)
    return {name: value for name, value in values.items() if name not in ("step", "seconds")}


class _Log:
    """Means over the steps since the last entry, as TRL logs them."""

    #: These tell where the run stands.
    _LAST = ("epoch", "learning_rate", "num_tokens", "total_steps")

    def __init__(self, every: float, total: int) -> None:
        # Below 1 it is a share of the run.
        self.every = max(1, math.ceil(total * every) if every < 1 else int(every))
        self.total = total
        self._steps: "list[dict[str, Any]]" = []

    def add(self, step: int, metrics: "dict[str, Any]") -> "dict[str, Any] | None":
        self._steps.append(metrics)
        if step % self.every and step != self.total:
            return None
        entry = dict(metrics)
        for name, value in metrics.items():
            if isinstance(value, float) and name not in self._LAST:
                values = [step[name] for step in self._steps if isinstance(step.get(name), (int, float))]
                entry[name] = sum(values) / len(values)
        self._steps.clear()
        return {**entry, "step": step}


@dataclass
class TrainerState:
    """Where a run stands. ``log_history`` has an entry every ``logging_steps`` and one for each evaluation."""

    global_step: int = 0
    max_steps: int = 0
    epoch: float = 0.0
    log_history: "list[dict[str, Any]]" = field(default_factory=list)


@dataclass
class TrainerControl:
    """Set ``should_training_stop`` in a callback: the run ends after a checkpoint."""

    should_training_stop: bool = False


class TrainerCallback:
    """Override what you need; signatures are those of transformers."""

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None: ...

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None: ...

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None: ...

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None: ...

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None: ...

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None: ...


@dataclass(frozen=True)
class TrainOutput:
    global_step: int
    #: Mean loss over the steps of this call; of a run that was finished before, over all of its steps.
    training_loss: float
    #: Those of the last step, and as in transformers ``train_loss``, ``train_runtime`` in seconds and
    #: ``train_steps_per_second`` of this call.
    metrics: "dict[str, Any]"


@dataclass(frozen=True)
class Forward:
    """Summed log-probs of rows under the policy and the reference (for sft: the completion under "chosen")."""

    policy_chosen: Any
    policy_rejected: Any
    reference_chosen: Any
    reference_rejected: Any


@dataclass(frozen=True)
class Answer:
    """What the policy said to a prompt, for a reward of your own."""

    #: Text, or a list of chat messages; None, like ``completion``, where the model has no tokenizer.
    prompt: Any
    completion: Optional[str]
    prompt_ids: "list[int]"
    completion_ids: "list[int]"
    #: Whether it ended by itself, not at ``max_completion_length``.
    stopped: bool


#: A reward model, a text classifier, or a function that gives each answer a number.
Reward = Union[Model, TextClassifier, Callable[["list[Answer]"], "Sequence[float]"]]


def _answers(values: _native.Answers) -> "list[Answer]":
    def text(value: Optional[bytes]) -> Optional[str]:
        return None if value is None else value.decode("utf-8", "replace")

    return [
        Answer(
            json.loads(values.prompts[i]) if values.prompt_is_chat[i] else text(values.prompts[i]),
            text(values.completions[i]),
            values.prompt_ids[i][: values.prompt_lengths[i]],
            values.completion_ids[i][: values.completion_lengths[i]],
            bool(values.stopped[i]),
        )
        for i in range(values.count)
    ]


class _Trainer(_native.Handle):
    _release = "dpo_trainer_release"
    _config: "type[RunConfig]" = RunConfig

    def __init__(
        self,
        model: Union[Model, str, "os.PathLike[str]"],
        ref_model: Union[Model, str, "os.PathLike[str]", None],
        args: Optional[RunConfig],
        train_dataset: Optional[Data],
        eval_dataset: Optional[Data],
        callbacks: Optional[Sequence[TrainerCallback]],
        peft_config: Any,
    ) -> None:
        super().__init__()
        args = self._config() if args is None else args
        if not isinstance(args, self._config):
            kind = type(args)
            raise TypeError(f"args is {kind.__module__}.{kind.__name__}, expected libdpo.{self._config.__name__}")
        if train_dataset is None:
            raise errors.InvalidArgumentError("train_dataset is missing")
        if peft_config is not None:
            args = with_adapter(args, peft_config)
        self.args = args
        self.model = model if isinstance(model, Model) else Model(model, threads=args.threads)
        #: What is trained from; ``train`` makes ``model`` the tuned one.
        self._untuned = self.model
        self.ref_model = (
            ref_model if ref_model is None or isinstance(ref_model, Model) else Model(ref_model, threads=args.threads)
        )
        self.train_dataset = as_dataset(train_dataset, self.model, args)
        self.eval_dataset: Optional[Dataset] = (
            None if eval_dataset is None else as_dataset(eval_dataset, self.model, args)
        )
        self.state = TrainerState()
        self.control = TrainerControl()
        self._callbacks = list(callbacks or [])
        self._reduce: Any = None
        options = args.native()
        _native.check(
            _native.lib.dpo_trainer_create(
                self.model._handle, self.ref_model._handle if self.ref_model else None, self.train_dataset._handle,
                self.eval_dataset._handle if self.eval_dataset else None, byref(options), byref(self._handle),
            )
        )
        self.state.max_steps = self.plan()["steps"]

    def add_callback(self, callback: TrainerCallback) -> None:
        self._callbacks.append(callback)

    def plan(self) -> "dict[str, Any]":
        """Steps, tokens and memory by part, known before the first step."""
        text = c_void_p()
        _native.check(_native.lib.dpo_trainer_plan(self._handle, byref(text)))
        return json.loads(_native.take_text(text))

    # ------------------------------------------------------------------------------------------------------- runs

    def train(self, resume_from_checkpoint: Union[bool, str, "os.PathLike[str]", None] = None) -> TrainOutput:
        """Runs what remains of the plan; ``args.output_dir`` gets metrics, checkpoints, final.h5 and report.html.

        ``resume_from_checkpoint``: True for the last checkpoint in ``output_dir`` (from the beginning where there is
        none), or a checkpoint file. Ctrl-C stops after the running step, with a checkpoint to resume from.
        """
        resume = None
        if resume_from_checkpoint is True:
            resume = b"last"
        elif resume_from_checkpoint not in (None, False):
            resume = _native.path_bytes(resume_from_checkpoint)  # type: ignore[arg-type]
        log = _Log(self.args.logging_steps, self.state.max_steps)
        progress = Progress(self.state.max_steps, log.every, not self.args.disable_tqdm)
        self.control.should_training_stop = False
        losses: "list[float]" = []
        last: "dict[str, Any]" = {}
        raised: "list[BaseException]" = []
        started, began = time.monotonic(), len(self.state.log_history)

        def handle(event: _native.Event) -> None:
            text = (event.text or b"").decode("utf-8", "replace")
            if event.kind == _native.EVENT_STEP:
                values = event.metrics.contents
                metrics = _metrics(event.metrics_json)
                last.clear()
                last.update(metrics)
                losses.append(values.loss)
                self.state.global_step, self.state.epoch = values.step, values.epoch
                progress.step(values.step, metrics)
                self._call("on_step_end")
                entry = log.add(values.step, metrics)
                if entry is not None:
                    self.state.log_history.append(entry)
                    self._call("on_log", logs=entry)
            elif event.kind == _native.EVENT_EVALUATION:
                entry = {**_metrics(event.metrics_json), "step": self.state.global_step}
                self.state.log_history.append(entry)
                progress.note(f"evaluation after step {self.state.global_step}: {summary(entry)}")
                self._call("on_evaluate", metrics=entry)
            elif event.kind == _native.EVENT_CHECKPOINT:
                self._call("on_save")
            elif event.kind == _native.EVENT_NOTE:
                progress.note(text)
            elif event.kind == _native.EVENT_PROGRESS and (event.done == event.total or event.done % 1000 == 0):
                progress.note(f"{text}: {event.done} of {event.total} rows")

        def on_event(event: Any, _: object) -> int:
            try:
                handle(event.contents)
                return 1 if self.control.should_training_stop else 0
            except BaseException as error:  # carried over the C frames
                raised.append(error)
                return 1

        self._call("on_train_begin")
        with _native.interrupts(self.cancel) as interrupted:
            status = _native.lib.dpo_trainer_run(
                self._handle, _native.path_bytes(self.args.output_dir), resume, _native.EventCallback(on_event), None
            )
        progress.close()
        if interrupted:
            raise KeyboardInterrupt
        if raised:
            raise raised[0]
        if not (status == errors.CancelledError.code and self.control.should_training_stop):
            _native.check(status)
        if resume is not None:
            before = self._earlier(len(losses))
            if not losses and before:
                progress.note("nothing is left to train: the run was finished before")
                losses = [entry["loss"] for entry in before if "loss" in entry]
                last.update(before[-1])
                self.state.global_step, self.state.epoch = before[-1]["step"], before[-1].get("epoch", self.state.epoch)
            earlier = _Log(self.args.logging_steps, self.state.max_steps)
            logged = [earlier.add(entry["step"], entry) if "loss" in entry else entry for entry in before]
            self.state.log_history[:began] = [entry for entry in logged if entry is not None]
        self._take_tuned()
        self._call("on_train_end")
        mean = sum(losses) / len(losses) if losses else math.nan
        seconds = time.monotonic() - started
        summed = {"train_loss": mean, "train_runtime": seconds, "train_steps_per_second": len(losses) / seconds}
        return TrainOutput(self.state.global_step, mean, {**last, **summed})

    def _earlier(self, own: int) -> "list[dict[str, Any]]":
        """What the run wrote of steps and evaluations before the last ``own`` steps."""
        try:
            with open(os.path.join(self.args.output_dir, "metrics.jsonl"), encoding="utf-8") as file:
                entries = [json.loads(line) for line in file]
        except FileNotFoundError:
            return []
        first = self.state.global_step - own
        return [
            {name: value for name, value in entry.items() if name != "seconds"}
            for entry in entries
            if isinstance(entry.get("step"), int) and (not own or entry["step"] <= first)
        ]

    def _take_tuned(self) -> None:
        """``model`` becomes what was trained. The one that it was made of stays open for the steps that may follow."""
        tuned = os.path.join(self.args.output_dir, "final.h5")
        if not os.path.exists(tuned):
            return
        has_adapter = inspect(tuned)["kind"] == "adapter"
        self.model = self._untuned._reopened(self._untuned.path if has_adapter else tuned, tuned if has_adapter else None)

    def _call(self, name: str, **kwargs: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, name, lambda *_, **__: None)(self.args, self.state, self.control, **kwargs)

    def evaluate(self) -> "dict[str, Any]":
        """Metrics of the evaluation data set now, under TRL's names."""
        values = _native.Metrics()
        _native.check_interruptibly(self.cancel, _native.lib.dpo_trainer_evaluate, self._handle, byref(values))
        return self._last_metrics()

    def cancel(self) -> None:
        """Asks a running call to stop within one micro-batch. Any thread."""
        _native.lib.dpo_trainer_cancel(self._handle)

    def save_model(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Writes the trained adapter or model: a path that ends in .h5 as libdpo's own file, any other as a directory that PEFT or
        transformers loads. ``libdpo.export`` writes other formats."""
        if os.fspath(path).endswith(".h5"):
            _native.check(_native.lib.dpo_trainer_save_model(self._handle, _native.path_bytes(path)))
            return
        with tempfile.TemporaryDirectory(prefix="libdpo-") as directory:
            own = os.path.join(directory, "model.h5")
            self.save_model(own)
            to = "peft" if inspect(own)["kind"] == "adapter" else "safetensors"
            export(own, to, path, overwrite=True, **({"base": self._untuned.path} if to == "peft" else {}))

    def save_checkpoint(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Writes parameters, optimiser, position and options."""
        _native.check(_native.lib.dpo_trainer_save(self._handle, _native.path_bytes(path)))

    def load_checkpoint(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Takes up where ``save_checkpoint`` was called. Another model, data set, loss or seed is refused."""
        _native.check(_native.lib.dpo_trainer_load(self._handle, _native.path_bytes(path)))

    # ------------------------------------------------------------------------------------------------------ steps

    def step(self) -> "dict[str, Any]":
        """The next optimiser step of the plan; its metrics."""
        values = _native.Metrics()
        _native.check(_native.lib.dpo_trainer_step(self._handle, byref(values)))
        self.state.global_step, self.state.epoch = values.step, values.epoch
        return {**self._last_metrics(), "step": values.step}

    def _last_metrics(self) -> "dict[str, Any]":
        text = c_void_p()
        _native.check(_native.lib.dpo_trainer_last_metrics(self._handle, byref(text)))
        return _metrics(_native.take_text(text).encode())

    def forward(self, rows: Any) -> Forward:
        """Log-probs of rows of the training data, for a loss of your own. ``backward`` takes its gradients."""
        chosen = _arrays.Input(rows, c_size_t, "rows")
        outputs = [_arrays.Output(chosen.count, c_double) for _ in range(4)]
        _native.check(
            _native.lib.dpo_trainer_forward(
                self._handle, chosen.pointer, chosen.count, *[output.pointer for output in outputs]
            )
        )
        return Forward(*[output.values for output in outputs])

    def token_logps(self) -> Any:
        """Log-probs of the scored tokens of the last ``forward``: for each row chosen, then rejected."""
        count = c_size_t()
        _native.check(_native.lib.dpo_trainer_token_count(self._handle, byref(count)))
        output = _arrays.Output(count.value, c_float)
        _native.check(_native.lib.dpo_trainer_token_logps(self._handle, output.pointer, count.value))
        return output.values

    def backward(self, gradient_chosen: Any, gradient_rejected: Any) -> None:
        """Adds the gradient of your loss: d loss / d summed log-prob of each row's completions."""
        chosen = _arrays.Input(gradient_chosen, c_double, "gradient_chosen")
        rejected = _arrays.Input(gradient_rejected, c_double, "gradient_rejected")
        if chosen.count != rejected.count:
            raise errors.InvalidArgumentError(
                f"gradient_rejected has {rejected.count} values; gradient_chosen has {chosen.count}"
            )
        _native.check(
            _native.lib.dpo_trainer_backward(self._handle, chosen.pointer, rejected.pointer, chosen.count)
        )

    def backward_tokens(self, gradients: Any) -> None:
        """The same with one gradient for each token, as ``token_logps`` orders them."""
        values = _arrays.Input(gradients, c_float, "gradients")
        _native.check(_native.lib.dpo_trainer_backward_tokens(self._handle, values.pointer, values.count))

    def apply(self) -> "dict[str, Any]":
        """Clip, AdamW with the schedule's next rate, gradients to zero."""
        values = _native.Metrics()
        _native.check(_native.lib.dpo_trainer_apply(self._handle, byref(values)))
        self.state.global_step = values.step
        return {**self._last_metrics(), "step": values.step}

    def parameters(self) -> "dict[str, tuple[Any, Any]]":
        """(values, gradients) of each trained parameter by name: views of the trainer's own memory, without a copy.

        NumPy arrays of the parameter's shape, or flat memoryviews without NumPy. Use them between calls only.
        """
        values, gradients, total = POINTER(c_float)(), POINTER(c_float)(), c_size_t()
        _native.check(
            _native.lib.dpo_trainer_parameters(self._handle, byref(values), byref(gradients), byref(total))
        )
        flat = [_arrays.view(pointer, total.value, c_float, self) for pointer in (values, gradients)]
        count = c_size_t()
        _native.check(_native.lib.dpo_trainer_parameter_count(self._handle, byref(count)))
        result = {}
        for index in range(count.value):
            name, offset, size = c_char_p(), c_size_t(), c_size_t()
            shape, dimensions = (c_int64 * 4)(), c_size_t()
            _native.check(
                _native.lib.dpo_trainer_parameter_at(
                    self._handle, index, byref(name), byref(offset), byref(size), shape, byref(dimensions)
                )
            )
            parts = [array[offset.value : offset.value + size.value] for array in flat]
            if _arrays.numpy is not None:
                parts = [part.reshape(shape[: dimensions.value]) for part in parts]
            result[(name.value or b"").decode()] = (parts[0], parts[1])
        return result

    def set_reduce(self, reduce: "Callable[[Any], object] | None") -> None:
        """``reduce(gradients)`` is called once a step with the flat gradient, before clipping: the place for an
        all-reduce in place over machines. A true result stops the step, unapplied."""

        def call(gradients: Any, count: int, _: object) -> int:
            try:
                return 1 if reduce(_arrays.view(gradients, count, c_float, None)) else 0  # type: ignore[misc]
            except BaseException:
                import traceback

                traceback.print_exc()
                return 1

        callback = _native.ReduceCallback() if reduce is None else _native.ReduceCallback(call)
        _native.check(_native.lib.dpo_trainer_set_reduce(self._handle, callback, None))
        self._reduce = callback


class ReferenceTrainer(_Trainer):
    """A method that compares the policy with a reference model."""

    def __init__(
        self,
        model: Union[Model, str, "os.PathLike[str]"],
        ref_model: Union[Model, str, "os.PathLike[str]", None] = None,
        args: Optional[RunConfig] = None,
        train_dataset: Optional[Data] = None,
        eval_dataset: Optional[Data] = None,
        callbacks: Optional[Sequence[TrainerCallback]] = None,
        peft_config: Any = None,
    ) -> None:
        super().__init__(model, ref_model, args, train_dataset, eval_dataset, callbacks, peft_config)


class PolicyTrainer(_Trainer):
    """A method that has no reference model."""

    def __init__(
        self,
        model: Union[Model, str, "os.PathLike[str]"],
        args: Optional[RunConfig] = None,
        train_dataset: Optional[Data] = None,
        eval_dataset: Optional[Data] = None,
        callbacks: Optional[Sequence[TrainerCallback]] = None,
        peft_config: Any = None,
    ) -> None:
        super().__init__(model, None, args, train_dataset, eval_dataset, callbacks, peft_config)


class RolloutTrainer(_Trainer):
    """``model`` answers the prompts of ``train_dataset`` ({"prompt"} as text or messages), and ``reward`` says how good the
    answers are.

    ``reward``: a reward ``Model`` with the policy's tokenizer, a ``TextClassifier``, or a function of a list of ``Answer`` that
    returns one number each. An exception in it stops the step, unapplied, and is raised where the step was asked for.
    """

    def __init__(
        self,
        model: Union[Model, str, "os.PathLike[str]"],
        reward: Reward,
        args: Optional[RunConfig] = None,
        train_dataset: Optional[Data] = None,
        eval_dataset: Optional[Data] = None,
        ref_model: Union[Model, str, "os.PathLike[str]", None] = None,
        callbacks: Optional[Sequence[TrainerCallback]] = None,
        peft_config: Any = None,
    ) -> None:
        super().__init__(model, ref_model, args, train_dataset, eval_dataset, callbacks, peft_config)
        self._raised: "list[BaseException]" = []
        self._reward: Any = None
        self.set_reward(reward)

    def set_reward(self, reward: Reward) -> None:
        """Gives the answers another judge."""
        if isinstance(reward, Model):
            _native.check(_native.lib.dpo_trainer_set_reward_model(self._handle, reward._handle))
        elif isinstance(reward, TextClassifier):
            _native.check(_native.lib.dpo_trainer_set_reward_classifier(self._handle, reward._handle, 0))
        elif callable(reward):
            callback = _native.RewardCallback(lambda *arguments: self._call_reward(reward, *arguments))
            _native.check(_native.lib.dpo_trainer_set_reward(self._handle, callback, None))
            self._reward = callback
        else:
            raise TypeError(f"reward is {type(reward).__name__}, expected a Model, a TextClassifier or a function")

    def _call_reward(self, reward: Any, answers: Any, rewards: Any, _: object) -> int:
        try:
            found = [float(value) for value in reward(_answers(answers.contents))]
            if len(found) != answers.contents.count:
                raise errors.FormatError(
                    f"the reward function returned {len(found)} numbers for {answers.contents.count} answers"
                )
            for index, value in enumerate(found):
                rewards[index] = value
            return 0
        except BaseException as error:  # carried over the C frames
            self._raised.append(error)
            return 1

    def _unwrap(self, work: "Callable[[], Any]") -> Any:
        self._raised.clear()
        try:
            return work()
        except errors.CancelledError:
            if self._raised:
                raise self._raised.pop() from None
            raise

    def train(self, resume_from_checkpoint: Union[bool, str, "os.PathLike[str]", None] = None) -> TrainOutput:
        return self._unwrap(lambda: super(RolloutTrainer, self).train(resume_from_checkpoint))

    def step(self) -> "dict[str, Any]":
        return self._unwrap(super().step)

    def evaluate(self) -> "dict[str, Any]":
        return self._unwrap(super().evaluate)
