"""The command `dpo`: what each verb prints, exit codes, bad input, crashes and interruptions."""

import dataclasses
import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
import unittest

import h5py
import libdpo
import numpy

from support import BUILD, FIXTURES, MODEL, PAIRS, ROOT, Case, dpo, golden, rows, run

GGUF = FIXTURES / "gguf" / "llama-tied.gguf"


def parsed(*arguments: object) -> dict:
    result = dpo(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def values(path: pathlib.Path, group: str) -> "dict[str, bytes]":
    with h5py.File(path) as file:
        return {name: numpy.asarray(file[group][name]).tobytes() for name in file[group]}


class Verbs(Case):
    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "hiding /proc takes root, and unshare")
    def test_words_arrive_where_there_is_no_proc(self) -> None:
        hidden = subprocess.run(
            ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" "$@"', BUILD / "bin/dpo", "tokenize", MODEL, "--text",
             "Hello", "--json"],
            capture_output=True, text=True)
        self.assertEqual((hidden.returncode, hidden.stderr), (0, ""))
        self.assertEqual(json.loads(hidden.stdout), parsed("tokenize", MODEL, "--text", "Hello"))

    def test_inspect_tells_what_a_file_holds(self) -> None:
        for path, form in ((MODEL, "huggingface"), (GGUF, "gguf")):
            found = parsed("inspect", path)
            self.assertEqual((found["kind"], found["format"], found["architecture"]), ("model", form, "llama"))
            self.assertEqual(found["parameters"], sum(numpy.prod(t["shape"]) for t in found["tensors"]))
        found = parsed("inspect", PAIRS)
        self.assertEqual((found["kind"], found["rows"], found["row_kind"]), ("data", len(rows(PAIRS)), "pairs"))
        self.assertEqual(set(found["columns"]), {key for row in rows(PAIRS) for key in row})
        self.assertTrue(parsed("inspect", FIXTURES / "data" / "chat.jsonl")["conversational"])
        doctor = parsed("inspect", PAIRS, "--model", MODEL)
        self.assertEqual(doctor["rows"], len(rows(PAIRS)))
        self.assertIn("‖", dpo("inspect", PAIRS, "--model", MODEL).stdout)

    def test_tokenize_gives_ids_and_tokens(self) -> None:
        row = parsed("tokenize", MODEL, "--text", "Hello")["rows"][0]
        self.assertEqual(len(row["ids"]), len(row["tokens"]))
        pairs = parsed("tokenize", MODEL, "--data", PAIRS)["rows"]
        run = golden("trl/llama-tied-lora-sigmoid.json")["rows"]
        self.assertEqual([{key: row[key] for key in ("prompt_ids", "chosen_ids", "rejected_ids")} for row in pairs], run)

    def test_logps_are_the_same_from_every_file_and_batch_size(self) -> None:
        first = parsed("logps", MODEL, "--data", PAIRS, "--per-token")["rows"]
        second = parsed("logps", GGUF, "--data", PAIRS, "--batch-size", 1)["rows"]
        for a, b in zip(first, second):
            for side in ("chosen", "rejected"):
                self.assertAlmostEqual(a[side], b[side], delta=1e-4 * abs(a[side]))
                self.assertAlmostEqual(a[side], sum(a[side + "_logps"]), delta=1e-4)

    def test_generate_is_seeded_and_greedy_at_zero(self) -> None:
        arguments = ("generate", MODEL, "--prompt", "The", "--max-new-tokens", 8, "--num-return-sequences", 2)
        one, two = (parsed(*arguments, "--seed", 5) for _ in range(2))
        self.assertEqual(one, two)
        greedy = parsed(*arguments, "--temperature", 0)["rows"][0]
        self.assertEqual(greedy["token_ids"][0], greedy["token_ids"][1])
        self.assertIn(greedy["finish_reasons"][0], ("stop", "length"))

    def test_evaluate_of_an_untrained_model_is_log_2(self) -> None:
        self.assertAlmostEqual(parsed("evaluate", MODEL, "--data", PAIRS)["loss"], 0.693147, 5)

    def test_dry_run_prints_the_plan_and_writes_nothing(self) -> None:
        plan = parsed("train", MODEL, "--data", PAIRS, "--dry-run", "--max-steps", 3)
        self.assertEqual(plan["steps"], 3)
        self.assertEqual(plan["memory_total_bytes"], sum(plan["memory_bytes"].values()))
        self.assertLess(plan["distinct_tokens"], plan["padded_tokens"])

    def test_no_more_threads_than_processors(self) -> None:
        """More would wait for each other, and take 8 MiB each."""
        flags = ("train", MODEL, "--data", PAIRS, "--dry-run", "--max-steps", 3)
        usual, many = parsed(*flags), parsed(*flags, "--threads", 1024)
        self.assertEqual(many["threads"], usual["threads"])
        self.assertEqual(many["memory_bytes"], usual["memory_bytes"])
        self.assertEqual(usual["threads"], parsed("version")["threads"])
        self.assertIn("1024 threads are asked for", dpo(*flags, "--threads", 1024).stderr)
        one = parsed(*flags, "--threads", 1)
        self.assertEqual(one["threads"], 1)
        if usual["threads"] > 1:
            self.assertGreater(usual["memory_bytes"]["threads"], one["memory_bytes"]["threads"])

    def test_the_plan_names_what_a_vocabulary_takes(self) -> None:
        plan = parsed("train", MODEL, "--data", PAIRS, "--dry-run")
        # Weights, gradients and two moments of the tied embedding: 16 bytes each.
        matrix = 16 * 385 * 32
        self.assertEqual(plan["vocabulary_bytes"] - plan["memory_bytes"]["head"], matrix)
        # SGD keeps nothing, and of gradients the embedding's are there to the end.
        flags = ("--optim", "sgd", "--optimizer-in-backward", "--max-grad-norm", 0)
        least = parsed("train", MODEL, "--data", PAIRS, "--dry-run", *flags)
        self.assertEqual(least["vocabulary_bytes"] - least["memory_bytes"]["head"], matrix // 2)

    def test_kto_and_sft_train(self) -> None:
        for method, data in (("kto", "unpaired"), ("sft", "completions")):
            out = self.directory / method
            done = parsed(
                "train", MODEL, "--method", method, "--data", FIXTURES / "data" / f"{data}.jsonl", "--output-dir", out,
                "--max-steps", 4, "--learning-rate", 1e-3, "--per-device-train-batch-size", 4, "--lora-r", 2,
            )
            losses = [row["loss"] for row in rows(out / "metrics.jsonl")]
            self.assertEqual((done["steps"], len(losses)), (4, 4))
            report = (out / "report.html").read_text()
            self.assertTrue(report.startswith("<!"))
            self.assertIn("<code>--num-train-epochs</code>", report)


class Survival(Case):
    def train(self, out: pathlib.Path, *extra: object) -> "list[str]":
        return [
            str(part) for part in (
                BUILD / "bin/dpo", "train", MODEL, "--data", PAIRS, "--output-dir", out, "--max-steps", 300,
                "--per-device-train-batch-size", 2, "--learning-rate", 1e-3, "--save-steps", 20, *extra,
            )
        ]

    def wait_for_steps(self, process: "subprocess.Popen[bytes]", out: pathlib.Path, count: int) -> None:
        log = out / "metrics.jsonl"
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            if log.exists() and log.read_bytes().count(b"\n") >= count:
                return
            time.sleep(0.002)

    def test_a_killed_run_ends_in_the_same_bits(self) -> None:
        for extra, group in (((), "model"), (("--lora-r", 4), "adapter")):
            name = group
            straight, killed = self.directory / f"{name}-straight", self.directory / f"{name}-killed"
            subprocess.run(self.train(straight, *extra), check=True, capture_output=True)
            process = subprocess.Popen(self.train(killed, *extra), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.wait_for_steps(process, killed, 50)
            process.send_signal(signal.SIGKILL)
            self.assertEqual(process.wait(), -signal.SIGKILL, "the run ended before it could be killed")
            again = subprocess.run(
                self.train(killed, *extra, "--resume-from-checkpoint", "last"), capture_output=True, text=True
            )
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertIn("resumed from", again.stderr)
            self.assertEqual(values(straight / "final.h5", group), values(killed / "final.h5", group))
            drop = lambda path: [{k: v for k, v in row.items() if k != "seconds"} for row in rows(path / "metrics.jsonl")]
            self.assertEqual(drop(straight), drop(killed))

    def test_ctrl_c_is_130_and_leaves_a_run_to_resume(self) -> None:
        out = self.directory / "run"
        process = subprocess.Popen(self.train(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.wait_for_steps(process, out, 5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertTrue((out / "autosave.h5").exists())
        again = subprocess.run(self.train(out, "--resume-from-checkpoint", "last"), capture_output=True, text=True)
        self.assertEqual(again.returncode, 0, again.stderr)


class BadInput(Case):
    def refused(self, *arguments: object, code: int = 1, says: str = "") -> None:
        out = self.directory / "out"
        result = dpo(*arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertIn(says, result.stderr)
        self.assertNotIn("Fatal error", result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertFalse(out.exists(), "the output directory was made")

    def train(self, model: object = MODEL, data: object = PAIRS, *extra: object) -> "tuple[object, ...]":
        return ("train", model, "--data", data, "--output-dir", self.directory / "out", "--max-steps", 1, *extra)

    def write(self, name: str, text: str) -> pathlib.Path:
        path = self.directory / name
        path.write_text(text)
        return path

    def test_files_that_are_no_models(self) -> None:
        self.refused(*self.train("missing.gguf"), says="missing.gguf")
        self.refused(*self.train(PAIRS), says="not a model")
        cut = self.directory / "cut.gguf"
        cut.write_bytes(GGUF.read_bytes()[:-1000])
        self.refused(*self.train(cut), says="cut.gguf")

    def test_rows_that_cannot_be_learned_from(self) -> None:
        good = '{"prompt": "a", "chosen": " b", "rejected": " c"}\n'
        for bad, says in (
            ("nonsense", "line 2"), ('{"prompt": "a", "chosen": " b"}', "rejected"), ('{"prompt": 7, "chosen": "b", "rejected": "c"}', "prompt"),
            ('{"prompt": "a", "completion": "b"}', "line 2"),
        ):
            self.refused(*self.train(MODEL, self.write("bad.jsonl", good + bad + "\n")), says=says)
        long = json.dumps({"prompt": "word " * 5000, "chosen": " b", "rejected": " c"})
        self.refused(*self.train(MODEL, self.write("long.jsonl", good + long + "\n"), "--max-length", "none"), says="context")
        self.refused(*self.train(MODEL, self.write("empty.jsonl", "\n\n")), says="empty.jsonl")

    def test_a_default_rate_that_is_too_small_for_lora_is_told_before_the_run(self) -> None:
        note = "the learning rate is 1e-6, the default for training every weight; LoRA needs rates 10 to 100 times as high: --learning-rate 0.0001"
        for flags, is_told in (
            (["--lora-r", 2], True), ([], False), (["--lora-r", 2, "--learning-rate", "1e-4"], False), (["--lora-r", 2, "--method", "sft"], False),
        ):
            out = self.directory / f"run{len(os.listdir(self.directory))}"
            result = dpo("train", MODEL, "--data", PAIRS, "--output-dir", out, "--max-steps", 1, *flags)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(note in result.stderr, is_told, result.stderr)
            if is_told:
                self.assertLess(result.stderr.index(note), result.stderr.index("step 1/1"))

    def test_equal_sides_are_counted_and_trained_on(self) -> None:
        data = self.write("same.jsonl", '{"prompt": "a", "chosen": " b", "rejected": " b"}\n' * 3)
        result = dpo(*self.train(MODEL, data))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("3 of 3 rows: chosen equals rejected", result.stderr)

    def test_options_that_make_no_sense(self) -> None:
        self.refused(*self.train(MODEL, PAIRS, "--beta", 0), code=2, says="beta")
        self.refused(*self.train(MODEL, PAIRS, "--loss-type", "nope"), code=2, says="nope")
        self.refused(*self.train(MODEL, PAIRS, "--nope"), code=2, says="--nope")
        self.refused(*self.train(MODEL, PAIRS, "--loss-type", "sigmoid,sft", "--loss-weights", 1), says="loss_weights")
        self.refused(*self.train(MODEL, PAIRS, "--loss-type", "nca_pair", "--f-divergence-type", "forward_kl"))
        self.refused(*self.train(MODEL, PAIRS, "--sync-ref-model", "--lora-r", 4), says="sync_ref_model")
        self.refused(*self.train(MODEL, PAIRS, "--lora-alpha", 4), says="lora_r")
        self.refused(*self.train(MODEL, PAIRS, "--memory-limit-mb", 1, "--per-device-train-batch-size", 12), says="MiB")
        self.refused("train", MODEL, "--data", PAIRS, code=2, says="output-dir")

    def test_output_that_is_not_ours_to_use(self) -> None:
        out = self.directory / "used"
        out.mkdir()
        (out / "mine.txt").write_text("x")
        result = dpo("train", MODEL, "--data", PAIRS, "--output-dir", out, "--max-steps", 1)
        self.assertEqual(result.returncode, 1)
        self.assertIn("mine.txt", result.stderr)
        self.assertEqual(os.listdir(out), ["mine.txt"])
        self.refused("train", MODEL, "--data", PAIRS, "--output-dir", out / "mine.txt", says="not a directory")

    def test_checkpoints_of_another_run(self) -> None:
        run = self.directory / "run"
        self.assertEqual(dpo("train", MODEL, "--data", PAIRS, "--output-dir", run, "--max-steps", 2).returncode, 0)
        checkpoint = run / "checkpoint-2.h5"
        other = self.write("other.jsonl", PAIRS.read_text() + '{"prompt": "a", "chosen": " b", "rejected": " c"}\n')
        self.refused(*self.train(MODEL, other, "--resume-from-checkpoint", checkpoint), says="belongs to another run")
        self.refused(*self.train(FIXTURES / "models/llama-untied", PAIRS, "--resume-from-checkpoint", checkpoint, "--max-steps", 3))
        self.refused(*self.train(MODEL, PAIRS, "--resume-from-checkpoint", checkpoint, "--max-steps", 3, "--seed", 1), says="seed")
        damaged = self.directory / "damaged.h5"
        shutil.copy(checkpoint, damaged)
        with open(damaged, "r+b") as file:
            file.seek(os.path.getsize(damaged) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        self.refused(*self.train(MODEL, PAIRS, "--resume-from-checkpoint", damaged, "--max-steps", 3), says="damaged.h5")


class Configurations(Case):
    """`--config`: files as people keep them for TRL."""

    def options(self, text: str, *flags: object) -> dict:
        path = self.directory / "run.yaml"
        path.write_text(text)
        result = dpo("train", "--config", path, "--dry-run", "--json", *flags)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.stderr = result.stderr
        return json.loads(result.stdout)["options"]

    def test_a_file_and_the_same_flags_are_one_run(self) -> None:
        head = f"model_name_or_path: {MODEL}\ndataset_name: {PAIRS}\n"
        named = self.options(head + (
            "learning_rate: 1e-4  # a rate\nloss_type:\n  - sigmoid\n  - sft\nloss_weights: [1, 0.5]\nshuffle: no\n"
            "lora_r: 4\nlora_target_modules: ['q_proj', \"v_proj\"]\nmax_length: null\nlr_scheduler_type: cosine\nreport_to: wandb\nbf16: false\n"))
        self.assertIn("run.yaml: line 13: report_to has no meaning here", self.stderr)
        flags = parsed(
            "train", MODEL, "--data", PAIRS, "--dry-run", "--learning-rate", "1e-4", "--loss-type", "sigmoid,sft", "--loss-weights", "1,0.5",
            "--no-shuffle", "--lora-r", 4, "--lora-target-modules", "q_proj,v_proj", "--max-length", "none", "--lr-scheduler-type", "cosine")
        self.assertEqual(named, flags["options"])
        self.assertEqual(self.options(head + "beta: 0.2\nlora_r: 8\nlora_alpha: 4", "--beta", 0.3)["beta"], 0.3)
        settings = {"model": str(MODEL), "data": [str(PAIRS)], "loss_type": ["ipo"], "packing": False, "beta": 0.25}
        for indent in (None, 1, "\t"):
            found = self.options(json.dumps(settings, indent=indent))
            self.assertEqual((found["loss_type"], found["beta"]), (["ipo"], 0.25))

    def test_a_whole_run(self) -> None:
        out = self.directory / "out"
        path = self.directory / "run.json"
        path.write_text(json.dumps({
            "model": str(MODEL), "datasets": [{"path": str(PAIRS), "weight": 2}], "eval_data": str(PAIRS), "output_dir": str(out),
            "max_steps": 2, "lora_r": 2, "max_length": 64, "completion_only": False}))
        result = dpo("train", "--config", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue((out / "final.h5").exists())

    def test_what_is_wrong_is_named_with_its_line(self) -> None:
        path = self.directory / "bad.yaml"
        for text, says in (
            ("beta: 1\nper_device_train_batch_sise: 4", "line 2: there is no option per_device_train_batch_sise; did you mean per_device_train_batch_size?"),
            ("\n\nbeta: 0", "line 3: beta is 0.0"), ("beta: [1]", "line 1: beta: expected one value"), ("packing: maybe", "line 1: packing is maybe"),
            ("beta: 1\nbeta: 2", "line 2: beta stands here twice"), ("model: a\nmodel_name_or_path: b", "line 2: model_name_or_path says again"),
            ("bf16: true", "line 1: bf16 is no option here: set precision: bf16"), ("- 1", "line 1: expected settings"), ("beta: *b", "an alias"),
            ("beta: [1", "not valid YAML or JSON"), ("beta: 1\n---\nbeta: 2", "line 2: a second document"), ("[" * 30000, "bad.yaml: line 1"),
            ("datasets: [{path: a, split: b}]", "split is not known here"), ("beta: \xff", "not valid YAML"), ("", "MODEL is missing"),
        ):
            path.write_bytes(text.encode("latin-1"))
            result = dpo("train", "--config", path, "--output-dir", self.directory / "out")
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(says, result.stderr)


class Help(Case):
    def on_terminal(self, *arguments: str, columns: int = 80, **environment: str) -> str:
        """What a command writes to a terminal of so many columns."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        variables = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
        process = subprocess.Popen(
            [BUILD / "bin" / "dpo", *arguments], stdout=follower, stderr=follower, stdin=follower, env={**variables, "TERM": "xterm", **environment})
        os.close(follower)
        output = b""
        while True:
            try:
                part = os.read(leader, 1 << 16)
            except OSError:  # EIO: nobody writes any more
                break
            output += part
        process.wait()
        os.close(leader)
        return output.decode()

    def test_verbs_get_suggestions(self) -> None:
        for words, says in ((["trian"], "there is no command dpo trian; did you mean train?"), (["help", "exprot"], "did you mean export?"),
                            (["classifier", "aply"], "there is no command dpo classifier aply; did you mean apply?"),
                            (["zzz"], "there is no command dpo zzz\n"), (["train", "--help", "--method", "pop"], "did you mean ppo?"),
                            (["train", "m", "--lerning-rate", "1"], "--learning-rate")):
            result = dpo(*words)
            self.assertEqual(result.returncode, 2)
            self.assertIn(says, result.stderr)

    def test_help_is_the_same_however_it_is_asked_for(self) -> None:
        for words in (["train"], ["feedback", "train"], ["evaluate"]):
            page = dpo("help", *words).stdout
            for flag in ("--help", "-h"):
                self.assertEqual(dpo(*words, flag).stdout, page)
        self.assertEqual(dpo().stdout, dpo("--help").stdout)
        for verb in re.findall("^  ([a-z]+) ", dpo("help").stdout, re.MULTILINE)[1:]:
            if verb != "dpo":
                self.assertTrue(dpo("help", verb).stdout.strip(), verb)

    def test_pages_fit_a_terminal(self) -> None:
        for arguments in (["train", "--help"], ["train", "--help-all"], ["evaluate", "--help"], ["--help"], ["label", "--help"]):
            for columns in (80, 120):
                lines = re.sub("\x1b\\[[0-9]*m", "", self.on_terminal(*arguments, columns=columns)).splitlines()
                self.assertLessEqual(max(map(len, lines)), columns)
        page = dpo("train", "--help").stdout.splitlines()
        self.assertLess(len(page), 120)
        first = [line.split()[0] for line in page[page.index("Basics") + 1:] if line.startswith("  ") and line[2] != " "][:4]
        self.assertEqual(first, ["MODEL", "--config", "--data", "--output-dir"])

    def test_a_methods_page_has_its_options(self) -> None:
        own = set(re.findall(r"--([a-z-]+)", dpo("train", "--help-all").stdout.replace("[no-]", "")))
        options = {row["name"].replace("_", "-") for row in libdpo.describe_options()}
        own -= options
        for method, config in (("dpo", libdpo.DPOConfig), ("ppo", libdpo.PPOConfig), ("sft", libdpo.SFTConfig)):
            page = dpo("train", "--help", "--method", method).stdout.replace("[no-]", "")
            found = set(re.findall(r"^  --([a-z0-9-]+)", page, re.MULTILINE)) - own
            expected = {field.name.replace("_", "-") for field in dataclasses.fields(config)} & options | {"method"}
            self.assertEqual(found, expected)
            self.assertEqual("--reward-model" in page, method == "ppo")

    @unittest.skipIf("DPO_EMULATED" in os.environ, "qemu does not know the call by which newer C libraries ask for a terminal")
    def test_colours_are_for_terminals_that_want_them(self) -> None:
        self.assertIn("\x1b[1m", self.on_terminal("train", "--help"))
        self.assertIn("\x1b[31m", self.on_terminal("inspect", "nowhere"))
        for arguments in (["train", "--help"], ["inspect", "nowhere"], ["trian"]):
            self.assertNotIn("m", re.findall("\x1b\\[[0-9]*([a-zA-Z])", self.on_terminal(*arguments, NO_COLOR="1")))
            self.assertNotIn("m", re.findall("\x1b\\[[0-9]*([a-zA-Z])", self.on_terminal(*arguments, TERM="dumb")))
            result = dpo(*arguments)
            self.assertNotIn("\x1b", result.stdout + result.stderr)


class Share(Case):
    """Manual pages and completions, as build/share has them and `make install` copies them."""

    def test_every_verb_has_a_page(self) -> None:
        pages = {path.name for path in (BUILD / "share/man/man1").iterdir()}
        verbs = re.findall("^  ([a-z]+)  ", dpo("help").stdout, re.MULTILINE)
        self.assertEqual({name for name in pages if name.count("-") < 2}, {"dpo.1", *(f"dpo-{verb}.1" for verb in verbs)})
        self.assertIn("dpo-classifier-train.1", pages)
        train = (BUILD / "share/man/man1/dpo-train.1").read_text(encoding="ascii").replace("\\-", "-")
        for option in libdpo.describe_options():
            flag = option["name"].replace("_", "-")
            self.assertIn(f"\\fB--{flag}\\fR", train)

    @unittest.skipUnless(shutil.which("groff"), "groff is not installed")
    def test_groff_reads_the_pages_without_a_warning(self) -> None:
        for path in (BUILD / "share/man/man1").iterdir():
            done = run("groff", "-man", "-Tutf8", "-ww", path)
            self.assertEqual((done.returncode, done.stderr), (0, ""), path.name)
            text = re.sub(".\x08|\x1b\\[[0-9]*m", "", done.stdout)
            for heading in ("NAME", "SYNOPSIS"):
                self.assertTrue(re.search(f"^{heading}$", text, re.MULTILINE), path.name)
        self.assertIn("β", run("groff", "-man", "-Tutf8", BUILD / "share/man/man1/dpo-train.1").stdout)

    def completions(self, *words: str) -> "list[str]":
        script = f"""source "{BUILD}/share/bash-completion/completions/dpo"
COMP_WORDS=({" ".join(words[:-1])} "{words[-1]}"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE="{" ".join(words)}"; COMP_POINT=${{#COMP_LINE}}
function=$(complete -p dpo | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
$function dpo "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
        done = run("bash", "-c", script, cwd=self.directory)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_bash_completes(self) -> None:
        (self.directory / "pairs.jsonl").write_text("")
        self.assertEqual(self.completions("dpo", "trai"), ["train"])
        self.assertEqual(self.completions("dpo", "train", "--learn"), ["--learning-rate"])
        self.assertEqual(self.completions("dpo", "train", "--method", "g"), ["grpo"])
        self.assertEqual(self.completions("dpo", "train", "--data", "pa"), ["pairs.jsonl"])
        self.assertEqual(self.completions("dpo", "classifier", "ap"), ["apply"])

    def test_zsh_and_fish_read_theirs(self) -> None:
        share = BUILD / "share"
        self.assertTrue((share / "zsh/site-functions/_dpo").read_text().startswith("#compdef dpo"))
        fish = (share / "fish/vendor_completions.d/dpo.fish").read_text()
        self.assertIn("complete", fish)
        if shutil.which("zsh"):
            done = run("zsh", "-n", share / "zsh/site-functions/_dpo")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        if shutil.which("fish"):
            done = run("fish", "--no-config", "-c", f"source {share}/fish/vendor_completions.d/dpo.fish; complete -C 'dpo train --learn'")
            self.assertIn("--learning-rate", done.stdout)


if __name__ == "__main__":
    unittest.main()
