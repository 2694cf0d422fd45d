"""Functions that take the options of a table as keywords: ``help`` and editors see them, though they stand in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def takes(options: Callable[..., Any], *, without: "tuple[str, ...]" = ()) -> "Callable[[F], F]":
    """Gives a function that passes ``**options`` on the signature and the words of the function that receives them."""

    def give(function: F) -> F:
        own = inspect.signature(function)
        added = [
            parameter for name, parameter in inspect.signature(options).parameters.items()
            if name not in without and name not in own.parameters
        ]
        kept = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        function.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        words = inspect.getdoc(options) or ""
        lines = words.split("\n\n", 1)[-1].splitlines()
        names, shown = {each.name for each in added}, []
        show = False
        for line in lines:
            if not line.startswith(" "):
                show = line.split(":", 1)[0] in names
            if show:
                shown.append(line)
        function.__doc__ = (inspect.getdoc(function) or "") + "\n\nOptions:\n\n" + "\n".join(shown)
        return function

    return give
