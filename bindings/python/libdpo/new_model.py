"""Level 5: tokenizers from text, and models with fresh weights to pretrain."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import byref
from typing import Any, Union

from . import _native
from ._options import shape_options, tokenizer_options
from ._signatures import takes

__all__ = ["create_model", "train_tokenizer"]

Path = Union[str, "os.PathLike[str]"]


@takes(tokenizer_options)
def train_tokenizer(data: "Union[Path, Sequence[Path]]", output: Path, **options: Any) -> None:
    """Learns a byte-level BPE tokenizer from text and writes tokenizer.json and tokenizer_config.json to ``output``.

    ``data``: .jsonl files with "text" in their rows, text files, or directories of such files.
    """
    paths = [data] if isinstance(data, (str, os.PathLike)) else list(data)
    how = _native.filled(
        _native.TokenizerOptions, _native.lib.dpo_tokenizer_options_init, tokenizer_options(**options)
    )
    names = _native.string_array([os.fspath(path) for path in paths], "a path")
    _native.check(_native.lib.dpo_tokenizer_train(names, len(paths), byref(how), _native.path_bytes(output)))


@takes(shape_options)
def create_model(output: Path, **options: Any) -> None:
    """Writes a model with fresh weights, as transformers draws them, for ``PretrainTrainer``.

    ``output``: a Hugging Face directory, or libdpo's file if it ends in .h5.
    """
    shape = _native.filled(_native.ModelShape, _native.lib.dpo_model_shape_init, shape_options(**options))
    _native.check(_native.lib.dpo_model_create(byref(shape), _native.path_bytes(output)))
