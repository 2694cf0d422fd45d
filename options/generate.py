#!/usr/bin/env python3
"""Writes everything that is made of the option tables beside this file. `make options`; with --check it only compares.

A row of a table says:

    name          of the C field, of JSON, and of TRL's config where it has the option
    type          bool, int, real, name (one of several), names, reals, text, texts, ids
    default       absent: the option may be unset
    unset         what unset means, in words; by_method: the value that each method then takes
    min, max      range; above: more than this
    choices       values of a name; "methods", "losses", "pair_losses" and "divergences" are those of methods.toml and losses.toml
    like          a row of training.toml, which gives type, default, range, choices and help unless they stand here
    help          one or two plain sentences
    source        paper and equation, or another name elsewhere
    group         heading (training.toml)
    basic         shown first in the command's help (training.toml)
    needs         another option without which this one is not read, and its values that read it: a list (empty for a switch), or
                  what losses.toml says that they take (training.toml)
    resume        what may become of it when a run is resumed: fixed (the default), noted or free (training.toml)
    swift         path of the Swift property; enum: its type, whose raw values are the choices
    c             another C type than the usual one; c_unset: what stands for unset there (usually NaN, 0 or NULL)
    c_enum        the C enum whose numbers the field holds instead of names
    count         C field with the length of a list; beside: another list of the same length
    path          whether a text names a file or directory
    python, flag  another name there; surfaces: where the option exists (c, swift, python, flag; usually all)

Python 3.11 or newer. Nothing else than this program needs it.
"""

import pathlib
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterable

import declarations

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
BY = "options/generate.py"
WIDTH = 120
GROUPS = {
    "method": "Method and loss",
    "reference": "Reference model",
    "rollout": "Rollouts: methods that learn from the policy's own answers",
    "optimization": "Optimisation",
    "batches": "Batches and steps",
    "rows": "Rows",
    "lora": "LoRA",
    "files": "Evaluation and files",
    "machine": "Machine",
}
# Groups of the Swift options that are a type of their own, and what they are.
SWIFT_GROUPS = {
    "optimization": ("Optimization", "The optimiser and the learning rate's schedule."),
    "batches": ("Batches", "What a step learns from, and how many steps there are."),
    "rows": ("Rows", "How rows are cut."),
    "lora": ("LoRA", "The adapter that is trained instead of every weight. Rank 0: none."),
    "files": ("Files", "When a run evaluates, and what it writes."),
    "machine": ("Machine", "How the run uses the machine. Changes no result but by rounding."),
}


def load(name: str) -> dict:
    with open(HERE / f"{name}.toml", "rb") as file:
        return tomllib.load(file)


METHODS = load("methods")
LOSSES = load("losses")
DIVERGENCE_NAMES = [row["name"] for row in LOSSES["divergence"]]
PAIR_LOSSES = [row["name"] for row in LOSSES["loss"]]
LOSS_NAMES = list(PAIR_LOSSES)
for _names in LOSSES["others"].values():
    LOSS_NAMES += [name for name in _names if name not in LOSS_NAMES]
METHOD_NAMES = [row["name"] for row in METHODS["method"]]
for _row in METHODS["method"]:
    _row["all"] = [name for entry in _row["options"] for name in METHODS["sets"].get(entry, [entry])]


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    text = f"{value:e}" if 0 < abs(value) < 1e-3 else repr(value)
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text


def plain(value: float) -> str:
    """A number in prose: 10000 for 10000.0."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e9 else number(value)


# What a row takes from the row of training.toml that it is like.
SHARED = ("type", "default", "min", "max", "above", "choices", "enum", "help")
TRAINING_ROWS = {row["name"]: row for row in load("training")["option"]}
# Prefixes of the values of C enums.
C_PREFIX = {"dpo_f_divergence": "DPO_F_", "dpo_loss_type": "DPO_LOSS_"}


class Option:
    def __init__(self, row: dict, table: "Table") -> None:
        if "like" in row:
            shared = TRAINING_ROWS[row["like"]]
            row = {key: shared[key] for key in SHARED if key in shared} | row
        self.name = row["name"]
        self.type = row["type"]
        self.group = row.get("group", "")
        self.help = row["help"].strip()
        self.source = row.get("source", "")
        self.table = table
        self.row = row
        self.by_method = row.get("by_method", {})
        if self.by_method == "learning_rate":
            self.by_method = {method["name"]: method["learning_rate"] for method in METHODS["method"]}
        self.optional = bool("unset" in row or self.by_method) and self.type not in ("training", "texts")
        self.default = row.get("default")
        self.choices = row.get("choices", [])
        if isinstance(self.choices, str):
            self.choices = {"methods": METHOD_NAMES, "losses": LOSS_NAMES, "pair_losses": PAIR_LOSSES,
                            "divergences": DIVERGENCE_NAMES}[self.choices]
        #: Choices that help lists; losses have a table of their own.
        self.told_choices = [] if self.choices is LOSS_NAMES or self.choices is PAIR_LOSSES else self.choices
        self.surfaces = row.get("surfaces", table.data.get("surfaces", ["c", "swift", "python", "flag"]))
        self.swift = row.get("swift", "")
        self.python = row.get("python", self.name)
        self.flag = row.get("flag", self.name.replace("_", "-"))
        owners = [method["name"] for method in METHODS["method"] if self.name in method["all"]]
        self.methods = owners if table.name == "training" else []
        if unknown := [key for key in row if key not in KEYS]:
            sys.exit(f"options/{table.name}.toml: {self.name}: unknown keys {unknown}")

    # ------------------------------------------------------------------------------------------------------ in words

    def unset(self) -> str:
        if self.by_method:
            groups: "dict[float, list[str]]" = {}
            for method, value in self.by_method.items():
                groups.setdefault(value, []).append(method)
            parts = [(value, names) for value, names in groups.items()]
            rest = max(parts, key=lambda part: len(part[1]))
            if len(rest[1]) > 3:
                parts.remove(rest)
                parts.append((rest[0], ["the others"]))
            return ", ".join(f"{plain(value)} for {joined(names)}" for value, names in parts)
        return self.row.get("unset", "")

    def needs(self) -> "tuple[str, list[str], dict[str, list[str]]] | None":
        """The option that this one needs, the values that read it (none for a switch), and those of methods that have others."""
        for name, values in self.row.get("needs", {}).items():
            if isinstance(values, list):
                return name, values, {}
            told = [row["name"] for row in LOSSES["loss"] if values in row.get("takes", [])]
            own = {row["name"]: row["losses"][values] for row in METHODS["method"] if values in row.get("losses", {})}
            return name, told, own
        return None

    def range(self) -> str:
        low, high, above = (self.row.get(key) for key in ("min", "max", "above"))
        if above is not None:
            return f"more than {plain(above)}" + (f", at most {plain(high)}" if high is not None else "")
        if low is not None and high is not None:
            return f"{plain(low)} to {plain(high)}"
        return f"at least {plain(low)}" if low is not None else ""

    def default_words(self, quote: str = "") -> str:
        if self.default in (None, [], ""):
            return ""
        if self.type == "bool":
            return "on" if self.default else "off"
        if self.type in ("names", "texts"):
            return quote + ",".join(self.default) + quote
        if self.type in ("name", "text"):
            return quote + self.default + quote
        return plain(self.default)

    # ---------------------------------------------------------------------------------------------------------- Swift

    def swift_type(self) -> str:
        base = {
            "bool": "Bool", "int": "Int", "real": "Double", "name": self.row.get("enum", "String"), "names": "[String]",
            "reals": "[Double]", "text": "String", "texts": "[String]", "ids": "[Int32]",
        }[self.type]
        if self.type == "int" and self.row.get("c") == "uint64_t":
            base = "UInt64"
        return base + ("?" if self.optional else "")

    def swift_default(self) -> str:
        return self.swift_literal(self.default)

    def swift_literal(self, value: object) -> str:
        if value is None:
            return "nil"
        if self.type == "bool":
            return "true" if value else "false"
        if self.type == "name" and "enum" in self.row:
            return "." + SWIFT_CASES.get(value, camel(str(value)))
        if isinstance(value, str):
            return f'"{value}"'
        if isinstance(value, list):
            return "[" + ", ".join(f'"{item}"' if isinstance(item, str) else number(item) for item in value) + "]"
        return number(float(value)) if self.type == "real" else number(value)

    @staticmethod
    def swift_literal_of(name: str) -> str:
        return "." + SWIFT_CASES.get(name, camel(name))

    def swift_name(self) -> str:
        return self.swift.split(".")[-1]

    def swift_doc(self, indent: str, extra: str = "") -> "list[str]":
        return wrap(sentences(self.help, self.source_words(), self.range_words(), self.unset_words("nil"), extra),
                    indent + "/// ")

    def source_words(self) -> str:
        return f"Source: {self.source}." if self.source else ""

    def range_words(self) -> str:
        return self.range()[:1].upper() + self.range()[1:] + "." if self.range() else ""

    def unset_words(self, word: str) -> str:
        return f"{word}: {self.unset()}." if self.optional else ""

    # -------------------------------------------------------------------------------------------------------------- C

    def c_type(self) -> str:
        if "c" in self.row:
            return self.row["c"]
        if "c_enum" in self.row:
            return "int32_t" if self.type == "name" else "const int32_t *"
        return {
            "bool": "int32_t", "int": "int32_t", "real": "double", "name": "const char *", "names": "const char *",
            "reals": "const double *", "text": "const char *", "texts": "const char *const *",
            "training": "const dpo_train_options *",
        }[self.type]

    def c_fields(self) -> "list[tuple[str, str]]":
        fields = [(self.c_type(), self.name)]
        if self.type in ("reals", "texts"):
            fields.append(("size_t", self.row.get("count", self.name.removesuffix("s") + "_count")))
        return fields

    def c_unset(self) -> str:
        if "c_unset" in self.row:
            return plain(self.row["c_unset"])
        return "NaN" if self.type == "real" else "NULL"

    def c_words(self) -> str:
        if "c_enum" in self.row:
            value = C_PREFIX[self.row["c_enum"]]
            if self.type == "names":
                return f"Default NULL: {', '.join(value + name.upper() for name in self.default)}."
            default = f"Default {value}{self.default.upper()}."
        elif self.type == "bool":
            default = f"Default {int(self.default)}."
        elif self.optional and self.default is not None:
            default = f"Default {self.default_words(chr(34))}; {self.c_unset()}: {self.unset()}."
        elif self.optional:
            default = f"Default {self.c_unset()}: {self.unset()}."
        elif self.default == []:
            default = "Default NULL."
        elif self.type == "training":
            default = ""
        else:
            default = f"Default {self.default_words(chr(34))}."
        return default

    # --------------------------------------------------------------------------------------------------------- Python

    def ctype(self) -> str:
        c = self.c_type()
        return {
            "const char *": "c_char_p", "const double *": "POINTER(c_double)", "const char *const *": "POINTER(c_char_p)",
            "const dpo_train_options *": "POINTER(TrainOptions)", "const int32_t *": "POINTER(c_int32)",
        }.get(c, "c_" + c.removesuffix("_t"))

    def python_type(self) -> str:
        base = {
            "bool": "bool", "int": "int", "real": "float", "name": "str", "names": "Union[str, Sequence[str]]",
            "reals": "Sequence[float]", "text": "str", "texts": "Sequence[str]",
        }[self.type]
        return f"Optional[{base}]" if self.optional or self.default == [] and self.type != "texts" else base

    def python_default(self, value: object = ...) -> str:
        value = self.default if value is ... else value
        if value == [] and self.type == "texts":
            return "()"
        if value is None or value == []:
            return "None"
        if isinstance(value, list):
            return f'"{",".join(value)}"'
        if isinstance(value, str):
            return f'"{value}"'
        return str(value) if isinstance(value, bool) else number(value)


KEYS = {
    "name", "basic", "type", "default", "unset", "by_method", "min", "max", "above", "choices", "help", "source", "group", "resume",
    "swift", "enum", "c", "c_unset", "python", "flag", "surfaces", "like", "c_enum", "count", "beside", "path", "needs",
}
# Cases of Swift enums that are not their raw value in camel case.
SWIFT_CASES = {row["name"]: row["case"] for row in LOSSES["divergence"]}


class Table:
    def __init__(self, name: str) -> None:
        data = load(name)
        self.name = name
        self.struct = data["struct"]
        self.swift_type = data.get("swift_type", "")
        self.summary = data.get("summary", "")
        self.data = data
        self.options = [Option(row, self) for row in data["option"]]
        self.python = data.get("python") or "".join(
            part.capitalize() for part in self.struct.removeprefix("dpo_").split("_"))

    def on(self, surface: str) -> "list[Option]":
        return [option for option in self.options if surface in option.surfaces]

    def option(self, name: str) -> Option:
        return next(option for option in self.options if option.name == name)


def joined(names: "list[str]") -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def wrap_items(items: "list[str]", prefix: str, width: int = WIDTH, last: str = "") -> "list[str]":
    """Items joined by commas, in lines that break between them."""
    lines = [prefix]
    for index, item in enumerate(items):
        item += "," if index + 1 < len(items) else last
        if lines[-1] == prefix:
            lines[-1] += item
        elif len(lines[-1]) + 1 + len(item) <= width:
            lines[-1] += " " + item
        else:
            lines.append(prefix + item)
    return lines


def wrap(text: str, prefix: str, width: int = WIDTH) -> "list[str]":
    return textwrap.wrap(
        text, width, initial_indent=prefix, subsequent_indent=prefix, break_long_words=False, break_on_hyphens=False)


def c_comment(text: str, indent: str = "    ") -> "list[str]":
    lines = textwrap.wrap(
        text, WIDTH - 3, initial_indent=indent + "/* ", subsequent_indent=indent + " * ", break_long_words=False,
        break_on_hyphens=False)
    return lines[:-1] + [lines[-1] + " */"]


# ----------------------------------------------------------------------------------------------------------------- dpo.h


def c_struct(table: Table) -> "list[str]":
    lines = ["    size_t struct_size; /* sizeof, set by the init function */"]
    group = ""
    for option in table.on("c"):
        if option.group != group and option.group in GROUPS:
            group = option.group
            lines += ["", f"    /* ---- {GROUPS[group]} ---- */"]
        if table.name == "training":
            lines.append("")
        text = sentences(option.help, option.source_words())
        if option.name == "method":
            text = sentences(text, "; ".join(f'"{row["name"]}" {row["summary"]}' for row in METHODS["method"]) + ".")
        elif "c_enum" in option.row:
            text = sentences(text, f"{'Values' if option.type == 'names' else 'One'} of {option.row['c_enum']}.")
        elif option.told_choices:
            text = sentences(text, "One of " + ", ".join(f'"{name}"' for name in option.choices) + ".")
        if option.type == "names" and "c_enum" not in option.row:
            text += " Names are joined by commas."
        methods = f"For {joined(option.methods)}." if option.methods else ""
        lines += c_comment(sentences(text, option.range_words(), option.c_words(), methods))
        for kind, name in option.c_fields():
            note = f" /* length of both; 0 when {option.row['beside']} is NULL */" if name == option.row.get("count") else ""
            lines.append(f"    {kind}{'' if kind.endswith('*') else ' '}{name};{note}")
    return lines


def c_enum(rows: "list[dict]", name: str) -> "list[str]":
    lines = []
    for index, row in enumerate(rows):
        comma = "," if index + 1 < len(rows) else ""
        lines.append(f"    {C_PREFIX[name]}{row['name'].upper()} = {row['number']}{comma} /* {row['help'].rstrip('.')} */")
    return lines


# ----------------------------------------------------------------------------------------------------------------- Swift

SWIFT_HEAD = f"// Made by {BY} from the tables beside it: change those, and run `make options`.\n// swift-format-ignore-file\n\n"


def swift_losses() -> str:
    lines = [
        "/// The losses of the DPO family. Raw values are the names of TRL's `loss_type`.",
        "public enum LossType: String, CaseIterable, Sendable {",
    ]
    for row in LOSSES["loss"]:
        lines += wrap(row["help"], "  /// ")
        case = camel(row["name"])
        lines.append(f"  case {case}" + (f' = "{row["name"]}"' if case != row["name"] else ""))
    lines += ["", "  /// The number in the C ABI, which never changes.", "  public var number: Int32 {", "    switch self {"]
    lines += [f"    case .{camel(row['name'])}: {row['number']}" for row in LOSSES["loss"]]
    lines += ["    }", "  }"]

    def fact(name: str, doc: str, holds: "list[str]") -> None:
        nonlocal lines
        lines += ["", *wrap(doc, "  /// "), f"  public var {name}: Bool {{", "    switch self {"]
        for value in ("true", "false"):
            cases = [f".{camel(row['name'])}" for row in LOSSES["loss"] if (row["name"] in holds) == (value == "true")]
            block = textwrap.wrap(f"case {', '.join(cases)}: {value}", WIDTH - 6)
            lines += ["    " + block[0]] + ["      " + line for line in block[1:]]
        lines += ["    }", "  }"]

    def taking(what: str) -> "list[str]":
        return [row["name"] for row in LOSSES["loss"] if what in row.get("takes", [])]

    fact("takesDivergence", "Whether `f_divergence_type` other than reverse KL changes (and is defined for) this loss.",
         taking("f_divergence"))
    fact("takesTokenCounts", "Whether the completions' numbers of tokens are in the loss's formula.", taking("token_counts"))
    fact("sortsBatch", "Whether a pair's loss depends on the other pairs of its micro-batch by sorting, so that no single "
         "pair can be weighted.", [row["name"] for row in LOSSES["loss"] if row.get("sorts_batch")])
    lines += ["}", "", "/// f-DPO (Wang et al. 2023): what is applied to the log-ratios t = log π/π_ref before the loss compares them.",
              "public enum FDivergence: String, CaseIterable, Sendable {"]
    for row in LOSSES["divergence"]:
        lines += [*wrap(row["help"], "  /// "), f'  case {row["case"]} = "{row["name"]}"']
    lines += ["", "  /// The number in the C ABI, which never changes.", "  public var number: Int32 {", "    switch self {"]
    lines += [f"    case .{row['case']}: {row['number']}" for row in LOSSES["divergence"]]
    lines += ["    }", "  }"]
    return SWIFT_HEAD + "\n".join(lines) + "\n}\n"


def parameter(option: Option, label: str = "", default: str = "", kind: str = "") -> str:
    return f"{label or option.swift_name()}: {kind or option.swift_type()} = {default or option.swift_default()}"


def parameter_docs(pairs: "list[tuple[str, str]]", indent: str) -> "list[str]":
    lines = [f"{indent}/// - Parameters:"]
    for name, text in pairs:
        lines += textwrap.wrap(
            f"- {name}: {text}", WIDTH, initial_indent=f"{indent}///   ", subsequent_indent=f"{indent}///     ",
            break_long_words=False, break_on_hyphens=False)
    return lines


def swift_initializer(options: "list[Option]", indent: str) -> "list[str]":
    parameters = [parameter(option) for option in options]
    lines = [
        f"{indent}/// Options that are left out have their defaults. `TrainingOptions.validate()` checks ranges.",
        f"{indent}public init(",
    ]
    lines += wrap_items(parameters, indent + "  ")
    lines += [f"{indent}) {{"]
    lines += [f"{indent}  self.{option.swift_name()} = {option.swift_name()}" for option in options]
    return lines + [f"{indent}}}"]


def loss_parameter(method: dict) -> "tuple[str, str, str]":
    """Label, type and default of the Swift parameter that sets loss_type."""
    losses = method["losses"]
    case = "." + camel(losses["default"])
    if losses.get("many"):
        return "losses", f"[{losses['type']}]", f"[{case}]"
    return "loss", losses["type"], case


def swift_method(method: dict, table: Table) -> "list[str]":
    options = [option for option in table.options if option.name in method["all"]]
    lines = wrap(method_words(method), "    /// ")
    if not options:
        return lines + [f'    public static func {camel(method["name"])}() -> Method {{ Method("{method["name"]}") }}']
    docs: "list[tuple[str, str]]" = []
    parameters: "list[str]" = []
    body: "list[str]" = []
    for option in options:
        if option.name == "loss_type":
            label, kind, default = loss_parameter(method)
            docs.append((label, "the losses, summed." if label == "losses" else "the loss."))
            parameters.append(f"{label}: {kind} = {default}")
            body.append(
                "method.lossType = " + ("losses.map(\\.rawValue)" if label == "losses" else "[loss.rawValue]"))
            continue
        name = option.swift_name()
        unset = ""
        if option.optional:
            value = option.by_method.get(method["name"])
            unset = f"nil: {plain(value) if value is not None else option.unset()}."
        name_first = any(letter.isupper() for letter in option.help.split()[0][1:])
        text = sentences(option.help if name_first else option.help[0].lower() + option.help[1:], option.range_words(), unset)
        docs.append((name, text))
        parameters.append(parameter(option))
        body.append(f"method.{name} = {name}")
    lines += ["    ///", *parameter_docs(docs, "    ")]
    lines += [f"    public static func {camel(method['name'])}("]
    lines += wrap_items(parameters, "      ")
    lines += ["    ) -> Method {", f'      var method = Method("{method["name"]}")']
    lines += [f"      {line}" for line in body]
    return lines + ["      return method", "    }"]


def swift_training(table: Table) -> str:
    of_method = [option for option in table.options if option.swift.startswith("method.")]
    lines = [
        "import DPOKernels", "import DPOModel", "",
        "/// Every option of a training run. Names, defaults and meaning are those of TRL 1.16's configs (`DPOConfig`,",
        "/// `SFTConfig`) and PEFT's `LoraConfig`.",
        "///",
        "/// ```swift",
        "/// var options = TrainingOptions(method: .dpo(losses: [.sigmoid], beta: 0.1))",
        "/// options.lora = .init(rank: 16, targetModules: [\"all-linear\"])",
        "/// options.optimization.learningRate = 1e-4",
        "/// ```",
        "public struct TrainingOptions: Sendable, Equatable {",
        "  /// What is trained, by which loss.",
        "  public var method: Method",
    ]
    for name, (kind, doc) in SWIFT_GROUPS.items():
        lines += [f"  /// {doc}", f"  public var {name}: {kind}"]
    lines += [
        "", "  /// Groups that are left out have their defaults. `validate()` checks ranges, and what goes together.",
        "  public init(",
    ]
    arguments = ["method: Method = .dpo()"] + [f"{name}: {kind} = .init()" for name, (kind, _) in SWIFT_GROUPS.items()]
    lines += wrap_items(arguments, "    ")
    lines += ["  ) {", "    self.method = method"] + [f"    self.{name} = {name}" for name in SWIFT_GROUPS]
    lines += ["  }", ""]
    lines += [
        "  /// A training method with its options: one of the static functions, which have the options that the method has.",
        "  public struct Method: Sendable, Equatable {",
        "    /// The method's name, as options and reports write it.",
        "    public package(set) var name: String",
    ]
    for option in of_method[1:]:
        lines += wrap(option.help, "    /// ")
        lines.append(f"    public package(set) var {option.swift_name()}: {option.swift_type()} = {option.swift_default()}")
    lines += [
        "", "    /// A method with its defaults, by its name in the option table.",
        '    package init(_ name: String = "dpo") { self.name = name }', "",
        "    /// Every option at its default.",
        "    public static let standard = Method()",
        "",
        "    /// All names, in the order in which methods are documented.",
        "    public static let names = [",
    ]
    lines += wrap(", ".join(f'"{name}"' for name in METHOD_NAMES) + ",", "      ")
    lines += ["    ]"]
    for method in METHODS["method"]:
        lines += ["", *swift_method(method, table)]
    lines += ["  }"]
    for name, (kind, doc) in SWIFT_GROUPS.items():
        options = [option for option in table.options if option.swift.startswith(name + ".")]
        lines += ["", f"  /// {doc}", f"  public struct {kind}: Sendable, Equatable {{"]
        for option in options:
            lines += option.swift_doc("    ")
            lines.append(f"    public var {option.swift_name()}: {option.swift_type()}")
        lines += ["", *swift_initializer(options, "    "), "  }"]
    return SWIFT_HEAD + "\n".join(lines) + "\n}\n"


def swift_table(table: Table) -> str:
    """What the options mean where they are not set, the methods by name, and the table itself."""
    lines = ["import DPOBase", "", "extension TrainingOptions.Method {"]
    for option in table.options:
        if option.by_method:
            kind = option.swift_type().rstrip("?")
            values = option.by_method
            rest = max(values.values(), key=list(values.values()).count)
            lines += [*([""] if lines[-1] == "  }" else []), *wrap(f"`{option.name}` where it is not set.", "  /// "),
                      f"  package var default{option.swift_name()[0].upper()}{option.swift_name()[1:]}: {kind} {{",
                      "    switch name {"]
            groups: "dict[float, list[str]]" = {}
            for method, value in values.items():
                if value != rest:
                    groups.setdefault(value, []).append(f'"{method}"')
            literal = number if kind == "Int" else lambda value: number(float(value))
            lines += [f"    case {', '.join(names)}: {literal(value)}" for value, names in groups.items()]
            lines += [f"    default: {literal(rest)}", "    }", "  }"]
    lines += ["}", "", "extension TrainingMethod {", "  /// The method that the options name, from its file in Training/Methods.",
              "  static func make(_ options: TrainingOptions) throws -> TrainingMethod {", "    switch options.method.name {"]
    lines += [f'    case "{name}": try .{camel(name)}(options)' for name in METHOD_NAMES]
    lines += ["    default:", "      throw DPOError.argument(",
              '        "method is \\(options.method.name), expected one of \\(TrainingOptions.Method.names.joined(separator: \", \"))")',
              "    }", "  }"]
    lines += ["}", "", "extension TrainingOptions {", "  /// The option table, in the order of the C struct.",
              "  public static let fields: [OptionField] = ["]
    for option in table.options:
        lines += swift_field(option)
    return SWIFT_HEAD + "\n".join(lines) + "\n  ]\n}\n"


def swift_string(text: str, indent: str, suffix: str = "") -> "list[str]":
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if len(indent) + len(escaped) + 2 + len(suffix) <= WIDTH:
        return [f'{indent}"{escaped}"{suffix}']
    parts = textwrap.wrap(escaped, WIDTH - len(indent) - 8, break_long_words=False, break_on_hyphens=False,
                          drop_whitespace=True)
    lines = []
    for index, part in enumerate(parts):
        last = index + 1 == len(parts)
        lead = indent if index == 0 else indent + "  + "
        lines.append(f'{lead}"{part}{"" if last else " "}"{suffix if last else ""}')
    return lines


def swift_strings(items: "list[str]") -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"


def swift_field(option: Option) -> "list[str]":
    kind = {
        "bool": "bool", "int": "int", "real": "real", "name": "choice" if "enum" in option.row else "name",
        "names": "names", "reals": "reals",
    }[option.type]
    if option.optional:
        kind = "optional" + kind.capitalize()
    arguments = [f'"{option.name}"', f"\\.{option.swift}"]
    if option.type in ("int", "real"):
        low, high, above = (option.row.get(key) for key in ("min", "max", "above"))
        low = above if low is None else low
        if option.type == "int":
            arguments.append(f"{number(int(low))}...{number(int(high)) if high is not None else 'OptionField.most'}")
        else:
            arguments.append(f"{'-OptionField.any' if low is None else plain(low)}...{'OptionField.any' if high is None else plain(high)}")
            if above is not None:
                arguments.append("open: true")
    if option.type in ("name", "names"):
        arguments.append({id(METHOD_NAMES): "Method.names"}.get(
            id(option.choices), "[" + ", ".join(f'"{name}"' for name in option.choices) + "]"))
    lines = [f"    .{kind}("] + wrap_items(arguments, "      ", last=",")
    about = [f".{option.group}"]
    if option.methods:
        about.append("methods: [" + ", ".join(f'"{name}"' for name in option.methods) + "]")
    if option.row.get("resume", "fixed") != "fixed":
        about.append(f"onResume: .{option.row['resume']}")
    if option.needs():
        name, values, own = option.needs()
        need = [f'"{name}"']
        if values:
            need.append(swift_strings(values))
        if own:
            need.append("of: [" + ", ".join(f'"{method}": {swift_strings(known)}' for method, known in own.items()) + "]")
        text = f"needs: OptionField.Need({', '.join(need)})"
        about.append(text if len(text) <= WIDTH - 10 else "needs: OptionField.Need(\n          " + ",\n          ".join(need) + ")")
    if option.optional:
        about.append(f'unset: "{option.unset()}"')
    if option.range():
        about.append(f'range: "{option.range()}"')
    if option.source:
        about.append(f'source: "{option.source}"')
    lines += ["      OptionField.About("] + wrap_items(about, "        ", last=",")
    lines += swift_string(option.help, "        ", ")),")
    return lines


def swift_struct(table: Table, imports: "list[str]") -> str:
    """A struct of options that stands for itself: properties with their defaults, and validate()."""
    options = table.on("swift")
    outer, _, name = table.swift_type.rpartition(".")
    pad = "  " if outer else ""
    lines = [f"import {module}" for module in imports] + [""]
    if outer:
        lines.append(f"extension {outer} {{")
    lines += wrap(table.summary, pad + "/// ")
    lines.append(f"{pad}public struct {name}: Sendable, Equatable {{")
    for option in options:
        lines += option.swift_doc(pad + "  ")
        if option.optional:
            lines.append(f"{pad}  public var {option.swift_name()}: {option.swift_type()}")
        else:
            typed = option.swift_type() in ("UInt64", "[String]", "[Int32]") or "enum" in option.row
            default = option.swift_default()
            if "enum" in option.row:
                lines.append(f"{pad}  public var {option.swift_name()} = {option.swift_type()}{default}")
            elif typed:
                lines.append(f"{pad}  public var {option.swift_name()}: {option.swift_type()} = {default}")
            else:
                lines.append(f"{pad}  public var {option.swift_name()} = {default}")
    if table.name == "feedback":
        lines += [
            "  /// Options of the runs. The kind of the records decides the method; in the directory's first session the group",
            "  /// `lora` describes the adapter. `threads` 0: one less than there are processors, which leaves the host one.",
            "  public var training = FeedbackOptions.defaultTraining",
        ]
    lines += ["", f"{pad}  /// The defaults.", f"{pad}  public init() {{}}", "",
              f"{pad}  /// Throws `.invalidArgument` for a value out of range.", f"{pad}  public func validate() throws {{"]
    for option in options:
        lines += [pad + "    " + line for line in swift_check(option)]
    lines += [f"{pad}  }}", f"{pad}}}"]
    if outer:
        lines.append("}")
    if table.name == "feedback":
        training = Table("training")
        lines += ["", "extension FeedbackOptions {", "  /// The options of a session's runs where nobody sets them.",
                  "  public static var defaultTraining: TrainingOptions {", "    var options = TrainingOptions()"]
        for key, value in table.data["training"].items():
            option = training.option(key)
            lines.append(f"    options.{option.swift} = {option.swift_literal(value)}")
        lines += ["    return options", "  }", "}"]
    return SWIFT_HEAD + "\n".join(lines) + "\n"


def swift_check(option: Option) -> "list[str]":
    if option.type not in ("int", "real") or not option.range() or option.swift_type() == "UInt64":
        return []
    low, high, above = (option.row.get(key) for key in ("min", "max", "above"))
    name = option.swift_name()
    tests = [f"{name} > {plain(above)}"] if above is not None else [f"{name} >= {plain(low)}"]
    if high is not None:
        tests.append(f"{name} <= {plain(high)}")
    elif option.type == "real":
        tests.append(f"{name}.isFinite")
    message = f'throw DPOError.argument("{option.name} is \\({name}), expected {option.range()}")'
    condition = ", ".join(tests)
    if option.optional:
        condition = " && ".join(tests)
        head = f"if let {name}, !({condition}) {{"
    else:
        head = f"guard {condition} else {{"
    return [f"{head}", f"  {message}", "}"]


# ----------------------------------------------------------------------------------------------- Swift: the C ABI's side


def abi_default(option: Option, value: object = ...) -> str:
    value = option.default if value is ... else value
    if option.type == "bool":
        return str(int(value))
    if value is None:
        if "c_unset" in option.row:
            return plain(option.row["c_unset"])
        return ".nan" if option.type == "real" else ""
    if "c_enum" in option.row:
        rows = LOSSES["divergence"] if option.row["c_enum"] == "dpo_f_divergence" else LOSSES["loss"]
        return next(str(row["number"]) for row in rows if row["name"] == value) if option.type == "name" else ""
    if option.type in ("names", "texts", "reals"):
        return f'staticText("{",".join(value)}")' if value else ""
    if option.type in ("name", "text"):
        return f'staticText("{value}")'
    return number(float(value)) if option.type == "real" else number(value)


def abi_json(option: Option) -> str:
    name = option.name
    if option.type == "bool":
        return f".bool({name} != 0)"
    if option.type == "names":
        return f'try namesValue({name}, "{name}")'
    if option.type == "name":
        return f'try textValue({name}, "{name}")'
    if option.type == "reals":
        return f'.array(try array({name}, {option.c_fields()[1][1]}, "{name}").map(JSON.real))'
    if option.type == "int":
        return f"{name} == {plain(option.row['c_unset'])} ? .null : .int(Int({name}))" if option.optional else f".int(Int({name}))"
    return f"{name}.isNaN ? .null : .real({name})" if option.optional else f".real({name})"


def abi_assign(option: Option, target: str) -> "list[str]":
    """A field of a C struct as a property of the Swift struct."""
    name, place = option.name, f"{target}.{option.swift_name()}"
    if option.type == "bool":
        return [f"{place} = {name} != 0"]
    if option.type == "int":
        cast = "" if option.swift_type() == "UInt64" else "Int"
        value = f"{cast}({name})" if cast else name
        return [f"{place} = {name} == {plain(option.row['c_unset'])} ? nil : {value}" if option.optional else f"{place} = {value}"]
    if option.type == "real":
        return [f"{place} = {name} == {plain(option.row['c_unset'])} ? nil : {name}" if option.optional else f"{place} = {name}"]
    if option.type == "name" and "enum" in option.row:
        known = ", ".join(option.choices)
        return [
            f'if let name = try optionalText({name}, "{name}") {{',
            f"  guard let value = {option.row['enum']}(rawValue: name) else {{",
            f'    throw DPOError.argument("{name} is \\(DPOError.printable(name)), expected one of {known}")',
            "  }",
            f"  {place} = value",
            "}",
        ]
    if option.type == "texts":
        return [f'{place} = try texts({name}, {option.c_fields()[1][1]}, "{name}")']
    return [f'if let text = try optionalText({name}, "{name}") {{ {place} = text }}']


def abi_field(option: Option) -> "list[str]":
    """A row of `NamedStruct.fields`."""
    kind = {"name": "text"}.get(option.type, option.type)
    arguments = [f'"{option.name}"', f"\\.{option.name}"]
    if option.type in ("reals", "texts"):
        arguments.append(f"count: \\.{option.c_fields()[1][1]}")
    if "beside" in option.row:
        arguments.append(f'beside: "{option.row["beside"]}"')
    if "c_enum" in option.row:
        if option.type == "names":
            beside = next(other for other in option.table.options if other.row.get("beside") == option.name)
            arguments.append(f"count: \\.{beside.row['count']}")
            arguments.append("none: [" + ", ".join(option.swift_literal_of(name) for name in option.default) + "]")
        kind = {"name": "number", "names": "numbers"}[option.type]
        arguments.append(f"of: {option.row['enum']}.self")
        return ["    fields.append(", f"      .{kind}(", f"        {', '.join(arguments)},", *swift_string(option.help, "        ", "))")]
    if option.type in ("int", "real") and option.optional:
        arguments.append(f"unset: {abi_default(option, None)}")
    if option.table.name == "training":
        if option.choices:
            arguments.append(f'choices: choices("{option.name}")')
        return [f"    fields.append(.{kind}({', '.join(arguments)}, help(\"{option.name}\")))"]
    if option.choices:
        arguments.append("choices: [" + ", ".join(f'"{name}"' for name in option.choices) + "]")
    return [f"    fields.append(", f"      .{kind}(", f"        {', '.join(arguments)},", *swift_string(option.help, "        ", "))")]


def abi_named(table: Table) -> "list[str]":
    lines = ["", f"extension {table.struct}: NamedStruct {{", f"  static var fields: [NamedField<{table.struct}>] {{",
             f"    var fields: [NamedField<{table.struct}>] = []"]
    if table.name == "training":
        lines += ['    func choices(_ name: String) -> [String] { TrainingOptions.field(name)?.choices ?? [] }',
                  '    func help(_ name: String) -> String { TrainingOptions.field(name)?.help ?? "" }']
    for option in table.on("c"):
        if option.type != "training":
            lines += abi_field(option)
    check = {"training": "_ = try trainingOptions()", "generation": "try generationOptions().validate()",
             "feedback": "try feedbackOptions().validate()", "tokenizer": "try trainerOptions().validate()",
             "shape": "try modelShape().validate()", "export": "", "loss": "_ = try lossOptions()",
             "ppo": "try lossOptions().validate()"}[table.name]
    return lines + ["    return fields", "  }", "", f"  func check() throws {{{' ' + check + ' ' if check else ''}}}", "}"]


def abi(tables: "list[Table]") -> str:
    lines = ["import CDPO", "import DPO", "import DPOBase"]
    for table in tables:
        lines += ["", f"extension {table.struct}: SizedStruct {{", f'  static var name: String {{ "{table.struct}" }}',
                  "  static var firstSize: Int { MemoryLayout<Self>.stride }", "",
                  f"  static var defaults: {table.struct} {{", f"    var options = {table.struct}()",
                  f"    options.struct_size = MemoryLayout<{table.struct}>.stride"]
        for option in table.on("c"):
            value = abi_default(option) if option.type != "training" else ""
            if value not in ("", "0"):
                lines.append(f"    options.{option.name} = {value}")
        lines += ["    return options", "  }"]
        if table.name == "training":
            lines += ["", "  /// The values by the names of the option table, which checks them. NULL text is the default.",
                      "  func trainingOptions() throws -> TrainingOptions {", "    var options = TrainingOptions()",
                      "    let values: [(name: String, value: JSON?)] = ["]
            for option in table.options:
                line = f'      ("{option.name}", {abi_json(option)}),'
                lines.append(line)
            lines += ["    ]", "    for (name, value) in values {", "      if let value { try options.set(name, to: value) }",
                      "    }", "    return options", "  }"]
        elif table.swift_type:
            function = {"generation": "generationOptions", "feedback": "feedbackOptions", "tokenizer": "trainerOptions",
                        "shape": "modelShape"}[table.name]
            lines += ["", "  /// The values, unchecked; NULL text is the default.",
                      f"  func {function}() throws -> {table.swift_type} {{", f"    var options = {table.swift_type}()"]
            for option in table.on("c"):
                if option.type == "training":
                    lines.append("    if let training { options.training = try DPOCABI.trainingOptions(training) }")
                elif "swift" in option.surfaces:
                    lines += ["    " + line for line in abi_assign(option, "options")]
            lines += ["    return options", "  }"]
        lines.append("}")
        lines += abi_named(table)
    feedback, training = (next(table for table in tables if table.name == name) for name in ("feedback", "training"))
    lines += ["", "extension dpo_train_options {", "  /// Those of feedback.", "  static var feedbackDefaults: dpo_train_options {",
              "    var options = defaults"]
    for key, value in feedback.data["training"].items():
        lines.append(f"    options.{key} = {abi_default(training.option(key), value)}")
    lines += ["    return options", "  }", "}"]
    return SWIFT_HEAD + "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------------------ Swift: the command


def flag_help(option: Option) -> str:
    text = option.help
    if option.told_choices:
        if option.name == "method":
            text = sentences(text, "; ".join(f"{row['name']}: {row['summary']}" for row in METHODS["method"]) + ".")
        else:
            text = sentences(text, "One of " + ", ".join(option.choices) + ".")
    range_words = "" if option.range() in ("at least 0", "at least 1") else option.range_words()
    text = sentences(text, f"For {joined(option.methods)}." if option.methods else "", range_words)
    default = option.default_words()
    unset = f"unset: {option.unset()}" if option.optional else ""
    if default:
        text += f" (default: {default}" + (f"; none: {option.unset()})" if unset else ")")
    elif unset:
        text += f" ({unset})"
    return text


VALUE_NAMES = {
    "bool": "", "int": "N", "real": "X", "name": "NAME", "names": "NAME,…", "reals": "X,…", "text": "TEXT", "texts": "TEXT",
}


def flags(tables: "list[Table]") -> str:
    lines = ["import ArgumentParser", "import DPO"]
    training = next(table for table in tables if table.name == "training")
    lines += ["", "/// The option table as flags, in groups. Values are checked by the table.",
              "struct TrainingFlags: ParsableArguments {"]
    for group, title in GROUPS.items():
        lines += [f'  @OptionGroup(title: "{title}") var {camel(group)}: {swift_group_flags(group)}']
    lines += ["", "  /// The flags that were given, by option name.", "  var given: [(name: String, value: JSON)] {"]
    lines += ["    " + " + ".join(f"{camel(group)}.given" for group in list(GROUPS)[:5]),
              "      + " + " + ".join(f"{camel(group)}.given" for group in list(GROUPS)[5:]), "  }", "}"]
    lines += ["", "/// What help shows of the table.", "extension TrainingFlags {", "  /// Options that are shown first.",
              "  static let basics: Set<String> = ["]
    lines += wrap_items([f'"{option.name}"' for option in training.options if option.row.get("basic")], "    ", last=",")
    lines += ["  ]", "  /// Methods, and what each learns from.", "  static let methods: [(name: String, summary: String)] = ["]
    lines += [f'    ("{row["name"]}", "{row["summary"]}"),' for row in METHODS["method"]]
    lines += ["  ]", "  /// Headings.", "  static let titles: [OptionField.Group: String] = ["]
    lines += [f'    .{group}: "{title}",' for group, title in GROUPS.items()]
    lines += ["  ]", "}"]
    for group in GROUPS:
        options = [option for option in training.options if option.group == group]
        lines += ["", f"struct {swift_group_flags(group)}: ParsableArguments {{"]
        for index, option in enumerate(options):
            lines += flag_declaration(option, dynamic=True)[0 if index else 1:]
        lines += ["", "  var given: [(name: String, value: JSON)] {", "    let all: [(String, JSON?)] = ["]
        for option in options:
            value = camel(option.name) + (".map(JSON.bool)" if option.type == "bool" else "")
            lines.append(f'      ("{option.name}", {value}),')
        lines += ["    ]", "    return all.compactMap { name, value in value.map { (name, $0) } }", "  }", "}"]
    for table in tables:
        if table.name == "training" or not table.on("flag"):
            continue
        name = {"export": "Export", "generation": "Generation", "feedback": "FeedbackTraining", "tokenizer": "Tokenizer", "shape": "Shape"}[
            table.name] + "OptionFlags"
        groups = sorted({option.group for option in table.on("flag") if option.group})
        for group in groups:
            lines += flag_struct(table, f"{group.capitalize()}Flags", group, [])
        lines += flag_struct(table, name, "", groups)
    return SWIFT_HEAD + "\n".join(lines) + "\n"


def flag_struct(table: Table, name: str, group: str, inner: "list[str]") -> "list[str]":
    """The flags of a group of a table's options, typed; those of the groups `inner` are a part of it."""
    options = [option for option in table.on("flag") if option.group == group]
    lines = ["", *wrap(table.summary, "/// "), f"struct {name}: ParsableArguments {{"]
    lines += [f"  @OptionGroup var {each}: {each.capitalize()}Flags" for each in inner]
    for option in options:
        lines += flag_declaration(option, dynamic=False)
    if not inner:
        del lines[lines.index(f"struct {name}: ParsableArguments {{") + 1]
    if not table.swift_type:
        return lines + ["}"]
    lines += ["", "  /// Sets the options.", f"  func apply(to options: inout {table.swift_type}) {{"]
    lines += [f"    {each}.apply(to: &options)" for each in inner]
    for option in options:
        if "swift" not in option.surfaces:
            continue
        variable = camel(option.flag.replace("-", "_"))
        if option.optional:
            lines.append(f"    if let {variable} {{ options.{option.swift_name()} = {variable} }}")
        else:
            lines.append(f"    options.{option.swift_name()} = {variable}")
    return lines + ["  }", "}"]


def swift_group_flags(group: str) -> str:
    return group.capitalize() + "Flags"


def flag_declaration(option: Option, dynamic: bool) -> "list[str]":
    variable = camel(option.name) if dynamic else camel(option.flag.replace("-", "_"))
    name = f'name: .customLong("{option.flag}")'
    inversion = ", inversion: .prefixedNo" if dynamic or option.default else ""
    # A name of any kind is a directory's.
    is_directory = option.type == "name" and not option.choices
    value = "DIR" if is_directory else "PATH" if option.row.get("path") else VALUE_NAMES[option.type]
    text = flag_help(option)
    if not dynamic and not option.optional:
        text = re.sub(r" \(default: [^)]*\)$", "", text)  # ArgumentParser adds it
    if option.type == "bool":
        declared = f"  var {variable}: Bool?" if dynamic else f"  var {variable} = {str(option.default).lower()}"
    else:
        if dynamic:
            declared = f"  var {variable}: JSON?"
        elif option.optional:
            declared = f"  var {variable}: {option.swift_type()}"
        elif option.type == "texts":
            declared = f"  var {variable}: [String] = []"
        elif "enum" in option.row:
            declared = f"  var {variable} = {option.swift_type()}{option.swift_default()}"
        else:
            kind = f": {option.swift_type()}" if option.swift_type() == "UInt64" else ""
            declared = f"  var {variable}{kind} = {option.swift_default()}"
    lines = [""]
    if option.type == "bool":
        lines += ["  @Flag(", f"    {name}{inversion},", "    help: ArgumentHelp("]
        lines += swift_string(text, "      ", "))")
    else:
        lines += ["  @Option(", f"    {name},", "    help: ArgumentHelp("]
        lines += swift_string(text, "      ", ",")
        names = f", completion: .list([{', '.join(quoted(name) for name in option.choices)}])" if option.type == "name" and option.choices else ""
        names = ", completion: .directory" if is_directory else ", completion: .file()" if option.row.get("path") else names
        lines += [f'      valueName: "{value}"){names}' + (
            f', transform: optionValue("{option.name}"))' if dynamic else
            f", transform: oneOf([{', '.join(quoted(name) for name in option.choices)}]))" if option.told_choices and "enum" not in option.row else ")")]
    return lines + [declared]


# ---------------------------------------------------------------------------------------------------------------- Python


def python(tables: "list[Table]") -> str:
    lines = [
        f'"""Made by {BY} from the tables beside it: the structs of dpo.h, and options under TRL\'s names."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Sequence",
        "from ctypes import POINTER, Structure, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32, c_uint64, sizeof",
        "from typing import Optional",
        "",
        "",
        "class SizedStructure(Structure):",
        '    """A struct that starts with its own size."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        "        self.struct_size = sizeof(type(self))",
    ]
    for table in tables:
        lines += ["", "", f"class {table.python}(SizedStructure):", "    _fields_ = [", '        ("struct_size", c_size_t),']
        for option in table.on("c"):
            lines.append(f'        ("{option.name}", {option.ctype()}),')
            for _, name in option.c_fields()[1:]:
                lines.append(f'        ("{name}", c_size_t),')
        lines += ["    ]"]
    training = next(table for table in tables if table.name == "training")
    unset = {option.name: option.row["c_unset"] for option in training.options if "c_unset" in option.row}
    lines += ["", "", "#: What stands for None in TrainOptions.", f"UNSET = {unset}", "",
              "#: Numbers of dpo_loss_type.", "LOSS_NUMBERS = {"]
    lines += wrap(", ".join(f'"{row["name"]}": {row["number"]}' for row in LOSSES["loss"]) + ",", "    ")
    lines += ["}", "", "#: Numbers of dpo_f_divergence.", "DIVERGENCE_NUMBERS = {"]
    lines += wrap(", ".join(f'"{row["name"]}": {row["number"]}' for row in LOSSES["divergence"]) + ",", "    ")
    lines += ["}"]
    for table in tables:
        # dpo_loss and ppo_loss take theirs beside the numbers: libdpo/losses.py.
        if table.name in ("training", "loss", "ppo"):
            continue
        lines += ["", "", "def " + {
            "generation": "generation", "feedback": "feedback", "tokenizer": "tokenizer", "shape": "shape", "export": "export",
        }[table.name] + "_options("]
        lines += ["    *,"]
        options = [option for option in table.on("python")]
        for option in options:
            lines.append(f"    {option.python}: {quoted(option.python_type())} = {option.python_default()},")
        lines += [") -> \"dict[str, object]\":"]
        lines += docstring(table.summary, "    ", options)
        lines += ["    return {"] + [f'        "{option.name}": {option.python},' for option in options] + ["    }"]
    return "\n".join(lines) + "\n"


def python_configs(training: Table) -> str:
    names = [method["python"] for method in METHODS["method"]]
    lines = [
        f'"""Made by {BY} from the tables beside it: options of a run, a class a method, with TRL\'s names and defaults."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Sequence",
        "from dataclasses import dataclass",
        "from typing import Optional, Union",
        "",
        "from .config import RewardedConfig, RunConfig, TextConfig",
        "",
        "__all__ = [",
        *wrap_items([f'"{name}"' for name in names], "    ", last=","),
        "]",
        "",
        "",
        "@dataclass",
        "class TrainingConfig(RunConfig):",
        '    """Options that every method has."""',
        "",
    ]
    for option in training.options:
        if not option.methods and option.name != "method":
            lines += python_field(option)
    for method in METHODS["method"]:
        options = [option for option in training.options if option.name in method["all"]]
        more = ", RewardedConfig" if "rollouts" in method["options"] else ", TextConfig" if method.get("text") else ""
        lines += ["", "", "@dataclass", f"class {method['python']}(TrainingConfig{more}):"]
        lines += docstring(method_words(method), "    ")
        lines += ["", f'    _method = "{method["name"]}"']
        if "rollouts" in method["options"]:
            lines.append("    _draws = True")
        lines.append("")
        lines += python_field(training.option("learning_rate"), None, method)
        for option in options:
            default = [method["losses"]["default"]] if option.name == "loss_type" else ...
            lines += python_field(option, default, method)
    return "\n".join(lines) + "\n"


def python_trainers() -> str:
    names = [method["python"].replace("Config", "Trainer") for method in METHODS["method"]]
    lines = [
        f'"""Made by {BY} from the tables beside it: a trainer a method, under TRL\'s names."""',
        "",
        "from __future__ import annotations",
        "",
        "from . import configs",
        "from .trainer import PolicyTrainer, ReferenceTrainer, RolloutTrainer",
        "",
        "__all__ = [",
        *wrap_items([f'"{name}"' for name in names], "    ", last=","),
        "]",
    ]
    for method, name in zip(METHODS["method"], names):
        base = "Rollout" if "rollouts" in method["options"] else "Reference" if "reference" in method["options"] else "Policy"
        paragraphs = [wrap(part, "    ") for part in method["trainer"].strip().split("\n\n")]
        text = [line for part in paragraphs for line in [*part, ""]][:-1]
        text[0] = '    """' + text[0].strip()
        text = [*text[:-1], text[-1] + '"""'] if len(text) == 1 else [*text, '    """']
        lines += ["", "", f"class {name}({base}Trainer):", *text, "", f"    _config = configs.{method['python']}"]
    return "\n".join(lines) + "\n"


def method_words(method: dict) -> str:
    return method["doc"] + (f" ({method['source']}.)" if "source" in method else "")


def quoted(kind: str) -> str:
    return f'"{kind}"'


def python_words(option: Option, method: "dict | None" = None) -> str:
    unset = ""
    if option.optional:
        value = option.by_method.get(method["name"]) if method else None
        unset = f"None: {plain(value) if value is not None else option.unset()}."
    choices = ""
    if option.told_choices:
        choices = "One of " + ", ".join(f'"{name}"' for name in option.choices) + "."
    return sentences(option.help.replace("\\", "\\\\"), choices, option.range_words(), unset, option.source_words())


def python_field(option: Option, default: object = ..., method: "dict | None" = None) -> "list[str]":
    kind = option.python_type()
    return [f"    {option.python}: {kind} = {option.python_default(default)}", *docstring(python_words(option, method), "    ")]


def docstring(text: str, indent: str, options: "list[Option] | None" = None) -> "list[str]":
    if not options:
        lines = wrap(text, indent)
        lines[0] = f'{indent}"""' + lines[0].strip()
        lines[-1] += '"""'
        return lines
    lines = [f'{indent}"""{text}', ""]
    for option in options:
        lines += textwrap.wrap(
            f"{option.python}: {python_words(option)}", WIDTH, initial_indent=indent, subsequent_indent=indent + "    ",
            break_long_words=False, break_on_hyphens=False)
    return lines + [f'{indent}"""']


# ------------------------------------------------------------------------------------------------------------- Rust and Go

# Kinds of dpo_options_create, and the names of their structs in other languages.
HOST_STRUCTS = {
    "training": "TrainOptions", "generation": "GenerationOptions", "feedback": "FeedbackOptions", "tokenizer": "TokenizerOptions",
    "shape": "ModelShape", "export": "ExportOptions", "loss": "LossOptions", "ppo": "PpoOptions",
}


def host_words(option: Option, default: str, not_a_number: str) -> str:
    """What an option means where every option may be left out: `default` says how that is written."""
    text = option.help
    if option.name == "method":
        text = sentences(text, "; ".join(f'"{row["name"]}" {row["summary"]}' for row in METHODS["method"]) + ".")
    elif option.told_choices:
        text = sentences(text, "One of " + ", ".join(f'"{name}"' for name in option.choices) + ".")
    if option.type == "training":
        return "Options of the runs, with feedback's own defaults. The records decide the method."
    words = option.default_words('"')
    if option.optional:
        unset = option.unset()
        rest = f"{words}; {not_a_number if option.c_unset() == 'NaN' else option.c_unset()}: {unset}" if words else unset
    else:
        rest = words
    return sentences(text, option.source_words(), option.range_words(), f"{default}: {rest}." if rest else "",
                     f"For {joined(option.methods)}." if option.methods else "")


def host_unset(option: Option) -> str:
    """The number that C takes for an option that is unset, where it is not NaN."""
    if not option.optional or "c_unset" not in option.row:
        return ""
    return number(float(option.row["c_unset"])) if option.type == "real" else plain(option.row["c_unset"])


def rust_options(tables: "list[Table]") -> str:
    kinds = {
        "bool": "bool", "real": "f64", "name": "String", "names": "Vec<String>", "reals": "Vec<f64>", "text": "String",
        "texts": "Vec<String>", "training": "TrainOptions",
    }
    lines = [f"// Made by {BY} from the tables beside it.", "", "use crate::native::{Object, Options};", "",
             "/// DPO's losses by TRL's names. Formulas: docs/losses.md.", "#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]",
             "#[repr(i32)]", "pub enum Loss {"]
    for row in LOSSES["loss"]:
        lines += [*rust_words(row["help"]), f"    {go_name(row['name'])} = {row['number']},"]
    lines += ["}", "", "impl Loss {", "    /// All of them.", "    pub const ALL: &'static [Loss] = &["]
    lines += wrap_items([f"Loss::{go_name(row['name'])}" for row in LOSSES["loss"]], "        ", last=",")
    lines += ["    ];", "", "    /// What `loss_type` calls it.", "    pub fn name(self) -> &'static str {", "        match self {"]
    lines += [f"            Loss::{go_name(row['name'])} => \"{row['name']}\"," for row in LOSSES["loss"]]
    lines += ["        }", "    }", "}"]
    for table in tables:
        summary = table.summary or "How a model is trained."
        lines += ["", *wrap(summary, "/// "), "/// `None` is the default.", "#[derive(Clone, Debug, Default, PartialEq)]",
                  f"pub struct {HOST_STRUCTS[table.name]} {{"]
        for option in table.on("c"):
            kind = kinds.get(option.type) or declarations.BASE[option.c_type()]
            lines += [*rust_words(host_words(option, "`None`", "`f64::NAN`")), f"    pub {option.name}: Option<{kind}>,"]
        lines += ["}", "", f"impl Options for {HOST_STRUCTS[table.name]} {{", f'    const KIND: &\'static str = "{table.name}";', "",
                  "    fn write(&self, object: &mut Object) {"]
        for option in table.on("c"):
            if unset := host_unset(option):
                lines.append(f'        object.field_or_null("{option.name}", self.{option.name}, {unset});')
            else:
                lines.append(f'        object.field("{option.name}", &self.{option.name});')
        lines += ["    }", "}"]
    return "\n".join(lines) + "\n"


def rust_words(text: str) -> "list[str]":
    return wrap(text.replace("[", "\\[").replace("<|", "\\<|"), "    /// ")


def go_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def go_options(tables: "list[Table]") -> str:
    kinds = {
        "bool": "*bool", "int": "*int", "real": "*float64", "name": "string", "names": "[]string", "reals": "[]float64",
        "text": "string", "texts": "[]string", "training": "*TrainOptions",
    }
    lines = [f"// Made by {BY} from the tables beside it. DO NOT EDIT.", "", "package libdpo", "",
             "// Loss: DPO's losses by TRL's names. Formulas: docs/losses.md.", "type Loss int32", "", "const ("]
    for row in LOSSES["loss"]:
        lines += [*wrap(row["help"], "\t// ", WIDTH - 3), f"\tLoss{go_name(row['name'])} Loss = {row['number']}"]
    lines += [")", "", "// Losses are all of them.", "var Losses = []Loss{"]
    lines += wrap_items([f"Loss{go_name(row['name'])}" for row in LOSSES["loss"]], "\t", WIDTH - 3, last=",")
    lines += ["}", "", "// String is what LossType calls the loss.", "func (l Loss) String() string {", "\tswitch l {"]
    for row in LOSSES["loss"]:
        lines += [f"\tcase Loss{go_name(row['name'])}:", f"\t\treturn \"{row['name']}\""]
    lines += ["\t}", "\treturn \"unknown loss\"", "}"]
    for table in tables:
        name = HOST_STRUCTS[table.name]
        summary = table.summary or "How a model is trained."
        lines += ["", *wrap(f"{name}: {summary[0].lower()}{summary[1:]} Fields that are nil or empty have their defaults; Some makes pointers.",
                            "// "), f"type {name} struct {{"]
        for index, option in enumerate(table.on("c")):
            kind = "*uint64" if option.c_type() == "uint64_t" else kinds[option.type]
            default = '""' if kind == "string" else "nil"
            lines += [*([""] if index else []), *wrap(host_words(option, default, "NaN"), "\t// ", WIDTH - 3),
                      f"\t{go_name(option.name)} {kind}"]
        lines += ["}", "", f"func (o *{name}) kind() string {{ return \"{table.name}\" }}", "",
                  f"func (o *{name}) fields() fields {{", "\tf := fields{}"]
        for option in table.on("c"):
            method = {
                "bool": "boolean", "int": "integer", "real": "real", "name": "text", "names": "texts", "reals": "reals", "text": "text",
                "texts": "texts", "training": "options",
            }[option.type]
            if option.c_type() == "uint64_t":
                method = "unsigned"
            unset = f", {host_unset(option)}" if host_unset(option) else ""
            method += "OrNull" if unset else ""
            if option.type == "training":
                lines += [f"\tif o.{go_name(option.name)} != nil {{", f'\t\tf["{option.name}"] = o.{go_name(option.name)}.fields()', "\t}"]
            else:
                lines.append(f'\tf.{method}("{option.name}", o.{go_name(option.name)}{unset})')
        lines += ["\treturn f", "}"]
    return "\n".join(lines) + "\n"


# ----------------------------------------------------------------------------------------------------------- docs/options.md


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def documentation(tables: "list[Table]") -> str:
    training = next(table for table in tables if table.name == "training")
    lines = [
        "# Options",
        "",
        f"<!-- Made by {BY} from the tables beside it: change those, and run `make options`. -->",
        "",
        "Every option has one name: in C (fields of the structs of [dpo.h](../include/dpo.h)), in JSON and in Python. The",
        "command writes it with dashes (`--learning-rate`), Swift in camel case and in groups",
        "(`options.optimization.learningRate`). Names and defaults are those of TRL 1.16 and PEFT where they have the option.",
        "",
        "## In a file",
        "",
        "    dpo train --config run.yaml --learning-rate 1e-4",
        "",
        "`--config` of `dpo train` takes a file in YAML or JSON with these names, and those of the command's other flags, also as TRL calls",
        "them:",
        "",
        "```yaml",
        "model_name_or_path: SmolLM2-135M-Instruct.Q4_1.gguf   # or: model",
        "datasets:                     # or data, dataset_name: a path or a list",
        "  - {path: pairs.jsonl, weight: 0.7}",
        "  - {path: more.csv.gz, weight: 0.3}",
        "eval_data: held-out.jsonl",
        "output_dir: run",
        "lora_r: 16",
        "lora_target_modules: [q_proj, v_proj]",
        "per_device_train_batch_size: 4",
        "```",
        "",
        "Flags win over the file. A name that is not known is an error, which names the line and the nearest option. TRL's settings",
        "without a meaning here (`report_to`) are named and passed over; those that stand for something else (`bf16: true`) are refused",
        "by a sentence that says for what (`precision: bf16`). Aliases (`*name`) are not read.",
        "",
        "## Methods",
        "",
        "| method | what | learning rate | source |",
        "|---|---|---|---|",
    ]
    for row in METHODS["method"]:
        lines.append(f"| `{row['name']}` | {cell(row['doc'])} | {plain(row['learning_rate'])} | "
                     f"{row.get('source', '')} |")
    lines += ["", "## Losses of dpo and online_dpo", "", "| loss_type | number in C | what |", "|---|---|---|"]
    lines += [f"| `{row['name']}` | {row['number']} | {cell(row['help'])} |" for row in LOSSES["loss"]]
    lines += ["", "Formulas: [losses.md](losses.md).", "", "## Training", "",
              "`dpo_train_options`, `TrainingOptions`, `dpo train`, Python's `DPOConfig` and its kin. An option of other methods than "
              "the one that is trained must be left at its default."]
    for group, title in GROUPS.items():
        options = [option for option in training.options if option.group == group]
        with_methods = any(option.methods for option in options)
        lines += ["", f"### {title}", "", "| option | default | range |" + (" methods |" if with_methods else "") + " what |",
                  "|---|---|---|" + ("---|" if with_methods else "") + "---|"]
        for option in options:
            lines.append(documentation_row(option, with_methods))
    for table in tables:
        if table.name != "training":
            title = {"generation": "Generation", "feedback": "Feedback", "tokenizer": "Tokenizers", "shape": "New models",
                     "export": "Export"}.get(table.name) or table.data["title"]
            lines += ["", f"## {title}", "", f"`{table.struct}`. {table.summary}", "", "| option | default | range | what |",
                      "|---|---|---|---|"]
            for option in table.on("c"):
                lines.append(documentation_row(option, False))
    return "\n".join(lines) + "\n"


def documentation_row(option: Option, with_methods: bool) -> str:
    default = option.default_words("") or (f"unset: {option.unset()}" if option.optional else "")
    choices = "" if option.choices in (LOSS_NAMES, PAIR_LOSSES, METHOD_NAMES) else ", ".join(f"`{name}`" for name in option.choices)
    methods = f" {', '.join(option.methods) or 'all'} |" if with_methods else ""
    source = f" ({option.source})" if option.source else ""
    return f"| `{option.name}` | {cell(default)} | {option.range() or choices} |{methods} {cell(option.help)}{source} |"


# ----------------------------------------------------------------------------------------------------------- Node and Java

def jsdoc(text: str, indent: str) -> "list[str]":
    """A comment of JavaScript or Java."""
    text = text.replace("*/", "* /")
    if len(indent) + len(text) + 7 <= WIDTH:
        return [f"{indent}/** {text} */"]
    return [f"{indent}/**", *wrap(text, indent + " * "), f"{indent} */"]


def typescript_type(option: Option) -> str:
    base = {
        "bool": "boolean", "int": "number", "real": "number", "names": "LossType[]" if option.choices is PAIR_LOSSES else "string[]", "reals": "number[]", "text": "string",
        "texts": "string[]", "training": "TrainOptions",
    }.get(option.type) or " | ".join(f"'{name}'" for name in option.choices) or "string"
    return base + (" | null" if option.optional and option.type in ("int", "real") else "")


def typescript(tables: "list[Table]") -> str:
    """Options as plain objects, by the names of the tables: they are given to C as JSON."""
    names = [f"'{row['name']}'" for row in LOSSES["loss"]]
    lines = [f"// Made by {BY} from the tables beside it.", "", "/** What the losses of dpo.h are called: docs/losses.md. */",
             "export type LossType =", *wrap(" | ".join(["", *names]).strip() + ";", "  ")]
    for table in tables:
        lines += ["", *jsdoc(table.summary or "How a model is trained.", ""), f"export interface {HOST_STRUCTS[table.name]} {{"]
        for option in table.on("c"):
            kind = typescript_type(option)
            lines += jsdoc(host_words(option, "Left out", "null"), "  ")
            if len(kind) + len(option.name) + 6 > WIDTH:
                lines += [f"  {option.name}?:", *wrap("| " + kind, "    ")]
                lines[-1] += ";"
            else:
                lines.append(f"  {option.name}?: {kind};")
        lines.append("}")
    return "\n".join(lines) + "\n"


def java_type(option: Option) -> str:
    return {
        "bool": "boolean", "real": "double", "name": "String", "text": "String", "names": "String...", "texts": "String...",
        "reals": "double...", "training": "TrainOptions",
    }.get(option.type) or {"int32_t": "int"}.get(option.c_type(), "long")


def java(table: Table) -> str:
    """Setters that return the object; what was set is given to C as JSON."""
    name = HOST_STRUCTS[table.name]
    lines = [f"// Made by {BY} from the tables beside it.", "package libdpo;", "",
             *jsdoc(f"{table.summary or 'How a model is trained.'} What is not set keeps its default.", ""),
             f"public final class {name} extends Options {{", f"  public {name}() {{", f'    super("{table.name}");', "  }"]
    for option in table.on("c"):
        words = host_words(option, "Default", "NaN").replace("&", "&amp;").replace("<", "&lt;").replace("@", "&#64;")
        lines += ["", *jsdoc(words, "  "), f"  public {name} {camel(option.name)}({java_type(option)} value) {{",
                  f'    set("{option.name}", value);', "    return this;", "  }"]
    return "\n".join(lines + ["}"]) + "\n"


# ------------------------------------------------------------------------------------------------------------------ files


TRL = load("trl")


def python_trl() -> str:
    lines = [
        f'"""What becomes of settings under TRL\'s names: made of options/trl.toml by {BY}."""', "", "from __future__ import annotations", "",
        '__all__ = ["ROWS"]', "",
        "#: Name, methods (none: every one), what becomes of it, usual and noted values, why, the option that takes it, and how.",
        'ROWS: "list[tuple[str, tuple[str, ...], str, tuple[object, ...], tuple[object, ...], str, str, str]]" = [',
    ]
    for row in TRL["field"]:
        if "becomes" not in row:
            continue
        why = row.get("why", "")
        parts = [
            repr(row["name"]), tuple_of(map(repr, row.get("methods", []))), repr(row["becomes"]), tuple_of([row.get("usual", "")]),
            tuple_of([row.get("noted", "")]), repr(TRL["words"].get(why, why)), repr(row.get("option", "")), repr(row.get("convert", "")),
        ]
        lines.append(f"    ({', '.join(parts)}),")
    return "\n".join([*lines, "]"]) + "\n"


def tuple_of(values: "Iterable[str]") -> str:
    text = ", ".join(value for value in values if value)
    return f"({text},)" if text else "()"


def swift_trl() -> str:
    rows = sorted((row["name"], row["file"]) for row in TRL["field"] if "file" in row)
    return "\n".join([
        f"// Made of options/trl.toml by {BY}.", "",
        "/// Settings of TRL's config files that `dpo train` does not have: most say how something is done that is not done here.",
        "enum TRLSettings {", "  /// What to set instead, or why there is nothing to set.", "  static let instead: [String: String] = [",
        *(f'    "{name}": "{text}",' for name, text in rows), "  ]", "}", "",
    ])


def regions(text: str, parts: "dict[str, list[str]]", file: str) -> str:
    """Replaces what stands between "made of options: NAME" and the next "end"."""
    for name, lines in parts.items():
        pattern = re.compile(rf"(/\* made by {re.escape(BY)}: {re.escape(name)} \*/\n).*?(\n *\}})", re.DOTALL)
        if not pattern.search(text):
            sys.exit(f"{file}: no place for {name}")
        text = pattern.sub(lambda match: match.group(1) + "\n".join(lines) + match.group(2), text, count=1)
    return text


def outputs() -> "dict[str, str]":
    tables = [Table(name) for name in ("loss", "ppo", "training", "generation", "feedback", "tokenizer", "shape", "export")]
    by_name = {table.name: table for table in tables}
    # Rust and Go write the structs of losses in their own types.
    hosts = [table for table in tables if table.name not in ("loss", "ppo")]
    header = (ROOT / "include/dpo.h").read_text()
    parts = {table.struct: c_struct(table) for table in tables} | {
        "dpo_loss_type": c_enum(LOSSES["loss"], "dpo_loss_type"),
        "dpo_f_divergence": c_enum(LOSSES["divergence"], "dpo_f_divergence"),
    }
    header = regions(header, parts, "include/dpo.h")
    items = declarations.parse(header)
    return {
        "include/dpo.h": header,
        "Sources/DPO/Options/LossType.swift": swift_losses(),
        "Sources/DPO/Options/TrainingOptions.swift": swift_training(by_name["training"]),
        "Sources/DPO/Options/OptionTable.swift": swift_table(by_name["training"]),
        "Sources/DPO/Options/FeedbackOptions.swift": swift_struct(by_name["feedback"], ["DPOBase"]),
        "Sources/DPOModel/Generation/GenerationOptions.swift": swift_struct(by_name["generation"], ["DPOBase", "DPOKernels"]),
        "Sources/DPOModel/Families/ModelShape.swift": swift_struct(by_name["shape"], ["DPOBase"]),
        "Sources/DPOText/Training/TokenizerOptions.swift": swift_struct(by_name["tokenizer"], ["DPOBase"]),
        "Sources/DPOCABI/Options.swift": abi(tables),
        "Sources/dpo-tool/OptionFlags.swift": flags(tables),
        "bindings/python/libdpo/_options.py": python(tables),
        "bindings/python/libdpo/configs.py": python_configs(by_name["training"]),
        "bindings/python/libdpo/trainers.py": python_trainers(),
        "bindings/rust/libdpo-sys/src/declarations.rs": declarations.rust(items, BY),
        "bindings/rust/libdpo-sys/tests/layout/table.rs": declarations.rust_layout(items, BY),
        "bindings/rust/libdpo/src/options.rs": rust_options(hosts),
        "bindings/go/options.go": go_options(hosts),
        "bindings/python/libdpo/_trl_table.py": python_trl(),
        "Sources/dpo-tool/TRLSettings.swift": swift_trl(),
        "docs/options.md": documentation(tables),
        "bindings/node/options.d.ts": typescript(tables),
    } | {f"bindings/java/src/libdpo/{HOST_STRUCTS[table.name]}.java": java(table) for table in tables}


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, text in outputs().items():
        path = ROOT / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if check and stale:
        print(f"Not what the option tables give: {', '.join(stale)}. Run `make options`.")
        return 1
    if not check:
        print("Written: " + ", ".join(stale) if stale else "Everything is as the tables say.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
