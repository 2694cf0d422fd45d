"""``report_to``: log entries for TensorBoard, Weights & Biases and Trackio, under the names that transformers gives them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
from collections.abc import Callable
from typing import Any

from . import errors
from .callbacks import TrainerCallback, TrainerControl, TrainerState

__all__ = ["TensorBoardCallback", "TrackioCallback", "WandbCallback", "reporters"]


def _needed(module: str, where: str) -> Any:
    """A module that ``report_to`` names, or an error that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'report_to="{where}" needs the package {where}, which is not installed ({error}): pip install {where}'
        ) from None


def _numbers(logs: "dict[str, Any]") -> "dict[str, float]":
    """Numbers of a log entry by transformers' names: train/loss, eval/loss."""
    values = {}
    for name, value in logs.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and name != "step":
            group = next((each for each in ("eval", "test") if name.startswith(each + "_")), "")
            values[f"{group}/{name[len(group) + 1:]}" if group else f"train/{name}"] = value
    return values


def _tensorboard(directory: str) -> "tuple[Callable[[str, float, int], object], Callable[[], object]]":
    """add_scalar and close of a writer: tensorboard's own, or tensorboardX's."""
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2  # type: ignore[import-not-found]
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # type: ignore[import-not-found]
    except ImportError:
        try:
            from tensorboardX import SummaryWriter  # type: ignore[import-not-found]
        except ImportError:
            raise ImportError(
                'report_to="tensorboard" needs the package tensorboard or tensorboardX, and neither is installed: '
                "pip install tensorboard"
            ) from None
        other = SummaryWriter(directory)
        return other.add_scalar, other.close
    writer = EventFileWriter(directory)

    def add(name: str, value: float, step: int) -> None:
        summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=name, simple_value=value)])
        writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))

    return add, writer.close


class TensorBoardCallback(TrainerCallback):
    """Scalars in ``logging_dir``, which is ``output_dir``/runs where it is not set."""

    def __init__(self) -> None:
        self._add: Any = None
        self._close: Any = None
        #: Entries of before the first step, until which the run's directory has to be empty.
        self._waiting: "list[tuple[str, float, int]]" = []
        if not any(importlib.util.find_spec(name) for name in ("tensorboard", "tensorboardX")):
            _tensorboard("")

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._add is None:
            directory = args.logging_dir or os.path.join(args.output_dir, "runs", *([args.run_name] if args.run_name else []))
            self._add, self._close = _tensorboard(directory)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        self._waiting += [(name, value, state.global_step) for name, value in _numbers(logs or {}).items()]
        if self._add:
            for entry in self._waiting:
                self._add(*entry)
            self._waiting.clear()

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._close:
            self._close()
        self._add = self._close = None
        self._waiting.clear()


class _ModuleCallback(TrainerCallback):
    """A tracker whose module has init, log and finish."""

    _module = ""

    def __init__(self) -> None:
        self._tracker = _needed(self._module, self._module)
        self._running = False

    def _begin(self, args: Any) -> None:
        self._tracker.init(project=args.project, name=args.run_name, config=args.to_dict())

    def _log(self, values: "dict[str, float]", step: int) -> None:
        self._tracker.log(values, step=step)

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._begin(args)
        self._running = True

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        if self._running:
            self._log({**_numbers(logs or {}), "train/global_step": state.global_step}, state.global_step)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._running:
            self._running = False
            self._tracker.finish()


class WandbCallback(_ModuleCallback):
    """Weights & Biases: a run ``run_name`` in ``project``, or in WANDB_PROJECT. A run that you began yourself is used."""

    _module = "wandb"

    def _begin(self, args: Any) -> None:
        if getattr(self._tracker, "run", None) is None:
            project = os.environ.get("WANDB_PROJECT", args.project)
            self._tracker.init(project=project, name=args.run_name, config=args.to_dict())

    def _log(self, values: "dict[str, float]", step: int) -> None:
        self._tracker.log(values)


class TrackioCallback(_ModuleCallback):
    """Trackio: a run ``run_name`` in ``project``, or in TRACKIO_PROJECT."""

    _module = "trackio"

    def _begin(self, args: Any) -> None:
        project = os.environ.get("TRACKIO_PROJECT", args.project)
        self._tracker.init(project=project, name=args.run_name, config=args.to_dict())


_REPORTERS = {"tensorboard": TensorBoardCallback, "wandb": WandbCallback, "trackio": TrackioCallback}


def reporters(report_to: Any) -> "list[TrainerCallback]":
    """The callbacks that ``report_to`` asks for: a name, several, "all" for those that are installed, or "none"."""
    names = [] if report_to is None else [report_to] if isinstance(report_to, str) else list(report_to)
    names = [name for name in names if name != "none"]
    if "all" in names:
        found = {
            "tensorboard": any(importlib.util.find_spec(name) for name in ("tensorboard", "tensorboardX")),
            "wandb": importlib.util.find_spec("wandb") is not None,
            "trackio": importlib.util.find_spec("trackio") is not None,
        }
        names = [name for name, is_installed in found.items() if is_installed]
    for name in names:
        if name not in _REPORTERS:
            raise errors.UnsupportedError(
                f"report_to={name!r}: expected one of {', '.join(_REPORTERS)}, all and none; a callback of yours sends "
                "log entries anywhere else"
            )
    return [_REPORTERS[name]() for name in names]
