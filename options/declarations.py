"""dpo.h for languages whose compilers do not read it: generate.py writes them with the header.

Knows the few forms that dpo.h has: #define of numbers, enums, structs, opaque handles, callbacks and functions. Anything else
stops it with the line.
"""

import re
import sys
import textwrap
from dataclasses import dataclass, field

BASE = {
    "int32_t": "i32", "uint32_t": "u32", "int64_t": "i64", "uint64_t": "u64", "size_t": "usize", "double": "f64", "float": "f32",
    "char": "c_char", "void": "c_void",
}
KEYWORDS = {"type", "ref", "in", "fn", "use", "mod", "move", "match", "loop", "where", "self"}


@dataclass
class Item:
    kind: str  # define, enum, struct, handle, callback, function
    name: str
    help: str
    #: (name, C type or value, help) of fields, enum values, parameters
    parts: "list[tuple[str, str, str]]" = field(default_factory=list)
    result: str = ""


def words(comment: str) -> str:
    """The text of a comment, its paragraphs kept."""
    lines = [re.sub(r"^\s*\*? ?", "", line) for line in comment[2:-2].strip().splitlines()]
    return "\n".join(line.rstrip() for line in lines).strip()


def declarator(text: str) -> "tuple[str, str]":
    """`const char *const *texts` as its name and type."""
    found = re.fullmatch(r"(.*?)(\w+)((?:\[\d+\])?)", text.strip(), re.DOTALL)
    if not found:
        sys.exit(f"dpo.h: what is declared by {text!r}?")
    return found[2], " ".join(found[1].split()) + found[3]


def parameters(text: str) -> "list[tuple[str, str, str]]":
    return [] if text.strip() == "void" else [(*declarator(part), "") for part in text.split(",")]


def parse(header: str) -> "list[Item]":
    body = header[header.index("#ifndef DPO_H"):]
    items: "list[Item]" = []
    place, comment = 0, ""
    comment_form = re.compile(r"\s*(/\*.*?\*/)", re.DOTALL)
    forms = [
        ("define", re.compile(r"\s*#define (DPO_\w+)[ \t]+(-?\d+|\(DPO_[^\n]*\))(?=\s)")),
        ("skip", re.compile(r"\s*(?:#(?:ifndef|ifdef|if|else|endif|include|define)\b[^\n]*(?:\n|$)|extern \"C\" \{|\})")),
        ("handle", re.compile(r"\s*typedef struct (\w+) (\w+);")),
        ("enum", re.compile(r"\s*(?:typedef )?enum (\w*) ?\{(.*?)\} ?(\w*);", re.DOTALL)),
        ("struct", re.compile(r"\s*(?:typedef )?struct (\w+) \{(.*?)\n\} ?(\w*);", re.DOTALL)),
        ("callback", re.compile(r"\s*typedef ([\w *]+?)\s*\(\*(\w+)\)\((.*?)\);", re.DOTALL)),
        ("function", re.compile(r"\s*([\w ]+?[ *]+)(dpo_\w+)\((.*?)\);", re.DOTALL)),
    ]
    while body[place:].strip():
        if found := comment_form.match(body, place):
            heading = found[1].startswith("/* ---")
            comment, place = "" if heading else found[1], found.end()
            continue
        kind, found = next(((kind, found) for kind, form in forms if (found := form.match(body, place))), ("", None))
        if not found:
            sys.exit(f"dpo.h has a form that options/declarations.py does not know: {body[place:place + 200].strip()!r}")
        place = found.end()
        help_text, comment = words(comment) if comment else "", ""
        # A comment at the end of the line belongs to it.
        if kind in ("handle", "define") and (after := re.compile(r"[ \t]*(/\*.*?\*/)").match(body, place)):
            help_text, place = words(after[1]), after.end()
        if kind == "define":
            items.append(Item(kind, found[1], help_text, [(found[1], found[2], "")]))
        elif kind == "handle":
            items.append(Item(kind, found[1], help_text))
        elif kind == "enum":
            items.append(Item(kind, found[1], help_text, enum_values(found[2])))
        elif kind == "struct":
            items.append(Item(kind, found[1], help_text, struct_fields(found[2])))
        elif kind == "callback":
            items.append(Item(kind, found[2], help_text, parameters(found[3]), found[1]))
        elif kind == "function":
            items.append(Item(kind, found[2], help_text, parameters(found[3]), found[1].strip()))
    defined = {item.name for item in items if item.kind == "struct"}
    return [item for item in items if item.kind != "handle" or item.name not in defined]


def enum_values(text: str) -> "list[tuple[str, str, str]]":
    values = []
    for found in re.finditer(r"(DPO_\w+) = (-?\d+),?[ \t]*(/\*.*?\*/)?", text, re.DOTALL):
        values.append((found[1], found[2], words(found[3]) if found[3] else ""))
    return values


def struct_fields(text: str) -> "list[tuple[str, str, str]]":
    """Comments stand above a field, or behind it on its line."""
    fields, above = [], ""
    form = re.compile(r"\s*(?:(/\*.*?\*/)|([^;/]+);[ \t]*(/\*.*?\*/)?)", re.DOTALL)
    place = 0
    while text[place:].strip():
        found = form.match(text, place)
        if not found:
            sys.exit(f"dpo.h has a field that options/declarations.py does not know: {text[place:place + 200].strip()!r}")
        place = found.end()
        if found[1]:
            comment = words(found[1])
            above = "" if comment.startswith(("----", "made by")) else comment
            continue
        for index, part in enumerate(found[2].split(",")):
            name, kind = declarator(part)
            if index:
                sys.exit(f"dpo.h: one field a line, please: {found[2].strip()}")
            fields.append((name, kind, words(found[3]) if found[3] else above))
        above = ""
    return fields


# ------------------------------------------------------------------------------------------------------------------- Rust


def rust_type(c: str) -> str:
    """`const char *const *` is `*const *const c_char`."""
    found = re.fullmatch(r"(.*?)\[(\d+)\]", c)
    if found:
        return f"[{rust_type(found[1].strip())}; {found[2]}]"
    tokens = re.findall(r"\w+|\*", c.replace("struct ", ""))
    constant, kind = False, ""
    for token in tokens:
        if token == "const":
            constant = True
        elif token == "*":
            kind, constant = ("*const " if constant else "*mut ") + kind, False
        else:
            kind = BASE.get(token, token)
    return kind


def rust_name(name: str) -> str:
    return f"r#{name}" if name in KEYWORDS else name


def rust_doc(text: str, indent: str = "") -> "list[str]":
    lines = []
    for paragraph in text.split("\n"):
        if lines and re.match(r"Errors:|\w+: {2}", paragraph):
            lines.append(f"{indent}///")
        if paragraph.startswith("    "):
            lines.append(f"{indent}/// {paragraph}")
        else:
            paragraph = re.sub(r"([\[\]<])", r"\\\1", paragraph)
            lines += textwrap.wrap(paragraph, 118, initial_indent=f"{indent}/// ", subsequent_indent=f"{indent}/// ",
                                   break_long_words=False, break_on_hyphens=False) or [f"{indent}///"]
    return lines if text else []


def rust(items: "list[Item]", by: str) -> str:
    lines = [f"// Made by {by} from include/dpo.h.", "", "use std::marker::{PhantomData, PhantomPinned};",
             "use std::os::raw::{c_char, c_void};"]
    for item in items:
        if item.kind in ("define", "enum"):
            lines.append("")
            if item.kind == "enum" and item.name:
                lines += [*rust_doc(item.help), f"pub type {item.name} = i32;"]
            for name, value, text in item.parts:
                lines += [*rust_doc(text or (item.help if item.kind == "define" else "")), f"pub const {name}: i32 = {value.strip('()')};"]
        elif item.kind == "handle":
            lines += ["", *rust_doc(item.help), "#[repr(C)]", f"pub struct {item.name} {{", "    _data: [u8; 0],",
                      "    _marker: PhantomData<(*mut u8, PhantomPinned)>,", "}"]
        elif item.kind == "struct":
            lines += ["", *rust_doc(item.help), "#[repr(C)]", "#[derive(Clone, Copy)]", f"pub struct {item.name} {{"]
            for name, kind, text in item.parts:
                lines += [*rust_doc(text, "    "), f"    pub {rust_name(name)}: {rust_type(kind)},"]
            lines.append("}")
        elif item.kind == "callback":
            lines += ["", *rust_doc(item.help), f"pub type {item.name} =",
                      f"    Option<unsafe extern \"C\" fn({rust_parameters(item)}){rust_result(item)}>;"]
    lines += ["", "extern \"C\" {"]
    first = True
    for item in items:
        if item.kind == "function":
            if not first:
                lines.append("")
            first = False
            lines += [*rust_doc(item.help, "    "), f"    pub fn {item.name}({rust_parameters(item)}){rust_result(item)};"]
    return "\n".join([*lines, "}", ""])


def rust_parameters(item: Item) -> str:
    return ", ".join(f"{rust_name(name)}: {rust_type(kind)}" for name, kind, _ in item.parts)


def rust_result(item: Item) -> str:
    return "" if item.result == "void" else f" -> {rust_type(item.result)}"


def rust_layout(items: "list[Item]", by: str) -> str:
    """What the test compares with a C compiler's view of the header."""
    lines = [f"// Made by {by} from include/dpo.h.", "", "use super::*;", "", "structs! {"]
    for item in items:
        if item.kind == "struct":
            lines.append(f"    {item.name} {{ {', '.join(rust_name(name) for name, _, _ in item.parts)} }}")
    lines += ["}", "", "constants! {"]
    for item in items:
        if item.kind in ("define", "enum"):
            lines += [f"    {name}" for name, _, _ in item.parts]
    lines += ["}", "", "functions! {"]
    lines += [f"    {item.name}" for item in items if item.kind == "function"]
    return "\n".join([*lines, "}", ""])
