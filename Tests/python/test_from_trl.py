"""Coming from TRL: fields of its configs, its trainers' arguments, callbacks, kinds of rows, reward functions, names of the hub."""

import csv
import dataclasses
import gzip
import json
import math
import os
import pathlib
import re
import sys
import types
import unittest
import warnings
from unittest import mock

import libdpo
import numpy
import trl_scripts
from libdpo import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, LoraConfig, SFTConfig, trl_fields
from support import FIXTURES, MODEL, PAIRS, Case, rows, run

CHAT = FIXTURES / "models" / "qwen2"
QUIET = {"disable_tqdm": True, "threads": 2, "overwrite_output_dir": True, "lora_r": 2}
CONFIGS = {getattr(libdpo, name)._method: getattr(libdpo, name) for name in libdpo.configs.__all__}


def read(kind: type, **given: object) -> "tuple[object, list[str]]":
    """A config and the warnings of making it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = kind(**given)
    return config, [str(warning.message) for warning in caught]


class Fields(Case):
    def test_every_field_is_taken_noted_or_refused_as_its_table_says(self) -> None:
        odd = "something else"
        for method, kind in CONFIGS.items():
            own = {field.name for field in dataclasses.fields(kind)}
            for name, field in trl_fields.fields_of(method).items():
                with self.subTest(f"{method} {name}"):
                    if field.option:
                        if name in own or field.option not in own:
                            continue
                        value = {"train_sampling_strategy": "sequential", "evaluation_strategy": "no"}.get(name, 0.25)
                        config, said = read(kind, **{name: value})
                        self.assertEqual(getattr(config, field.option), field.convert(value) if field.convert else value)
                        self.assertEqual(said, [])
                        continue
                    for value in field.silent:
                        self.assertEqual(read(kind, **{name: value}), (kind(), []))
                    if not field.words:
                        continue
                    if field.refused:
                        with self.assertRaises(libdpo.UnsupportedError) as caught:
                            read(kind, **{name: odd})
                        self.assertEqual(str(caught.exception), f"{name}={odd!r}: {field.words}")
                        self.assertNotIn("--", field.words)
                    else:
                        config, said = read(kind, **{name: odd})
                        self.assertEqual(config, kind())
                        self.assertEqual(said, [f"{name}={odd!r} has no meaning here: {field.words}"])
                    for value in field.noted:
                        self.assertEqual(len(read(kind, **{name: value})[1]), 1)

    def test_what_scripts_write(self) -> None:
        config, said = read(
            DPOConfig, fp16=False, report_to="none", dataloader_num_workers=0, remove_unused_columns=False, warmup_ratio=0.1,
            optim="adamw_torch", gradient_checkpointing=True, padding_free=True, loss_type=["sigmoid"], eval_steps=None, use_cpu=True)
        self.assertEqual((config.warmup_steps, config.eval_steps, said), (0.1, 0, []))
        self.assertRaisesRegex(libdpo.UnsupportedError, 'bf16=True: write precision="bf16"', DPOConfig, bf16=True)
        config, said = read(SFTConfig, optim="paged_adamw_8bit", dataset_num_proc=4)
        self.assertEqual((config.optim, len(said)), ("adamw_8bit", 2))
        config, said = read(SFTConfig, optim="sgd", optim_args="momentum=0.9, nesterov=True")
        self.assertEqual((config.optim, config.optim_args, said), ("sgd", "momentum=0.9, nesterov=True", []))
        config = GRPOConfig(beta=0.04, epsilon=0.1, num_iterations=2, shuffle_dataset=False)
        self.assertEqual((config.kl_coef, config.cliprange, config.num_ppo_epochs, config.shuffle), (0.04, 0.1, 2, False))
        self.assertRaisesRegex(TypeError, "DPOConfig has no option lerning_rate; did you mean learning_rate", DPOConfig, lerning_rate=1)
        self.assertRaisesRegex(TypeError, "no option epsilon", DPOConfig, epsilon=0.2)
        with self.assertRaisesRegex(libdpo.InvalidArgumentError, "kl_coef=0.1 and beta=0.2 both set kl_coef"):
            GRPOConfig(kl_coef=0.1, beta=0.2)
        self.assertRaisesRegex(libdpo.InvalidArgumentError, "eval_strategy is 'often'", DPOConfig, eval_strategy="often")
        # A warning points at the line that gave the field.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            DPOConfig(tf32=True)
        self.assertEqual(caught[0].filename, __file__)

    def test_defaults_are_those_of_trl(self) -> None:
        trainer = GRPOTrainer(
            MODEL, lambda answers: [0.0] * len(answers), args=GRPOConfig(output_dir=str(self.directory / "a"), max_steps=1, **QUIET),
            train_dataset=[{"prompt": "a"}] * 4)
        for kind, length in ((libdpo.RLOOConfig, 512), (GRPOConfig, 512), (libdpo.OnlineDPOConfig, 64)):
            words = kind.__doc__ + pathlib.Path(libdpo.configs.__file__).read_text().split(f"class {kind.__name__}")[1].split("@dataclass")[0]
            self.assertIn(f"None: {length}.", words)
        # What the plan counts memory for.
        long = trainer.plan()["memory_bytes"]
        args = GRPOConfig(output_dir=str(self.directory / "a"), max_steps=1, max_completion_length=512, **QUIET)
        same = GRPOTrainer(MODEL, lambda answers: [0.0] * len(answers), args=args, train_dataset=[{"prompt": "a"}] * 4)
        self.assertEqual(same.plan()["memory_bytes"], long)


class Arguments(Case):
    def trainer(self, **options: object) -> DPOTrainer:
        arguments = {"train_dataset": PAIRS, **options}
        return DPOTrainer(MODEL, args=DPOConfig(output_dir=str(self.directory / "run"), max_steps=2, **QUIET), **arguments)

    def test_what_cannot_be_used_says_what_to_do(self) -> None:
        class Auto:
            name_or_path = "org/base"

        for options, message in (
            ({"data_collator": print}, "data_collator: the library makes batches itself"),
            ({"optimizers": (print, None)}, "optimizers: the library updates weights itself"),
            ({"preprocess_logits_for_metrics": print}, "compute_metrics gets log-probs"),
            ({"quantization_config": {}}, "quantised GGUF"),
        ):
            self.assertRaisesRegex(libdpo.UnsupportedError, message, self.trainer, **options)
        self.assertRaisesRegex(TypeError, "DPOTrainer has no argument speed", self.trainer, speed=1)
        self.trainer(data_collator=None, optimizers=(None, None))
        with self.assertRaisesRegex(TypeError, "model is .*Auto, which libdpo cannot train.*the path that it was read from, 'org/base'"):
            DPOTrainer(Auto(), args=DPOConfig(**QUIET), train_dataset=PAIRS)
        Auto.peft_config = {}
        with self.assertRaisesRegex(TypeError, r"libdpo.Model\(path, adapter\)"):
            DPOTrainer(Auto(), args=DPOConfig(**QUIET), train_dataset=PAIRS)

    def test_peft_options_that_libdpo_lacks_say_what_to_do(self) -> None:
        theirs = {**dataclasses.asdict(LoraConfig(r=4)), "use_dora": False, "modules_to_save": None}
        trainer = self.trainer(peft_config=types.SimpleNamespace(**theirs))
        self.assertEqual(trainer.args.lora_r, 4)
        for change, message in (
            ({"use_dora": True}, "DoRA"), ({"target_modules": ".*_proj"}, "list of names"), ({"modules_to_save": ["lm_head"]}, "leave it out"),
            ({"init_lora_weights": "pissa"}, "True or 'gaussian'"), ({"peft_type": "IA3"}, "LoraConfig"),
        ):
            with self.assertRaisesRegex(libdpo.UnsupportedError, message):
                self.trainer(peft_config=types.SimpleNamespace(**{**theirs, **change}))

    def test_a_tokenizer_has_to_be_the_models(self) -> None:
        model = libdpo.Model(CHAT)

        class Tokenizer:
            chat_template = "x" if model.info.has_chat_template else None

            def __call__(self, text: str, add_special_tokens: bool = True) -> dict:
                return {"input_ids": model.encode(text, add_special_tokens=add_special_tokens)}

            def apply_chat_template(self, chat: list, tokenize: bool, add_generation_prompt: bool) -> str:
                return model.apply_chat_template(chat, add_generation_prompt=add_generation_prompt)

        class Reversed(Tokenizer):
            def __call__(self, text: str, add_special_tokens: bool = True) -> dict:
                return {"input_ids": super().__call__(text)["input_ids"][::-1]}

        class Terse(Tokenizer):
            chat_template = "y"

            def apply_chat_template(self, *_: object, **__: object) -> str:
                return "hi"

        args = DPOConfig(output_dir=str(self.directory / "run"), max_steps=1, **QUIET)
        tokenizer = Tokenizer()
        self.assertIs(DPOTrainer(model, args=args, train_dataset=PAIRS, processing_class=tokenizer).processing_class, tokenizer)
        with self.assertRaisesRegex(libdpo.MismatchError, "another tokenizer"):
            DPOTrainer(model, args=args, train_dataset=PAIRS, processing_class=Reversed())
        with self.assertRaisesRegex(libdpo.MismatchError, "another chat template"):
            DPOTrainer(model, args=args, train_dataset=PAIRS, processing_class=Terse())

    def test_names_of_the_hub_are_found_in_its_cache(self) -> None:
        snapshot = self.directory / "hub" / "models--org--tiny" / "snapshots" / "abc"
        snapshot.parent.mkdir(parents=True)
        snapshot.symlink_to(MODEL)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text("abc")
        for environment in ({"HF_HUB_CACHE": str(self.directory / "hub")}, {"HF_HOME": str(self.directory), "HF_HUB_CACHE": ""}):
            with mock.patch.dict(os.environ, environment):
                self.assertEqual(libdpo.Model("org/tiny").path, str(snapshot))
                with self.assertRaisesRegex(libdpo.FileError, "org/other is neither a file .* Run `hf download org/other`"):
                    libdpo.Model("org/other")
        self.assertRaises(libdpo.FileError, libdpo.Model, "no-such-file.gguf")


class Rows(Case):
    def info(self, data: object, kind: type = DPOConfig, **options: object) -> "tuple[int, int]":
        found = libdpo.Dataset(data, libdpo.Model(CHAT), kind(**QUIET), **options).info
        return found.rows, found.tokens

    def test_tables_of_other_libraries(self) -> None:
        data = rows(PAIRS)
        expected = self.info(data)
        columns = {name: [row[name] for row in data] for name in ("prompt", "chosen", "rejected")}
        self.assertEqual(self.info(columns), expected)

        class Frame:  # pandas' and polars' ways to rows
            columns = ["prompt"]

            def to_dict(self, orient: str) -> list:
                return {"records": data}[orient]

        class Polars:
            def to_dicts(self) -> list:
                return data

        self.assertEqual(self.info(Frame()), expected)
        self.assertEqual(self.info(Polars()), expected)
        with self.assertRaisesRegex(TypeError, "of train, test; give one of these: data.'train'."):
            libdpo.Dataset({"train": Frame(), "test": Frame()})
        with self.assertRaisesRegex(TypeError, "of train, test"):
            libdpo.Dataset({"train": data, "test": data})
        arrays = {name: numpy.array(values, dtype=object) for name, values in columns.items()}
        self.assertEqual(self.info(arrays), expected)

        class Gaps(Frame):  # pandas' way to say that there is no value
            def to_dict(self, orient: str) -> list:
                return [{**row, "weight": math.nan} for row in data]

        self.assertEqual(self.info(Gaps()), expected)
        with self.assertRaisesRegex(TypeError, "columns of different lengths: a 1, b 2"):
            libdpo.Dataset({"a": [1], "b": [1, 2]})

    def test_a_stream_is_read_as_far_as_the_steps_need_it(self) -> None:
        class IterableDataset:
            read = 0

            def __iter__(self):  # type: ignore[no-untyped-def]
                while True:
                    IterableDataset.read += 1
                    yield rows(PAIRS)[0]

        args = DPOConfig(max_steps=3, per_device_train_batch_size=2, gradient_accumulation_steps=2, **QUIET)
        self.assertEqual(libdpo.Dataset(IterableDataset(), libdpo.Model(MODEL), args).info.rows, 12)
        self.assertEqual(IterableDataset.read, 12)

    def test_sharegpt_and_alpaca(self) -> None:
        user, assistant = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
        other = {"role": "assistant", "content": "No"}
        human, gpt = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}
        for theirs, own, kind in (
            ({"conversations": [human, gpt]}, {"messages": [user, assistant]}, SFTConfig),
            (
                {"conversations": [human], "chosen": gpt, "rejected": {"from": "gpt", "value": "No"}},
                {"prompt": [user], "chosen": [assistant], "rejected": [other]}, DPOConfig,
            ),
            (
                {"instruction": "Add", "input": "1 1", "output": "Hello"},
                {"prompt": [{"role": "user", "content": "Add\n1 1"}], "completion": [assistant]}, SFTConfig,
            ),
            (
                {"instruction": "Hi", "input": "", "chosen": "Hello", "rejected": "No"},
                {"prompt": [user], "chosen": [assistant], "rejected": [other]}, DPOConfig,
            ),
        ):
            self.assertTrue(libdpo.Model(CHAT).info.has_chat_template)
            self.assertEqual(self.info([theirs], kind), self.info([own], kind))
            file = self.directory / "rows.jsonl"
            file.write_text(json.dumps(theirs) + "\n")
            self.assertEqual(self.info(file, kind), self.info([own], kind))
            # As it is published: one array, and packed.
            file = self.directory / "rows.json.gz"
            file.write_bytes(gzip.compress(json.dumps([theirs, theirs], indent=1).encode()))
            self.assertEqual(self.info(file, kind)[0], 2)
        # Stanford's prompt, for a model that knows no chat.
        plain = libdpo.columns.rows_of([{"instruction": "Add", "input": "1 1", "output": "2"}], has_chat_template=False)
        self.assertEqual(plain[0]["completion"], "2")
        self.assertTrue(plain[0]["prompt"].endswith("### Instruction:\nAdd\n\n### Input:\n1 1\n\n### Response:\n"))
        with self.assertRaisesRegex(TypeError, "a turn is from 'narrator'"):
            self.info([{"conversations": [{"from": "narrator", "value": "x"}]}], SFTConfig)

    def test_formatting_func_and_text_field(self) -> None:
        expected = self.info([{"text": "one two"}], SFTConfig)
        self.assertEqual(self.info([{"a": "one", "b": "two"}], SFTConfig, formatting_func=lambda row: f"{row['a']} {row['b']}"), expected)
        args = SFTConfig(dataset_text_field="story", **QUIET)
        found = libdpo.Dataset([{"story": "one two"}], libdpo.Model(CHAT), args).info
        self.assertEqual((found.rows, found.tokens), expected)
        # Of files in every form that the library reads.
        (self.directory / "rows").mkdir()
        with gzip.open(self.directory / "rows" / "a.csv.gz", "wt", newline="") as file:
            csv.writer(file).writerows([["a", "b", "weight"], ["one", 'two\n"2"', "0.5"], [], ["1", "2", ""]])
        (self.directory / "rows" / "b.ndjson").write_text('{"a": "one"}\n\n{"a": "two"}\n')
        (self.directory / "rows" / "c.json").write_text('\n[\n{"a": "three"}]')
        seen: "list[dict]" = []
        libdpo.Dataset(
            self.directory / "rows", libdpo.Model(CHAT), SFTConfig(**QUIET), formatting_func=lambda row: seen.append(row) or row["a"])
        self.assertEqual(
            seen, [{"a": "one", "b": 'two\n"2"', "weight": 0.5}, {"a": "1", "b": "2"}, {"a": "one"}, {"a": "two"}, {"a": "three"}])
        for name, text, says in (
            ("short.csv", "a,b\n1,2\n3\n", r"short\.csv: line 3: 1 fields; expected 2"), ("open.csv", 'a\n"1', r"open\.csv: line 2: "),
            ("bad.jsonl", '{"a": 1}\n{', r"bad\.jsonl: line 2: "), ("bad.json", '[{"a": 1} {"a": 2}]', r"bad\.json: row 1: expected a comma"), ("cut.json", '[{"a": 1}, {"a"', r"cut\.json: row 2: "),
        ):
            (self.directory / name).write_text(text)
            with self.assertRaisesRegex(libdpo.errors.FormatError, says):
                libdpo.Dataset(self.directory / name, libdpo.Model(CHAT), SFTConfig(**QUIET), formatting_func=lambda row: "x")
        with self.assertRaisesRegex(TypeError, "row 1: formatting_func returned list"):
            self.info([{"a": "one"}], SFTConfig, formatting_func=lambda row: [row["a"]])


class Runs(Case):
    def trainer(self, name: str = "run", callbacks: object = (), eval_dataset: object = PAIRS, **options: object) -> DPOTrainer:
        metrics = options.pop("compute_metrics", None)
        values = {"max_steps": 8, "per_device_train_batch_size": 2, "learning_rate": 5e-3, **QUIET, **options}
        args = DPOConfig(output_dir=str(self.directory / name), **values)
        return DPOTrainer(
            MODEL, args=args, train_dataset=PAIRS, eval_dataset=eval_dataset, callbacks=list(callbacks), compute_metrics=metrics)

    def parameters(self, trainer: DPOTrainer) -> "dict[str, bytes]":
        return {name: values.tobytes() for name, (values, _) in trainer.parameters().items()}

    def evaluations(self, trainer: DPOTrainer, name: str = "eval_loss") -> "list[int]":
        return [entry["step"] for entry in trainer.state.log_history if name in entry]

    def test_strategies(self) -> None:
        epoch = math.ceil(len(rows(PAIRS)) / 2)
        for options, expected in (
            ({"eval_strategy": "no"}, []), ({"eval_strategy": "steps", "eval_steps": 4}, [4, 8]), ({"eval_steps": 3}, [3, 6, 8]),
            ({"eval_strategy": "steps", "logging_steps": 5}, [5, 8]), ({"eval_strategy": "steps", "eval_steps": 0.5}, [4, 8]),
            ({"eval_strategy": "steps", "eval_steps": 2, "eval_delay": 5}, [6, 8]), ({"eval_on_start": True, "eval_steps": 8}, [0, 8]),
            ({"eval_strategy": "epoch", "max_steps": -1, "num_train_epochs": 2}, [epoch, 2 * epoch]),
        ):
            with self.subTest(str(options)):
                trainer = self.trainer(**options)
                trainer.train()
                self.assertEqual(self.evaluations(trainer), expected)
                # The file that the report is made of has the same.
                lines = rows(self.directory / "run" / "metrics.jsonl")
                self.assertEqual([line["step"] for line in lines if "eval_loss" in line], [step for step in expected if step])
        for options, expected in (
            ({"save_strategy": "no"}, []), ({"save_steps": 4}, ["checkpoint-4.h5", "checkpoint-8.h5"]),
            ({"save_steps": 0.5}, ["checkpoint-4.h5", "checkpoint-8.h5"]),
            ({"save_strategy": "epoch", "max_steps": -1, "num_train_epochs": 1}, [f"checkpoint-{epoch}.h5"]),
        ):
            with self.subTest(str(options)):
                self.trainer(**options).train()
                self.assertEqual(sorted(path.name for path in (self.directory / "run").glob("checkpoint*")), expected)
        for options, expected in (
            ({"logging_strategy": "no"}, []), ({"logging_steps": 3, "logging_first_step": True}, [1, 3, 6, 8]),
            ({"logging_strategy": "epoch", "max_steps": -1, "num_train_epochs": 2}, [epoch, 2 * epoch]),
        ):
            with self.subTest(str(options)):
                trainer = self.trainer(eval_strategy="no", **options)
                trainer.train()
                self.assertEqual([entry["step"] for entry in trainer.state.log_history if "loss" in entry], expected)
        with self.assertRaisesRegex(libdpo.InvalidArgumentError, "there is no eval_dataset"):
            self.trainer(eval_dataset=None, eval_strategy="epoch")

    def test_several_sets_metrics_of_ones_own_and_predict(self) -> None:
        def accuracy(prediction: libdpo.EvalPrediction) -> "dict[str, float]":
            scores, labels = prediction
            self.assertIsNone(labels)
            margins = (scores.policy_chosen - scores.reference_chosen) - (scores.policy_rejected - scores.reference_rejected)
            return {"own_accuracy": float((margins > 0).mean())}

        half = rows(PAIRS)[:3]
        straight = self.trainer("straight", eval_strategy="no")
        straight.train()
        trainer = self.trainer(eval_dataset={"all": rows(PAIRS), "few": half}, eval_steps=4, compute_metrics=accuracy)
        trainer.train()
        # The pauses change no bit.
        self.assertEqual(self.parameters(trainer), self.parameters(straight))
        for name in ("all", "few"):
            self.assertEqual(self.evaluations(trainer, f"eval_{name}_loss"), [4, 8])
        last = trainer.evaluate()
        self.assertNear(last["eval_all_own_accuracy"], last["eval_all_rewards/accuracies"], 1e-9)
        one = trainer.evaluate(half)
        self.assertEqual(one["eval_loss"], last["eval_few_loss"])
        self.assertEqual(one["eval_own_accuracy"], last["eval_few_own_accuracy"])
        lines = rows(self.directory / "run" / "metrics.jsonl")
        self.assertEqual(lines[-1]["eval_few_loss"], last["eval_few_loss"])
        # The report has the evaluation after the last step, whoever made it.
        reports = []
        for delay in (0, 1):
            one_set = self.trainer(f"delay-{delay}", eval_steps=4, eval_delay=delay)
            one_set.train()
            page = (self.directory / f"delay-{delay}" / "report.html").read_text()
            reports.append(re.findall("<svg.*?</svg>", page, re.DOTALL))
        self.assertGreater(len(reports[0]), 2)
        self.assertEqual(reports[0], reports[1])
        self.assertRaisesRegex(libdpo.UnsupportedError, r"save_model\(directory\)", trainer.push_to_hub)
        trainer.save_metrics("eval", one)
        self.assertEqual(json.loads((self.directory / "run" / "eval_results.json").read_text()), one)
        predicted = trainer.predict(half)
        self.assertEqual(len(predicted.predictions.policy_chosen), 3)
        self.assertEqual(predicted.metrics["test_loss"], one["eval_loss"])
        score = trainer.model.score(half[0]["prompt"], half[0]["chosen"])[0].logp
        self.assertNear(predicted.predictions.policy_chosen[0], score, 1e-4)

    def test_a_reward_model_predicts_its_scores(self) -> None:
        args = libdpo.RewardConfig(output_dir=str(self.directory / "reward"), max_steps=2, learning_rate=1e-2, **QUIET)
        trainer = libdpo.RewardTrainer(MODEL, args=args, train_dataset=PAIRS)
        trainer.train()
        data = rows(PAIRS)[:3]
        found = trainer.predict(data)
        for name, scores in (("chosen", found.predictions.policy_chosen), ("rejected", found.predictions.policy_rejected)):
            expected = trainer.model.rewards([row["prompt"] for row in data], [row[name] for row in data])
            for score, other in zip(scores, expected):
                self.assertNear(score, other, 1e-4)
        self.assertIn("test_accuracy", found.metrics)

    def test_callbacks_as_transformers_calls_them(self) -> None:
        calls: "list[str]" = []

        class Recorder:  # not ours: what has the events is a callback
            def __getattr__(self, name: str) -> object:
                if not name.startswith("on_"):
                    raise AttributeError(name)
                return lambda args, state, control, **kwargs: calls.append(f"{name[3:]} {state.global_step}")

        class Asks(libdpo.TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
                if state.global_step == 3:
                    return dataclasses.replace(control, should_save=True, should_evaluate=True, should_log=True)

            def on_pre_optimizer_step(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
                assert kwargs["model"] is trainer.model

        trainer = self.trainer(callbacks=[Recorder(), Asks], eval_strategy="no", save_strategy="no", max_steps=4, logging_steps=2)
        self.assertEqual(calls, ["init_end 0"])
        trainer.train()
        steps = [call for call in calls if call.split()[0] in ("epoch_begin", "step_begin", "pre_optimizer_step", "optimizer_step", "step_end")]
        self.assertEqual(steps[:6], ["epoch_begin 0", "step_begin 0", "pre_optimizer_step 0", "optimizer_step 0", "step_end 1", "step_begin 1"])
        self.assertEqual([call for call in calls if call.startswith("step_begin")], [f"step_begin {n}" for n in range(4)])
        self.assertEqual([call for call in calls if call.startswith("evaluate")], ["evaluate 3"])
        self.assertEqual([call for call in calls if call.startswith("save")], ["save 3", "save 4"])
        self.assertEqual([call for call in calls if call.startswith("log")], ["log 2", "log 3", "log 3", "log 4", "log 4"])
        self.assertEqual((calls[1], calls[-1]), ("train_begin 0", "train_end 4"))
        self.assertEqual(calls.count("train_end 4"), 1)
        self.assertTrue((self.directory / "run" / "checkpoint-3.h5").is_file())
        straight = self.trainer("straight", eval_strategy="no", max_steps=4)
        straight.train()
        self.assertEqual(self.parameters(trainer), self.parameters(straight))
        self.assertIsInstance(trainer.pop_callback(Asks), Asks)
        self.assertIsNone(trainer.pop_callback(Asks))

    def test_early_stopping_and_the_best_model(self) -> None:
        # Numbers of ones own, so that it is known which is the best.
        for greater, values, best, stop in ((None, [3.0, 1.0, 2.0, 2.5], 4, 8), (True, [3.0, 1.0, 2.0, 2.5], 2, 6)):
            with self.subTest(str(greater)):
                given = iter(values)
                bytes_at: "dict[int, object]" = {}

                class Watch(libdpo.TrainerCallback):
                    def on_evaluate(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
                        bytes_at[state.global_step] = state.best_metric

                trainer = self.trainer(
                    callbacks=[Watch, libdpo.EarlyStoppingCallback(early_stopping_patience=2)], max_steps=20, eval_strategy="steps",
                    eval_steps=2, save_steps=2, load_best_model_at_end=True, metric_for_best_model="own_loss", greater_is_better=greater,
                    compute_metrics=lambda _: {"own_loss": next(given)})
                output = trainer.train()
                self.assertEqual(output.global_step, stop)
                self.assertEqual(trainer.state.best_global_step, best)
                self.assertEqual(bytes_at[2], None)
                self.assertTrue(trainer.state.best_model_checkpoint.endswith("best.h5"))
                checkpoint = libdpo.inspect(self.directory / "run" / f"checkpoint-{best}.h5")
                self.assertEqual(checkpoint["kind"], libdpo.inspect(trainer.state.best_model_checkpoint)["kind"])
                other = self.trainer("other", max_steps=20, eval_steps=0)
                other.load_checkpoint(self.directory / "run" / f"checkpoint-{best}.h5")
                self.assertEqual(self.parameters(trainer), self.parameters(other))
                row = rows(PAIRS)[0]
                predicted = other.predict([row]).predictions.policy_chosen[0]
                self.assertNear(trainer.model.score(row["prompt"], row["chosen"])[0].logp, predicted, 1e-4)
        with self.assertRaisesRegex(libdpo.InvalidArgumentError, "set metric_for_best_model"):
            self.trainer(callbacks=[libdpo.EarlyStoppingCallback()]).train()
        with self.assertRaisesRegex(libdpo.InvalidArgumentError, "need an eval_dataset"):
            self.trainer(load_best_model_at_end=True, eval_strategy="no")
        with self.assertRaisesRegex(libdpo.InvalidArgumentError, "metric_for_best_model is 'nothing'.*rewards/margins"):
            self.trainer(load_best_model_at_end=True, metric_for_best_model="nothing", eval_steps=2).train()

    def test_reports(self) -> None:
        for name in ("wandb", "trackio"):
            calls: "list[tuple]" = []
            module = types.ModuleType(name)
            module.init = lambda calls=calls, **kwargs: calls.append(("init", kwargs["project"], kwargs["name"], kwargs["config"]["beta"]))
            module.log = lambda values, step=None, calls=calls: calls.append(("log", values))
            module.finish = lambda calls=calls: calls.append(("finish",))
            with mock.patch.dict(sys.modules, {name: module}):
                self.trainer(report_to=name, run_name="mine", max_steps=2, logging_steps=1).train()
            self.assertEqual(calls[0], ("init", "huggingface", "mine", 0.1))
            self.assertEqual(calls[-1], ("finish",))
            logged = [values for kind, values in calls[1:-1]]
            self.assertIn("train/loss", logged[0])
            self.assertTrue(any("eval/loss" in values for values in logged))
        written: "list[tuple]" = []

        class SummaryWriter:
            def __init__(self, directory: str) -> None:
                written.append((directory,))

            def add_scalar(self, name: str, value: float, step: int) -> None:
                written.append((name, value, step))

            def close(self) -> None:
                written.append(("closed",))

        module = types.ModuleType("tensorboardX")
        module.SummaryWriter = SummaryWriter
        module.__spec__ = types.SimpleNamespace()
        with mock.patch.dict(sys.modules, {"tensorboardX": module, "tensorboard": None}):
            trainer = self.trainer("board", report_to=["tensorboard"], max_steps=2, logging_steps=1, eval_on_start=True, overwrite_output_dir=False)
            trainer.train()
        self.assertEqual((written[0], written[-1]), ((str(self.directory / "board" / "runs"),), ("closed",)))
        self.assertEqual(written[1], ("eval/loss", trainer.state.log_history[0]["eval_loss"], 0))
        self.assertIn(("train/loss", trainer.state.log_history[1]["loss"], 1), written)
        for name in ("tensorboard", "wandb", "trackio"):
            with mock.patch.dict(sys.modules, {name: None, "tensorboardX": None}):
                self.assertRaisesRegex(ImportError, f"needs the package {name}.*pip install {name}", self.trainer, report_to=name)
        self.assertRaisesRegex(libdpo.UnsupportedError, "report_to='mlflow': expected one of", self.trainer, report_to="mlflow")


class Rewards(Case):
    def train(self, reward: object, data: object = None, **options: object) -> GRPOTrainer:
        data = [{"prompt": f"number {n}", "answer": n, "kind": "even" if n % 2 == 0 else "odd"} for n in range(4)] if data is None else data
        values = {
            "max_steps": 2, "num_generations": 2, "per_device_train_batch_size": 8, "max_completion_length": 4, "logging_steps": 1,
            **QUIET, **options,
        }
        args = GRPOConfig(output_dir=str(self.directory / "run"), **values)
        trainer = GRPOTrainer(CHAT, reward_funcs=reward, args=args, train_dataset=data)
        trainer.train()
        return trainer

    def test_functions_as_trl_calls_them(self) -> None:
        seen: "list[dict]" = []

        def first(prompts, completions, completion_ids, answer, kind, trainer_state, log_metric, **kwargs):  # type: ignore[no-untyped-def]
            seen.append({"prompts": prompts, "answer": answer, "kind": kind, "step": trainer_state.global_step})
            for prompt, completion, ids, n in zip(prompts, completions, completion_ids, answer):
                self.assertEqual(prompt, f"number {n}")
                self.assertIsInstance(completion, str)
                self.assertTrue(0 < len(ids) <= 4)
            log_metric("mine", 7.0)
            return [float(len(ids)) for ids in completion_ids]

        async def second(completions, kind, **kwargs):  # type: ignore[no-untyped-def]
            return [1.0 if each == "even" else None for each in kind]

        trainer = self.train([first, second], reward_weights=[1.0, 10.0])
        self.assertEqual(sorted(set(seen[0]["answer"])), [0, 1, 2, 3])
        self.assertEqual([entry["step"] for entry in seen], [0, 1])
        entry = trainer.state.log_history[0]
        self.assertEqual((entry["rewards/second/mean"], entry["mine"]), (1.0, 7.0))
        lengths = entry["rewards/first/mean"]
        self.assertNear(entry["objective/scores"], lengths + 10 * 0.5, 1e-6)

    def test_messages_rows_of_files_and_evaluations(self) -> None:
        chat = [{"prompt": [{"role": "user", "content": f"number {n}"}], "answer": n} for n in range(4)]
        file = self.directory / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in chat))
        seen: "set[int]" = set()

        def reward(prompts, completions, answer, **kwargs):  # type: ignore[no-untyped-def]
            for prompt, completion, n in zip(prompts, completions, answer):
                self.assertEqual(prompt[0]["content"], f"number {n}")
                self.assertEqual(completion[0]["role"], "assistant")
                seen.add(n)
            return [0.5] * len(prompts)

        trainer = self.train(reward, file)
        found = trainer.evaluate([{"prompt": [{"role": "user", "content": "number 9"}], "answer": 9}])
        self.assertNear(found["eval_objective/scores"], 0.5, 1e-9)
        self.assertEqual(seen, {0, 1, 2, 3, 9})

    def test_what_goes_wrong_is_told(self) -> None:
        self.assertRaisesRegex(libdpo.FormatError, "no reward function gives a number", self.train, [lambda completions, **_: [None] * len(completions)])
        with self.assertRaisesRegex(libdpo.FormatError, "reward function few returned 1 numbers for 8 answers"):
            def few(completions: list) -> list:
                return [1.0]
            self.train([few])
        self.assertRaisesRegex(libdpo.InvalidArgumentError, "reward_weights has 2 numbers for 1", self.train, len, reward_weights=[1, 2])
        self.assertRaisesRegex(libdpo.InvalidArgumentError, "reward_funcs is empty", self.train, [])
        with self.assertRaisesRegex(libdpo.InvalidArgumentError, "give a reward"):
            GRPOTrainer(MODEL, args=GRPOConfig(**QUIET), train_dataset=PAIRS)


class Scripts(Case):
    """docs/from-trl.md, with what its scripts import beside libdpo reduced to what they use."""

    def test_two_lines_change_and_every_script_runs(self) -> None:
        trl_scripts.write_rows(self.directory)
        (self.directory / "model.gguf").symlink_to(FIXTURES / "gguf" / "qwen2.gguf")
        (self.directory / "model").symlink_to(CHAT)
        (self.directory / "transformers.py").write_text("class AutoTokenizer:\n    from_pretrained = staticmethod(lambda name: None)\n")
        (self.directory / "datasets.py").write_text(
            "import json\ndef load_dataset(kind, data_files, split):\n    return [json.loads(line) for line in open(data_files)]\n")
        (self.directory / "peft.py").write_text(
            "import dataclasses, typing, libdpo\n@dataclasses.dataclass\nclass LoraConfig(libdpo.LoraConfig):\n"
            "    modules_to_save: typing.Any = None\n")
        scripts = trl_scripts.scripts()
        self.assertEqual(len(scripts), 9)
        for name, (theirs, ours) in scripts.items():
            with self.subTest(name):
                changed = [pair for pair in zip(theirs.splitlines(), ours.splitlines(), strict=True) if pair[0] != pair[1]]
                self.assertEqual(len(changed), 2)
                self.assertRegex(changed[0][0], "^from trl.* import")
                self.assertRegex(changed[1][0], '"Qwen/Qwen2.5-0.5B-Instruct"')
                self.assertRegex(changed[1][1], '"model(.gguf)?"')
                done = run(
                    sys.executable, "-W", "error::UserWarning", "-c", ours, cwd=self.directory,
                    env={"PYTHONPATH": f"{self.directory}:{os.environ['PYTHONPATH']}"})
                self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.directory / "dpo-adapter" / "adapter_model.safetensors").is_file())
        self.assertTrue((self.directory / "reward-adapter" / "adapter_config.json").is_file())


if __name__ == "__main__":
    unittest.main()
