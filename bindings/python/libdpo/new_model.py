"""Level 5: tokenizers from text, and models with fresh weights to pretrain."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import byref
from typing import Optional, Union

from . import _native

__all__ = ["create_model", "train_tokenizer"]

Path = Union[str, "os.PathLike[str]"]


def train_tokenizer(
    data: "Union[Path, Sequence[Path]]",
    output: Path,
    *,
    vocab_size: int = 8192,
    min_frequency: int = 2,
    pre_tokenizer: str = "gpt2",
    chat_template: Optional[str] = None,
    special_tokens: "Sequence[str]" = (),
    bos_token: Optional[str] = None,
    eos_token: Optional[str] = None,
    pad_token: Optional[str] = None,
    overwrite: bool = False,
) -> None:
    """Learns a byte-level BPE tokenizer from text and writes tokenizer.json and tokenizer_config.json to ``output``.

    ``data``: .jsonl files with "text" in their rows, text files, or directories of such files. ``chat_template``: "chatml"
    or Jinja. ``pre_tokenizer``: "gpt2", "smollm", "llama3" or "qwen2". Special tokens that are None are
    "<|endoftext|>"; with chatml ``eos_token`` is "<|im_end|>".
    """
    paths = [data] if isinstance(data, (str, os.PathLike)) else list(data)
    options = _native.initialised(_native.TokenizerOptions, _native.lib.dpo_tokenizer_options_init)
    options.vocabulary_size = vocab_size
    options.minimum_frequency = min_frequency
    options.pre_tokenizer = _native.text_bytes(pre_tokenizer, "pre_tokenizer")
    for name, text in (
        ("chat_template", chat_template), ("bos_token", bos_token), ("eos_token", eos_token), ("pad_token", pad_token)
    ):
        setattr(options, name, None if text is None else _native.text_bytes(text, name))
    special = list(special_tokens)
    options.special_tokens = _native.string_array(special, "a special token")
    options.special_token_count = len(special)
    options.overwrite = bool(overwrite)
    names = _native.string_array([os.fspath(path) for path in paths], "a path")
    _native.check(_native.lib.dpo_tokenizer_train(names, len(paths), byref(options), _native.path_bytes(output)))


def create_model(
    output: Path,
    *,
    family: str = "llama",
    tokenizer: Optional[Path] = None,
    vocab_size: Optional[int] = None,
    hidden_size: int = 256,
    layers: int = 4,
    heads: Optional[int] = None,
    kv_heads: Optional[int] = None,
    intermediate_size: Optional[int] = None,
    context_length: int = 1024,
    tie_word_embeddings: bool = True,
    initializer_range: float = 0.02,
    seed: int = 42,
    overwrite: bool = False,
) -> None:
    """Writes a model with fresh weights, as transformers draws them, for ``PretrainTrainer``.

    ``output``: a Hugging Face directory, or libdpo's file if it ends in .h5. ``tokenizer``: a directory with tokenizer.json,
    or a model, whose tokenizer the new model gets. Sizes that are None follow from the others (dpo_model_shape in dpo.h).
    """
    shape = _native.initialised(_native.ModelShape, _native.lib.dpo_model_shape_init)
    shape.family = _native.text_bytes(family, "family")
    shape.tokenizer = None if tokenizer is None else _native.path_bytes(tokenizer)
    for name, size in (
        ("vocabulary_size", vocab_size), ("hidden_size", hidden_size), ("layers", layers), ("heads", heads),
        ("kv_heads", kv_heads), ("intermediate_size", intermediate_size), ("context_length", context_length),
    ):
        setattr(shape, name, 0 if size is None else size)
    shape.tie_word_embeddings = bool(tie_word_embeddings)
    shape.initializer_range = initializer_range
    shape.seed = seed
    shape.overwrite = bool(overwrite)
    _native.check(_native.lib.dpo_model_create(byref(shape), _native.path_bytes(output)))
