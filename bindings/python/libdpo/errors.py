"""What libdpo raises. Every class is also the builtin exception that a Python programmer would expect."""

from __future__ import annotations

__all__ = [
    "DPOError", "InvalidArgumentError", "FileError", "FormatError", "UnsupportedError", "MismatchError",
    "OutOfMemoryError", "NonFiniteError", "CancelledError", "StateError", "InternalError", "DivergedError",
]


class DPOError(Exception):
    """Base of all errors of the library. ``code`` is the status of dpo.h."""

    code = 0


class InvalidArgumentError(DPOError, ValueError):
    """An argument or option is out of range, or does not go with another."""

    code = -1


class FileError(DPOError, OSError):
    """The operating system refused to read or write a file."""

    code = -2


class FormatError(DPOError, ValueError):
    """A file or text is damaged or of another kind than expected."""

    code = -3


class UnsupportedError(DPOError, NotImplementedError):
    """Valid, but not served by this version."""

    code = -4


class MismatchError(DPOError, ValueError):
    """Things that do not belong together: an adapter of another model, a checkpoint of other data."""

    code = -5


class OutOfMemoryError(DPOError, MemoryError):
    """The plan exceeds the limit, or memory could not be had."""

    code = -6


class NonFiniteError(DPOError, ArithmeticError):
    """NaN or infinity in a loss, gradient or weight; the step was not applied."""

    code = -7


class CancelledError(DPOError, RuntimeError):
    """A callback or ``cancel()`` asked to stop."""

    code = -8


class StateError(DPOError, RuntimeError):
    """The call does not fit the object's state, or another thread is using it."""

    code = -9


class InternalError(DPOError, RuntimeError):
    """A defect in libdpo."""

    code = -10


class DivergedError(DPOError, ArithmeticError):
    """Training left its bounds: the policy went too far from its reference."""

    code = -11


_BY_CODE = {kind.code: kind for kind in DPOError.__subclasses__()}


def from_status(status: int, message: str) -> DPOError:
    """The exception of a status of dpo.h."""
    return _BY_CODE.get(status, InternalError)(message)
