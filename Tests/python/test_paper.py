"""The paper's experiments: their statistics against counting and closed forms, their pages, and one of them from end to end on texts
that are made here."""

import contextlib
import io
import itertools
import json
import pathlib
import random
import re
import sys
import unittest
from unittest import mock

import numpy as np
from support import ROOT, Case

PAPER = ROOT / "examples" / "paper"
sys.path.insert(0, str(PAPER))

from common import data, statistics, store, tasks  # noqa: E402
from stability import experiment as stability  # noqa: E402

NAMES = ("sentiment", "summaries", "other_domain", "dialogue", "stability")


class Statistics(unittest.TestCase):
    def test_area_under_a_staircase(self) -> None:
        kl, reward = np.array([4.0, 1.0, 2.0, 20.0]), np.array([3.0, 2.0, 1.5, 9.0])
        # From 0 to 1 nothing is gained, then 1 up to 4 nats, then 2 up to 10; what costs 20 nats is out of the budget.
        self.assertAlmostEqual(statistics.area(kl, reward, 1.0, 10.0), (1 * 0 + 3 * 1 + 6 * 2) / 10)
        self.assertEqual(statistics.area(np.array([1.0]), np.array([0.0]), 1.0, 10.0), 0.0)
        self.assertEqual(statistics.area(np.array([]), np.array([]), 1.0, 10.0), 0.0)

    def test_expected_best_is_the_mean_over_all_choices(self) -> None:
        source = np.random.default_rng(3)
        true, learned = source.normal(size=(4, 6)), source.normal(size=(4, 6))
        for n in (1, 2, 4, 6):
            found = statistics.expected_best(true, learned, n)
            for row in range(4):
                choices = [max(some, key=lambda i: learned[row, i]) for some in itertools.combinations(range(6), n)]
                self.assertAlmostEqual(found[row], true[row, choices].mean())

    def test_intervals_cover_the_mean_as_often_as_they_say(self) -> None:
        source = np.random.default_rng(5)
        covered = 0
        for _ in range(100):
            # Prompts differ, seeds do not: the interval is that of a mean of 60 independent numbers.
            value = statistics.estimate(np.tile(source.normal(size=60), (3, 1)), rounds=200)
            covered += value["interval"][0] <= 0 <= value["interval"][1]
        self.assertGreater(covered, 0.86 * 100)
        self.assertLess(covered, 100)

    def test_a_claim_needs_its_whole_interval_on_one_side(self) -> None:
        for interval, verdict in (
            ([0.1, 0.4], "agrees"),
            ([-0.4, -0.1], "contradicts"),
            ([-0.1, 0.4], "not told apart"),
        ):
            self.assertEqual(statistics.claim("", {"mean": 0.0, "interval": interval})["verdict"], verdict)

    def test_rouge_l(self) -> None:
        # The longest common subsequence is "police … the gunman": 3 of 4 words on either side (Lin 2004, section 3.1).
        self.assertAlmostEqual(tasks.rouge_l("police kill the gunman", "Police killed the gunman."), 0.75)
        self.assertAlmostEqual(tasks.rouge_l("the gunman kill police", "police killed the gunman"), 0.5)
        self.assertEqual(tasks.rouge_l("", "police"), 0.0)

    def test_the_content_judge(self) -> None:
        judge = tasks.ContentJudge(["the red car", "the blue car", "the green boat"])
        prompt = "the red car\n\nTL;DR:"
        self.assertAlmostEqual(judge.score(prompt, " the red car"), 1.0)
        self.assertGreater(judge.score(prompt, " red"), judge.score(prompt, " car"))
        self.assertEqual(judge.score(prompt, " boat"), 0.0)
        # Nothing is like the boat: the next one stands in.
        self.assertEqual(judge.nearest([{"prompt": text} for text in ("red car", "green boat", "car")]), [2, 2, 0])


class Store(Case):
    def test_finished_cells_are_not_made_again(self) -> None:
        work, made = store.Work(True, self.directory), []

        def make() -> dict:
            made.append(1)
            return {"value": 3}

        with contextlib.redirect_stderr(io.StringIO()):
            for settings in ({"a": 1}, {"a": 1}, {"a": 2}):
                self.assertEqual(store.Work(True, self.directory).cell("name", settings, make), {"value": 3})
        self.assertEqual(len(made), 2)

        def fail() -> dict:
            raise ValueError

        with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(ValueError):
            work.cell("name", {"a": 3}, fail)
        self.assertEqual(len(list((self.directory / "cells").iterdir())), 2)

    def test_a_model_whose_file_is_gone_is_made_again(self) -> None:
        made = []

        def make(path: pathlib.Path) -> dict:
            self.assertFalse(path.exists())
            made.append(1)
            path.write_text("model")
            return {"number": len(made)}

        with contextlib.redirect_stderr(io.StringIO()):
            for _ in range(2):
                model = store.Work(True, self.directory).model("policy", {"seed": 1}, make)
            self.assertEqual(model.facts, {"number": 1})
            model.path.unlink()
            self.assertEqual(store.Work(True, self.directory).model("policy", {"seed": 1}, make).facts, {"number": 2})


class Pages(unittest.TestCase):
    def test_every_experiment_has_its_page_and_committed_tables_are_those_of_the_results(self) -> None:
        for name in NAMES:
            page = (PAPER / name / "README.md").read_text(encoding="utf-8")
            self.assertEqual((page.count("<!-- measured -->\n"), page.count("<!-- /measured -->")), (1, 1), name)
            self.assertIn(f"make paper ONLY={name}", page)
            results = PAPER / name / "results.json"
            if results.exists():
                document = json.loads(results.read_text(encoding="utf-8"))
                self.assertFalse(document["quick"], name)
                self.assertGreaterEqual(len(document["seeds"]), 3, name)
                self.assertIn(statistics.claims_table(document["claims"], *self.format_of(name)), page, name)
                for figure in re.findall(r"\]\(([\w/]+\.svg)\)", page):
                    self.assertTrue((PAPER / name / figure).exists(), figure)

    @staticmethod
    def format_of(name: str) -> "tuple[int, int]":
        return (2, 1) if name in ("sentiment", "stability") else (1, 100)


class EndToEnd(Case):
    """The stability experiment goes through tokenizer, pretraining, SFT, a judge, preferences, a reward model, DPO and PPO."""

    def films(self) -> None:
        source = random.Random(0)
        good, bad = ("fine great warm bright".split(), "dull weak poor flat".split())
        rows = []
        for index in range(400):
            label = index % 2
            words = [
                (
                    source.choice(good if label else bad)
                    if at % 3 == 2
                    else source.choice("the film is a story with".split())
                )
                for at in range(14)
            ]
            rows.append(
                {"text": " ".join(words), "label": label, "split": ("train", "train", "valid", "test")[index // 2 % 4]}
            )
        files = {
            "sentiment": rows,
            "sentiment_prompts": [
                {"prompt": " ".join(row["text"].split()[: 2 + index % 4]), "split": row["split"]}
                for index, row in enumerate(rows)
            ],
            "summaries": [
                {"prompt": row["text"] + "\n\nTL;DR:", "completion": " the film", "split": row["split"]} for row in rows
            ],
            "chat": [
                {
                    "prompt": [{"role": "user", "content": row["text"]}],
                    "chosen": [{"role": "assistant", "content": "the story"}],
                    "rejected": [{"role": "assistant", "content": "a film"}],
                    "split": row["split"],
                }
                for row in rows
            ],
        }
        for name, content in files.items():
            (self.directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))

    def test_stability_runs_and_goes_on_where_it_was(self) -> None:
        self.films()
        outputs = []
        for _ in range(2):
            told = io.StringIO()
            with mock.patch.object(data, "DATA", self.directory), mock.patch.object(
                stability, "figure"
            ), contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
                stability.main(store.Work(True, self.directory / "work"))
            outputs.append(((self.directory / "work/stability/results.json").read_text(), told.getvalue()))
        self.assertEqual(outputs[0][0], outputs[1][0])
        self.assertIn("sentiment curve", outputs[0][1])
        self.assertEqual(outputs[1][1], "")
        results = json.loads(outputs[0][0])
        self.assertEqual(set(results["gain"]), {"DPO", "PPO"})
        for method in ("DPO", "PPO"):
            runs = results["gain"][method]["0.0003"]
            self.assertEqual([len(run) for run in runs], [2, 2], method)
            for kl in results["kl"][method]["0.0003"]:
                self.assertTrue(all(np.isfinite(kl)))
                self.assertNotEqual(kl[-1], 0.0)


if __name__ == "__main__":
    unittest.main()
