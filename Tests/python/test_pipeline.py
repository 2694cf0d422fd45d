"""The commands of docs/pipeline.md, in order and in one directory, with small sizes and few rows."""

import json
import os
import re
import unittest

from support import BUILD, FIXTURES, ROOT, Case, rows, run

#: What makes a stage small. Other options stay as the document has them.
QUICK = {
    "--vocab-size": 400, "--hidden": 32, "--layers": 2, "--heads": 2, "--max-length": 64, "--context": 256, "--max-steps": 4,
    "--num-train-epochs": 1, "--eval-steps": 4, "--max-new-tokens": 6, "--num-return-sequences": 2,
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
    def data(self) -> None:
        """The files that examples/data/corpus.py makes, from the fixtures."""
        folder = self.directory / "data"
        folder.mkdir()
        data = FIXTURES / "data"
        summaries = [
            {"prompt": row["text"].strip() + "\n\nTL;DR:", "completion": " " + row["text"].split(".")[0], "split": split}
            for row, split in zip(rows(data / "documents.jsonl"), ["train", "train", "train", "valid"] * 10)
        ]
        (folder / "summaries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in summaries))
        done = run("python3", ROOT / "examples" / "data" / "corpus.py", folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(rows(folder / "corpus.jsonl")), 30)
        self.assertEqual(len(rows(folder / "heldout.jsonl")), 10)

    def test_every_stage_runs_after_the_one_before(self) -> None:
        self.data()
        listed = commands()
        self.assertGreaterEqual(len(listed), 8)
        environment = {"PATH": f"{BUILD}/bin:{os.environ['PATH']}"}
        for command in listed:
            done = run("sh", "-c", quick(command), cwd=self.directory, env=environment)
            self.assertEqual(done.returncode, 0, f"{command}\n{done.stderr}")
        perplexity = [row["eval_perplexity"] for row in rows(self.directory / "runs/pretrain/metrics.jsonl") if "eval_perplexity" in row]
        self.assertTrue(perplexity and 1 < perplexity[-1] < 400)
        self.assertTrue((self.directory / "sft" / "model.safetensors").is_file())


if __name__ == "__main__":
    unittest.main()
