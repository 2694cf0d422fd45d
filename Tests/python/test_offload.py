"""Optimizer states and activations in files: the same bits, nothing left behind, and no room is an error."""

import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time
import unittest
from typing import Any

import h5py

from libdpo import DPOConfig, DPOTrainer
from support import BUILD, MODEL, PAIRS, Case, dpo, rows

DPO = BUILD / "bin" / "dpo"
SMALL = ("--data", PAIRS, "--max-steps", 4, "--learning-rate", "1e-3", "--per-device-train-batch-size", 4, "--threads", 2)
WAYS = {
    "lora": ("--lora-r", 2),
    "full": (),
    "recomputed": ("--lora-r", 2, "--gradient-checkpointing"),
    "sft": ("--method", "sft"),
    "adamw_8bit": ("--method", "sft", "--optim", "adamw_8bit"),
    "adafactor": ("--lora-r", 2, "--optim", "adafactor"),
    "bf16 states": ("--lora-r", 2, "--optim-state-dtype", "bf16"),
}


def parsed(*arguments: object) -> "dict[str, Any]":
    found = dpo(*arguments, "--json")
    if found.returncode:
        raise AssertionError(found.stderr)
    return json.loads(found.stdout)


def content(path: pathlib.Path) -> "dict[str, bytes]":
    found: "dict[str, bytes]" = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None)
    return found


class Offload(Case):
    def setUp(self) -> None:
        super().setUp()
        self.disk = self.directory / "disk"
        self.disk.mkdir()

    def test_no_bit_changes_and_nothing_remains(self) -> None:
        for name, options in WAYS.items():
            made = {}
            for kind, more in (("memory", ()), ("files", ("--offload", self.disk))):
                out = self.directory / f"{name}-{kind}"
                done = dpo("train", MODEL, *SMALL, *options, *more, "--eval-data", PAIRS, "--eval-steps", 2, "--output-dir", out)
                self.assertEqual(done.returncode, 0, done.stderr)
                losses = [{key: value for key, value in line.items() if key != "seconds"} for line in rows(out / "metrics.jsonl")]
                made[kind] = (losses, content(out / "final.h5"), content(out / "checkpoint-4.h5"))
            self.assertEqual(made["memory"], made["files"], name)
            self.assertEqual(list(self.disk.iterdir()), [], name)

    def test_the_plan_counts_files_apart(self) -> None:
        for options in WAYS.values():
            whole = parsed("train", MODEL, *SMALL, *options, "--dry-run")
            apart = parsed("train", MODEL, *SMALL, *options, "--dry-run", "--offload", self.disk)
            self.assertEqual(whole["offload_bytes"], {})
            self.assertEqual(apart["memory_total_bytes"], sum(apart["memory_bytes"].values()))
            self.assertEqual(set(apart["offload_bytes"]), {"optimizer", "activations"})
            self.assertEqual(apart["offload_bytes"]["optimizer"], whole["memory_bytes"]["optimizer"])
            # Those of a separate reference are in memory, too.
            if "--lora-r" in options:
                self.assertEqual(apart["offload_bytes"]["activations"], whole["memory_bytes"]["activations"])
            self.assertLessEqual(apart["offload_bytes"]["activations"], whole["memory_bytes"]["activations"])
            # Passes that only score keep theirs in memory.
            self.assertNotIn("optimizer", apart["memory_bytes"])
            self.assertLess(apart["memory_bytes"]["activations"], whole["memory_bytes"]["activations"])
        text = dpo("train", MODEL, *SMALL, "--dry-run", "--offload", self.disk).stdout
        self.assertRegex(text, r"(?m)^  optimizer: .* in files$")

    def test_files_hold_what_the_plan_says(self) -> None:
        """A run's own mappings: files without a name of the sizes that were planned."""
        # The plan knows every batch of a run, so that both have to have the same steps.
        run = ("train", MODEL, *SMALL, "--max-steps", 100_000, "--offload", self.disk)
        plan = parsed(*run, "--dry-run")["offload_bytes"]
        process = subprocess.Popen(
            [str(DPO), *map(str, run), "--output-dir", str(self.directory / "run"), "--save-steps", "1000000"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            sizes: "list[int]" = []
            deadline = time.monotonic() + 60
            while len(sizes) < 3 and time.monotonic() < deadline:
                time.sleep(0.05)
                lines = pathlib.Path(f"/proc/{process.pid}/maps").read_text().splitlines()
                spans = [line.split()[0].split("-") for line in lines if "dpo-offload" in line and "(deleted)" in line]
                sizes = [int(end, 16) - int(start, 16) for start, end in spans]
            self.assertEqual(list(self.disk.iterdir()), [], "they have no names while the run goes on")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.assertEqual(list(self.disk.iterdir()), [], "nothing remains of a run that was killed")
        page = resource.getpagesize()
        moment = (plan["optimizer"] // 2 + page - 1) // page * page
        self.assertEqual(sizes.count(moment), 2, sizes)
        kept = [size for size in sizes if size != moment]
        self.assertEqual(len(kept), 1, sizes)
        self.assertLessEqual(kept[0], plan["activations"] + page)

    def test_a_place_that_there_is_not_is_an_error(self) -> None:
        for place in (self.directory / "nowhere", PAIRS):
            done = dpo("train", MODEL, *SMALL, "--offload", place, "--output-dir", self.directory / "run")
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(str(place), done.stderr)

    def test_files_may_not_grow_beyond_the_process_limit(self) -> None:
        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        done = subprocess.run(
            [str(DPO), "train", str(MODEL), *map(str, SMALL), "--dry-run", "--offload", str(self.disk)], capture_output=True, text=True,
            preexec_fn=limit, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("4096 bytes", done.stderr)

    @unittest.skipUnless(shutil.which("unshare") and os.geteuid() == 0, "needs unshare and root")
    def test_a_full_disk_is_an_error(self) -> None:
        plan = parsed("train", MODEL, *SMALL, "--dry-run", "--offload", self.disk)["offload_bytes"]
        # Room for nothing; for the optimizer's states alone, so that the first step finds none.
        for size, steps in ((8192, 0), (plan["optimizer"] + 65536, 1)):
            command = " ".join(map(str, (
                DPO, "train", MODEL, *SMALL, "--offload", self.disk, "--output-dir", self.directory / f"full-{size}")))
            done = subprocess.run(
                ["unshare", "-m", "sh", "-c", f"mount -t tmpfs -o size={size} none {self.disk} && {command}"], capture_output=True,
                text=True, timeout=120)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(f"{self.disk}: no room for", done.stderr)
            self.assertIn("No space left", done.stderr)

    def test_python_offloads_too(self) -> None:
        losses = []
        for offload in (None, str(self.disk)):
            config = DPOConfig(
                output_dir=str(self.directory / f"py-{offload is None}"), max_steps=2, lora_r=2, threads=2, disable_tqdm=True,
                offload=offload)
            trainer = DPOTrainer(str(MODEL), args=config, train_dataset=str(PAIRS))
            trainer.train()
            losses.append([line["loss"] for line in rows(pathlib.Path(config.output_dir) / "metrics.jsonl")])
        self.assertEqual(*losses)
        self.assertEqual(list(self.disk.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
