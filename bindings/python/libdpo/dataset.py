"""Training data: rows become tokens once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from ctypes import byref, c_char_p
from dataclasses import dataclass
from typing import Any, Optional, Union

from . import _arrays, _native, errors
from .columns import rows_of
from .config import RunConfig
from .configs import DPOConfig
from .model import Model
from .progress import Reading
from .row_files import rows_in

__all__ = ["Dataset", "DatasetInfo"]

_TOKEN_KEYS = ("prompt_ids", "chosen_ids", "rejected_ids")


@dataclass(frozen=True)
class DatasetInfo:
    """Statistics of a data set, as ``dpo_dataset_info`` in dpo.h describes them."""

    rows: int
    """Rows that are learned from."""
    dropped_rows: int
    """Rows left out, whose prompt is not shorter than max_length."""
    truncated_rows: int
    """Rows cut at max_length."""
    identical_rows: int
    """Pairs whose chosen answer equals the rejected one, or ranked rows that all tie: no gradient comes from them."""
    duplicate_rows: int
    """Rows that are there before."""
    contradicting_rows: int
    """Pairs that are there the other way round, too."""
    tokens: int
    """Tokens, prompts counted once a pair."""
    longest_row: int
    """Tokens of the longest prompt and completion."""
    longer_is_chosen: float
    """Share of the pairs whose chosen answer is the longer one; 0.5 is no bias."""


class Dataset(_native.Handle):
    """Tokenised rows for one method, ``max_length`` and ``truncation_mode``.

    ``data``: the path of a file of rows (JSON lines or array, CSV, TSV, each also as .gz) or of a directory of such files, for
    pretraining also of text files; or rows: an iterable (a list, a generator, a ``datasets.Dataset``), a pandas or polars
    table, or a dict of columns. A row is a dict with "prompt", "chosen" and "rejected" as text or chat messages, "prompt" and "completion", "prompt", "completions" and "ranks" or "scores", "text" or
    "messages"; sharegpt's "conversations" and alpaca's "instruction" become these; or a dict with "prompt_ids", "chosen_ids" and
    "rejected_ids", lists or NumPy arrays of token ids, for which no model is needed. Methods that answer prompts themselves take
    "prompt" or "prompt_ids" alone. A stream (``datasets.IterableDataset``) is read to its end, or with ``args.max_steps`` as far
    as these steps need it.

    ``model``: whose tokenizer reads the rows. ``args``: the config of the run; its ``data_cache`` says where tokens of files are kept,
    for data larger than memory too. ``formatting_func``: makes the text of a row. ``progress``: is called with how far a file was
    read, a few times a second: a phase such as "tokenising", bytes done, bytes of all, rows done; an exception ends the reading.
    """

    _release = "dpo_dataset_release"

    def __init__(
        self, data: Any, model: Optional[Model] = None, args: Optional[RunConfig] = None,
        formatting_func: "Optional[Callable[[Any], str]]" = None,
        progress: "Optional[Callable[[str, int, int, int], Any]]" = None,
    ) -> None:
        super().__init__()
        args = args or DPOConfig()
        options = args.native()
        self._path: Optional[str] = None
        self._kept: "list[dict[str, Any]]" = []
        rows = rows_of(
            data, formatting=formatting_func, text_field=getattr(args, "dataset_text_field", "text"),
            template=getattr(args, "chat_template_kwargs", None), limit=_stream_limit(data, args),
            has_chat_template=model is not None and model.info.has_chat_template,
        )
        if rows is None:
            self._open(data, model, options, progress)
            self._path = os.fspath(data) if args._draws else None
            return
        if args._draws:
            self._kept = rows
        if rows and "prompt_ids" in rows[0]:
            if args._draws:
                rows = [{**row, "chosen_ids": [], "rejected_ids": []} for row in rows]
            self._from_tokens(rows, options)
        else:
            text = "\n".join(_line(index, row) for index, row in enumerate(rows)).encode("utf-8", "surrogatepass")
            _native.check(
                _native.lib.dpo_dataset_from_jsonl(_handle(model), text, len(text), byref(options), byref(self._handle))
            )

    def rows(self) -> "list[dict[str, Any]]":
        """The rows as they were given, of methods that answer prompts: what reward functions get as columns. Of a file each stands
        where its number says, with empty ones between. Of a directory there are none: numbers begin anew in each of its files."""
        if self._path is not None and not self._kept and not os.path.isdir(self._path):
            for number, row in rows_in(self._path):
                self._kept += [{} for _ in range(number - len(self._kept) - 1)] + [row]
        return self._kept

    def _open(
        self, path: Any, model: Optional[Model], options: _native.TrainOptions,
        progress: "Optional[Callable[[str, int, int, int], Any]]",
    ) -> None:
        failure: "list[BaseException]" = []

        def told(phase: bytes, done: int, total: int, rows: int, _: Any) -> int:
            try:
                if progress is not None:
                    progress(phase.decode(), done, total, rows)
            except BaseException as error:  # An exception cannot pass through C.
                failure.append(error)
            return 1 if failure else 0

        status = _native.lib.dpo_dataset_open(
            _handle(model), (c_char_p * 1)(_native.path_bytes(path)), 1, byref(options),
            _native.ReadingCallback(told), None, byref(self._handle),
        )
        if failure:
            raise failure[0]
        _native.check(status)

    def _from_tokens(self, rows: "list[Mapping[str, Any]]", options: _native.TrainOptions) -> None:
        for index, row in enumerate(rows):
            missing = [key for key in _TOKEN_KEYS if key not in row]
            if missing:
                raise errors.FormatError(f"row {index + 1} lacks {', '.join(missing)}")
        columns = [_arrays.flattened([row[key] for row in rows], key) for key in _TOKEN_KEYS]
        pointers = [values.pointer for column in columns for values in column]
        _native.check(
            _native.lib.dpo_dataset_from_tokens(*pointers, len(rows), byref(options), byref(self._handle))
        )

    @property
    def info(self) -> DatasetInfo:
        """Statistics of the rows."""
        values = _native.DatasetInfo()
        _native.check(_native.lib.dpo_dataset_get_info(self._handle, byref(values)))
        return DatasetInfo(**{name: getattr(values, name) for name in DatasetInfo.__dataclass_fields__})

    def __len__(self) -> int:
        return self.info.rows


#: Columns that the library reads, of any kind of rows.
_COLUMNS = {
    "prompt", "chosen", "rejected", "completion", "label", "completions", "ranks", "scores", "text", "messages", "weight", "margin",
    "ref_chosen_logps", "ref_rejected_logps", "tools", "chat_template_kwargs",
}


def _plain(value: Any) -> Any:
    """NumPy's and others' numbers and arrays."""
    for method in ("tolist", "item"):
        if callable(getattr(value, method, None)):
            return getattr(value, method)()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _line(index: int, row: "Mapping[str, Any]") -> str:
    """A row as JSON. Of a column that is not read, a value that JSON has no place for does not matter."""
    try:
        return json.dumps(dict(row), ensure_ascii=False, default=_plain, allow_nan=False)
    except (TypeError, ValueError):
        values = {}
    for name, value in row.items():
        try:
            values[name] = json.loads(json.dumps(value, default=_plain, allow_nan=False))
        except (TypeError, ValueError) as error:
            if name in _COLUMNS:
                raise TypeError(f"row {index + 1}: {name} is {type(value).__name__}: {error}") from None
            values[name] = type(value).__name__
    return json.dumps(values, ensure_ascii=False)


def _stream_limit(data: Any, args: RunConfig) -> Optional[int]:
    """Rows that the steps of a run need of a stream, which may have no end."""
    steps = getattr(args, "max_steps", -1)
    if not type(data).__name__.startswith("Iterable") or steps <= 0:
        return None
    return steps * args.per_device_train_batch_size * args.gradient_accumulation_steps  # type: ignore[attr-defined]


def _handle(model: Optional[Model]) -> Any:
    return None if model is None else model._handle


Data = Union[Dataset, str, "os.PathLike[str]", Iterable[Mapping[str, Any]]]
"""What a trainer takes as data."""


def as_dataset(
    data: Any, model: Model, args: RunConfig, formatting_func: "Optional[Callable[[Any], str]]" = None
) -> Dataset:
    """A data set of whatever a trainer takes as one."""
    if isinstance(data, Dataset):
        return data
    if getattr(args, "disable_tqdm", True):
        return Dataset(data, model, args, formatting_func)
    reading = Reading()
    try:
        return Dataset(data, model, args, formatting_func, progress=reading)
    finally:
        reading.close()
