"""Levels 3 and 4: training, with the shape of TRL's trainers."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int64, c_size_t, c_void_p
from dataclasses import dataclass
from typing import Any, Optional, Union

from . import _arrays, _native, errors, trl_fields
from ._run import Log, Reduced, Run, every, metrics_of
from .callbacks import Callback, CallbackHandler, ProgressCallback, TrainerControl, TrainerState, best_metric
from .classifier import TextClassifier
from .columns import parts
from .config import RunConfig, with_adapter
from .dataset import Data, Dataset, as_dataset
from .distributed import Communicator
from .model import Model, export, inspect
from .reporting import reporters
from .rewards import Reward, RewardFunctions, answers_of

__all__ = [
    "EvalPrediction", "Forward", "PolicyTrainer", "PredictionOutput", "ReferenceTrainer", "RolloutTrainer", "TrainOutput", "Trainer",
]

Path = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class TrainOutput:
    """What ``train`` returns."""

    global_step: int
    """Optimiser steps done."""
    training_loss: float
    """Mean loss over the steps of this call; of a run that was finished before, over all of its steps."""
    metrics: "dict[str, Any]"
    """Those of the last step, and as in transformers ``train_loss``, ``train_runtime`` in seconds and
    ``train_steps_per_second`` of this call."""


@dataclass(frozen=True)
class Forward:
    """Summed log-probs of rows, in nats, under the policy and the reference (for sft and kto: the completion under "chosen"; 0 where
    there is none). ``predict`` and ``compute_metrics`` of a RewardTrainer have its scores there."""

    policy_chosen: Any
    """log π(chosen | prompt) of each row."""
    policy_rejected: Any
    """log π(rejected | prompt) of each row."""
    reference_chosen: Any
    """log π_ref(chosen | prompt) of each row."""
    reference_rejected: Any
    """log π_ref(rejected | prompt) of each row."""


@dataclass(frozen=True)
class EvalPrediction:
    """What ``compute_metrics`` gets. It unpacks as ``predictions, label_ids``."""

    predictions: Forward
    """Log-probs of every row."""
    label_ids: Any = None
    """None: log-probs have no labels."""

    def __iter__(self) -> "Iterator[Any]":
        return iter((self.predictions, self.label_ids))


@dataclass(frozen=True)
class PredictionOutput:
    """What ``predict`` returns."""

    predictions: Forward
    """Log-probs of every row."""
    label_ids: Any
    """None: log-probs have no labels."""
    metrics: "dict[str, Any]"
    """Of an evaluation on the rows, with the prefix ``test_``."""


#: What TRL's trainers take besides, and what to do instead.
_REFUSED = {
    "compute_loss_func": "compute a loss of your own from trainer.forward, and give its gradient to backward",
    "data_collator": "the library makes batches itself; leave it out",
    "environment_factory": "completions call no tools; leave it out",
    "model_init": "give the path of a model",
    "optimizer_cls_and_kwargs": "the library updates weights itself; name one of its optimizers as optim in the config",
    "preprocess_logits_for_metrics": "logits are never kept; compute_metrics gets log-probs",
    "quantization_config": "give the path of a quantised GGUF file instead",
    "reward_processing_classes": "a reward model reads with the tokenizer in its own files; leave it out",
    "rollout_func": "the library draws completions itself; leave it out",
    "tools": "completions call no tools; leave it out",
}


def _refuse(given: "dict[str, Any]", name: str) -> None:
    optimizers = given.pop("optimizers", None)
    if optimizers is not None and any(each is not None for each in optimizers):
        raise errors.UnsupportedError("optimizers: the library updates weights itself; name one of its optimizers as optim in the config, with learning rate and schedule")
    for key, value in given.items():
        if key not in _REFUSED:
            raise TypeError(f"{name} has no argument {key}")
        if value is not None:
            raise errors.UnsupportedError(f"{key}: {_REFUSED[key]}")


def _opened(model: Any, args: RunConfig, argument: str) -> Model:
    """A model from a path, the name of a model in the hub's cache, or a Model."""
    if isinstance(model, Model):
        return model
    if isinstance(model, (str, os.PathLike)):
        return Model(model, threads=args.threads)
    known = getattr(model, "name_or_path", None) or getattr(getattr(model, "config", None), "_name_or_path", None)
    path = f", {known!r}" if known else ""
    base = (
        "libdpo.Model(path, adapter) with the paths of the base model and of the adapter"
        if hasattr(model, "peft_config") else f"the path that it was read from{path}"
    )
    raise TypeError(
        f"{argument} is {type(model).__module__}.{type(model).__name__}, which libdpo cannot train: it maps a model's file itself. Give {base}"
    )


def _check_tokenizer(tokenizer: Any, model: Model) -> None:
    """Refuses a ``processing_class`` that is not the tokenizer in the model's files, or has another chat template."""
    probe = "The 3 quick brown foxes, überall."
    try:
        theirs = tokenizer(probe, add_special_tokens=False)["input_ids"]
    except Exception:  # a processor of another kind, which the library has no use for
        return
    if list(theirs) != model.encode(probe, add_special_tokens=False):
        raise errors.MismatchError(
            f"processing_class is another tokenizer than the one in {model.path}, which is used; leave it out, or save yours there"
        )
    if getattr(tokenizer, "chat_template", None):
        chat = [{"role": "user", "content": probe}]
        try:
            text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        except Exception:
            return
        if not model.info.has_chat_template or model.apply_chat_template(chat, add_generation_prompt=True) != text:
            raise errors.MismatchError(
                f"processing_class has another chat template than {model.path}, which is used: save yours there as chat_template.jinja"
            )


class Trainer(_native.Handle):
    """What every trainer has. Arguments are those of TRL's trainers; what TRL's have besides is refused with what to do instead.

    ``model``: a path, the name of a model in the hub's cache, or a ``Model``. ``args``: the method's config, or TRL's. None: its
    defaults. ``train_dataset`` and ``eval_dataset``: what ``Dataset`` takes, the latter also by name in a dict. ``callbacks``:
    instances or classes. ``peft_config``: a ``LoraConfig`` (PEFT's, too) for a new adapter. ``processing_class``: has to be the
    tokenizer in the model's files. ``compute_metrics``: a function of an ``EvalPrediction`` that returns metrics by name.
    ``formatting_func``: makes the text of a row.
    """

    _release = "dpo_trainer_release"
    _config: "type[RunConfig]" = RunConfig

    args: RunConfig
    """The config of the run."""
    model: Model
    """The model; ``train`` makes it the tuned one."""
    ref_model: Optional[Model]
    """The model that the policy is compared with; None: the one that training starts from."""
    processing_class: Any
    """The tokenizer that was given. The one in the model's files is used, and is the same."""
    train_dataset: Dataset
    """The rows that are learned from."""
    eval_dataset: "Union[Dataset, dict[str, Dataset], None]"
    """The rows to evaluate on, by name where there are several sets."""
    state: TrainerState
    """What the callbacks were called with last."""
    control: TrainerControl
    """What the callbacks ask for."""
    communicator: Optional[Communicator]
    """The ranks that train together; None: this process alone. Every rank calls the same methods in the same order."""

    def __init__(
        self,
        model: Union[Model, Path],
        ref_model: Union[Model, Path, None],
        args: Any,
        train_dataset: Optional[Data],
        eval_dataset: "Union[Data, Mapping[str, Data], None]",
        callbacks: Optional[Sequence[Callback]],
        peft_config: Any,
        processing_class: Any = None,
        compute_metrics: "Optional[Callable[[EvalPrediction], Mapping[str, float]]]" = None,
        formatting_func: "Optional[Callable[[Any], str]]" = None,
        **others: Any,
    ) -> None:
        super().__init__()
        _refuse(others, type(self).__name__)
        args = self._read(args)
        if train_dataset is None:
            raise errors.InvalidArgumentError("train_dataset is missing")
        if peft_config is not None:
            args = with_adapter(args, peft_config)
        self.args = args
        self.model = _opened(model, args, "model")
        #: What is trained from.
        self._untuned = self.model
        self.ref_model = None if ref_model is None else _opened(ref_model, args, "ref_model")
        self.processing_class = processing_class
        if processing_class is not None:
            _check_tokenizer(processing_class, self.model)
        self._formatting = formatting_func
        self._compute_metrics = compute_metrics
        self.train_dataset = as_dataset(train_dataset, self.model, args, formatting_func)
        self.eval_dataset = None
        named = parts(eval_dataset)
        if named is not None:
            self.eval_dataset = {name: as_dataset(data, self.model, args, formatting_func) for name, data in named.items()}
        elif eval_dataset is not None:
            self.eval_dataset = as_dataset(eval_dataset, self.model, args, formatting_func)
        if args.eval_strategy in ("steps", "epoch") and self.eval_dataset is None:
            raise errors.InvalidArgumentError(f"eval_strategy is {args.eval_strategy!r}, but there is no eval_dataset")
        if (args.load_best_model_at_end or args.save_strategy == "best") and not self._evaluates:
            raise errors.InvalidArgumentError(
                "load_best_model_at_end and save_strategy='best' need an eval_dataset, and an eval_strategy other than 'no'")
        if compute_metrics is not None and args._draws:
            raise errors.UnsupportedError("compute_metrics: answers that the policy draws have no log-probs of rows; use reward functions")
        self._reduce: Any = None
        self._user_reduce: "Optional[Callable[[Any], object]]" = None
        self.state = TrainerState(train_batch_size=getattr(args, "per_device_train_batch_size", 0))
        self.control = TrainerControl()
        #: The set that is being evaluated.
        self._evaluating: Optional[Dataset] = None
        self.communicator = None if args.distributed is None else Communicator.of(args.distributed, args.ddp_timeout)
        self.state.is_world_process_zero = self.state.is_local_process_zero = self.is_world_process_zero()
        options = args.native()
        in_library = self._library_evaluation()
        if in_library is None and self.eval_dataset is not None:
            options.eval_steps = 0
        parts_of_it = (
            self.model._handle, self.ref_model._handle if self.ref_model else None, self.train_dataset._handle,
            in_library._handle if in_library else None, byref(options), byref(self._handle),
        )
        if self.communicator is None:
            _native.check(_native.lib.dpo_trainer_create(*parts_of_it))
        else:
            _native.check(_native.lib.dpo_trainer_create_distributed(self.communicator._handle, *parts_of_it))
        total = self.plan()["steps"]
        self.state.max_steps = total
        self.state.num_train_epochs = getattr(args, "num_train_epochs", 0.0)
        self.state.logging_steps = every(args.logging_steps, total) if args.logging_strategy != "no" else 0
        self.state.eval_steps = self._steps_of("eval", total)
        self.state.save_steps = self._steps_of("save", total)
        self._callbacks = CallbackHandler(
            [*([] if args.disable_tqdm or not self.is_world_process_zero() else [ProgressCallback]),
             *(reporters(args.report_to) if self.is_world_process_zero() else []), *(callbacks or [])])
        self._event("on_init_end")

    def _read(self, args: Any) -> RunConfig:
        """The config, of whichever library."""
        name = self._config.__name__
        if args is None:
            return self._config()
        if isinstance(args, self._config):
            return args
        kind = type(args)
        if dataclasses.is_dataclass(args) and kind.__module__.split(".")[0] in ("trl", "transformers"):
            if kind.__name__ in (name, "TrainingArguments"):
                return self._config(**trl_fields.given_in(args, self._config))
        raise TypeError(f"args is {kind.__module__}.{kind.__name__}, expected libdpo.{name} or TRL's {name}")

    @property
    def _evaluates(self) -> bool:
        return self.eval_dataset is not None and self.args.eval_strategy != "no"

    def _library_evaluation(self) -> Optional[Dataset]:
        """The data that the library evaluates on by itself. Where more is asked for than it does, the trainer stops it to evaluate."""
        args = self.args
        steps = getattr(args, "eval_steps", 0) if args.eval_strategy in (None, "steps") else 0
        more = (
            isinstance(self.eval_dataset, dict) or self._compute_metrics is not None or args.eval_delay > 0 or args.eval_on_start
            or args.load_best_model_at_end or args.save_strategy == "best" or 0 < steps < 1
            or (args.eval_strategy == "steps" and not steps and args.logging_steps < 1)
        )
        return self.eval_dataset if self._evaluates and not more else None  # type: ignore[return-value]

    def _steps_of(self, what: str, total: int) -> int:
        """Steps between evaluations or checkpoints; 0: they come by epochs, or not."""
        strategy = self.args.eval_strategy if what == "eval" else self.args.save_strategy
        steps = getattr(self.args, f"{what}_steps", 0)
        if strategy == "steps" and what == "eval":
            steps = steps or self.args.logging_steps
        return every(steps, total) if strategy in (None, "steps") and steps else 0

    # -------------------------------------------------------------------------------------------------- callbacks

    def add_callback(self, callback: Callback) -> None:
        """Adds a callback, or one of a class."""
        self._callbacks.add(callback)

    def pop_callback(self, callback: Callback) -> Any:
        """Takes out a callback, or the first one of a class, and returns it; None where there is none."""
        return self._callbacks.pop(callback)

    def remove_callback(self, callback: Callback) -> None:
        """Takes out a callback, or the first one of a class."""
        self._callbacks.pop(callback)

    def _event(self, name: str, **kwargs: Any) -> None:
        given = {
            "model": self.model, "processing_class": self.processing_class, "optimizer": None, "lr_scheduler": None,
            "train_dataloader": None, "eval_dataloader": None, **kwargs,
        }
        self.control = self._callbacks.call(name, self.args, self.state, self.control, **given)

    def log(self, logs: "dict[str, Any]") -> None:
        """Adds an entry to ``state.log_history`` and hands it to ``report_to`` and the callbacks."""
        entry = {**logs, "epoch": self.state.epoch, "step": self.state.global_step}
        self.state.log_history.append(entry)
        self.control.should_log = False
        self._event("on_log", logs=entry)

    def plan(self) -> "dict[str, Any]":
        """Steps, tokens and memory by part, known before the first step."""
        text = c_void_p()
        _native.check(_native.lib.dpo_trainer_plan(self._handle, byref(text)))
        return json.loads(_native.take_text(text))

    # ------------------------------------------------------------------------------------------------------- runs

    def train(self, resume_from_checkpoint: Union[bool, Path, None] = None) -> TrainOutput:
        """Runs what remains of the plan; ``args.output_dir`` gets metrics, checkpoints, final.h5 and report.html.

        ``resume_from_checkpoint``: True for the last checkpoint in ``output_dir`` (from the beginning where there is
        none), or a checkpoint file. Ctrl-C stops after the running step, with a checkpoint to resume from.
        """
        resume = None
        if resume_from_checkpoint is True:
            resume = b"last"
        elif resume_from_checkpoint not in (None, False):
            resume = _native.path_bytes(resume_from_checkpoint)  # type: ignore[arg-type]
        run = Run(self)
        self.control.should_training_stop = self.control.should_epoch_stop = False
        started, began = time.monotonic(), len(self.state.log_history)
        self._event("on_train_begin")
        if resume is not None:
            self._recall_best()
        elif self.args.eval_on_start and self._evaluates:
            self._evaluate_sets("eval")
        with self._watching_gradients(run):
            status = run.go(resume)
        losses, last = run.losses, run.last
        if resume is not None:
            before = self._earlier(len(losses))
            if not losses and before:
                self._event("on_note", note="nothing is left to train: the run was finished before")
                losses = [entry["loss"] for entry in before if "loss" in entry]
                last.update(before[-1])
                self.state.global_step, self.state.epoch = before[-1]["step"], before[-1].get("epoch", self.state.epoch)
            earlier = Log(self.args, self.state.max_steps)
            logged = [earlier.add(entry["step"], entry) if "loss" in entry else entry for entry in before]
            self.state.log_history[:began] = [entry for entry in logged if entry is not None]
        self._take_best()
        if status != 0:  # a callback ended it
            self.save_model(self._file("final.h5"))
        self._take_tuned()
        mean = sum(losses) / len(losses) if losses else math.nan
        seconds = time.monotonic() - started
        summed = {"train_loss": mean, "train_runtime": seconds, "train_steps_per_second": len(losses) / seconds}
        self.log(summed)
        self._event("on_train_end")
        return TrainOutput(self.state.global_step, mean, {**last, **summed})

    def _watching_gradients(self, run: Run) -> Any:
        """While callbacks want to know of complete gradients, the library's reduce tells of them."""
        return Reduced(self, run) if self._callbacks.overrides("on_pre_optimizer_step") else contextlib.nullcontext()

    def _file(self, name: str) -> str:
        return os.path.join(os.fspath(self.args.output_dir or ""), name)

    def _lines(self) -> "list[dict[str, Any]]":
        """metrics.jsonl of the run."""
        try:
            with open(self._file("metrics.jsonl"), encoding="utf-8") as file:
                return [json.loads(line) for line in file]
        except FileNotFoundError:
            return []

    def _earlier(self, own: int) -> "list[dict[str, Any]]":
        """What the run wrote of steps and evaluations before the last ``own`` steps."""
        first = self.state.global_step - own
        return [
            {name: value for name, value in entry.items() if name != "seconds"}
            for entry in self._lines()
            if isinstance(entry.get("step"), int) and (not own or entry["step"] <= first)
        ]

    def _take_tuned(self) -> None:
        """``model`` becomes what was trained. The one that it was made of stays open for the steps that may follow."""
        tuned = self._file("final.h5")
        if not os.path.exists(tuned):
            return
        has_adapter = inspect(tuned)["kind"] == "adapter"
        self.model = self._untuned._reopened(self._untuned.path if has_adapter else tuned, tuned if has_adapter else None)

    # ------------------------------------------------------------------------------------------------- best model

    def _is_better(self, metrics: "dict[str, Any]") -> bool:
        name, greater = best_metric(self.args)
        value, best = metrics.get(name), self.state.best_metric
        return value is not None and (best is None or (value > best if greater else value < best))

    def _note_best(self, metrics: "dict[str, Any]") -> None:
        """Keeps the best evaluation, and its checkpoint where that is asked for."""
        args = self.args
        keeps = args.load_best_model_at_end or args.save_strategy == "best"
        name, _ = best_metric(args)
        if keeps and name not in metrics:
            raise errors.InvalidArgumentError(
                f"metric_for_best_model is {name.removeprefix('eval_')!r}, which the evaluation does not have; it has "
                + ", ".join(key.removeprefix("eval_") for key in metrics if key.startswith("eval_")))
        if not self._is_better(metrics):
            return
        self.state.best_metric, self.state.best_global_step = metrics[name], self.state.global_step
        if keeps:
            self.save_checkpoint(self._file("best.h5"))
            self.state.best_model_checkpoint = self._file("best.h5")
            self._event("on_save")

    def _recall_best(self) -> None:
        """What a run that is resumed had found out."""
        for entry in self._lines():
            if self._is_better(entry):
                self.state.best_metric, self.state.best_global_step = entry[best_metric(self.args)[0]], entry["step"]
        if os.path.exists(self._file("best.h5")):
            self.state.best_model_checkpoint = self._file("best.h5")

    def _take_best(self) -> None:
        state = self.state
        if not (self.args.load_best_model_at_end and state.best_model_checkpoint) or state.best_global_step == state.global_step:
            return
        self.load_checkpoint(state.best_model_checkpoint)
        self.save_model(self._file("final.h5"))
        self._event("on_note", note=f"the model is that of step {state.best_global_step}, {best_metric(self.args)[0]} {state.best_metric:.6g}")

    # ------------------------------------------------------------------------------------------------- evaluation

    def evaluate(
        self, eval_dataset: "Union[Data, Mapping[str, Data], None]" = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> "dict[str, Any]":
        """Metrics of the evaluation data now, under TRL's names with ``metric_key_prefix``; of several sets with the prefix and the
        set's name.

        ``eval_dataset``: other data than the trainer's, or a dict of such. ``ignore_keys`` has no meaning here.
        """
        return self._evaluate_sets(metric_key_prefix, eval_dataset)

    def _sets(self, prefix: str, data: Any = None) -> "Iterator[tuple[str, Dataset]]":
        data = self.eval_dataset if data is None else data
        if data is None:
            raise errors.StateError("the trainer has no evaluation data: give it an eval_dataset")
        named = data if isinstance(data, dict) else parts(data)
        for name, each in (named or {"": data}).items():
            yield (f"{prefix}_{name}" if name else prefix), as_dataset(each, self.model, self.args, self._formatting)

    def _evaluate_sets(self, prefix: str, data: Any = None) -> "dict[str, Any]":
        found: "dict[str, Any]" = {}
        for name, each in self._sets(prefix, data):
            metrics = self._measure(each, name)
            self.log(metrics)
            self.control.should_evaluate = False
            self._event("on_evaluate", metrics=metrics)
            found.update(metrics)
        return {**found, "epoch": self.state.epoch}

    def _measure(self, data: Dataset, prefix: str) -> "dict[str, Any]":
        started = time.monotonic()
        values = _native.Metrics()
        self._evaluating = data
        try:
            _native.check_interruptibly(
                self.cancel, _native.lib.dpo_trainer_evaluate_data, self._handle, data._handle, byref(values))
        finally:
            self._evaluating = None
        metrics = {
            prefix + name.removeprefix("eval"): value for name, value in self._last_metrics().items() if name.startswith("eval_")
        }
        if self._compute_metrics is not None:
            for name, value in self._compute_metrics(EvalPrediction(self._score(data))).items():
                metrics[name if name.startswith(prefix + "_") else f"{prefix}_{name}"] = value
        seconds = time.monotonic() - started
        metrics[f"{prefix}_runtime"] = seconds
        metrics[f"{prefix}_samples_per_second"] = len(data) / seconds if seconds else 0.0
        return metrics

    def _score(self, data: Dataset) -> Forward:
        count = len(data)
        outputs = [_arrays.Output(count, c_double) for _ in range(4)]
        _native.check_interruptibly(
            self.cancel, _native.lib.dpo_trainer_score_data, self._handle, data._handle, count,
            *[output.pointer for output in outputs])
        return Forward(*[output.values for output in outputs])

    def predict(self, test_dataset: Data, ignore_keys: Any = None, metric_key_prefix: str = "test") -> PredictionOutput:
        """Log-probs of every row of other data now, and the metrics of an evaluation on it.

        ``ignore_keys`` has no meaning here.
        """
        data = as_dataset(test_dataset, self.model, self.args, self._formatting)
        metrics = self._measure(data, metric_key_prefix)
        result = PredictionOutput(self._score(data), None, metrics)
        self._event("on_predict", metrics=metrics)
        return result

    # ------------------------------------------------------------------------------------------------------ files

    def cancel(self) -> None:
        """Asks a running call to stop within one micro-batch. Any thread."""
        _native.lib.dpo_trainer_cancel(self._handle)

    def save_model(self, output_dir: Optional[Path] = None) -> None:
        """Writes the trained adapter or model: a path that ends in .h5 as libdpo's own file, any other as a directory that PEFT or
        transformers loads. ``libdpo.export`` writes other formats.

        ``output_dir``: None: ``args.output_dir``, whose final.h5 stays beside.
        """
        path = self.args.output_dir if output_dir is None else output_dir
        assert path is not None
        if os.fspath(path).endswith(".h5"):
            _native.check(_native.lib.dpo_trainer_save_model(self._handle, _native.path_bytes(path)))
            return
        with tempfile.TemporaryDirectory(prefix="libdpo-") as directory:
            own = os.path.join(directory, "model.h5")
            self.save_model(own)
            if not self.is_world_process_zero():
                return
            to = "peft" if inspect(own)["kind"] == "adapter" else "safetensors"
            export(own, to, path, overwrite=True, **({"base": self._untuned.path} if to == "peft" else {}))

    def save_checkpoint(self, path: Path) -> None:
        """Writes parameters, optimiser, position and options."""
        _native.check(_native.lib.dpo_trainer_save(self._handle, _native.path_bytes(path)))

    def load_checkpoint(self, path: Path) -> None:
        """Takes up where ``save_checkpoint`` was called. A checkpoint of another model, reference or data set, or of other options that decide the run, is refused."""
        _native.check(_native.lib.dpo_trainer_load(self._handle, _native.path_bytes(path)))

    def save_state(self) -> None:
        """Nothing: metrics and checkpoints are written as the run goes. Scripts for TRL call it."""

    def is_world_process_zero(self) -> bool:
        """Whether this is the process that writes the files of the run."""
        return self.communicator is None or self.communicator.rank == 0

    is_local_process_zero = is_world_process_zero

    def push_to_hub(self, *_: Any, **__: Any) -> None:
        """Refuses: libdpo sends nothing anywhere. ``save_model`` writes a directory that you can upload."""
        raise errors.UnsupportedError("push_to_hub: libdpo sends nothing anywhere; save_model(directory), then hf upload NAME directory")

    def log_metrics(self, split: str, metrics: "dict[str, Any]") -> None:
        """Prints metrics, as scripts for transformers do. ``split``: "train", "eval" or "test"."""
        if not self.is_world_process_zero():
            return
        print(f"***** {split} metrics *****")
        for name, value in metrics.items():
            print(f"  {name} = {value:.6g}" if isinstance(value, float) else f"  {name} = {value}")

    def save_metrics(self, split: str, metrics: "dict[str, Any]") -> None:
        """Writes ``split``_results.json to the output directory, as scripts for transformers do."""
        if not self.is_world_process_zero():
            return
        os.makedirs(self._file(""), exist_ok=True)
        with open(self._file(f"{split}_results.json"), "w", encoding="utf-8") as file:
            json.dump(metrics, file, indent=2)

    # ------------------------------------------------------------------------------------------------------ steps

    def step(self) -> "dict[str, Any]":
        """The next optimiser step of the plan; its metrics."""
        values = _native.Metrics()
        _native.check(_native.lib.dpo_trainer_step(self._handle, byref(values)))
        self.state.global_step, self.state.epoch = values.step, values.epoch
        return {**self._last_metrics(), "step": values.step}

    def _more_metrics(self) -> "dict[str, Any]":
        """What the package itself knows of a step."""
        return {}

    def _last_metrics(self) -> "dict[str, Any]":
        text = c_void_p()
        _native.check(_native.lib.dpo_trainer_last_metrics(self._handle, byref(text)))
        return metrics_of(_native.take_text(text).encode())

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
        """Clip, update with the schedule's next rate, gradients to zero."""
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
        self._reduce, self._user_reduce = callback, reduce


class ReferenceTrainer(Trainer):
    """A method that compares the policy with a reference model."""

    def __init__(
        self,
        model: Union[Model, Path],
        ref_model: Union[Model, Path, None] = None,
        args: Optional[RunConfig] = None,
        train_dataset: Optional[Data] = None,
        eval_dataset: "Union[Data, Mapping[str, Data], None]" = None,
        callbacks: Optional[Sequence[Callback]] = None,
        peft_config: Any = None,
        **others: Any,
    ) -> None:
        super().__init__(model, ref_model, args, train_dataset, eval_dataset, callbacks, peft_config, **others)


class PolicyTrainer(Trainer):
    """A method that has no reference model."""

    def __init__(
        self,
        model: Union[Model, Path],
        args: Optional[RunConfig] = None,
        train_dataset: Optional[Data] = None,
        eval_dataset: "Union[Data, Mapping[str, Data], None]" = None,
        callbacks: Optional[Sequence[Callback]] = None,
        peft_config: Any = None,
        **others: Any,
    ) -> None:
        super().__init__(model, None, args, train_dataset, eval_dataset, callbacks, peft_config, **others)


class RolloutTrainer(Trainer):
    """``model`` answers the prompts of ``train_dataset`` ({"prompt"} as text or messages), and ``reward`` says how good the
    answers are.

    ``reward``, or by TRL's name ``reward_funcs``: a reward ``Model`` with the policy's tokenizer or its path, a ``TextClassifier``, a
    function of a list of ``Answer`` that returns one number each, a function as TRL calls it, with the keywords ``prompts``,
    ``completions``, ``completion_ids`` and a list for each other column of the rows, or a list of these, which are summed by
    ``args.reward_weights``. A function returns None for an answer that it does not judge. An exception in it stops the step,
    unapplied, and is raised where the step was asked for.
    """

    def __init__(
        self,
        model: Union[Model, Path],
        reward: "Union[Reward, Sequence[Reward], None]" = None,
        args: Optional[RunConfig] = None,
        train_dataset: Optional[Data] = None,
        eval_dataset: "Union[Data, Mapping[str, Data], None]" = None,
        ref_model: Union[Model, Path, None] = None,
        callbacks: Optional[Sequence[Callback]] = None,
        peft_config: Any = None,
        *,
        reward_funcs: "Union[Reward, Sequence[Reward], None]" = None,
        **others: Any,
    ) -> None:
        if (reward is None) == (reward_funcs is None):
            raise errors.InvalidArgumentError("give a reward, or reward_funcs" + ("" if reward is None else ", not both"))
        super().__init__(model, ref_model, args, train_dataset, eval_dataset, callbacks, peft_config, **others)
        self._raised: "list[BaseException]" = []
        self._reward: Any = None
        self._functions: Optional[RewardFunctions] = None
        self.set_reward(reward if reward_funcs is None else reward_funcs)

    def set_reward(self, reward: "Union[Reward, Sequence[Reward]]") -> None:
        """Gives the answers another judge."""
        rewards = list(reward) if isinstance(reward, (list, tuple)) else [reward]
        rewards = [_opened(each, self.args, "reward") if isinstance(each, (str, os.PathLike)) else each for each in rewards]
        weights = getattr(self.args, "reward_weights", None)
        self._functions = None
        if not rewards:
            raise errors.InvalidArgumentError("reward_funcs is empty; give at least one")
        if len(rewards) == 1 and weights is None and isinstance(rewards[0], Model):
            _native.check(_native.lib.dpo_trainer_set_reward_model(self._handle, rewards[0]._handle))
        elif len(rewards) == 1 and weights is None and isinstance(rewards[0], TextClassifier):
            _native.check(_native.lib.dpo_trainer_set_reward_classifier(self._handle, rewards[0]._handle, 0))
        else:
            self._functions = RewardFunctions(rewards, weights)
            callback = _native.RewardCallback(self._call_reward)
            _native.check(_native.lib.dpo_trainer_set_reward(self._handle, callback, None))
            self._reward = callback

    def _rows_of(self, is_evaluation: bool) -> "list[dict[str, Any]]":
        if not is_evaluation:
            return self.train_dataset.rows()
        data = self._evaluating or self.eval_dataset
        return data.rows() if isinstance(data, Dataset) else []

    def _call_reward(self, answers: Any, rewards: Any, _: object) -> int:
        try:
            values = answers.contents
            is_evaluation = bool(values.is_evaluation)
            found = answers_of(values, self._rows_of(is_evaluation))
            assert self._functions is not None
            for index, value in enumerate(self._functions(found, self.state, is_evaluation)):
                rewards[index] = value
            return 0
        except BaseException as error:  # carried over the C frames
            self._raised.append(error)
            return 1

    def _more_metrics(self) -> "dict[str, Any]":
        return self._functions.take_metrics() if self._functions else {}

    def _unwrap(self, work: "Callable[[], Any]") -> Any:
        self._raised.clear()
        try:
            return work()
        except errors.CancelledError:
            if self._raised:
                raise self._raised.pop() from None
            raise

    def train(self, resume_from_checkpoint: Union[bool, Path, None] = None) -> TrainOutput:
        return self._unwrap(lambda: super(RolloutTrainer, self).train(resume_from_checkpoint))

    def step(self) -> "dict[str, Any]":
        return self._unwrap(super().step)

    def evaluate(
        self, eval_dataset: "Union[Data, Mapping[str, Data], None]" = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> "dict[str, Any]":
        return self._unwrap(lambda: super(RolloutTrainer, self).evaluate(eval_dataset, ignore_keys, metric_key_prefix))

    def predict(self, test_dataset: Data, ignore_keys: Any = None, metric_key_prefix: str = "test") -> PredictionOutput:
        raise errors.UnsupportedError("predict: answers that the policy draws have no log-probs of rows; use evaluate or model.generate")
