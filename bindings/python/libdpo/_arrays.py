"""Arrays in and out of the library: NumPy arrays and other buffers of the right type go in without a copy; with NumPy
installed results are NumPy arrays, otherwise ``array.array``."""

from __future__ import annotations

import array
import ctypes
from collections.abc import Iterable
from typing import Any

from . import errors

try:
    import numpy
except ImportError:  # the basics work without it
    numpy = None  # type: ignore[assignment]

_CODES = {ctypes.c_double: "d", ctypes.c_float: "f", ctypes.c_int32: "i", ctypes.c_size_t: "Q"}


class Input:
    """A one-dimensional array that the library reads: ``pointer``, ``count``, and the owner that keeps it alive."""

    def __init__(self, values: Any, kind: Any, name: str) -> None:
        code = _CODES[kind]
        if numpy is not None and (isinstance(values, numpy.ndarray) or hasattr(values, "__array__")):
            owner = numpy.ascontiguousarray(values)
            wanted = numpy.dtype(kind)
            if owner.dtype != wanted:
                if not numpy.can_cast(owner.dtype, wanted, "same_kind") and owner.dtype.kind not in "iu":
                    raise TypeError(f"{name} has dtype {owner.dtype}; expected {wanted}")
                converted = owner.astype(wanted)
                if owner.dtype.kind in "iu" and not numpy.array_equal(converted, owner):
                    raise errors.InvalidArgumentError(f"{name} holds numbers that do not fit {wanted}")
                owner = converted
            if owner.ndim != 1:
                raise errors.InvalidArgumentError(f"{name} has {owner.ndim} dimensions; expected 1")
            self.owner: Any = owner
            self.count = owner.shape[0]
            address = owner.ctypes.data
        else:
            if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
                raise TypeError(f"{name} is {type(values).__name__}; expected an array of numbers")
            if not (isinstance(values, array.array) and values.typecode == code):
                try:
                    values = array.array(code, values)
                except OverflowError as error:
                    raise errors.InvalidArgumentError(f"{name}: {error}") from None
            self.owner = values
            address, self.count = values.buffer_info()
        self.pointer = ctypes.cast(ctypes.c_void_p(address), ctypes.POINTER(kind))


def optional_input(values: Any, kind: Any, name: str) -> "Input | None":
    return None if values is None else Input(values, kind, name)


def pointer_of(values: "Input | None") -> Any:
    return None if values is None else values.pointer


class Output:
    """A one-dimensional array that the library fills; ``values`` is what the user gets."""

    def __init__(self, count: int, kind: Any) -> None:
        if numpy is not None:
            self.values: Any = numpy.zeros(count, numpy.dtype(kind))
            address = self.values.ctypes.data
        else:
            self.values = array.array(_CODES[kind], bytes(count * ctypes.sizeof(kind)))
            address = self.values.buffer_info()[0]
        self.pointer = ctypes.cast(ctypes.c_void_p(address), ctypes.POINTER(kind))


def view(pointer: Any, count: int, kind: Any, owner: Any) -> Any:
    """Memory of the library, without a copy. ``owner`` is kept alive as long as the view."""
    buffer = (kind * count).from_address(ctypes.addressof(pointer.contents)) if count else (kind * 0)()
    buffer._owner = owner
    if numpy is not None:
        return numpy.ctypeslib.as_array(buffer)
    return memoryview(buffer).cast("B").cast(_CODES[kind])


def flattened(rows: "list[Any]", name: str) -> "tuple[Input, Input]":
    """Lists of token ids as one array of ids and one of lengths."""
    lengths = [len(row) for row in rows]
    if numpy is not None and rows and all(isinstance(row, numpy.ndarray) for row in rows):
        ids: Any = numpy.concatenate(rows)
    else:
        ids = array.array("i")
        for row in rows:
            ids.extend(Input(row, ctypes.c_int32, name).owner if not isinstance(row, list) else _ids(row, name))
    return Input(ids, ctypes.c_int32, name), Input(array.array("Q", lengths), ctypes.c_size_t, name)


def _ids(row: "list[int]", name: str) -> array.array:
    try:
        return array.array("i", row)
    except (OverflowError, TypeError) as error:
        raise errors.InvalidArgumentError(f"{name}: {error}") from None
