"""Level 5: a text classifier, a judge of answers."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from ctypes import byref, c_double, c_int32
from typing import Union

from . import _native, errors

__all__ = ["TextClassifier"]


class TextClassifier(_native.Handle):
    """tf-idf of words and characters under logistic regression, with calibrated probabilities.

    ``TextClassifier(path)`` reads what ``dpo classifier train`` or ``save`` wrote; ``TextClassifier.train`` makes one.
    """

    _release = "dpo_classifier_release"

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        super().__init__()
        _native.check(_native.lib.dpo_classifier_open(_native.path_bytes(path), byref(self._handle)))

    @classmethod
    def train(
        cls, texts: "Sequence[str]", labels: "Sequence[Union[bool, int]]", *, cost: float = 3.0, folds: int = 5
    ) -> "TextClassifier":
        """Learns from texts and their labels. ``folds``: of the cross-validation that calibrates; 0: no calibration."""
        texts, labels = list(texts), list(labels)
        if len(texts) != len(labels):
            raise errors.InvalidArgumentError(f"{len(texts)} texts and {len(labels)} labels; expected as many")
        made = cls.__new__(cls)
        _native.Handle.__init__(made)
        values = (c_int32 * max(1, len(labels)))(*[int(label) for label in labels])
        _native.check(
            _native.lib.dpo_classifier_train(
                _native.string_array(texts, "a text"), values, len(texts), cost, folds, byref(made._handle)
            )
        )
        return made

    def save(self, path: "str | os.PathLike[str]") -> None:
        """Writes the classifier to a file."""
        _native.check(_native.lib.dpo_classifier_save(self._handle, _native.path_bytes(path)))

    def log_odds(self, texts: "Sequence[str]") -> "list[float]":
        """ln(p / (1 - p)) of the positive class of each text."""
        texts = list(texts)
        values = (c_double * max(1, len(texts)))()
        _native.check(
            _native.lib.dpo_classifier_score(self._handle, _native.string_array(texts, "a text"), len(texts), values)
        )
        return list(values)[: len(texts)]

    def probabilities(self, texts: "Sequence[str]") -> "list[float]":
        """p of the positive class of each text."""
        return [1 / (1 + math.exp(-score)) if score > -700 else 0.0 for score in self.log_odds(texts)]
