"""The RLHF road through Python and the command: reward models, and policies trained against them."""

import json
import unittest

import libdpo
from libdpo import LoraConfig, Model, RewardConfig, RewardTrainer
from support import FIXTURES, MODEL, PAIRS, Case, dpo, golden, rows

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


if __name__ == "__main__":
    unittest.main()
