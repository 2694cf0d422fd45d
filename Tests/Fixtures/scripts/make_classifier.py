"""Golden values of the text classifier by scikit-learn: scores, held-out scores, Platt's scaling, and qualities.

Usage: python Tests/Fixtures/scripts/make_classifier.py          (scikit-learn 1.9.1, numpy 2)
"""

import random

import numpy
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline, make_union

from common import GOLDEN, write_json

GOOD = ["warm", "clever", "moving", "a joy", "splendid", "wonderful", "not dull"]
BAD = ["dull", "loud", "false", "a bore", "dreadful", "not worth a look", "never moving"]
THINGS = ["film", "story", "island", "captain's tale", "garden", "café scene", "Winter of 1962"]
FOLDS = 4


def texts(count: int, seed: int) -> "tuple[list[str], list[int]]":
    """Sentences whose adjectives mostly decide; every sixth label is wrong."""
    draw = random.Random(seed)
    out, labels = [], []
    for _ in range(count):
        label = draw.random() < 0.6
        words = draw.choice(GOOD if label else BAD)
        extra = draw.choice(GOOD + BAD)
        out.append(f"The {draw.choice(THINGS)} was {words}; some said {extra}, of the {draw.choice(THINGS)}.")
        labels.append(int(label if draw.random() > 1 / 6 else not label))
    return out, labels


def pipeline() -> object:
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"[a-z0-9']+"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
    )
    return make_pipeline(features, LogisticRegression(C=3, max_iter=10000, tol=1e-10))


def folds(labels: "list[int]") -> "list[tuple[numpy.ndarray, numpy.ndarray]]":
    """Texts of each label dealt out in turn."""
    fold = numpy.empty(len(labels), int)
    for value in (0, 1):
        rows = numpy.flatnonzero(numpy.array(labels) == value)
        fold[rows] = numpy.arange(len(rows)) % FOLDS
    return [(numpy.flatnonzero(fold != f), numpy.flatnonzero(fold == f)) for f in range(FOLDS)]


def calibration_error(p: numpy.ndarray, y: numpy.ndarray) -> float:
    bins = numpy.minimum(9, (p * 10).astype(int))
    return float(sum(abs((p[bins == b] - y[bins == b]).sum()) for b in range(10)) / len(p))


def main() -> None:
    train, labels = texts(150, 1)
    test, truth = texts(60, 2)
    plain = pipeline().fit(train, labels)
    held_out = cross_val_predict(pipeline(), train, labels, cv=folds(labels), method="decision_function")
    platt = CalibratedClassifierCV(pipeline(), method="sigmoid", cv=folds(labels), ensemble=False).fit(train, labels)
    calibrator = platt.calibrated_classifiers_[0].calibrators[0]
    scores = plain.decision_function(test)
    probability, y = 1 / (1 + numpy.exp(-scores)), numpy.array(truth)
    golden = {
        "scikit_learn": sklearn.__version__,
        "folds": FOLDS,
        "train": train, "labels": labels, "test": test, "truth": truth,
        "scores": scores.tolist(),
        "held_out": held_out.tolist(),
        "slope": -calibrator.a_, "intercept": -calibrator.b_,
        "calibrated_probabilities": platt.predict_proba(test)[:, 1].tolist(),
        "accuracy": float(((scores > 0) == y).mean()), "auc": roc_auc_score(y, scores),
        "log_loss": log_loss(y, probability), "brier": brier_score_loss(y, probability),
        "calibration_error": calibration_error(probability, y),
    }
    write_json(GOLDEN / "classifier.json", golden)
    print(f"classifier.json: slope {golden['slope']:.4f}, AUC {golden['auc']:.3f}")


if __name__ == "__main__":
    main()
