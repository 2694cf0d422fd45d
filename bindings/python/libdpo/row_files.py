"""Files of rows as the library reads them (docs/data.md), for rows that Python changes before they are tokenised."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from . import errors

__all__ = ["rows_in"]

_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")

#: Columns of CSV that hold no text: their fields are JSON, and absent where they are empty.
_TYPED = {
    "label", "weight", "margin", "ref_chosen_logps", "ref_rejected_logps", "completions", "ranks", "scores", "messages",
    "chat_template_kwargs",
}


def rows_in(path: Any) -> "Iterator[tuple[int, Any]]":
    """The rows of a file or directory, each with its number: the line where it begins, of an array its place. Of a directory
    numbers go on from file to file."""
    path = os.fspath(path)
    if os.path.isdir(path):
        before = 0
        for name in sorted(os.listdir(path)):
            if name.removesuffix(".gz").endswith(_ENDINGS):
                number = 0
                for number, row in rows_in(os.path.join(path, name)):
                    yield before + number, row
                before += number
        return
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    name = path.removesuffix(".gz")
    with (gzip.open if packed else open)(path, "rt", encoding="utf-8-sig", newline="") as file:  # type: ignore[operator]
        if name.endswith((".csv", ".tsv")):
            yield from _table(file, path, "\t" if name.endswith(".tsv") else ",")
        elif not name.endswith((".jsonl", ".ndjson")) and (first := _first(file)) and first.lstrip().startswith("["):
            yield from enumerate(_array(file, first.lstrip()[1:], path), 1)
        else:
            file.seek(0)
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _parsed(line, f"{path}: line {number}")


def _first(file: Any) -> str:
    """The first line that is not blank."""
    return next(itertools.dropwhile(lambda line: not line.strip(), file), "")


def _array(file: Any, text: str, path: str) -> "Iterator[Any]":
    """The rows of an array whose bracket has been read, one by one: the whole may be larger than memory."""
    decoder, count, more = json.JSONDecoder(), 0, 1 << 16
    while True:
        text = text.lstrip()
        if text.startswith("]"):
            return
        if count and text:
            if not text.startswith(","):
                raise errors.FormatError(f"{path}: row {count}: expected a comma or ] behind it")
        try:
            row, end = decoder.raw_decode(text, len(text) - len(text[1:].lstrip()) if count else 0)
        except ValueError as error:
            part = file.read(more)
            if not part:
                raise errors.FormatError(f"{path}: row {count + 1}: {error}") from None
            text, more = text + part, 2 * more
            continue
        count, text = count + 1, text[end:]
        yield row


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise errors.FormatError(f"{place}: {error}") from None


def _table(file: Any, path: str, delimiter: str) -> "Iterator[tuple[int, Mapping[str, Any]]]":
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    columns: "list[str]" = []
    line = next_line = 1
    try:
        for fields in reader:
            line, next_line = next_line, reader.line_num + 1
            place = f"{path}: line {line}"
            if not fields:
                continue
            if not columns:
                columns = fields
                continue
            if len(fields) != len(columns):
                raise errors.FormatError(f"{place}: {len(fields)} fields; expected {len(columns)}, as the first line names columns")
            yield line, {
                name: _parsed({"True": "true", "False": "false"}.get(field, field), place) if name in _TYPED else field
                for name, field in zip(columns, fields)
                if field or name not in _TYPED
            }
    except csv.Error as error:
        raise errors.FormatError(f"{path}: line {next_line}: {error}") from None
