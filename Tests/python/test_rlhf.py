"""The RLHF road through Python and the command: reward models, and policies trained against them."""

import json
import shutil
import unittest

import libdpo
from libdpo import LoraConfig, Model, PPOConfig, PPOTrainer, RewardConfig, RewardTrainer
from support import FIXTURES, MODEL, PAIRS, Case, dpo, golden, rows, write_rows

QUIET = {"disable_tqdm": True, "threads": 2}
QWEN2 = FIXTURES / "models" / "qwen2"
REWARD = FIXTURES / "adapters" / "qwen2-lora-reward-final"


class RewardModels(Case):
    def train(self, **options: object) -> RewardTrainer:
        args = RewardConfig(
            output_dir=str(self.directory / "run"), per_device_train_batch_size=4, learning_rate=1e-2, max_steps=24,
            **QUIET, **options,
        )
        return RewardTrainer(
            MODEL, args=args, train_dataset=PAIRS, eval_dataset=PAIRS,
            peft_config=LoraConfig(r=4, target_modules="all-linear"),
        )

    def test_steps_are_those_of_trl(self) -> None:
        for name in ("qwen2-lora-reward", "llama-tied-lora-reward-chat"):
            expected = golden(f"trl/{name}.json")
            model = Model(FIXTURES / expected["model"], FIXTURES / expected["adapter"], threads=2)
            self.assertTrue(model.info.is_reward_model)
            args = RewardConfig(**{**expected["options"], **QUIET, "output_dir": str(self.directory / name)})
            data = FIXTURES / expected["data"]
            trainer = RewardTrainer(model, args=args, train_dataset=data, eval_dataset=data)
            for step in expected["steps"]:
                found = trainer.step()
                for key in ("loss", "grad_norm", "accuracy", "margin", "mean_reward", "min_reward", "max_reward"):
                    self.assertNear(found[key], step[key], 1e-3, f"{name} {key}")

    def test_a_trained_model_prefers_what_it_was_shown(self) -> None:
        trainer = self.train()
        output = trainer.train()
        evaluation = trainer.evaluate()
        self.assertGreater(evaluation["eval_accuracy"], 0.8)
        self.assertIn("eval_calibration_error", evaluation)
        self.assertIn("accuracy", output.metrics)
        model = Model(MODEL, self.directory / "run" / "final.h5", threads=2)
        pairs = rows(PAIRS)
        prompts = [row["prompt"] for row in pairs]
        chosen, rejected = (model.rewards(prompts, [row[side] for row in pairs]) for side in ("chosen", "rejected"))
        right = sum(a > b for a, b in zip(chosen, rejected)) / len(pairs)
        self.assertAlmostEqual(right, evaluation["eval_accuracy"], delta=1.5 / len(pairs))
        eos = model.encode("<|end_of_text|>", add_special_tokens=False)
        first = model.encode(prompts[0]), model.encode(pairs[0]["chosen"], add_special_tokens=False) + eos
        self.assertNear(model.reward_tokens([first[0]], [first[1]])[0], chosen[0], 1e-5)

    def test_a_language_model_has_no_rewards_and_a_reward_model_no_log_probs(self) -> None:
        self.assertRaises(libdpo.UnsupportedError, Model(MODEL).rewards, ["a"], ["b"])
        model = Model(QWEN2, REWARD)
        self.assertRaises(libdpo.UnsupportedError, model.score, ["a"], ["b"])
        self.assertRaises(libdpo.UnsupportedError, model.generate, "a")
        self.assertRaises(libdpo.InvalidArgumentError, model.rewards, ["a"], [])

    def test_the_command_scores_and_evaluates(self) -> None:
        found = dpo("score", QWEN2, "--adapter", REWARD, "--data", PAIRS, "--json")
        self.assertEqual(found.returncode, 0, found.stderr)
        scored = json.loads(found.stdout)["rows"]
        self.assertEqual(len(scored), len(rows(PAIRS)))
        for row in scored:
            self.assertAlmostEqual(row["margin"], row["chosen"] - row["rejected"], places=9)
        found = dpo("evaluate", QWEN2, "--adapter", REWARD, "--data", PAIRS, "--method", "reward", "--json")
        self.assertEqual(found.returncode, 0, found.stderr)
        metrics = json.loads(found.stdout)
        right = sum(row["margin"] > 0 for row in scored) / len(scored)
        self.assertNear(metrics["accuracy"], right, 0.2)
        self.assertTrue(0 <= metrics["calibration_error"] <= 0.5)
        refused = dpo("score", QWEN2, "--data", PAIRS)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("reward model", refused.stderr)


class Policies(Case):
    def args(self, config: type = PPOConfig, **options: object) -> object:
        return config(**{
            "output_dir": str(self.directory / "run"), "per_device_train_batch_size": 4, "max_completion_length": 8,
            "learning_rate": 1e-3, "max_steps": 4, "temperature": 1.0, **QUIET, **options,
        })

    def test_a_function_is_the_reward(self) -> None:
        seen: "list[libdpo.Answer]" = []

        def reward(answers: "list[libdpo.Answer]") -> "list[float]":
            seen.extend(answers)
            return [len(answer.completion or "") / 10 for answer in answers]

        trainer = PPOTrainer(MODEL, reward, self.args(), train_dataset=[{"prompt": "The film was"}] * 8)
        output = trainer.train()
        self.assertEqual((output.global_step, len(seen)), (4, 4))
        self.assertEqual(seen[0].prompt, "The film was")
        self.assertEqual((len(seen[0].completion_ids), seen[0].stopped), (8, False))
        model = Model(MODEL)
        self.assertEqual(seen[0].prompt_ids, list(model.encode("The film was")))
        for name in ("objective/kl", "objective/scores", "policy/clipfrac_avg", "val/explained_variance"):
            self.assertIn(name, output.metrics)
        self.assertAlmostEqual(output.metrics["objective/scores"], sum(len(a.completion) for a in seen) / 40, 6)
        Model(self.directory / "run" / "final.h5").generate("The film was", max_new_tokens=4)

    def test_messages_reach_the_function_as_messages(self) -> None:
        chat = [{"role": "user", "content": "Tell me about the film."}]
        seen: "list[libdpo.Answer]" = []

        def reward(answers: "list[libdpo.Answer]") -> "list[float]":
            seen.extend(answers)
            return [0.0] * len(answers)

        PPOTrainer(MODEL, reward, self.args(), train_dataset=[{"prompt": chat}] * 4).step()
        self.assertEqual(seen[0].prompt, chat)

    def test_what_goes_wrong_in_the_function_is_raised(self) -> None:
        answers = {
            ZeroDivisionError: lambda answers: 1 / 0, libdpo.FormatError: lambda answers: [float("nan")] * len(answers),
        }
        for error, reward in answers.items():
            trainer = PPOTrainer(MODEL, reward, self.args(), train_dataset=PAIRS)
            self.assertRaises(error, trainer.step)
            trainer.set_reward(lambda answers: [1.0] * len(answers))
            self.assertEqual(trainer.step()["step"], 1)
        short = PPOTrainer(MODEL, lambda answers: [1.0], self.args(), train_dataset=PAIRS)
        self.assertRaises(libdpo.FormatError, short.step)
        self.assertRaises(TypeError, PPOTrainer, MODEL, 1.0, self.args(), train_dataset=PAIRS)
        self.assertRaises(libdpo.FileError, PPOTrainer, MODEL, "no-such-model", self.args(), train_dataset=PAIRS)
        qwen2 = Model(QWEN2, REWARD)
        self.assertRaises(libdpo.MismatchError, PPOTrainer, MODEL, qwen2, self.args(), train_dataset=PAIRS)

    def test_a_policy_that_leaves_its_reference_stops(self) -> None:
        args = self.args(learning_rate=2e-3, max_steps=800, max_kl=0.3, lora_r=4)
        trainer = PPOTrainer(MODEL, lambda answers: [float(a.completion_ids[0]) for a in answers], args, train_dataset=PAIRS)
        with self.assertRaises(libdpo.DivergedError) as caught:
            trainer.train()
        self.assertIn("the last good checkpoint is", str(caught.exception))

    def test_the_other_methods_take_the_same_rewards(self) -> None:
        for trainer_type, config in (
            (libdpo.RLOOTrainer, libdpo.RLOOConfig), (libdpo.GRPOTrainer, libdpo.GRPOConfig),
            (libdpo.OnlineDPOTrainer, libdpo.OnlineDPOConfig),
        ):
            reward = lambda answers: [float(sum(a.completion_ids) % 7) for a in answers]
            trainer = trainer_type(MODEL, reward, self.args(config, num_generations=2), train_dataset=PAIRS)
            found = trainer.step()
            self.assertIn("objective/scores", found)
            self.assertEqual(found["step"], 1)

    def test_advantages_and_losses_of_any_engine(self) -> None:
        advantages, returns = libdpo.gae([-0.01, 0.02, -0.03, 1], [0.1, 0.2, 0.3, 0.4], [4])
        for found, want in zip(advantages, (0.7816, 0.728, 0.64, 0.6)):
            self.assertAlmostEqual(found, want, 4)
        self.assertAlmostEqual(returns[3], 1.0, 12)
        result = libdpo.ppo_loss([0.0, 0.0], [0.0, 0.0], [1.0, -1.0])
        self.assertEqual(list(result.gradient_logps), [-0.5, 0.5])
        self.assertRaises(ValueError, libdpo.gae, [1.0], [1.0, 2.0], [1])
        self.assertRaises(ValueError, libdpo.ppo_loss, [0.0], [0.0, 0.0], [1.0])

    def test_the_command_trains_against_a_classifier_and_a_program(self) -> None:
        classifier = self.directory / "classifier.h5"
        libdpo.TextClassifier.train(["good", "fine", "bad", "poor"], [1, 1, 0, 0], folds=0).save(classifier)
        program = "while read line; do echo '{\"scores\": [1.0]}'; done"
        for name, judge in (("a", ["--classifier", str(classifier)]), ("b", ["--command", program])):
            folder = self.directory / name
            out = dpo(
                "train", str(MODEL), "--method", "ppo", "--data", str(PAIRS), "--output-dir", str(folder), *judge,
                "--max-steps", "4", "--per-device-train-batch-size", "4", "--max-completion-length", "6", "--lora-r", "2",
                "--threads", "2", "--json",
            )
            metrics = json.loads(out.stdout)["metrics"]
            self.assertIn("objective/scores", metrics)
            self.assertTrue((folder / "report.html").exists())

    TOOL = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]

    def test_a_program_sees_the_columns_of_the_row(self) -> None:
        """As TRL's reward functions do: all but the prompt and what the policy answers."""
        asked = [
            {"prompt": [{"role": "user", "content": "How warm?"}], "tools": self.TOOL, "answer": 20, "completion": "unread"},
            {"prompt": [{"role": "user", "content": "How cold?"}], "chat_template_kwargs": {"mood": "glad"}, "answer": None},
            {"prompt": [{"role": "user", "content": "How warm?"}], "answer": [1, 2]},
        ]
        data = write_rows(self.directory / "prompts.jsonl", *asked)
        log = self.directory / "log"
        program = f"while read -r line; do printf '%s\\n' \"$line\" >> {log}; echo '{{\"scores\": [0.5, 1.5]}}'; done"
        for method in ("rloo", "grpo", "online_dpo"):
            log.unlink(missing_ok=True)
            done = dpo(
                "train", MODEL, "--method", method, "--data", data, "--eval-data", data, "--eval-steps", "3", "--command", program,
                "--output-dir", self.directory / method, "--max-steps", "3", "--per-device-train-batch-size",
                "1" if method == "online_dpo" else "2", "--num-generations", "2", "--max-completion-length", "4", "--lora-r", "2",
                "--threads", "1", "--data-cache", self.directory / "cache")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("not read", done.stdout + done.stderr)
            seen = [{name: value for name, value in row.items() if name != "completions"} for row in rows(log)]
            expected = [{name: value for name, value in row.items() if name not in ("completion", "completions") and value is not None}
                        for row in asked]
            expected[0]["completion"] = "unread"
            self.assertEqual(len(seen), 6)
            for row in expected:
                self.assertEqual(seen.count(row), 2, f"{method}: {row}")

    def test_a_reward_model_sees_tools(self) -> None:
        """Its score of the answers that were drawn is that of the same rows with their tools."""
        base, adapter = FIXTURES / "models" / "llama-tied", FIXTURES / "adapters" / "llama-tied-lora-reward-chat-final"
        model = self.directory / "model"
        shutil.copytree(base, model, copy_function=shutil.copyfile)
        (model / "chat_template.jinja").write_text(
            "{{ tools | length if tools else 0 }}{{ mood }}" + (base / "chat_template.jinja").read_text())
        columns = [{"tools": self.TOOL}, {"tools": json.dumps(self.TOOL), "chat_template_kwargs": {"mood": "glad"}}, {}]
        asked = [{"prompt": [{"role": "user", "content": "Story is"}], **more} for more in columns]
        data = write_rows(self.directory / "prompts.jsonl", *asked)
        log = self.directory / "log"
        program = f"while read -r line; do printf '%s\\n' \"$line\" >> {log}; echo '{{\"scores\": [1, 0]}}'; done"

        def step(name: str, *judge: object) -> "dict":
            done = dpo(
                "train", model, "--method", "rloo", "--data", data, *judge, "--output-dir", self.directory / name, "--max-steps", "1",
                "--gradient-accumulation-steps", "3", "--per-device-train-batch-size", "2", "--num-generations", "2",
                "--max-completion-length", "6", "--lora-r", "2", "--threads", "1", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            return json.loads(done.stdout)["metrics"]

        step("by-program", "--command", program)
        drawn = rows(log)
        self.assertEqual(sorted(len(row["completions"]) for row in drawn), [2, 2, 2])

        def mean(*kept: str) -> float:
            pairs = [{"prompt": row["prompt"], **{name: row[name] for name in kept if name in row},
                      **{side: [{"role": "assistant", "content": text}] for side, text in zip(("chosen", "rejected"), row["completions"])}}
                     for row in drawn]
            found = dpo("score", model, "--adapter", adapter, "--data", write_rows(self.directory / "pairs.jsonl", *pairs), "--json")
            scored = json.loads(found.stdout)["rows"]
            return sum(row["chosen"] + row["rejected"] for row in scored) / 6

        told = step("by-model", "--reward-model", model, "--reward-adapter", adapter)["objective/scores"]
        self.assertAlmostEqual(told, mean("tools", "chat_template_kwargs"), 5)
        for less in ((), ("tools",)):
            self.assertGreater(abs(told - mean(*less)), 1e-3)


if __name__ == "__main__":
    unittest.main()
