"""Files that libdpo writes, read by the programs they are for: h5py and safetensors (NumPy), byte for byte."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import h5py
import numpy
from safetensors import safe_open

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Tests/Fixtures"
DPO = os.environ.get("DPO_COMMAND", str(ROOT / "build/bin/dpo"))
MODELS = sorted(path.name for path in (FIXTURES / "models").iterdir())


def read_safetensors(path: pathlib.Path) -> "dict[str, numpy.ndarray]":
    """All tensors as float32. NumPy has no bf16, whose bits are the upper half of a float32's."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = (8 + size + offset for offset in entry["data_offsets"])
        raw = data[first:last]
        if entry["dtype"] == "BF16":
            values = (numpy.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            values = numpy.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[entry["dtype"]])
        tensors[name] = values.astype("f4").reshape(entry["shape"])
    return tensors


def read_directory(path: pathlib.Path) -> "dict[str, numpy.ndarray]":
    tensors: "dict[str, numpy.ndarray]" = {}
    for shard in sorted(path.glob("*.safetensors")):
        tensors.update(read_safetensors(shard))
    return tensors


class Files(unittest.TestCase):
    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.directory = pathlib.Path(holder.name)

    def export(self, source: pathlib.Path, format: str, name: str, *options: str) -> pathlib.Path:
        output = self.directory / name
        done = subprocess.run(
            [DPO, "export", str(source), "--to", format, "-o", str(output), *options], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return output

    def assert_same(self, found: "dict[str, numpy.ndarray]", expected: "dict[str, numpy.ndarray]") -> None:
        self.assertEqual(sorted(found), sorted(expected))
        for name, values in expected.items():
            numpy.testing.assert_array_equal(found[name], values, name)

    def test_h5py_reads_models_under_hugging_faces_names_and_shapes(self) -> None:
        for model in MODELS:
            source = FIXTURES / "models" / model
            with self.subTest(model), h5py.File(self.export(source, "hdf5", f"{model}.h5")) as file:
                self.assert_same({name: data[()] for name, data in file["model"].items()}, read_directory(source))
                self.assertEqual((file.attrs["format"], file.attrs["kind"]), ("libdpo", "model"))
                self.assertEqual(json.loads(file.attrs["configuration"]), json.loads((source / "config.json").read_text()))
                tokenizer = json.loads((source / "tokenizer.json").read_text())
                self.assertEqual(json.loads(file.attrs["tokenizer_json"]), tokenizer)
                listed = file.attrs["contents"].splitlines()
                self.assertEqual(sorted(listed), sorted(f"/model/{name}" for name in file["model"]))
                for data in file["model"].values():
                    self.assertEqual((data.dtype, data.chunks, data.id.get_offset() % 64), (numpy.dtype("<f4"), None, 0))
                    self.assertEqual(len(data.attrs["xxh3"]), 16)

    def test_safetensors_reads_models_in_every_precision(self) -> None:
        for model in MODELS:
            source = FIXTURES / "models" / model
            expected = read_directory(source)
            with self.subTest(model):
                exact = self.export(source, "safetensors", model)
                with safe_open(exact / "model.safetensors", "numpy") as file:
                    self.assertEqual(file.metadata(), {"format": "pt"})
                    self.assert_same({name: file.get_tensor(name) for name in file.keys()}, expected)
                half = read_directory(self.export(source, "safetensors", f"{model}-f16", "--dtype", "f16"))
                self.assert_same(half, {name: value.astype("f2").astype("f4") for name, value in expected.items()})
                brain = read_directory(self.export(source, "safetensors", f"{model}-bf16", "--dtype", "bf16"))
                for name, value in expected.items():
                    numpy.testing.assert_allclose(brain[name], value, rtol=2**-8, err_msg=name)
                files = {path.name for path in exact.iterdir()}
                self.assertLessEqual({"config.json", "generation_config.json", "tokenizer.json"}, files)

    def test_adapters_keep_their_numbers_through_hdf5_and_peft(self) -> None:
        for model in MODELS:
            base, source = FIXTURES / "models" / model, FIXTURES / "adapters" / f"{model}-random"
            expected = read_directory(source)
            with self.subTest(model):
                stored = self.export(base, "hdf5", f"{model}-adapter.h5", "--adapter", str(source))
                with h5py.File(stored) as file:
                    self.assert_same({name: data[()] for name, data in file["adapter"].items()}, expected)
                    self.assertEqual(file.attrs["base_model"], str(base))
                peft = self.export(stored, "peft", f"{model}-peft")
                self.assert_same(read_directory(peft), expected)
                kept = ("r", "lora_alpha", "use_rslora", "fan_in_fan_out", "peft_type", "task_type", "rank_pattern", "alpha_pattern")
                before, after = (json.loads((path / "adapter_config.json").read_text()) for path in (source, peft))
                self.assertEqual({key: after[key] for key in kept}, {key: before[key] for key in kept})

    def test_a_merged_model_is_the_base_and_the_scaled_product(self) -> None:
        for model in MODELS:
            base, source = FIXTURES / "models" / model, FIXTURES / "adapters" / f"{model}-random"
            settings = json.loads((source / "adapter_config.json").read_text())
            if settings["rank_pattern"] or settings["alpha_pattern"]:
                continue
            with self.subTest(model):
                merged = read_directory(
                    self.export(base, "safetensors", f"{model}-merged", "--adapter", str(source), "--merge"))
                weights, adapter = read_directory(base), read_directory(source)
                scale = settings["lora_alpha"] / settings["r"] ** (0.5 if settings["use_rslora"] else 1)
                for name, before in weights.items():
                    module = f"base_model.model.{name.removesuffix('.weight')}"
                    if f"{module}.lora_A.weight" in adapter:
                        product = adapter[f"{module}.lora_B.weight"] @ adapter[f"{module}.lora_A.weight"]
                        before = before + scale * (product.T if settings["fan_in_fan_out"] else product)
                    numpy.testing.assert_allclose(merged[name], before, atol=1e-6, rtol=1e-6, err_msg=name)


if __name__ == "__main__":
    unittest.main()
