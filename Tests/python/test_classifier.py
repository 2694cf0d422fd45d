"""`dpo classifier`: training, its report, evaluation and scores."""

import json
import math
import unittest

import libdpo

from support import Case, dpo, golden, rows


class Classifier(Case):
    def setUp(self) -> None:
        super().setUp()
        self.golden = golden("classifier.json")
        self.train = self.write("train.jsonl", self.golden["train"], self.golden["labels"])
        self.test = self.write("test.jsonl", self.golden["test"], [bool(label) for label in self.golden["truth"]])
        self.model = self.directory / "classifier.h5"

    def write(self, name: str, texts: "list[str]", labels: list):  # type: ignore[no-untyped-def]
        path = self.directory / name
        path.write_text("".join(json.dumps({"text": t, "label": l}) + "\n" for t, l in zip(texts, labels)))
        return path

    def fit(self, *extra: object) -> dict:
        result = dpo("classifier", "train", "--data", self.train, "-o", self.model, "--folds", self.golden["folds"], "--json", *extra)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_train_evaluate_apply(self) -> None:
        report = self.fit()
        self.assertNear(report["calibration"]["slope"], self.golden["slope"], 2e-3)
        for key in ("accuracy", "auc", "calibration_error", "log_loss", "brier"):
            self.assertTrue(0 < report["held_out"][key] < 1)
        sure = self.fit("--cost", 1000)
        self.assertLess(sure["held_out"]["log_loss"], 0.8 * sure["held_out_uncalibrated"]["log_loss"])
        self.fit()
        quality = json.loads(dpo("classifier", "evaluate", self.model, "--data", self.test, "--json").stdout)
        self.assertNear(quality["auc"], self.golden["auc"], 1e-3)
        out = self.directory / "scored.jsonl"
        self.assertEqual(dpo("classifier", "apply", self.model, "--data", self.test, "-o", out).returncode, 0)
        for row, expected in zip(rows(out), self.golden["calibrated_probabilities"]):
            self.assertNear(row["probability"], expected, 1e-3)
            self.assertNear(1 / (1 + math.exp(-row["score"])), row["probability"], 1e-12)
            self.assertIn("label", row)
        printed = dpo("classifier", "apply", self.model, "--data", self.test).stdout
        self.assertEqual([json.loads(line) for line in printed.splitlines()], rows(out))

    def test_people_see_a_table(self) -> None:
        told = dpo("classifier", "train", "--data", self.train, "-o", self.model).stdout
        for word in ("accuracy", "AUC", "calibration error", "Brier"):
            self.assertIn(word, told)

    def test_python_trains_and_scores_like_the_command(self) -> None:
        self.fit()
        data = self.golden
        with libdpo.TextClassifier(self.model) as opened:
            scores = opened.log_odds(data["test"])
        trained = libdpo.TextClassifier.train(data["train"], data["labels"], folds=data["folds"])
        self.assertEqual(trained.log_odds(data["test"]), scores)
        for found, expected in zip(trained.probabilities(data["test"]), data["calibrated_probabilities"]):
            self.assertNear(found, expected, 1e-3)
        trained.save(self.directory / "saved.h5")
        self.assertEqual(libdpo.TextClassifier(self.directory / "saved.h5").log_odds(data["test"]), scores)
        plain = libdpo.TextClassifier.train(data["train"], data["labels"], folds=0)
        for found, expected in zip(plain.log_odds(data["test"]), data["scores"]):
            self.assertNear(found, expected, 2e-3)
        self.assertEqual(plain.log_odds([]), [])
        self.assertRaises(libdpo.InvalidArgumentError, libdpo.TextClassifier.train, ["a"], [2])
        self.assertRaises(libdpo.InvalidArgumentError, libdpo.TextClassifier.train, ["a"], [1, 0])
        self.assertRaises(libdpo.FormatError, libdpo.TextClassifier, self.train)
        trained.close()
        self.assertRaises(libdpo.DPOError, trained.log_odds, ["a"])

    def test_bad_input(self) -> None:
        def refused(text: str, says: str, *extra: object) -> None:
            bad = self.directory / "bad.jsonl"
            bad.write_text(text)
            result = dpo("classifier", "train", "--data", bad, "-o", self.model, *extra)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertIn(says, result.stderr)
            self.assertFalse(self.model.exists())

        refused('{"text": "a", "label": 1}\n{"text": "b", "label": 2}\n', "line 2")
        refused('{"text": 5, "label": 1}\n', '"text"')
        refused('{"text": "a", "label": true}\n' * 5, "both labels")
        refused('{"text": "a", "label": true}\n{"text": "b", "label": false}\n', "folds")
        refused("", "empty")
        result = dpo("classifier", "evaluate", self.train, "--data", self.test)
        self.assertEqual(result.returncode, 1)
        self.assertIn("train.jsonl", result.stderr)


if __name__ == "__main__":
    unittest.main()
