"""Coming from TRL: libdpo's table of fields against TRL's dataclasses; its scripts, configs, callbacks, data sets and adapters in ours."""
import dataclasses
import importlib
import inspect
import os
import subprocess
import sys
from functools import lru_cache, partial

import datasets
import libdpo
import peft
import transformers
import trl
from libdpo import trl_fields
from support import ROOT, AutoTokenizer, close, random_model, random_pairs, scratch

sys.path.append(str(ROOT / "Tests/python"))
import trl_scripts  # noqa: E402

CPU = dict(bf16=False, use_cpu=True, report_to="none")
#: Where TRL 1.16 has the config and trainer of a method.
PLACES = {
    "dpo": "trl", "sft": "trl", "reward": "trl", "kto": "trl", "grpo": "trl", "rloo": "trl", "cpo": "trl.experimental.cpo",
    "orpo": "trl.experimental.orpo", "online_dpo": "trl.experimental.online_dpo",
}


def ours(method):
    return next(kind for kind in (getattr(libdpo, name) for name in libdpo.configs.__all__) if kind._method == method)


def theirs(method):
    return getattr(importlib.import_module(PLACES[method]), ours(method).__name__)


def default_of(field):
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return getattr(value, "value", value)


def fields():
    """Every field of TRL's is an option or stands in a table, every row of a table is a field of TRL's, and TRL's default is taken
    without a word."""
    every = {method: {field.name: default_of(field) for field in dataclasses.fields(theirs(method))} for method in PLACES}
    count = 0
    for method, defaults in every.items():
        kind = ours(method)
        own, table = {field.name for field in dataclasses.fields(kind)}, {**trl_fields.EVERY_METHOD, **trl_fields.METHODS.get(method, {})}
        missing = sorted(set(defaults) - own - set(table))
        assert not missing, f"{kind.__name__}: TRL's fields {missing} stand in no table"
        stale = sorted(set(table) - set(defaults))
        assert not stale, f"{kind.__name__}: {stale} are no fields of TRL's"
        twice = sorted(set(table) & own)
        assert not twice, f"{kind.__name__}: {twice} are options, and stand in a table"
        for name, value in defaults.items():
            with libdpo_warnings() as said:
                kind(**{name: value})
            assert not said, f"{kind.__name__}({name}={value!r}), TRL's default: {said}"
            count += 1
    back = sorted(set(trl_fields.EARLIER) & set().union(*every.values()))
    assert not back, f"EARLIER: TRL has {back}"
    return f"{count} fields"


def libdpo_warnings():
    import contextlib
    import warnings

    @contextlib.contextmanager
    def catch():
        said = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield said
        said += [str(warning.message) for warning in caught]

    return catch()


def defaults():
    """Options of ours that are TRL's have TRL's defaults, but for what docs/from-trl.md tells."""
    other = {"gradient_checkpointing", "eval_strategy", "output_dir", "disable_tqdm"}
    for method in PLACES:
        kind, config = theirs(method), ours(method)()
        for field in dataclasses.fields(kind):
            found, value = getattr(config, field.name, None), default_of(field)
            if not hasattr(config, field.name) or field.name in other or (method in ("grpo", "rloo") and field.name == "disable_dropout"):
                continue
            if method == "online_dpo" and field.name in ("max_length", "beta"):
                continue
            value = trl_fields._NONE.get(field.name, value) if value is None else value
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            if found is None and value is not None:
                text = (ROOT / "bindings/python/libdpo/configs.py").read_text().split(f"class {kind.__name__}(")[1].split("@dataclass")[0]
                told = text.split(f"    {field.name}: ")[1].split('"""')[1].split("None: ")[1].rstrip(".")
                assert float(told) == value, f"{kind.__name__}.{field.name}: None is {told}, TRL has {value}"
            else:
                assert found == value, f"{kind.__name__}.{field.name} is {found!r}, TRL has {value!r}"


def configs():
    """TRL's own config objects, and TrainingArguments, as args."""
    made = dict(output_dir=str(scratch() / "args"), per_device_train_batch_size=2, gradient_accumulation_steps=2, max_steps=3, **CPU)
    data, model = random_pairs(3, 6), random_model("llama-tied", 3)
    config = trl.DPOConfig(**made, beta=0.3, learning_rate=3e-4, lr_scheduler_type="cosine", loss_type=["ipo"], save_strategy="no")
    found = libdpo.DPOTrainer(model, args=config, train_dataset=data).args
    assert (found.beta, found.learning_rate, found.lr_scheduler_type, found.loss_type, found.save_strategy, found.eval_strategy) == (
        0.3, 3e-4, "cosine", ["ipo"], "no", "no"), found
    assert found == libdpo.DPOConfig(
        output_dir=made["output_dir"], per_device_train_batch_size=2, gradient_accumulation_steps=2, max_steps=3, beta=0.3,
        learning_rate=3e-4, lr_scheduler_type="cosine", loss_type=["ipo"], save_strategy="no", eval_strategy="no"), found
    config = trl.GRPOConfig(**made, beta=0.02, num_generations=2, epsilon=0.1, max_completion_length=7)
    found = libdpo.GRPOConfig(**trl_fields.given_in(config, libdpo.GRPOConfig))
    assert (found.kl_coef, found.num_generations, found.cliprange, found.max_completion_length) == (0.02, 2, 0.1, 7), found
    for method in PLACES:
        kind, standard = ours(method), theirs(method)(output_dir="x", **CPU)
        with libdpo_warnings() as said:
            assert kind(**trl_fields.given_in(standard, kind)) == kind(output_dir="x", eval_strategy="no"), method
        assert not said, f"{method}: {said}"
    found = libdpo.SFTTrainer(model, args=transformers.TrainingArguments(**made, learning_rate=1e-3), train_dataset=data).args
    assert (found.learning_rate, found.max_steps, found.eval_strategy) == (1e-3, 3, "no"), found
    assert libdpo.SFTConfig(**trl_fields.given_in(transformers.TrainingArguments(output_dir="x", **CPU), libdpo.SFTConfig)).learning_rate == 5e-5
    try:
        libdpo.DPOTrainer(model, args=trl.SFTConfig(**made), train_dataset=data)
    except TypeError as error:
        assert "SFTConfig, expected libdpo.DPOConfig or TRL's DPOConfig" in str(error), error
    else:
        raise AssertionError("an SFTConfig was taken for a DPOConfig")


def arguments():
    """What TRL's trainers take is an argument of ours, or refused by a sentence."""
    from libdpo import trainer

    for method in PLACES:
        name = ours(method).__name__.replace("Config", "Trainer")
        given = set(inspect.signature(getattr(importlib.import_module(PLACES[method]), name).__init__).parameters) - {"self"}
        own = set(inspect.signature(getattr(libdpo, name).__init__).parameters) | set(inspect.signature(trainer.Trainer.__init__).parameters)
        missing = sorted(given - own - set(trainer._REFUSED) - {"optimizers"})
        assert not missing, f"{name}: {missing}"


def adapters():
    """PEFT's LoraConfig."""
    data, model = random_pairs(4, 6), random_model("llama-tied", 4)
    args = libdpo.DPOConfig(output_dir=str(scratch() / "adapters"), disable_tqdm=True)
    make = lambda config: libdpo.DPOTrainer(model, args=args, train_dataset=data, peft_config=config).args  # noqa: E731
    found = make(peft.LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj"], use_rslora=True, task_type="CAUSAL_LM"))
    assert (found.lora_r, found.lora_alpha, found.lora_target_modules, found.use_rslora) == (3, 6, ["q_proj", "v_proj"], True), found
    for config in (
        peft.LoraConfig(use_dora=True), peft.LoraConfig(modules_to_save=["lm_head"]), peft.LoraConfig(init_lora_weights="pissa"),
        peft.LoraConfig(rank_pattern={"q_proj": 2}), peft.LoraConfig(target_modules=".*proj"), peft.IA3Config(), peft.PrefixTuningConfig(),
    ):
        try:
            make(config)
        except libdpo.UnsupportedError as error:
            assert "peft_config" in str(error), error
        else:
            raise AssertionError(f"{config} was taken")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(model)
    for object in (theirs, peft.get_peft_model(theirs, peft.LoraConfig(task_type="CAUSAL_LM"))):
        try:
            libdpo.DPOTrainer(object, args=args, train_dataset=data)
        except TypeError as error:
            assert "path" in str(error) and (hasattr(object, "peft_config") or str(model) in str(error)), error


def data():
    """Data sets of `datasets` and pandas hold the same rows; a tokenizer is the model's or refused."""
    import pandas

    model, other = random_model("qwen2", 5), random_model("llama-tied", 5)
    rows, args = random_pairs(5, 9), libdpo.DPOConfig(max_steps=2, per_device_train_batch_size=3, disable_tqdm=True)
    opened = libdpo.Model(model)
    tokens = lambda value, rows=9: (libdpo.Dataset(value, opened, args).info.tokens, libdpo.Dataset(value, opened, args).info.rows)  # noqa: E731
    table = datasets.Dataset.from_list(rows)
    expected = tokens(rows)
    for value in (table, pandas.DataFrame(rows)):
        assert tokens(value) == expected, (type(value), tokens(value), expected)
    assert tokens(table.to_iterable_dataset()) == tokens(rows[:6])
    parts = datasets.DatasetDict(train=table, test=table.select(range(3)))
    args = dataclasses.replace(args, output_dir=str(scratch() / "data"), eval_strategy="steps", eval_steps=1, max_steps=1)
    trainer = libdpo.DPOTrainer(
        opened, args=args, train_dataset=parts["train"], eval_dataset=parts, processing_class=AutoTokenizer.from_pretrained(model))
    trainer.train()
    assert {"eval_train_loss", "eval_test_loss"} <= {name for entry in trainer.state.log_history for name in entry}
    try:
        libdpo.DPOTrainer(opened, args=args, train_dataset=table, processing_class=AutoTokenizer.from_pretrained(other))
    except libdpo.MismatchError as error:
        assert "processing_class" in str(error), error
    else:
        raise AssertionError("another model's tokenizer was taken")


def recorder(calls):
    """A callback of transformers' that notes its events."""
    def noting(name):
        def note(self, args, state, control, **kwargs):
            calls.append(f"{name[3:]} {state.global_step}")
        return note

    names = [name for name in vars(transformers.TrainerCallback) if name.startswith("on_")]
    return type("Recorder", (transformers.TrainerCallback,), {name: noting(name) for name in names})


def callbacks(seed):
    """The events of a run in transformers' order, and transformers' own EarlyStoppingCallback."""
    model, rows = random_model("llama-tied", seed), random_pairs(seed, 8)
    table = datasets.Dataset.from_list(rows)
    common = dict(per_device_train_batch_size=2, num_train_epochs=2, logging_steps=2, eval_strategy="steps", eval_steps=3, save_steps=4)
    found = {}
    for name, library in (("trl", trl), ("libdpo", libdpo)):
        calls = found[name] = []
        config = library.DPOConfig(output_dir=str(scratch() / f"events-{name}"), report_to="none", disable_tqdm=True, bf16=False, use_cpu=True, **common)
        trainer = library.DPOTrainer(
            model=str(model), args=config, train_dataset=table, eval_dataset=table.select(range(4)), callbacks=[recorder(calls)])
        trainer.train()
    skipped = ("substep_end", "prediction_step")
    theirs, own = ([call for call in found[name] if call.split()[0] not in skipped] for name in ("trl", "libdpo"))
    steps = lambda calls: [call for call in calls if not call.startswith(("save", "log", "evaluate", "epoch_end"))]  # noqa: E731
    assert steps(own) == steps(theirs), f"{steps(own)} for {steps(theirs)}"
    # libdpo ends with the final model, which transformers does not tell of; the end of an epoch comes before what follows its last step.
    for kind in ("evaluate", "save", "epoch_end", "log"):
        mine, expected = ([call for call in calls if call.startswith(kind)] for calls in (own, theirs))
        if kind == "save":
            mine, expected = sorted(set(mine)), sorted(set(expected))
        assert mine == expected, f"{kind}: {mine} for {expected}"

    values = iter([3.0, 1.0, 2.0, 2.5, 0.0])
    config = libdpo.DPOConfig(
        output_dir=str(scratch() / "early"), disable_tqdm=True, max_steps=20, eval_strategy="steps", eval_steps=2, save_steps=2,
        load_best_model_at_end=True, metric_for_best_model="own_loss")
    trainer = libdpo.DPOTrainer(
        str(model), args=config, train_dataset=table, eval_dataset=table, compute_metrics=lambda _: {"own_loss": next(values)},
        callbacks=[transformers.EarlyStoppingCallback(early_stopping_patience=2)])
    output = trainer.train()
    assert (output.global_step, trainer.state.best_global_step) == (8, 4), (output, trainer.state)


def rewards(seed):
    """Reward functions get the keywords that TRL's trainers give them."""
    model, rows = random_model("qwen2", seed), [{"prompt": row["prompt"], "answer": index} for index, row in enumerate(random_pairs(seed, 4))]
    seen = {}
    for name, library in (("trl", trl), ("libdpo", libdpo)):
        kinds = seen[name] = {}

        def reward(**kwargs):
            for key, value in kwargs.items():
                kinds[key] = (type(value).__name__ if not isinstance(value, list) else [type(each).__name__ for each in value[:1]])
            return [float(len(ids)) for ids in kwargs["completion_ids"]]

        config = library.GRPOConfig(
            output_dir=str(scratch() / f"rewards-{name}"), report_to="none", disable_tqdm=True, bf16=False, use_cpu=True, max_steps=1,
            per_device_train_batch_size=4, num_generations=2, max_completion_length=4, logging_steps=1)
        trainer = library.GRPOTrainer(model=str(model), reward_funcs=reward, args=config, train_dataset=datasets.Dataset.from_list(rows))
        trainer.train()
        names = {key for entry in trainer.state.log_history for key in entry}
        assert {"rewards/reward/mean", "rewards/reward/std"} <= names, f"{name}: {names}"
    for kinds in seen.values():
        for key in ("trainer_state", "log_extra", "log_metric"):
            assert kinds.pop(key)
    assert seen["trl"] == seen["libdpo"], seen


def tensorboard(seed):
    """What tensorboard reads of a run's event file."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = scratch() / "tensorboard"
    config = libdpo.DPOConfig(output_dir=str(out), max_steps=4, logging_steps=1, report_to="tensorboard", disable_tqdm=True, eval_steps=2)
    trainer = libdpo.DPOTrainer(random_model("llama-tied", seed), args=config, train_dataset=random_pairs(seed, 8), eval_dataset=random_pairs(seed, 4))
    trainer.train()
    events = EventAccumulator(str(out / "runs"))
    events.Reload()
    for tag, name in (("train/loss", "loss"), ("eval/loss", "eval_loss"), ("train/rewards/margins", "rewards/margins")):
        expected = [(entry["step"], entry[name]) for entry in trainer.state.log_history if name in entry]
        close([value for _, value in expected], [event.value for event in events.Scalars(tag)], 1e-6, 1e-6, tag)
        assert [step for step, _ in expected] == [event.step for event in events.Scalars(tag)], tag


@lru_cache
def scripts():
    folder = scratch() / "scripts"
    folder.mkdir(exist_ok=True)
    trl_scripts.write_rows(folder)
    return folder, trl_scripts.scripts()


def script(name, seed):
    """A script of docs/from-trl.md as TRL and as libdpo run it: where nothing is drawn, the same first loss."""
    folder, texts = scripts()
    model = random_model("qwen2", seed)
    losses = []
    for text in texts[name]:
        text = text.replace("Qwen/Qwen2.5-0.5B-Instruct", str(model)).replace("model.gguf", str(model)).replace('"model"', repr(str(model)))
        text += "\nprint([entry['loss'] for entry in trainer.state.log_history if 'loss' in entry][0])\n"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "ACCELERATE_USE_CPU": "1"}
        done = subprocess.run([sys.executable, "-c", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-2000:]
        losses.append(float(done.stdout.split()[-1]))
        for path in folder.iterdir():
            if path.is_dir():
                path.rename(scratch() / f"{name}-{len(losses)}-{path.name}")
    if name in ("DPO", "SFT", "KTO"):
        close([losses[1]], [losses[0]], 1e-3, 1e-3, "first loss")
    return f"{losses[0]:.5f}, {losses[1]:.5f}"


def checks(seed):
    for check in (fields, defaults, configs, arguments, adapters, data):
        yield f"from TRL, {check.__name__}", check
    for check in (callbacks, rewards, tensorboard):
        yield f"from TRL, {check.__name__}", partial(check, seed)
    for name in trl_scripts.scripts():
        yield f"from TRL, script {name}", partial(script, name, seed)
