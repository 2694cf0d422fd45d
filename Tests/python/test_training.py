"""Levels 3 and 4 through Python: TRL's numbers, resume to the bit, callbacks, a loss of one's own, refusals."""

import signal
import os
import subprocess
import sys
import threading
import unittest

import libdpo
import numpy
from libdpo import DPOConfig, DPOTrainer, LoraConfig, SFTConfig, SFTTrainer
from support import FIXTURES, MODEL, PAIRS, ROOT, Case, golden, rows

QUIET = {"disable_tqdm": True, "threads": 2}


def small(directory: object, **options: object) -> DPOConfig:
    values = {
        "output_dir": str(directory), "per_device_train_batch_size": 2, "learning_rate": 1e-3, "max_length": 256,
        "max_steps": 6, "overwrite_output_dir": True, **QUIET, **options,
    }
    return DPOConfig(**values)


class TRL(Case):
    def trajectory(self, name: str) -> None:
        expected = golden(f"trl/{name}.json")
        sft = expected["method"] == "sft"
        options = {**expected["options"], **QUIET, "output_dir": str(self.directory / name)}
        args = (SFTConfig if sft else DPOConfig)(**options)
        adapter = expected.get("adapter")
        model = libdpo.Model(FIXTURES / expected["model"], FIXTURES / adapter if adapter else None, threads=2)
        data = FIXTURES / expected["data"]
        if adapter and not sft:
            self.skipTest("a run that goes on from an adapter compares with it")
        trainer = (SFTTrainer if sft else DPOTrainer)(model, args=args, train_dataset=data, eval_dataset=data)
        for number, step in enumerate(expected["steps"]):
            found = trainer.step()
            tolerance = 2e-5 if number == 0 else 2e-3
            for key, value in step.items():
                if key in found and key not in ("mean_token_accuracy", "rewards/accuracies"):
                    self.assertNear(found[key], value, tolerance, f"{name} step {number + 1} {key}")
        evaluation = trainer.evaluate()
        self.assertNear(evaluation["eval_loss"], expected["evaluation"]["eval_loss"], 5e-3, name)

    def test_steps_are_those_of_trl(self) -> None:
        for name in (
            "llama-tied-sigmoid", "gpt2-sigmoid", "llama-untied-ipo", "qwen2-sync", "qwen3-sigmoid-sft", "mistral-sigmoid",
            "llama-tied-chat", "llama-tied-sft-messages", "qwen3-sft-completions", "qwen2-lora-sft-completions",
        ):
            with self.subTest(name):
                self.trajectory(name)


class Runs(Case):
    def test_train_writes_what_it_should_and_learns(self) -> None:
        trainer = DPOTrainer(
            MODEL, args=small(self.directory / "run", max_steps=10, learning_rate=5e-3, logging_steps=2, eval_steps=5),
            train_dataset=PAIRS, eval_dataset=PAIRS, peft_config=LoraConfig(r=4, target_modules="all-linear"),
        )
        plan = trainer.plan()
        self.assertEqual(plan["steps"], 10)
        self.assertEqual(plan["options"]["lora_r"], 4)
        output = trainer.train()
        self.assertEqual(output.global_step, 10)
        self.assertLess(output.metrics["loss"], 0.69)
        logged = [entry["step"] for entry in trainer.state.log_history if "loss" in entry]
        self.assertEqual(logged, [2, 4, 6, 8, 10])
        self.assertEqual(len([entry for entry in trainer.state.log_history if "eval_loss" in entry]), 2)
        lines = rows(self.directory / "run" / "metrics.jsonl")
        self.assertEqual([line["step"] for line in lines], list(range(1, 11)))
        for name in ("final.h5", "report.html"):
            self.assertTrue((self.directory / "run" / name).is_file(), name)
        self.assertEqual(libdpo.inspect(self.directory / "run" / "final.h5")["kind"], "adapter")
        evaluation = trainer.evaluate()
        self.assertGreater(evaluation["eval_rewards/margins"], 0)
        self.assertNotIn("eval_learning_rate", evaluation)
        trainer.save_model(self.directory / "again.h5")
        self.assertTrue((self.directory / "again.h5").is_file())

    def test_a_trained_model_is_the_trainers(self) -> None:
        for peft, kind in ((LoraConfig(r=4, target_modules="all-linear"), "peft"), (None, "safetensors")):
            out = self.directory / kind
            trainer = DPOTrainer(
                MODEL, args=small(out, max_steps=10, learning_rate=5e-3, logging_steps=0.25), train_dataset=PAIRS, peft_config=peft)
            before, row = trainer.model, rows(PAIRS)[0]
            output = trainer.train()
            self.assertIsNot(trainer.model, before)
            now = trainer.model.score(row["prompt"], row["chosen"])[0].logp
            self.assertNotAlmostEqual(now, before.score(row["prompt"], row["chosen"])[0].logp, places=2)
            self.assertEqual(len(trainer.model.generate("the", max_new_tokens=3)[0]), 1)
            # A directory, as TRL writes it, with the same numbers.
            saved = self.directory / f"{kind}-saved"
            trainer.save_model(saved)
            again = libdpo.Model(MODEL, saved) if peft else libdpo.Model(saved)
            self.assertNear(again.score([row["prompt"]], [row["chosen"]])[0].logp, now, 1e-4, kind)
            # A quarter of ten steps, rounded up; entries are means over their steps.
            logged = [entry for entry in trainer.state.log_history if "loss" in entry]
            self.assertEqual([entry["step"] for entry in logged], [3, 6, 9, 10])
            losses = [line["loss"] for line in rows(out / "metrics.jsonl")]
            self.assertNear(logged[0]["loss"], sum(losses[:3]) / 3, 1e-12, kind)
            self.assertNear(output.training_loss, sum(losses) / 10, 1e-6, kind)
            self.assertEqual(output.metrics["train_loss"], output.training_loss)
            self.assertGreater(output.metrics["train_runtime"], 0)
            # A finished run that is resumed says so, and what it was.
            finished = DPOTrainer(
                MODEL, args=small(out, max_steps=10, learning_rate=5e-3, logging_steps=0.25), train_dataset=PAIRS, peft_config=peft)
            found = finished.train(resume_from_checkpoint=True)
            self.assertEqual(found.global_step, 10)
            self.assertNear(found.training_loss, output.training_loss, 1e-6, kind)
            self.assertEqual([entry["step"] for entry in finished.state.log_history if "loss" in entry], [3, 6, 9, 10])

    def test_a_stopped_run_may_be_resumed_by_the_same_trainer(self) -> None:
        class Stop(libdpo.TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
                control.should_training_stop = state.global_step == 3

        trainer = DPOTrainer(MODEL, args=small(self.directory / "a", logging_steps=1), train_dataset=PAIRS, callbacks=[Stop()])
        self.assertEqual(trainer.train().global_step, 3)
        self.assertEqual(trainer.train(resume_from_checkpoint=True).global_step, 6)
        steps = [entry["step"] for entry in trainer.state.log_history if "loss" in entry]
        self.assertEqual(steps, [1, 2, 3, 4, 5, 6])

    def test_columns_that_are_not_read_may_hold_anything(self) -> None:
        import datetime

        data = [{**row, "when": datetime.datetime.now(), "score": float("nan"), "weight": 1} for row in rows(PAIRS)]
        self.assertEqual(len(libdpo.Dataset(data, libdpo.Model(MODEL))), len(data))
        data[1]["chosen"] = datetime.datetime.now()
        with self.assertRaisesRegex(TypeError, "row 2: chosen is datetime"):
            libdpo.Dataset(data, libdpo.Model(MODEL))
        class DPOConfig: ...
        with self.assertRaisesRegex(TypeError, r"args is .*test_training.*DPOConfig, expected libdpo\.DPOConfig"):
            DPOTrainer(MODEL, args=DPOConfig(), train_dataset=PAIRS)  # type: ignore[arg-type]

    def test_resumed_run_ends_in_the_same_bits(self) -> None:
        for peft in (None, LoraConfig(r=2)):
            def parameters(trainer: DPOTrainer) -> "dict[str, bytes]":
                return {name: values.tobytes() for name, (values, _) in trainer.parameters().items()}

            through = DPOTrainer(MODEL, args=small(self.directory / "a"), train_dataset=PAIRS, peft_config=peft)
            through.train()

            class Stop(libdpo.TrainerCallback):
                def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
                    control.should_training_stop = state.global_step == 3

            first = DPOTrainer(
                MODEL, args=small(self.directory / "b"), train_dataset=PAIRS, peft_config=peft, callbacks=[Stop()]
            )
            self.assertEqual(first.train().global_step, 3)
            second = DPOTrainer(MODEL, args=small(self.directory / "b"), train_dataset=PAIRS, peft_config=peft)
            self.assertEqual(second.train(resume_from_checkpoint=True).global_step, 6)
            self.assertEqual(parameters(second), parameters(through))
            # Other threads: the same bits as well.
            one = DPOTrainer(MODEL, args=small(self.directory / "c", threads=1), train_dataset=PAIRS, peft_config=peft)
            one.train()
            self.assertEqual(parameters(one), parameters(through))

    def test_resume_refuses_another_run(self) -> None:
        DPOTrainer(MODEL, args=small(self.directory / "a", save_steps=2), train_dataset=PAIRS).train()
        checkpoint = self.directory / "a" / "checkpoint-2.h5"
        for change in ({"beta": 0.2}, {"seed": 1}, {"loss_type": "ipo"}):
            other = DPOTrainer(MODEL, args=small(self.directory / "b", **change), train_dataset=PAIRS)
            self.assertRaises(libdpo.MismatchError, other.load_checkpoint, checkpoint)
        other = DPOTrainer(FIXTURES / "models/gpt2", args=small(self.directory / "b"), train_dataset=PAIRS)
        self.assertRaises(libdpo.MismatchError, other.train, checkpoint)
        data = rows(PAIRS)[:-1]
        other = DPOTrainer(MODEL, args=small(self.directory / "b"), train_dataset=data)
        self.assertRaises(libdpo.MismatchError, other.load_checkpoint, checkpoint)

    def test_checkpoint_takes_up_where_it_was_saved(self) -> None:
        trainer = DPOTrainer(MODEL, args=small(self.directory), train_dataset=PAIRS)
        trainer.step()
        trainer.save_checkpoint(self.directory / "one.h5")
        expected = trainer.step()["loss"]
        other = DPOTrainer(MODEL, args=small(self.directory), train_dataset=PAIRS)
        other.load_checkpoint(self.directory / "one.h5")
        self.assertEqual(other.step()["loss"], expected)

    def test_callbacks_see_the_run_and_may_raise(self) -> None:
        calls: "list[str]" = []

        class Recorder(libdpo.TrainerCallback):
            def on_train_begin(self, *_: object, **__: object) -> None:
                calls.append("begin")

            def on_log(self, args, state, control, logs=None, **kwargs):  # type: ignore[no-untyped-def]
                calls.append(f"log {logs['step']}")

            def on_save(self, *_: object, **__: object) -> None:
                calls.append("save")

            def on_train_end(self, *_: object, **__: object) -> None:
                calls.append("end")

        args = small(self.directory / "run", logging_steps=3)
        DPOTrainer(MODEL, args=args, train_dataset=PAIRS, callbacks=[Recorder()]).train()
        self.assertEqual((calls[0], calls[-1]), ("begin", "end"))
        self.assertLess(calls.index("log 3"), calls.index("log 6"))
        self.assertIn("save", calls)

        class Broken(libdpo.TrainerCallback):
            def on_step_end(self, *_: object, **__: object) -> None:
                raise ZeroDivisionError("mine")

        trainer = DPOTrainer(MODEL, args=args, train_dataset=PAIRS, callbacks=[Broken()])
        self.assertRaises(ZeroDivisionError, trainer.train)

    def test_cancel_from_another_thread_and_ctrl_c(self) -> None:
        trainer = DPOTrainer(MODEL, args=small(self.directory / "run", max_steps=100_000), train_dataset=PAIRS)
        timer = threading.Timer(0.5, trainer.cancel)
        timer.start()
        self.assertRaises(libdpo.CancelledError, trainer.train)
        timer.join()
        program = (
            "import libdpo, sys\n"
            "t = libdpo.DPOTrainer(sys.argv[1], args=libdpo.DPOConfig(output_dir=sys.argv[3], max_steps=100000,"
            " lora_r=2, logging_steps=1), train_dataset=sys.argv[2])\n"
            "try: t.train()\n"
            "except KeyboardInterrupt: print('interrupted'); sys.exit(3)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(MODEL), str(PAIRS), str(self.directory / "ctrl-c")],
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where background jobs ignore it
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )
        line = process.stderr.readline()  # the first step's line, or a note before it
        while line and not line.startswith("step"):
            line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out.strip()), (3, "interrupted"))
        self.assertTrue(os.listdir(self.directory / "ctrl-c"))

    def test_progress_in_lines_when_not_a_terminal(self) -> None:
        program = (
            "import libdpo, sys\n"
            "libdpo.DPOTrainer(sys.argv[1], args=libdpo.DPOConfig(output_dir=sys.argv[3], max_steps=4, lora_r=2,"
            " logging_steps=2), train_dataset=sys.argv[2]).train()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(MODEL), str(PAIRS), str(self.directory / "run")],
            capture_output=True, text=True, cwd=ROOT,
        )
        self.assertEqual(done.stdout, "")
        steps = [line for line in done.stderr.splitlines() if line.startswith("step ")]
        self.assertEqual([line.split()[1] for line in steps], ["2/4", "4/4"])
        self.assertIn("loss", steps[0])


class Steps(Case):
    def test_own_loss_equals_the_built_in_one(self) -> None:
        args = small(self.directory, shuffle=False, lora_r=4, lora_target_modules="all-linear")
        built_in = DPOTrainer(MODEL, args=args, train_dataset=PAIRS)
        own = DPOTrainer(MODEL, args=args, train_dataset=PAIRS)
        by_token = DPOTrainer(MODEL, args=args, train_dataset=PAIRS)
        for step in range(3):
            expected = built_in.step()
            batch = [2 * step, 2 * step + 1]
            scores = own.forward(batch)
            loss = libdpo.dpo_loss(
                scores.policy_chosen, scores.policy_rejected, scores.reference_chosen, scores.reference_rejected
            )
            self.assertNear(loss.loss, expected["loss"], 1e-6)
            own.backward(loss.gradient_chosen, loss.gradient_rejected)
            found = own.apply()
            self.assertNear(found["grad_norm"], expected["grad_norm"], 1e-5)
            self.assertEqual(found["learning_rate"], expected["learning_rate"])

            scores = by_token.forward(numpy.array(batch))
            tokens = by_token.token_logps()
            self.assertNear(
                float(tokens.sum()), float(scores.policy_chosen.sum() + scores.policy_rejected.sum()), 1e-5
            )
            loss = libdpo.dpo_loss(
                scores.policy_chosen, scores.policy_rejected, scores.reference_chosen, scores.reference_rejected
            )
            gradients, start = numpy.zeros(len(tokens), numpy.float32), 0
            dataset = libdpo.Dataset(PAIRS, by_token.model, args)
            self.assertEqual(len(dataset), len(rows(PAIRS)))
            for index in range(2):
                for sums, values in (
                    (scores.policy_chosen, loss.gradient_chosen), (scores.policy_rejected, loss.gradient_rejected)
                ):
                    end = start + 1
                    while abs(float(tokens[start:end].sum(dtype=numpy.float64)) - sums[index]) > 1e-3:
                        end += 1
                    gradients[start:end] = values[index]
                    start = end
            by_token.backward_tokens(gradients)
            self.assertNear(by_token.apply()["grad_norm"], expected["grad_norm"], 1e-5)
        for name, (values, _) in built_in.parameters().items():
            numpy.testing.assert_allclose(own.parameters()[name][0], values, atol=2e-5)

    def test_gradients_accumulate_and_parameters_are_views(self) -> None:
        trainer = DPOTrainer(MODEL, args=small(self.directory, lora_r=2), train_dataset=PAIRS)
        parameters = trainer.parameters()
        name, (values, gradients) = next(item for item in parameters.items() if "lora_B" in item[0])
        self.assertFalse(values.any())
        trainer.forward([0])
        trainer.backward([-0.5], [0.5])
        once = gradients.copy()
        self.assertTrue(once.any())
        trainer.forward([0])
        trainer.backward([-0.5], [0.5])
        numpy.testing.assert_allclose(gradients, 2 * once, rtol=1e-5, atol=1e-7)
        trainer.apply()
        self.assertTrue(values.any())
        self.assertFalse(gradients.any())
        self.assertEqual(parameters.keys(), trainer.parameters().keys())
        values[:] = 0  # written back into the trainer's memory
        self.assertFalse(trainer.parameters()[name][0].any())

    def test_reduce_sees_the_flat_gradient_and_may_stop(self) -> None:
        trainer = DPOTrainer(MODEL, args=small(self.directory, lora_r=2), train_dataset=PAIRS)
        sizes = []

        def halve(gradients: numpy.ndarray) -> bool:
            sizes.append(gradients.size)
            gradients *= 0.5
            return False

        plain = DPOTrainer(MODEL, args=small(self.directory, lora_r=2), train_dataset=PAIRS).step()["grad_norm"]
        trainer.set_reduce(halve)
        self.assertNear(trainer.step()["grad_norm"], plain / 2, 1e-6)
        self.assertEqual(sizes, [sum(values.size for values, _ in trainer.parameters().values())])
        before = {name: values.copy() for name, (values, _) in trainer.parameters().items()}
        trainer.set_reduce(lambda gradients: True)
        self.assertRaises(libdpo.CancelledError, trainer.step)
        for name, (values, _) in trainer.parameters().items():
            numpy.testing.assert_array_equal(values, before[name])
        trainer.set_reduce(None)
        trainer.step()


class Data(Case):
    def test_every_source_gives_the_same_rows(self) -> None:
        model = libdpo.Model(MODEL, threads=2)
        listed = rows(PAIRS)
        tokens = golden("trl/llama-tied-sigmoid.json")
        losses = set()
        args = small(self.directory, shuffle=False)
        for source in (PAIRS, str(PAIRS), listed, iter(listed), libdpo.Dataset(PAIRS, model, args)):
            trainer = DPOTrainer(model, args=args, train_dataset=source)
            trainer.step()
            losses.add(trainer.step()["loss"])
        self.assertEqual(len(losses), 1)
        for kind in (list, lambda x: numpy.array(x, numpy.int32), lambda x: numpy.array(x, numpy.int64)):
            given = [
                {key: kind(row[key]) for key in ("prompt_ids", "chosen_ids", "rejected_ids")} for row in tokens["rows"]
            ]
            self.assertEqual(len(libdpo.Dataset(given)), len(given))

    def test_a_limit_of_the_run_is_that_of_its_rows(self) -> None:
        model = libdpo.Model(MODEL, threads=2)
        data = libdpo.Dataset(PAIRS, model, small(self.directory, max_length=64))
        with self.assertRaisesRegex(ValueError, "max_length is 256, but .*pairs.jsonl was read with 64"):
            DPOTrainer(model, args=small(self.directory), train_dataset=data)
        DPOTrainer(model, args=small(self.directory, max_length=64), train_dataset=data).step()

    def test_statistics(self) -> None:
        row = {"prompt": "A", "chosen": " b", "rejected": " c"}
        data = [row, row, {**row, "chosen": " c", "rejected": " b"}, {**row, "chosen": " b", "rejected": " b"}]
        info = libdpo.Dataset(data, libdpo.Model(MODEL)).info
        self.assertEqual((info.rows, info.duplicate_rows, info.contradicting_rows, info.identical_rows), (4, 1, 1, 1))
        self.assertGreater(info.tokens, 0)

    def test_bad_rows_are_named(self) -> None:
        model = libdpo.Model(MODEL)
        good = {"prompt": "A", "chosen": " b", "rejected": " c"}
        for data, word in (
            ([good, {"prompt": "A", "chosen": " b"}], "2"), ([{"prompt": 1, "chosen": "b", "rejected": "c"}], "prompt"),
            ([], "row"), ([good, {**good, "weight": "x"}], "2"),
        ):
            with self.assertRaisesRegex(ValueError, word):
                libdpo.Dataset(data, model)
        self.assertRaises(TypeError, libdpo.Dataset, [1, 2], model)
        self.assertRaises(TypeError, libdpo.Dataset, good, model)
        self.assertRaises(ValueError, libdpo.Dataset, PAIRS, None)
        self.assertRaises(ValueError, libdpo.Dataset, [{"prompt_ids": [1], "chosen_ids": [2]}])
        self.assertRaises(OSError, libdpo.Dataset, self.directory / "none.jsonl", model)


class Refusals(Case):
    def test_options_that_do_not_exist_or_do_not_go_together(self) -> None:
        for options, kind in (
            ({"beta": 0.0}, ValueError), ({"loss_type": "dpo"}, ValueError), ({"lr_scheduler_type": "magic"}, ValueError),
            ({"max_length": 0}, ValueError), ({"max_length": 2**40}, ValueError), ({"seed": -1}, ValueError),
            ({"learning_rate": "fast"}, TypeError), ({"learning_rate": float("nan")}, ValueError),
            ({"per_device_train_batch_size": 0}, ValueError), ({"precision": "fp8"}, ValueError),
            ({"lora_dropout": 0.1, "lora_r": 4}, ValueError), ({"lora_alpha": 4}, ValueError),
            ({"sync_ref_model": True, "lora_r": 4}, ValueError), ({"loss_type": ["sigmoid"], "loss_weights": [1, 2]}, ValueError),
            ({"max_steps": "3"}, TypeError), ({"lora_r": 4, "lora_target_modules": "nothing"}, ValueError),
            ({"data_seed": -1}, ValueError),
        ):
            with self.subTest(options), self.assertRaises(kind):
                DPOTrainer(MODEL, args=small(self.directory, **options), train_dataset=PAIRS)
        self.assertRaises(TypeError, DPOTrainer, MODEL, args=SFTConfig(), train_dataset=PAIRS)
        self.assertRaises(ValueError, DPOTrainer, MODEL)
        self.assertRaises(TypeError, DPOTrainer, MODEL, train_dataset=PAIRS, tokenizer=None)
        self.assertRaises(MemoryError, DPOTrainer, MODEL, args=small(self.directory, memory_limit_mb=1), train_dataset=PAIRS)
        model = libdpo.Model(MODEL)
        self.assertRaises(ValueError, DPOTrainer, model, model, small(self.directory), PAIRS)

    def test_variants_of_lora_that_change_the_computation(self) -> None:
        class Peft(LoraConfig):
            use_dora = True

        self.assertRaises(NotImplementedError, DPOTrainer, MODEL, train_dataset=PAIRS, peft_config=Peft())
        for wrong in ({"init_lora_weights": "pissa"}, {"target_modules": r".*\.q_proj"}):
            self.assertRaises(
                NotImplementedError, DPOTrainer, MODEL, train_dataset=PAIRS, peft_config=LoraConfig(**wrong)
            )
        args = DPOTrainer(MODEL, train_dataset=PAIRS, peft_config=LoraConfig(target_modules={"q_proj", "v_proj"})).args
        self.assertEqual((args.lora_r, args.lora_alpha, args.lora_target_modules), (8, 8.0, ["q_proj", "v_proj"]))

    def test_output_directory_with_files_in_it(self) -> None:
        (self.directory / "mine.txt").write_text("x")
        trainer = DPOTrainer(MODEL, args=small(self.directory, overwrite_output_dir=False), train_dataset=PAIRS)
        self.assertRaises(libdpo.DPOError, trainer.train)
        self.assertEqual(os.listdir(self.directory), ["mine.txt"])

    def test_another_reference_and_an_adapter_to_go_on_from(self) -> None:
        reference = libdpo.Model(FIXTURES / "models" / "llama-untied")
        self.assertRaises(OSError, lambda: DPOTrainer(MODEL, "missing.gguf", train_dataset=[]))
        adapter = FIXTURES / "adapters" / "llama-tied-random"
        trainer = DPOTrainer(libdpo.Model(MODEL, adapter), args=small(self.directory), train_dataset=PAIRS)
        first = trainer.step()
        self.assertNear(first["loss"], 0.6931471805599453, 1e-6)
        self.assertRaises(
            ValueError, DPOTrainer, libdpo.Model(MODEL, adapter), args=small(self.directory, lora_r=4), train_dataset=PAIRS
        )
        reference.close()


if __name__ == "__main__":
    unittest.main()
