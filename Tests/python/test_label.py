"""`dpo label` by classifiers and programs: rows for training, ties, and programs that die, hang or print rubbish."""

import json
import pathlib
import signal
import subprocess
import sys
import time
import unittest

from support import BUILD, FIXTURES, MODEL, Case, dpo, golden, rows

#: A judge that prefers the longer answer; what it does on a row that holds a word is told by its arguments.
JUDGE = """
import json, subprocess, sys
with open(sys.argv[1], "a") as log:
    for line in sys.stdin:
        row = json.loads(line)
        log.write(row["prompt"] + "\\n"); log.flush()
        for word, action in zip(sys.argv[2::2], sys.argv[3::2]):
            if word in row["prompt"]:
                if action == "die": sys.exit(3)
                if action == "hang":
                    child = subprocess.Popen(["sleep", "600"])
                    open(sys.argv[1] + ".pid", "w").write(str(child.pid))
                    child.wait()
                print(action, flush=True)
                break
        else:
            print(json.dumps({"scores": [len(text) for text in row["completions"]]}), flush=True)
"""


class Labels(Case):
    def setUp(self) -> None:
        super().setUp()
        self.samples = self.directory / "samples.jsonl"
        self.out = self.directory / "pairs.jsonl"
        self.judge = self.directory / "judge.py"
        self.judge.write_text(JUDGE)
        self.seen = self.directory / "seen"
        self.write([{"prompt": f"p{index} ", "completions": ["a" * (index % 3 + 1), "bb", "cccc"]} for index in range(10)])

    def write(self, samples: "list[dict]") -> None:
        self.samples.write_text("".join(json.dumps(row) + "\n" for row in samples))

    def command(self, *actions: str) -> str:
        return " ".join(["exec", sys.executable, str(self.judge), str(self.seen), *(f"'{action}'" for action in actions)])

    def label(self, *extra: object, code: int = 0, says: str = "") -> dict:
        result = dpo("label", "--data", self.samples, "-o", self.out, "--json", *extra)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertIn(says, result.stderr)
        return json.loads(result.stdout) if result.stdout else {}

    def judged(self) -> "list[str]":
        return self.seen.read_text().split()

    def test_a_program_labels_and_the_result_trains(self) -> None:
        done = self.label("--command", self.command())
        self.assertEqual((done["judged"], done["written"], done["ties"], done["kept"]), (10, 10, 0, 0))
        first = rows(self.out)[0]
        self.assertEqual((first["prompt"], first["chosen"], first["rejected"]), ("p0 ", "cccc", "a"))
        self.assertEqual((first["score_chosen"], first["score_rejected"]), (4, 1))
        trained = dpo("train", MODEL, "--data", self.out, "--output-dir", self.directory / "run", "--max-steps", 1)
        self.assertEqual(trained.returncode, 0, trained.stderr)

    def test_forms(self) -> None:
        command = self.command()
        self.label("--command", command, "--form", "all-pairs")
        self.assertEqual(len(rows(self.out)), 27)  # three answers, and "aa" ties with "bb" in three of ten rows
        self.assertEqual(self.label("--command", command, "--form", "all-pairs", "--gap", 2)["ties"], 26)
        self.label("--command", command, "--form", "scores")
        self.assertEqual(rows(self.out)[1], {"prompt": "p1 ", "completions": ["aa", "bb", "cccc"], "scores": [2, 2, 4]})
        self.label("--command", command, "--form", "ranks")
        self.assertEqual(rows(self.out)[1], {"prompt": "p1 ", "completions": ["aa", "bb", "cccc"], "ranks": [2, 2, 1]})
        self.label("--command", command, "--form", "thumbs", "--gap", 3)
        self.assertEqual(rows(self.out)[0], {"prompt": "p0 ", "completion": "cccc", "label": True, "score": 4})
        self.assertEqual(len(self.judged()), 10, "rows were judged again to be written in another form")

    def test_a_choice_instead_of_scores(self) -> None:
        self.label("--command", self.command("p1", '{"choice": 1}', "p2", '{"choice": null}'))
        by_prompt = {row["prompt"]: row for row in rows(self.out)}
        self.assertEqual(by_prompt["p1 "]["chosen"], "bb")
        self.assertNotIn("p2 ", by_prompt)

    def test_chat_prompts_get_chat_answers(self) -> None:
        prompt = [{"role": "user", "content": "Hello"}]
        self.write([{"prompt": prompt, "completions": ["a", "bb"]}])
        self.label("--command", f"{sys.executable} -c \"import sys\nfor line in sys.stdin: print('{{\\\"choice\\\": 1}}', flush=True)\"")
        self.assertEqual(rows(self.out)[0]["chosen"], [{"role": "assistant", "content": "bb"}])

    def test_a_program_that_dies_hangs_or_prints_rubbish_loses_nothing(self) -> None:
        for action, says in (
            ("die", "ended with status 3"), ("hang", "no answer within 2.5 seconds"), ("what?", "printed \"what?\""),
            ('{"scores": [1]}', "3 finite numbers"), ('{"scores": [1, 2, "x"]}', "finite"), ('{"choice": 3}', "choice"),
            ('{"choice": 0}\\n{"choice": 0}', "more than one line"),
        ):
            with self.subTest(action=action):
                self.seen.unlink(missing_ok=True)
                if "\\n" in action:
                    action = action.replace("\\n", "\n")
                done = self.label(
                    "--overwrite", "--timeout", 2.5 if action == "hang" else 20, "--command", self.command("p4", action),
                    code=1, says=says,
                )
                kept = done["kept"]
                self.assertEqual((done["judged"], kept), (9, 1))
                self.assertEqual(len(rows(self.out)), 9)
        sleeper = pathlib.Path(f"/proc/{self.seen.with_suffix('.pid').read_text()}/stat")
        self.assertTrue(not sleeper.exists() or sleeper.read_text().split()[2] == "Z", "what the judge started still runs")

    def test_what_failed_is_judged_when_the_command_is_run_again(self) -> None:
        trap = self.directory / "trap"
        command = f"if [ -e {trap} ]; then {self.command('p4', 'die')}; else {self.command()}; fi"
        trap.touch()
        self.assertEqual(self.label("--command", command, code=1, says="line 5")["kept"], 1)
        trap.unlink()
        self.seen.unlink()
        self.assertEqual(self.label("--command", command)["written"], 10)
        self.assertEqual(self.judged(), ["p4"])

    def test_a_program_that_cannot_work_is_given_up(self) -> None:
        done = self.label("--command", "no-such-judge", code=1, says="ended with status 127")
        self.assertEqual((done["judged"], done["kept"]), (0, 10))
        done = self.label("--overwrite", "--command", "cat >/dev/null", "--timeout", 0.2, code=1, says="0.2 seconds")
        self.assertEqual(done["kept"], 10)

    def test_ctrl_c_keeps_what_was_judged(self) -> None:
        process = subprocess.Popen(
            [BUILD / "bin/dpo", "label", "--data", self.samples, "-o", self.out, "--command", self.command("p6", "hang")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 30
        while time.monotonic() < end and (not self.seen.exists() or "p6" not in self.judged()):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 130)
        self.assertEqual(len(rows(self.out)), 6)

    def test_a_judge_that_always_ties_is_reported(self) -> None:
        done = self.label("--command", "while read line; do echo '{\"choice\": null}'; done", code=1, says="told no answers apart (10 ties")
        self.assertEqual((done["written"], done["ties"]), (0, 10))

    def test_a_classifier_labels(self) -> None:
        data = golden("classifier.json")
        train, model = self.directory / "train.jsonl", self.directory / "classifier.h5"
        train.write_text("".join(json.dumps({"text": t, "label": l}) + "\n" for t, l in zip(data["train"], data["labels"])))
        self.assertEqual(dpo("classifier", "train", "--data", train, "-o", model).returncode, 0)
        self.write([{"prompt": "The film was", "completions": [" dreadful.", " splendid.", " there."]}])
        self.label("--classifier", model)
        row = rows(self.out)[0]
        self.assertEqual((row["chosen"], row["rejected"]), (" splendid.", " dreadful."))
        text = self.directory / "text.jsonl"
        text.write_text('{"text": "The film was splendid."}\n{"text": " splendid."}\n')
        whole, alone = (json.loads(line)["score"] for line in dpo("classifier", "apply", model, "--data", text).stdout.splitlines())
        self.assertEqual(row["score_chosen"], whole)
        self.label("--classifier", model, "--completion-only", code=1, says="another judge")
        self.label("--classifier", model, "--completion-only", "--overwrite")
        self.assertEqual(rows(self.out)[0]["score_chosen"], alone)

    def test_a_reward_model_labels(self) -> None:
        prompts = [f"Story {index} is" for index in range(3)]
        chat = [[{"role": "user", "content": prompt}] for prompt in prompts]
        for name, given in (("qwen2-lora-reward", prompts), ("llama-tied-lora-reward-chat", chat)):
            model = ("--adapter", FIXTURES / "adapters" / f"{name}-final")
            base = FIXTURES / "models" / name.split("-lora")[0]
            self.write([{"prompt": prompt, "completions": [" good.", " bad and long.", " so so"]} for prompt in given])
            self.label("--overwrite", "--reward-model", base, *model)
            pairs = rows(self.out)
            self.assertEqual(len(pairs), 3)
            # `dpo score` says the same of the labelled pairs.
            scored = json.loads(dpo("score", base, *model, "--data", self.out, "--json").stdout)["rows"]
            for row, score in zip(pairs, scored):
                self.assertNear(row["score_chosen"], score["chosen"], 1e-5)
                self.assertNear(row["score_rejected"], score["rejected"], 1e-5)
        self.label("--reward-model", MODEL, code=1, says="reward model")

    def test_bad_input(self) -> None:
        self.label(code=2, says="judge")
        self.label("--classifier", "x.h5", "--command", "cat", code=2, says="one judge")
        self.label("--classifier", "missing.h5", code=1, says="missing.h5")
        self.label("--command", "cat", "--gap=-1", code=1, says="gap")
        self.write([{"prompt": "a", "completions": ["b"]}, {"prompt": "a"}])
        self.label("--command", "cat", code=1, says="line 2")
        self.write([{"prompt": "a", "completions": ["b", 7]}])
        self.label("--command", "cat", code=1, says="completions")
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main()
