"""Methods beside DPO and SFT, through Python and the command: goldens, ranked answers, the talk's baselines, refusals."""

import json
import math
import unittest

import libdpo
import numpy
from support import FIXTURES, MODEL, PAIRS, Case, dpo, golden, rows

QUIET = {"disable_tqdm": True, "threads": 2}
TRAINERS = {
    "bco": (libdpo.BCOTrainer, libdpo.BCOConfig), "cpo": (libdpo.CPOTrainer, libdpo.CPOConfig),
    "orpo": (libdpo.ORPOTrainer, libdpo.ORPOConfig), "ranked": (libdpo.RankedTrainer, libdpo.RankedConfig),
    "unlikelihood": (libdpo.UnlikelihoodTrainer, libdpo.UnlikelihoodConfig), "kto": (libdpo.KTOTrainer, libdpo.KTOConfig),
}
RANKED = FIXTURES / "data" / "ranked.jsonl"


class Trajectories(Case):
    def test_steps_are_the_golden_ones(self) -> None:
        for name in (
            "methods/llama-tied-bco", "methods/mistral-unlikelihood", "methods/llama-untied-ranked", "trl/llama-tied-cpo",
            "trl/llama-untied-simpo", "trl/llama-tied-orpo", "trl/mistral-apo-zero",
        ):
            expected = golden(f"{name}.json")
            options = {**expected["options"], **QUIET, "output_dir": str(self.directory / name)}
            sampling = options.pop("train_sampling_strategy", None)
            options.setdefault("shuffle", sampling != "sequential")
            kind, config = TRAINERS[expected["method"]]
            data = expected["rows"] if expected["method"] in ("cpo", "orpo") else FIXTURES / expected["data"]
            trainer = kind(FIXTURES / expected["model"], args=config(**options), train_dataset=data)
            for number, step in enumerate(expected["steps"]):
                found = trainer.step()
                for key in step.keys() - {"epoch", "step"}:
                    self.assertNear(found[key], step[key], 1e-5 if number == 0 else 1e-3, f"{name} step {number + 1} {key}")


class Command(Case):
    def train(self, method: str, data: object, *options: object) -> "list[dict]":
        out = self.directory / f"{method}-{len(list(self.directory.iterdir()))}"
        done = dpo(
            "train", MODEL, "--method", method, "--data", data, "--output-dir", out, "--max-steps", 12, "--lora-r", 4,
            "--lora-target-modules", "all-linear", "--learning-rate", 5e-3, "--per-device-train-batch-size", 24, *options,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((out / "report.html").read_text().startswith("<!"))
        return rows(out / "metrics.jsonl")

    def test_every_method_learns(self) -> None:
        for method, data, *options in (
            ("ranked", RANKED), ("ranked", PAIRS, "--precompute-ref-log-probs"), ("cpo", PAIRS), ("orpo", PAIRS),
            ("cpo", PAIRS, "--loss-type", "simpo", "--cpo-alpha", 0, "--beta", 2), ("bco", PAIRS), ("unlikelihood", PAIRS),
            ("kto", PAIRS, "--loss-type", "apo_zero_unpaired"), ("sft", PAIRS),
        ):
            with self.subTest(method, options=options):
                steps = self.train(method, data, *options)
                self.assertLess(steps[-1]["loss"], steps[0]["loss"])
                if method != "sft":
                    self.assertGreater(steps[-1]["rewards/margins"], steps[0]["rewards/margins"])

    def test_preferred_fine_tuning_is_sft_on_the_chosen_side(self) -> None:
        chosen = self.directory / "chosen.jsonl"
        chosen.write_text("".join(
            json.dumps({"prompt": row["prompt"], "completion": row["chosen"]}) + "\n" for row in rows(PAIRS)))
        strip = lambda steps: [{key: value for key, value in step.items() if key != "seconds"} for step in steps]
        self.assertEqual(strip(self.train("sft", PAIRS)), strip(self.train("sft", chosen)))

    def test_a_pair_is_a_ranking_of_two(self) -> None:
        ranked = self.directory / "two.jsonl"
        ranked.write_text("".join(
            json.dumps({"prompt": row["prompt"], "completions": [row["rejected"], row["chosen"]], "scores": [0, 1]}) + "\n"
            for row in rows(PAIRS)))
        pairs = self.train("dpo", PAIRS)
        for data in (PAIRS, ranked):
            for ours, theirs in zip(self.train("ranked", data), pairs):
                for key in ("loss", "grad_norm", "rewards/margins", "rewards/accuracies", "logps/chosen"):
                    self.assertNear(ours[key], theirs[key], 1e-4, key)

    def test_ranked_rows_are_examined_scored_and_evaluated(self) -> None:
        report = json.loads(dpo("inspect", RANKED, "--model", MODEL, "--json").stdout)
        self.assertEqual((report["kind"], report["rows"], report["answers"]), ("ranked", 7, 24))
        self.assertIn("completion_3: ", dpo("inspect", RANKED, "--model", MODEL).stdout)
        table = json.loads(dpo("logps", MODEL, "--data", RANKED, "--json").stdout)["rows"]
        self.assertEqual([sum(key.endswith("_tokens") for key in row) for row in table], [3, 4, 2, 5, 3, 3, 4])
        self.assertTrue(all(row["completion_1"] < 0 for row in table))
        evaluation = json.loads(dpo("evaluate", MODEL, "--method", "ranked", "--data", RANKED, "--json").stdout)
        # Untrained, all rewards are 0: a row of K without ties is log K!; the row of ranks 2 1 2 3 is log 4 + 2 log 2, and one
        # row weighs half.
        expected = [math.log(math.factorial(k)) for k in (3, 2, 5, 3, 4)] + [math.log(16), math.log(6) / 2]
        self.assertNear(evaluation["loss"], sum(expected) / 7, 1e-6)

    def test_options_of_other_methods_are_refused(self) -> None:
        for method, option, text in (
            ("orpo", ("--ld-alpha", 0.5), "ld_alpha is 0.5, but method orpo has no such option; it is one of dpo"),
            ("ranked", ("--loss-type", "ipo"), "loss_type"), ("cpo", ("--loss-type", "robust"), "simpo, alphapo"),
            ("kto", ("--loss-type", "simpo"), "kto, apo_zero_unpaired"), ("dpo", ("--loss-type", "simpo"), "simpo"),
            ("dpo", ("--cpo-alpha", 0), "cpo_alpha"), ("sft", ("--beta", 0.2), "beta"),
            ("unlikelihood", ("--unlikelihood-alpha", 2), "unlikelihood_alpha"),
        ):
            failed = dpo("train", MODEL, "--data", PAIRS, "--output-dir", self.directory / "no", "--method", method, *option)
            self.assertIn(failed.returncode, (1, 2))
            self.assertIn(text, failed.stderr)
        failed = dpo("train", MODEL, "--data", RANKED, "--output-dir", self.directory / "no", "--method", "dpo")
        self.assertIn('"chosen" and "rejected"', failed.stderr)
        self.assertFalse((self.directory / "no").exists())

    def test_best_of_n(self) -> None:
        samples, judge, best = (self.directory / name for name in ("samples.jsonl", "judge.py", "best.jsonl"))
        answers = [["a", "bbb", "cc"], ["dddd", "e", "f"]]
        samples.write_text("".join(json.dumps({"prompt": "p", "completions": row}) + "\n" for row in answers))
        judge.write_text(
            "import json, sys\nfor line in sys.stdin:\n"
            "    print(json.dumps({'scores': [len(c) for c in json.loads(line)['completions']]}), flush=True)\n")
        done = dpo("label", "--data", samples, "-o", best, "--form", "best", "--command", f"python3 {judge}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([(row["completion"], row["score"]) for row in rows(best)], [("bbb", 3), ("dddd", 4)])
        ranked = self.directory / "ranked.jsonl"
        dpo("label", "--data", samples, "-o", ranked, "--form", "scores", "--command", f"python3 {judge}")
        self.assertEqual(json.loads(dpo("inspect", ranked, "--model", MODEL, "--json").stdout)["kind"], "ranked")


class Loss(unittest.TestCase):
    def test_ranked_loss(self) -> None:
        found = libdpo.ranked_loss(
            numpy.array([-3.0, -4, -1, -2, -2.5]), counts=[3, 2], ranks=[2, 3, 1, 1, 2], weights=[2, 1], beta=1.0)
        first = math.log(1 + math.exp(-2) + math.exp(-3)) + math.log(1 + math.exp(-1))
        second = math.log(1 + math.exp(-0.5))
        self.assertAlmostEqual(found.loss, (2 * first + second) / 2, 12)
        self.assertAlmostEqual(float(numpy.sum(found.gradients)), 0, 12)
        self.assertEqual(list(found.rewards), [-3.0, -4, -1, -2, -2.5])
        for bad in ({"counts": [2]}, {"counts": [1, 2]}, {"ranks": [1, 2]}, {"beta": 0.0}, {"reference": [0.0]}):
            arguments = {"counts": [3], "ranks": [1, 2, 3], **bad}
            self.assertRaises(ValueError, libdpo.ranked_loss, [-1.0, -2, -3], **arguments)


if __name__ == "__main__":
    unittest.main()
