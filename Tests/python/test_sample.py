"""`dpo sample`: rows, pairs, interruption, and files that do not belong to the run."""

import json
import pathlib
import signal
import subprocess
import time
import unittest

from support import BUILD, FIXTURES, MODEL, Case, dpo, rows

ADAPTER = FIXTURES / "adapters" / "llama-tied-random"


class Sampling(Case):
    def setUp(self) -> None:
        super().setUp()
        self.prompts = [f"Story number {index} begins" for index in range(50)]
        self.data = self.directory / "prompts.jsonl"
        self.data.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in self.prompts))

    def arguments(self, name: str, *extra: object) -> "tuple[object, ...]":
        return (
            "sample", MODEL, "--data", self.data, "-o", self.directory / name, "--num-return-sequences", 4,
            "--max-new-tokens", 12, *extra,
        )

    def sample(self, name: str, *extra: object) -> pathlib.Path:
        result = dpo(*self.arguments(name, *extra))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("tokens/s", result.stderr)
        return self.directory / name

    def test_every_prompt_has_its_completions_as_generate_draws_them(self) -> None:
        found = rows(self.sample("samples.jsonl", "--temperature", 1.3, "--seed", 7))
        self.assertEqual([row["prompt"] for row in found], self.prompts)
        self.assertEqual([row["index"] for row in found], list(range(50)))
        generated = dpo(
            "generate", MODEL, "--data", self.data, "--num-return-sequences", 4, "--max-new-tokens", 12,
            "--temperature", 1.3, "--seed", 7, "--json",
        )
        for row, expected in zip(found, json.loads(generated.stdout)["rows"]):
            self.assertEqual(row["completions"], expected["completions"])
            self.assertEqual(row["finish_reasons"], expected["finish_reasons"])

    def test_a_file_cut_anywhere_is_completed_to_the_same_bytes(self) -> None:
        for extra in ((), ("--pairs",)):
            whole = self.sample("whole.jsonl", "--overwrite", *extra).read_bytes()
            cut = self.directory / "cut.jsonl"
            lines = whole.splitlines(keepends=True)
            for end in (0, len(lines[0]) - 3, len(b"".join(lines[:16])), len(b"".join(lines[:21])) + 5, len(whole)):
                cut.write_bytes(whole[:end])
                self.assertEqual(self.sample("cut.jsonl", *extra).read_bytes(), whole, f"cut at byte {end}")

    def test_a_killed_run_goes_on(self) -> None:
        extra = ("--max-new-tokens", 400)
        whole = self.sample("whole.jsonl", *extra).read_bytes()
        for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
            path = self.directory / f"{number}.jsonl"
            process = subprocess.Popen(
                [str(part) for part in (BUILD / "bin/dpo", *self.arguments(path.name, *extra))],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            end = time.monotonic() + 60
            while time.monotonic() < end and process.poll() is None and not (path.exists() and path.stat().st_size):
                time.sleep(0.002)
            process.send_signal(number)
            self.assertEqual(process.wait(60), code)
            self.assertLess(len(path.read_bytes()), len(whole))
            self.assertEqual(self.sample(path.name, *extra).read_bytes(), whole)

    def test_pairs_are_of_different_completions(self) -> None:
        found = rows(self.sample("pairs.jsonl", "--pairs"))
        self.assertEqual(len(found), 100)
        for row in found:
            self.assertEqual((len(row["completions"]), len(set(row["completions"]))), (2, 2))
        self.assertEqual(rows(self.sample("greedy.jsonl", "--pairs", "--temperature", 0)), [])

    def test_chat_and_adapter(self) -> None:
        plain = rows(self.sample("plain.jsonl"))
        adapted = rows(self.sample("adapted.jsonl", "--adapter", ADAPTER))
        self.assertNotEqual([row["completions"] for row in plain], [row["completions"] for row in adapted])
        self.assertIsNone(plain[0]["sampling"]["adapter"])
        self.assertEqual(len(adapted[0]["sampling"]["adapter"]), 16)
        chat = dpo(*self.arguments("chat.jsonl", "--chat"))
        if chat.returncode:
            self.assertIn("chat template", chat.stderr)
        else:
            self.assertEqual(rows(self.directory / "chat.jsonl")[0]["prompt"], [{"role": "user", "content": self.prompts[0]}])

    def refused(self, name: str, *extra: object, code: int = 1, says: str) -> None:
        path = self.directory / name
        before = path.read_bytes() if path.exists() else None
        result = dpo(*self.arguments(name, *extra))
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertIn(says, result.stderr)
        self.assertEqual(path.read_bytes() if path.exists() else None, before)

    def test_a_file_of_other_sampling_is_left_alone(self) -> None:
        path = self.sample("samples.jsonl")
        self.refused(path.name, "--temperature", 0.5, says="temperature = 1.0, now 0.5")
        self.refused(path.name, "--adapter", ADAPTER, says="adapter = null")
        self.refused(path.name, "--pairs", says="pairs")
        self.data.write_text('{"prompt": "Another"}\n')
        self.refused(path.name, says="line 1 is not of prompt 0")
        other = self.directory / "other.jsonl"
        other.write_text('{"mine": 1}\n')
        self.refused(other.name, says="no row of samples")
        self.assertEqual(len(rows(self.sample(path.name, "--overwrite"))), 1)

    def test_bad_input(self) -> None:
        self.refused("out.jsonl", "--num-return-sequences", 1, "--pairs", code=2, says="--pairs")
        self.refused("out.jsonl", "--top-p", 0, says="top_p")
        self.data.write_text('{"prompt": "a"}\n{"text": "b"}\n')
        self.refused("out.jsonl", says="line 2")
        self.data.write_text("")
        self.refused("out.jsonl", says="empty")
        self.data.write_text(json.dumps({"prompt": "word " * 5000}) + "\n")
        self.refused("out.jsonl", says="context")


if __name__ == "__main__":
    unittest.main()
