"""libdpo.so: the structs (those of options are in _options) and prototypes of dpo.h, in its order, and ``check``, which turns a status into an exception."""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from ctypes import (
    CFUNCTYPE, POINTER, Structure, byref, c_char, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t,
    c_uint64, c_void_p, sizeof,
)

from . import errors
from ._options import (
    ExportOptions, FeedbackOptions, GenerationOptions, LossOptions, ModelShape, PPOOptions, SizedStructure,
    TokenizerOptions, TrainOptions,
)

ABI_VERSION = 0


def _load() -> ctypes.CDLL:
    name = f"libdpo.so.{ABI_VERSION}"
    here = pathlib.Path(__file__).resolve().parent
    chosen = os.environ.get("LIBDPO_LIBRARY")
    if chosen:
        candidates = [chosen]
    else:
        # In a wheel; in a checkout after `make build`; where the system's loader looks.
        candidates = [str(path) for path in (here / "lib" / name, here.parents[2] / "build" / "lib" / name) if path.exists()]
        candidates.append(name)
    try:
        library = ctypes.CDLL(candidates[0])
    except OSError as error:
        raise ImportError(f"cannot load libdpo: {error}; build it, or set LIBDPO_LIBRARY to {name}") from error
    library.dpo_abi_version.restype = c_int32
    found = library.dpo_abi_version()
    if found != ABI_VERSION:
        raise ImportError(f"{candidates[0]} has ABI version {found}; this package needs {ABI_VERSION}")
    return library


lib = _load()


# --------------------------------------------------------------------------------------------------------- structs


class ModelInfo(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("parameters", c_uint64), ("mapped_bytes", c_uint64), ("vocabulary_size", c_int32),
        ("hidden_size", c_int32), ("layers", c_int32), ("context_length", c_int32), ("eos_token", c_int32),
        ("bos_token", c_int32), ("has_chat_template", c_int32), ("has_adapter", c_int32), ("architecture", c_char * 32),
        ("format", c_char * 16), ("is_reward_model", c_int32),
    ]


class DatasetInfo(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("rows", c_uint64), ("dropped_rows", c_uint64), ("truncated_rows", c_uint64),
        ("identical_rows", c_uint64), ("duplicate_rows", c_uint64), ("contradicting_rows", c_uint64),
        ("tokens", c_uint64), ("longest_row", c_uint64), ("longer_is_chosen", c_double),
    ]


class Metrics(SizedStructure):
    _fields_ = [("struct_size", c_size_t), ("step", c_int64), ("total_steps", c_int64)] + [
        (name, c_double)
        for name in (
            "epoch", "loss", "grad_norm", "learning_rate", "rewards_chosen", "rewards_rejected", "rewards_accuracies",
            "rewards_margins", "logps_chosen", "logps_rejected", "logits_chosen", "logits_rejected", "entropy",
            "mean_token_accuracy", "num_tokens", "seconds",
        )
    ]


class Event(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("kind", c_int32), ("metrics", POINTER(Metrics)), ("text", c_char_p),
        ("done", c_uint64), ("total", c_uint64), ("metrics_json", c_char_p),
    ]


EVENT_STEP, EVENT_EVALUATION, EVENT_CHECKPOINT, EVENT_NOTE, EVENT_PROGRESS = 1, 2, 3, 4, 5


class FeedbackResult(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("outcome", c_int32), ("new_records", c_uint64), ("replayed", c_uint64),
        ("skipped", c_uint64), ("steps", c_int64),
    ]


class Answers(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("count", c_size_t), ("prompts", POINTER(c_char_p)), ("completions", POINTER(c_char_p)),
        ("prompt_is_chat", POINTER(c_int32)), ("stopped", POINTER(c_int32)), ("prompt_ids", POINTER(POINTER(c_int32))),
        ("prompt_lengths", POINTER(c_size_t)), ("completion_ids", POINTER(POINTER(c_int32))),
        ("completion_lengths", POINTER(c_size_t)), ("rows", POINTER(c_size_t)), ("is_evaluation", c_int32),
        ("columns", POINTER(c_char_p)),
    ]


COLLECTIVES_VERSION = 1

AllGather = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, POINTER(c_size_t))
AllToAll = CFUNCTYPE(c_int32, c_void_p, c_void_p, POINTER(c_size_t), c_void_p, POINTER(c_size_t))
#: Returns an address: of text in bytes nobody would keep the memory.
LastError = CFUNCTYPE(c_void_p, c_void_p)
Abort = CFUNCTYPE(None, c_void_p, c_int32)
Release = CFUNCTYPE(None, c_void_p, c_int32)


class Collectives(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("version", c_int32), ("rank", c_int32), ("size", c_int32), ("name", c_char_p),
        ("context", c_void_p), ("all_gather", AllGather), ("all_to_all", AllToAll), ("last_error", LastError),
        ("abort", Abort), ("release", Release),
    ]


ReduceCallback = CFUNCTYPE(c_int32, POINTER(c_float), c_size_t, c_void_p)
RewardCallback = CFUNCTYPE(c_int32, POINTER(Answers), POINTER(c_double), c_void_p)
EventCallback = CFUNCTYPE(c_int32, POINTER(Event), c_void_p)
ReadingCallback = CFUNCTYPE(c_int32, c_char_p, c_uint64, c_uint64, c_uint64, c_void_p)
TokenCallback = CFUNCTYPE(c_int32, c_size_t, c_size_t, c_int32, c_char_p, c_void_p)


# ------------------------------------------------------------------------------------------------------ prototypes

_handle = c_void_p
_doubles = POINTER(c_double)
_floats = POINTER(c_float)
_ids = POINTER(c_int32)
_sizes = POINTER(c_size_t)
_strings = POINTER(c_char_p)
_text_out = POINTER(c_void_p)


def _prototype(name: str, result: object, *arguments: object) -> None:
    function = getattr(lib, name)
    function.restype = result
    function.argtypes = list(arguments)


_prototype("dpo_version", c_char_p)
_prototype("dpo_version_number", c_int32)
_prototype("dpo_abi_version", c_int32)
_prototype("dpo_last_error", c_char_p)
_prototype("dpo_status_name", c_char_p, c_int32)
_prototype("dpo_handle_last_error", c_int32, _handle, _text_out)
_prototype("dpo_handle_set_wait", c_int32, _handle, c_double)
_prototype("dpo_string_free", None, c_void_p)
_prototype("dpo_options_create", c_int32, c_char_p, POINTER(_handle))
_prototype("dpo_options_set", c_int32, _handle, c_char_p, c_char_p)
_prototype("dpo_options_set_json", c_int32, _handle, c_char_p)
_prototype("dpo_options_describe", c_int32, _handle, _text_out)
_prototype("dpo_options_struct", c_void_p, _handle)
_prototype("dpo_options_release", None, _handle)

_prototype("dpo_loss_options_init", c_int32, POINTER(LossOptions), c_size_t)
_prototype(
    "dpo_loss_compute", c_int32, POINTER(LossOptions), c_size_t, _doubles, _doubles, _doubles, _doubles, _ids, _ids,
    _doubles, _doubles, _doubles, _doubles, _doubles, _doubles, _doubles,
)
_prototype(
    "dpo_loss_compute_ranked", c_int32, c_double, c_size_t, _sizes, _doubles, _doubles, _doubles, _doubles, _doubles,
    _doubles, _doubles, _doubles,
)

_prototype("dpo_policy_optimum", c_int32, POINTER(LossOptions), c_size_t, _doubles, _doubles, _doubles, _doubles)
_prototype("dpo_policy_rewards", c_int32, POINTER(LossOptions), c_size_t, _doubles, _doubles, _doubles)
_prototype("dpo_policy_divergence", c_int32, POINTER(LossOptions), c_size_t, _doubles, _doubles, _doubles)
_prototype("dpo_bradley_terry", c_int32, c_size_t, _doubles, _doubles, _doubles)
_prototype("dpo_gae", c_int32, _doubles, _doubles, _sizes, c_size_t, c_double, c_double, _doubles, _doubles)
_prototype("dpo_ppo_options_init", c_int32, POINTER(PPOOptions), c_size_t)
_prototype(
    "dpo_ppo_loss", c_int32, POINTER(PPOOptions), c_size_t, _floats, _floats, _floats, _floats, _floats, _floats, _doubles,
    _doubles, _doubles,
)

_prototype("dpo_model_open", c_int32, c_char_p, c_char_p, c_int32, POINTER(_handle))
_prototype("dpo_model_set_engine", c_int32, _handle, c_char_p)
_prototype("dpo_model_load", c_int32, c_char_p, c_char_p, c_int32, POINTER(_handle))
_prototype("dpo_model_release", None, _handle)
_prototype("dpo_model_cancel", None, _handle)
_prototype("dpo_model_get_info", c_int32, _handle, POINTER(ModelInfo))
_prototype("dpo_inspect", c_int32, c_char_p, _text_out)
_prototype("dpo_model_encode", c_int32, _handle, c_char_p, c_size_t, c_int32, _ids, c_size_t, _sizes)
_prototype("dpo_model_decode", c_int32, _handle, _ids, c_size_t, _text_out, _sizes)
_prototype("dpo_model_apply_chat_template", c_int32, _handle, c_char_p, c_int32, _text_out, _sizes)
_prototype(
    "dpo_model_score_tokens", c_int32, _handle, _ids, _sizes, c_size_t, _ids, _sizes, _sizes, c_size_t, _floats, _doubles
)
_prototype("dpo_model_score_texts", c_int32, _handle, _strings, _strings, c_size_t, _doubles, _ids)

_prototype(
    "dpo_model_reward_tokens", c_int32, _handle, _ids, _sizes, c_size_t, _ids, _sizes, _sizes, c_size_t, _doubles
)
_prototype("dpo_model_reward_texts", c_int32, _handle, _strings, _strings, c_size_t, _doubles)

_prototype("dpo_dataset_open_jsonl", c_int32, _handle, c_char_p, POINTER(TrainOptions), POINTER(_handle))
_prototype(
    "dpo_dataset_open", c_int32, _handle, _strings, c_size_t, POINTER(TrainOptions), ReadingCallback, c_void_p,
    POINTER(_handle),
)
_prototype("dpo_dataset_from_jsonl", c_int32, _handle, c_char_p, c_size_t, POINTER(TrainOptions), POINTER(_handle))
_prototype(
    "dpo_dataset_from_pairs", c_int32, _handle, _strings, _strings, _strings, c_size_t, POINTER(TrainOptions),
    POINTER(_handle),
)
_prototype(
    "dpo_dataset_from_tokens", c_int32, _ids, _sizes, _ids, _sizes, _ids, _sizes, c_size_t, POINTER(TrainOptions),
    POINTER(_handle),
)
_prototype("dpo_dataset_get_info", c_int32, _handle, POINTER(DatasetInfo))
_prototype("dpo_dataset_release", None, _handle)

_prototype("dpo_train_options_init", c_int32, POINTER(TrainOptions), c_size_t)
_prototype("dpo_train_options_describe", c_char_p)
_prototype(
    "dpo_trainer_create", c_int32, _handle, _handle, _handle, _handle, POINTER(TrainOptions), POINTER(_handle)
)
_prototype("dpo_trainer_release", None, _handle)
_prototype("dpo_communicator_create", c_int32, POINTER(Collectives), POINTER(_handle))
_prototype("dpo_communicator_open_mpi", c_int32, c_char_p, c_double, POINTER(_handle))
_prototype("dpo_communicator_ranks", c_int32, _handle, POINTER(c_int32), POINTER(c_int32))
_prototype("dpo_communicator_abort", c_int32, _handle, c_int32)
_prototype("dpo_communicator_release", None, _handle)
_prototype(
    "dpo_trainer_create_distributed", c_int32, _handle, _handle, _handle, _handle, _handle, POINTER(TrainOptions),
    POINTER(_handle),
)
_prototype("dpo_trainer_plan", c_int32, _handle, _text_out)
_prototype("dpo_trainer_last_metrics", c_int32, _handle, _text_out)
_prototype("dpo_trainer_step", c_int32, _handle, POINTER(Metrics))
_prototype("dpo_trainer_forward", c_int32, _handle, _sizes, c_size_t, _doubles, _doubles, _doubles, _doubles)
_prototype("dpo_trainer_token_count", c_int32, _handle, _sizes)
_prototype("dpo_trainer_token_logps", c_int32, _handle, _floats, c_size_t)
_prototype("dpo_trainer_backward", c_int32, _handle, _doubles, _doubles, c_size_t)
_prototype("dpo_trainer_backward_tokens", c_int32, _handle, _floats, c_size_t)
_prototype("dpo_trainer_apply", c_int32, _handle, POINTER(Metrics))
_prototype("dpo_trainer_parameters", c_int32, _handle, POINTER(_floats), POINTER(_floats), _sizes)
_prototype("dpo_trainer_parameter_count", c_int32, _handle, _sizes)
_prototype(
    "dpo_trainer_parameter_at", c_int32, _handle, c_size_t, POINTER(c_char_p), _sizes, _sizes, POINTER(c_int64), _sizes
)
_prototype("dpo_trainer_parameter_find", c_int32, _handle, c_char_p, _sizes)
_prototype("dpo_trainer_set_reduce", c_int32, _handle, ReduceCallback, c_void_p)
_prototype("dpo_trainer_set_reward", c_int32, _handle, RewardCallback, c_void_p)
_prototype("dpo_trainer_set_reward_model", c_int32, _handle, _handle)
_prototype("dpo_trainer_set_reward_classifier", c_int32, _handle, _handle, c_int32)

_prototype("dpo_trainer_run", c_int32, _handle, c_char_p, c_char_p, EventCallback, c_void_p)
_prototype("dpo_trainer_cancel", None, _handle)
_prototype("dpo_trainer_evaluate", c_int32, _handle, POINTER(Metrics))
_prototype("dpo_trainer_evaluate_data", c_int32, _handle, _handle, POINTER(Metrics))
_prototype(
    "dpo_trainer_score_data", c_int32, _handle, _handle, c_size_t, _doubles, _doubles, _doubles, _doubles
)
_prototype("dpo_trainer_save", c_int32, _handle, c_char_p)
_prototype("dpo_trainer_load", c_int32, _handle, c_char_p)
_prototype("dpo_trainer_save_model", c_int32, _handle, c_char_p)

_prototype("dpo_generation_options_init", c_int32, POINTER(GenerationOptions), c_size_t)
_prototype(
    "dpo_model_generate", c_int32, _handle, _strings, c_size_t, POINTER(GenerationOptions), TokenCallback, c_void_p,
    POINTER(_handle),
)
_prototype(
    "dpo_completions_get", c_int32, _handle, c_size_t, c_size_t, POINTER(c_char_p), POINTER(_ids), _sizes, _ids
)
_prototype("dpo_completions_release", None, _handle)
_prototype("dpo_classifier_train", c_int32, _strings, _ids, c_size_t, c_double, c_int32, POINTER(_handle))
_prototype("dpo_classifier_open", c_int32, c_char_p, POINTER(_handle))
_prototype("dpo_classifier_save", c_int32, _handle, c_char_p)
_prototype("dpo_classifier_score", c_int32, _handle, _strings, c_size_t, _doubles)
_prototype("dpo_classifier_release", None, _handle)
_prototype(
    "dpo_model_evaluate", c_int32, _handle, _handle, c_char_p, POINTER(TrainOptions), POINTER(GenerationOptions), _handle,
    _handle, _text_out,
)
_prototype("dpo_tokenizer_options_init", c_int32, POINTER(TokenizerOptions), c_size_t)
_prototype("dpo_tokenizer_train", c_int32, _strings, c_size_t, POINTER(TokenizerOptions), c_char_p)
_prototype("dpo_model_shape_init", c_int32, POINTER(ModelShape), c_size_t)
_prototype("dpo_model_create", c_int32, POINTER(ModelShape), c_char_p)
_prototype("dpo_export_options_init", c_int32, POINTER(ExportOptions), c_size_t)
_prototype("dpo_export", c_int32, c_char_p, c_int32, c_char_p, POINTER(ExportOptions))
_prototype(
    "dpo_export_check", c_int32, c_char_p, c_char_p, c_char_p, c_char_p, POINTER(ExportOptions), _text_out
)

_number_out = POINTER(c_uint64)
_prototype("dpo_feedback_open", c_int32, c_char_p, POINTER(_handle))
_prototype("dpo_feedback_release", None, _handle)
_prototype("dpo_feedback_record_thumb", c_int32, _handle, c_char_p, c_char_p, c_int32, c_double, _number_out)
_prototype("dpo_feedback_record_choice", c_int32, _handle, c_char_p, c_char_p, c_char_p, c_double, _number_out)
_prototype("dpo_feedback_record_json", c_int32, _handle, c_char_p, _number_out)
_prototype("dpo_feedback_count", c_int32, _handle, _number_out)
_prototype("dpo_feedback_status", c_int32, _handle, c_char_p, _text_out)
_prototype("dpo_feedback_options_init", c_int32, POINTER(FeedbackOptions), c_size_t)
_prototype("dpo_feedback_training_init", c_int32, POINTER(TrainOptions), c_size_t)
_prototype(
    "dpo_feedback_train", c_int32, _handle, _handle, c_char_p, POINTER(FeedbackOptions), EventCallback, c_void_p,
    POINTER(FeedbackResult),
)
_prototype("dpo_feedback_cancel", None, _handle)


# --------------------------------------------------------------------------------------------------------- helpers


def check(status: int) -> None:
    """Raises the exception of a status other than DPO_OK."""
    if status != 0:
        raise errors.from_status(status, lib.dpo_last_error().decode("utf-8", "replace"))


@contextlib.contextmanager
def interrupts(cancel: "Callable[[], None]") -> "Iterator[list[bool]]":
    """Ctrl-C calls `cancel` instead of raising inside a C callback, where Python could only drop the exception. The list
    is not empty when that happened. Only Python's own handler is replaced, and only in the main thread."""
    happened: "list[bool]" = []
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield happened
        return

    def handle(*_: object) -> None:
        happened.append(True)
        cancel()

    signal.signal(signal.SIGINT, handle)
    try:
        yield happened
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _Watcher:
    """A thread that calls `cancel` when Ctrl-C comes while the main thread is inside the library, where Python's own handler
    cannot run. Python's C handler writes the signal's number to the pipe at once."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.cancel: "Callable[[], None] | None" = None
        reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        _thread.start_new_thread(self._watch, (reader,))

    def _watch(self, reader: int) -> None:
        while True:
            number = os.read(reader, 1)
            cancel = self.cancel
            if cancel and number == bytes([signal.SIGINT]):
                cancel()


_watcher: "_Watcher | None" = None


def check_interruptibly(cancel: "Callable[[], None]", function: "Callable[..., int]", *arguments: object) -> None:
    """Calls the library and raises the exception of a status other than DPO_OK. In the main thread, with Python's own handler,
    Ctrl-C ends the call by `cancel` and raises KeyboardInterrupt."""
    global _watcher
    status = None
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        try:
            if _watcher is None or _watcher.process != os.getpid():
                _watcher = _Watcher()
        except (OSError, RuntimeError):  # no pipe or no thread to be had: Ctrl-C waits for the end of the call
            _watcher = None
        if _watcher is not None:
            before = signal.set_wakeup_fd(_watcher.writer, warn_on_full_buffer=False)
            _watcher.cancel = cancel
            try:
                status = function(*arguments)
            finally:
                _watcher.cancel = None
                signal.set_wakeup_fd(before)
    check(function(*arguments) if status is None else status)


def initialised(kind: type[SizedStructure], initialise: object) -> SizedStructure:
    options = kind()
    check(initialise(byref(options), sizeof(options)))  # type: ignore[operator]
    return options


def filled(kind: type[SizedStructure], initialise: object, values: "dict[str, object]") -> SizedStructure:
    """A struct of options with these values; None leaves an option unset. The result keeps alive what it points to."""
    options = initialised(kind, initialise)
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, (str, os.PathLike)):
            setattr(options, name, text_bytes(os.fspath(value), name))
        elif isinstance(value, (list, tuple)):
            setattr(options, name, string_array(list(value), name))
            setattr(options, name.removesuffix("s") + "_count", len(value))
        elif isinstance(value, bool) and dict(kind._fields_)[name] is c_int32:  # type: ignore[index]
            setattr(options, name, int(value))
        else:
            setattr(options, name, value)
    return options


def path_bytes(path: "str | os.PathLike[str]") -> bytes:
    return text_bytes(os.fspath(path), "a path")


def text_bytes(text: str, what: str) -> bytes:
    """NUL-terminated UTF-8; ctypes would cut the text at a NUL character without a word."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is {type(text).__name__}, expected str")
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise errors.InvalidArgumentError(f"{what} holds a NUL character")
    return data


def take_text(pointer: c_void_p, size: "int | None" = None) -> str:
    """Text that the library allocated, freed here."""
    try:
        data = ctypes.string_at(pointer.value, -1 if size is None else size)  # type: ignore[arg-type]
        return data.decode("utf-8", "replace")
    finally:
        lib.dpo_string_free(pointer)


def string_array(texts: "list[str]", what: str) -> "ctypes.Array[c_char_p]":
    return (c_char_p * max(1, len(texts)))(*[text_bytes(text, what) for text in texts])


class Handle:
    """Owns a handle of the library. ``close`` releases it; so do ``with`` and garbage collection. It cannot be copied."""

    _release = ""
    _owned: "c_void_p | None" = None

    def __init__(self) -> None:
        self._owned = c_void_p()

    @property
    def _handle(self) -> c_void_p:
        if self._owned is None:
            raise errors.InvalidArgumentError(f"the {type(self).__name__} is closed")
        return self._owned

    def __enter__(self):  # type: ignore[no-untyped-def]
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        handle, self._owned = self._owned, None
        if handle:
            getattr(lib, self._release)(handle)

    # At the end of the process modules may be gone, and the memory goes with it.
    def __del__(self, _is_finalizing: "Callable[[], bool]" = sys.is_finalizing) -> None:
        if not _is_finalizing():
            self.close()

    def __reduce_ex__(self, _: object) -> "tuple[object, ...]":
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled: open it again, or share it")
