"""The commands of docs/pipeline.md, in order and in one directory, with small sizes and few rows."""

import json
import math
import os
import re
import unittest

from support import BUILD, ROOT, Case, corpus_files, rows, run

#: What makes a stage small. Other options stay as the document has them.
QUICK = {
    "--vocab-size": 400, "--hidden": 32, "--layers": 2, "--heads": 2, "--max-length": 64, "--context": 256, "--max-steps": 4,
    "--num-train-epochs": 1, "--eval-steps": 4, "--max-new-tokens": 6, "--max-completion-length": 6,
    "--per-device-train-batch-size": 4,
}


def commands() -> "list[str]":
    text = (ROOT / "docs" / "pipeline.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


def quick(command: str) -> str:
    for flag, value in QUICK.items():
        command = re.sub(rf"(?<=\s){flag} \S+", f"{flag} {value}", command)
    return command


class Pipeline(Case):
    def test_every_stage_runs_after_the_one_before(self) -> None:
        corpus_files(self.directory / "data")
        listed = commands()
        self.assertGreaterEqual(len(listed), 20)
        environment = {"PATH": f"{BUILD}/bin:{os.environ['PATH']}"}
        for command in listed:
            done = run("sh", "-c", quick(command), cwd=self.directory, env=environment)
            self.assertEqual(done.returncode, 0, f"{command}\n{done.stderr}")
        perplexity = [row["eval_perplexity"] for row in rows(self.directory / "runs/pretrain/metrics.jsonl") if "eval_perplexity" in row]
        self.assertTrue(perplexity and 1 < perplexity[-1] < 400)
        self.assertTrue((self.directory / "sft" / "model.safetensors").is_file())
        self.preferences()
        self.roads()

    def preferences(self) -> None:
        """Samples of the prompts, in their order; pairs of different answers that the judge told apart."""
        prompts = [row["prompt"] for row in rows(self.directory / "data" / "prompts.jsonl")]
        samples = rows(self.directory / "samples.jsonl")
        self.assertEqual([row["prompt"] for row in samples], prompts)
        self.assertEqual({len(row["completions"]) for row in samples}, {4})
        for name in ("pairs", "test_pairs"):
            pairs = rows(self.directory / f"{name}.jsonl")
            self.assertTrue(pairs, name)
            for pair in pairs:
                self.assertGreater(pair["score_chosen"], pair["score_rejected"])
                self.assertNotEqual(pair["chosen"], pair["rejected"])
        answers = {row["prompt"]: row["completions"] for row in samples}
        self.assertTrue(all(pair["chosen"] in answers[pair["prompt"]] for pair in rows(self.directory / "pairs.jsonl")))

    def roads(self) -> None:
        """Both policies come from the SFT model and have moved; their reports are there and their exports are whole."""
        metrics = {name: rows(self.directory / "runs" / name / "metrics.jsonl") for name in ("reward", "ppo", "dpo")}
        self.assertTrue(any(0 <= row.get("eval_accuracy", -1) <= 1 for row in metrics["reward"]))
        self.assertTrue(any("objective/scores" in row for row in metrics["ppo"]))
        self.assertNear(metrics["dpo"][0]["loss"], math.log(2), 1e-5, "DPO begins at its reference")
        for name in metrics:
            self.assertTrue((self.directory / "runs" / name / "report.html").is_file(), name)
        found = {name: json.loads((self.directory / f"{name}.json").read_text()) for name in ("sft", "ppo", "dpo")}
        self.assertNear(found["sft"]["samples"]["prediction_kl"]["value"], 0, 1e-6)
        for name in ("ppo", "dpo"):
            samples = found[name]["samples"]
            self.assertGreater(samples["prediction_kl"]["value"], 0, name)
            self.assertTrue(0 <= samples["win_rate"]["value"] <= 1, name)
            self.assertEqual(samples["chosen_score"]["value"], found["sft"]["samples"]["chosen_score"]["value"])
        self.assertEqual((self.directory / "dpo.gguf").read_bytes()[:4], b"GGUF")
        self.assertTrue((self.directory / "ppo" / "model.safetensors").is_file())


if __name__ == "__main__":
    unittest.main()
