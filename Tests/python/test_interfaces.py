"""Header, shared library, command, Python and the option table of the Swift API say the same."""

import ctypes
import dataclasses
import importlib
import inspect
import json
import math
import re
import sys
import unittest

import libdpo
from libdpo import _native
from libdpo.config import RunConfig
from support import BUILD, MODEL, PAIRS, ROOT, Case, dpo, run

HEADER = (BUILD / "include" / "dpo.h").read_text()
CODE = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL)
FUNCTIONS = sorted(set(re.findall(r"\b(dpo_\w+)\(", CODE)))
TABLE = {row["name"]: row for row in libdpo.describe_options()}
#: What stands for "unset" in the C struct.
UNSET = {
    "num_ppo_epochs": 0, "num_generations": 0, "max_completion_length": 0, "data_seed": -1, "max_length": 0, "save_total_limit": 0,
    "lora_target_modules": None, "offload": None, "optim_args": None,
}


class Library(Case):
    def test_exports_exactly_the_functions_of_the_header(self) -> None:
        listed = run("nm", "-D", "--defined-only", BUILD / "lib" / "libdpo.so").stdout
        exported = sorted({line.split()[-1].split("@")[0] for line in listed.splitlines()})
        self.assertEqual(exported, FUNCTIONS)

    def test_a_thread_may_end_after_dlclose(self) -> None:
        program = """if True:
            import _ctypes, ctypes, os, sys, threading, time
            def use():
                library = ctypes.CDLL(sys.argv[1])
                library.dpo_loss_options_init(None, 0)  # fails, and keeps its sentence for the thread
                _ctypes.dlclose(library._handle)
            threading.Thread(target=use).start()
            while len(os.listdir("/proc/self/task")) > 1:
                time.sleep(0.01)"""
        ended = run(sys.executable, "-c", program, BUILD / "lib" / "libdpo.so")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))

    def test_soname_and_what_it_needs_at_run_time(self) -> None:
        self.assertIn("[libdpo.so.0]", run("readelf", "-d", BUILD / "lib" / "libdpo.so").stdout)
        for path in ("lib/libdpo.so", "bin/dpo"):
            dynamic = run("readelf", "-d", BUILD / path).stdout
            self.assertNotRegex(dynamic, r"NEEDED.*(swift|openblas)")
            self.assertNotIn("RUNPATH", dynamic)
            if (ROOT / ".cache/static/stamp").exists() and BUILD == ROOT / "build":
                needed = set(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
                self.assertLessEqual(needed, {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"})

    def test_versions(self) -> None:
        numbers = [re.search(rf"DPO_VERSION_{part} (\d+)", HEADER).group(1) for part in ("MAJOR", "MINOR", "PATCH")]
        self.assertEqual(libdpo.__version__, ".".join(numbers))
        self.assertIn(libdpo.__version__, dpo("version").stdout)
        major, minor, patch = map(int, numbers)
        self.assertEqual(_native.lib.dpo_version_number(), 10000 * major + 100 * minor + patch)
        self.assertTrue((BUILD / "lib" / f"libdpo.so.{libdpo.__version__}").is_file())


class PythonPrototypes(Case):
    def test_every_function_has_a_prototype_with_as_many_arguments(self) -> None:
        for name in FUNCTIONS:
            arguments = re.search(rf"\b{name}\(([^;]*?)\);", CODE, re.DOTALL).group(1)
            count = 0 if arguments.strip() == "void" else arguments.count(",") + 1
            function = getattr(_native.lib, name)
            self.assertIsNotNone(function.argtypes if count else [], name)
            self.assertEqual(len(function.argtypes or []), count, name)

    def test_structs_have_the_layout_of_the_header(self) -> None:
        structs = {
            "dpo_loss_options": _native.LossOptions, "dpo_model_info": _native.ModelInfo,
            "dpo_dataset_info": _native.DatasetInfo, "dpo_train_options": _native.TrainOptions,
            "dpo_metrics": _native.Metrics, "dpo_event": _native.Event,
            "dpo_generation_options": _native.GenerationOptions, "dpo_export_options": _native.ExportOptions,
            "dpo_feedback_options": _native.FeedbackOptions, "dpo_feedback_result": _native.FeedbackResult,
            "dpo_ppo_options": _native.PPOOptions, "dpo_answers": _native.Answers,
        }
        lines, expected = [], []
        for name, kind in structs.items():
            lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
            expected.append(f"{name} {ctypes.sizeof(kind)}")
            for field, *_ in kind._fields_:
                lines.append(f'printf("{name}.{field} %zu\\n", offsetof({name}, {field}));')
                expected.append(f"{name}.{field} {getattr(kind, field).offset}")
            declared = re.search(rf"struct {name} \{{(.*?)\n\}}", CODE, re.DOTALL).group(1)
            self.assertEqual(len(kind._fields_), declared.count(";"), name)
        source = self.directory / "layout.c"
        source.write_text("#include <dpo.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n")
        compiled = run("cc", "-std=c99", f"-I{BUILD}/include", source, "-o", self.directory / "layout")
        self.assertEqual(compiled.returncode, 0, compiled.stderr)
        self.assertEqual(run(self.directory / "layout").stdout.splitlines(), expected)

    def test_loss_numbers_follow_the_header(self) -> None:
        declared = re.findall(r"DPO_LOSS_(\w+) = (\d+)", CODE)
        self.assertEqual([name.lower() for name, _ in declared], list(libdpo.LOSS_TYPES))
        self.assertEqual([int(number) for _, number in declared], list(range(len(declared))))
        self.assertEqual(TABLE["loss_type"]["choices"][:len(declared)], list(libdpo.LOSS_TYPES))


class OptionsByName(Case):
    """Every field that the header's structs have is set by its name, and no other field changes."""

    KINDS = {
        "training": _native.TrainOptions, "generation": _native.GenerationOptions, "tokenizer": _native.TokenizerOptions,
        "shape": _native.ModelShape, "export": _native.ExportOptions, "feedback": _native.FeedbackOptions,
        "loss": _native.LossOptions, "ppo": _native.PPOOptions,
    }

    def open(self, kind: str) -> ctypes.c_void_p:
        options = ctypes.c_void_p()
        self.assertEqual(_native.lib.dpo_options_create(kind.encode(), ctypes.byref(options)), 0)
        self.addCleanup(_native.lib.dpo_options_release, options)
        return options

    def described(self, options: ctypes.c_void_p) -> "dict[str, dict]":
        text = ctypes.c_void_p()
        self.assertEqual(_native.lib.dpo_options_describe(options, ctypes.byref(text)), 0)
        rows = json.loads(ctypes.string_at(text))
        _native.lib.dpo_string_free(text)
        return {row["name"]: row for row in rows}

    @staticmethod
    def plain(value: object) -> object:
        """A field's value: of pointers, what they point to first."""
        if isinstance(value, ctypes._Pointer):
            return value[0] if value else None
        return None if isinstance(value, float) and math.isnan(value) else value

    def test_each_field(self) -> None:
        for kind, struct in self.KINDS.items():
            names = [name for name, *_ in struct._fields_]
            rows = self.described(self.open(kind))
            counts = {"struct_size", "loss_weight_count", "special_token_count", "loss_count", "training"}
            self.assertEqual(sorted(name for name in rows if "." not in name), sorted(set(names) - counts), kind)
            for name, row in rows.items():
                if "." in name or (kind, name) == ("loss", "loss_weights"):
                    continue
                options = self.open(kind)
                fields = [field for field in names if field != "training"]
                before = {field: self.plain(getattr(struct.from_address(_native.lib.dpo_options_struct(options)), field))
                          for field in fields}
                value = {"bool": not row["default"], "int": 3, "float": 0.25, "floats": [0.25, 1]}.get(row["type"])
                if value is None:
                    value = row["choices"][-1] if row["choices"] else "<x>"
                    value = [value] if row["type"] == "strings" else value
                status = _native.lib.dpo_options_set_json(options, json.dumps({name: value}).encode())
                self.assertEqual(status, 0, (name, _native.lib.dpo_last_error()))
                self.assertEqual(self.described(options)[name]["value"], value, name)
                after = struct.from_address(_native.lib.dpo_options_struct(options))
                changed = {field for field in fields if self.plain(getattr(after, field)) != before[field]}
                self.assertIn(name, changed)
                self.assertLessEqual(changed - {name}, {"loss_weight_count", "special_token_count", "loss_count"}, name)
                found = self.plain(getattr(after, name))
                if row["type"] in ("bool", "int", "float"):
                    self.assertEqual(found, value, name)
                elif row["type"] == "string" and kind != "loss":
                    self.assertEqual(found.decode(), value, name)

    def test_descriptions_are_the_table(self) -> None:
        rows = self.described(self.open("training"))
        self.assertEqual({name: {**row, "value": row["default"]} for name, row in TABLE.items()}, rows)


class Options(Case):
    def test_c_struct_has_every_option_with_its_default(self) -> None:
        fields = [name for name, *_ in _native.TrainOptions._fields_ if name not in ("struct_size", "loss_weight_count")]
        self.assertEqual(sorted(fields), sorted(TABLE))
        values = _native.initialised(_native.TrainOptions, _native.lib.dpo_train_options_init)
        for name, row in TABLE.items():
            value, default = getattr(values, name), row["default"]
            if name == "loss_weights":
                self.assertFalse(value)
            elif default is None or default == []:
                unset = value == UNSET[name] if name in UNSET else math.isnan(value)
                self.assertTrue(unset, name)
            elif isinstance(default, bool):
                self.assertEqual(bool(value), default, name)
            elif isinstance(default, list):
                self.assertEqual(value.decode(), ",".join(default), name)
            elif isinstance(default, str):
                self.assertEqual(value.decode(), default, name)
            else:
                self.assertEqual(value, default, name)

    def test_header_comments_tell_the_defaults(self) -> None:
        body = re.search(r"struct dpo_train_options \{(.*?)\n\};", HEADER, re.DOTALL).group(1)
        told = {name: text for text, name in re.findall(r"/\* (.*?) \*/\n[^;/]*?(\w+);", body, re.DOTALL)}
        for name, row in TABLE.items():
            words = re.sub(r"\s+(\* )?", " ", told[name])
            start = re.search(r'Default "?(.*?)"?(?:[.;:]( |$))', words).group(1)
            default = row["default"]
            if isinstance(default, bool):
                self.assertEqual(start, str(int(default)), name)
            elif isinstance(default, (int, float)):
                self.assertEqual(float(start), default, name)
            elif isinstance(default, str):
                self.assertEqual(start, default, name)

    def test_python_configurations_have_every_option_with_its_default(self) -> None:
        own = {field.name for field in dataclasses.fields(RunConfig)} | {"dataset_text_field", "reward_weights", "chat_template_kwargs"}
        found = {}
        kinds = [kind for name, kind in vars(libdpo).items() if name.endswith("Config") and name != "LoraConfig"]
        for kind in sorted(kinds, key=lambda kind: kind is not libdpo.DPOConfig):
            for field in dataclasses.fields(kind):
                default = found.setdefault(field.name, field.default)
                if field.name != "loss_type":  # a method's own
                    self.assertEqual(field.default, default, f"{kind.__name__}.{field.name}")
        self.assertEqual(sorted(set(found) - own), sorted(set(TABLE) - {"method"}))
        for name, row in TABLE.items():
            if name == "method":
                continue
            default = row["default"]
            if default == []:
                default = None
            elif isinstance(default, list):
                default = default[0]
            self.assertEqual(found[name], default, name)

    def test_command_has_a_flag_for_every_option(self) -> None:
        text = dpo("train", "--help-all").stdout.replace("[no-]", "")
        flags = set(re.findall(r"--([a-z0-9-]+)", text))
        for name in TABLE:
            flag = name.replace("_", "-")
            self.assertTrue({flag, f"no-{flag}"} & flags, f"--{flag}")

    def test_what_is_made_of_the_option_tables_is_current(self) -> None:
        if sys.version_info < (3, 11):
            self.skipTest("options/generate.py needs Python 3.11 or newer")
        checked = run(sys.executable, ROOT / "options" / "generate.py", "--check")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_every_module_has_what_it_says_it_exports(self) -> None:
        for path in sorted((ROOT / "bindings" / "python" / "libdpo").glob("*.py")):
            module = importlib.import_module("libdpo" if path.stem == "__init__" else f"libdpo.{path.stem}")
            for name in getattr(module, "__all__", []):
                self.assertTrue(hasattr(module, name), f"{path.name}: {name}")

    def test_functions_show_the_options_they_take(self) -> None:
        names = list(inspect.signature(libdpo.Model.generate).parameters)
        self.assertEqual(names[:4], ["self", "prompts", "on_token", "max_new_tokens"])
        self.assertIn("max_new_tokens: Most tokens", libdpo.Model.generate.__doc__)
        self.assertNotIn("precision", inspect.signature(libdpo.Model.evaluate).parameters)
        self.assertRaises(TypeError, libdpo.create_model, "x", layer=1)

    def test_an_empty_name_in_a_list_is_an_error(self) -> None:
        model = libdpo.Model(MODEL)
        for text in ("sigmoid,,hinge", ",sigmoid", "sigmoid, "):
            with self.assertRaisesRegex(ValueError, "loss_type is .*: nothing stands between two commas"):
                libdpo.Dataset(PAIRS, model, libdpo.DPOConfig(loss_type=text))
            self.assertIn("nothing stands between", dpo("train", MODEL, "--data", PAIRS, "--dry-run", "--loss-type", text).stderr)
        self.assertGreater(len(libdpo.Dataset(PAIRS, model, libdpo.DPOConfig(loss_type="sigmoid , hinge"))), 0)

    def test_unknown_options_raise(self) -> None:
        self.assertRaises(TypeError, libdpo.DPOConfig, grouped_by_length=True)
        self.assertRaises(TypeError, libdpo.SFTConfig, beta=0.1)


if __name__ == "__main__":
    unittest.main()
