"""Rows of many kinds of tables, and the forms of rows that others use: sharegpt's conversations and alpaca's instructions."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Optional

from . import errors
from .row_files import rows_in

__all__ = ["parts", "rows_of"]

#: sharegpt's speakers.
_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant", "bot": "assistant",
    "model": "assistant", "system": "system", "tool": "tool", "observation": "tool",
}
_ALPACA = (
    "Below is an instruction that describes a task{}. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{}\n\n{}### Response:\n"
)


def parts(data: Any) -> "dict[str, Any] | None":
    """The parts of a DatasetDict or of a dict of data sets, by name; None for anything else."""
    if isinstance(data, Mapping) and data and not all(_is_column(value) for value in data.values()):
        return dict(data)
    return None


def _is_column(values: Any) -> bool:
    """Whether these are values of a column, not rows."""
    if isinstance(values, (list, tuple)):
        return not (values and isinstance(values[0], Mapping))
    return hasattr(values, "__array__") and not hasattr(values, "columns")


def _present(row: "Mapping[str, Any]") -> "dict[str, Any]":
    """Without what a table of pandas has no value for, which it calls NaN."""
    return {name: value for name, value in row.items() if not (isinstance(value, float) and value != value)}


def rows_of(
    data: Any, *, formatting: "Optional[Callable[[Any], str]]" = None, text_field: str = "text",
    template: "Optional[Mapping[str, Any]]" = None, limit: Optional[int] = None, has_chat_template: bool = True,
) -> "list[dict[str, Any]] | None":
    """The rows of a table as libdpo reads them; None for a file that the library reads by itself.

    ``formatting`` makes the text of a row; ``text_field`` is the column that holds it; ``template`` goes to every row as
    chat_template_kwargs; ``limit``: rows of a stream that are read at most.
    """
    if isinstance(data, (str, os.PathLike)):
        if formatting is None and text_field == "text" and not template and not _is_foreign(_first_row(data)):
            return None
        rows: Iterable[Any] = (row for _, row in rows_in(data))
    elif hasattr(data, "to_dict") and hasattr(data, "columns"):  # pandas
        rows = map(_present, data.to_dict("records"))
    elif hasattr(data, "to_dicts"):  # polars
        rows = data.to_dicts()
    elif parts(data) is not None:
        raise TypeError(f"the data are {type(data).__name__} of {', '.join(map(str, data))}; give one of these: data[{next(iter(data))!r}]")
    elif isinstance(data, Mapping):  # columns
        names, columns = list(data), list(data.values())
        if len({len(column) for column in columns}) > 1:
            raise TypeError("the data are columns of different lengths: " + ", ".join(f"{n} {len(c)}" for n, c in data.items()))
        rows = [dict(zip(names, values)) for values in zip(*columns)]
    elif not isinstance(data, Iterable):
        raise TypeError(f"a data set from {type(data).__name__}; expected a path or an iterable of rows")
    else:
        rows = data if limit is None else itertools.islice(data, limit)
    found = []
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TypeError(f"row {index + 1} is {type(row).__name__}, expected a dict")
        if formatting is not None:
            text = formatting(row)
            if not isinstance(text, str):
                raise TypeError(f"row {index + 1}: formatting_func returned {type(text).__name__}, expected str")
            found.append({"text": text})
            continue
        values = dict(row)
        if text_field != "text":
            if text_field not in values:
                raise TypeError(f"row {index + 1} has no column {text_field}, the dataset_text_field; it has {', '.join(values)}")
            values["text"] = values.pop(text_field)
        if _is_foreign(values):
            values = _own(values, has_chat_template)
        if template:
            values["chat_template_kwargs"] = {**template, **(values.get("chat_template_kwargs") or {})}
        found.append(values)
    return found


def _first_row(path: Any) -> Any:
    """None where the library will say better what is wrong."""
    try:
        return next(rows_in(path), (0, None))[1]
    except (OSError, EOFError, ValueError, errors.DPOError):
        return None


def _is_turn(value: Any) -> bool:
    return isinstance(value, Mapping) and "from" in value and "value" in value


def _is_foreign(row: Any) -> bool:
    """Whether a row is sharegpt's or alpaca's."""
    if not isinstance(row, Mapping):
        return False
    alpaca = "instruction" in row and "prompt" not in row and not {"completions", "messages"} & set(row)
    turns = [value[0] if isinstance(value, list) and value else value for value in row.values()]
    return alpaca or "conversations" in row or any(_is_turn(value) for value in turns)


def _messages(value: Any) -> Any:
    """sharegpt's turns as messages; anything else as it is."""
    if _is_turn(value):
        value = [value]
    if not (isinstance(value, list) and value and all(_is_turn(turn) for turn in value)):
        return value
    unknown = [turn["from"] for turn in value if turn["from"] not in _ROLES]
    if unknown:
        raise TypeError(f"a turn is from {unknown[0]!r}; expected one of {', '.join(_ROLES)}")
    return [{"role": _ROLES[turn["from"]], "content": turn["value"]} for turn in value]


def _own(row: "dict[str, Any]", has_chat_template: bool) -> "dict[str, Any]":
    values = {name: _messages(value) for name, value in row.items()}
    if "conversations" in values:
        is_prompt = "chosen" in values or "completion" in values
        values["prompt" if is_prompt else "messages"] = values.pop("conversations")
    if "instruction" in values and "prompt" not in values:
        values = _alpaca(values, has_chat_template)
    return values


def _alpaca(row: "dict[str, Any]", has_chat_template: bool) -> "dict[str, Any]":
    """Messages where the model has a chat template; otherwise text, with the prompt that Alpaca was trained with."""
    rest = {name: value for name, value in row.items() if name not in ("instruction", "input", "output", "system", "history")}
    answers = {"completion" if name == "output" else name: row[name] for name in ("output", "chosen", "rejected") if name in row}
    instruction, more = row["instruction"], row.get("input") or ""
    if not has_chat_template:
        about = (", paired with an input that provides further context", f"### Input:\n{more}\n\n") if more else ("", "")
        return {**rest, "prompt": _ALPACA.format(about[0], instruction, about[1]), **answers}
    messages = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    for question, answer in row.get("history") or []:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": f"{instruction}\n{more}" if more else instruction})
    said = {
        name: answer if isinstance(answer, list) else [{"role": "assistant", "content": answer}] for name, answer in answers.items()
    }
    return {**rest, "prompt": messages, **said}
