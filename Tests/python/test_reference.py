"""The reference of the Python package: nothing public lacks words, and pdoc makes pages of them."""

import ast
import importlib
import inspect
import sys
import unittest

import libdpo
from support import ROOT, Case, run

PACKAGE = ROOT / "bindings" / "python" / "libdpo"


def bare(path) -> "list[str]":  # type: ignore[no-untyped-def]
    """Public classes, functions and fields of a module without a docstring. A method may have its base's."""
    module = importlib.import_module("libdpo" if path.stem == "__init__" else f"libdpo.{path.stem}")
    tree = ast.parse(path.read_text())
    missing = [] if ast.get_docstring(tree) else [path.name]

    def visit(owner: ast.AST, name: str, kind: "type | None") -> None:
        body = owner.body  # type: ignore[attr-defined]
        for node, after in zip(body, [*body[1:], None]):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                full = f"{name}.{node.name}" if name else node.name
                inherited = kind is not None and inspect.getdoc(getattr(kind, node.name))
                if not ast.get_docstring(node) and not inherited:
                    missing.append(f"{path.name}:{node.lineno}: {full}")
                if isinstance(node, ast.ClassDef):
                    visit(node, full, getattr(kind or module, node.name))
            elif kind is not None and isinstance(node, ast.AnnAssign) and not node.target.id.startswith("_"):
                if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)):
                    missing.append(f"{path.name}:{node.lineno}: {name}.{node.target.id}")

    visit(tree, "", None)
    return missing


class Reference(Case):
    def test_nothing_public_lacks_a_docstring(self) -> None:
        paths = [path for path in sorted(PACKAGE.glob("*.py")) if not path.stem.startswith("_") or path.stem == "__init__"]
        self.assertGreater(len(paths), 15)
        self.assertEqual([name for path in paths for name in bare(path)], [])

    def test_help_shows_the_options_of_a_config(self) -> None:
        parameters = inspect.signature(libdpo.DPOConfig).parameters
        self.assertEqual((parameters["beta"].default, parameters["output_dir"].default), (0.1, "trainer_output"))

    def test_pages(self) -> None:
        done = run(sys.executable, ROOT / "scripts/docs", "--python", self.directory)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        page = (self.directory / "libdpo.html").read_text()
        for name in libdpo.__all__:
            self.assertIn(f'id="{name}"', page)
        self.assertIn("how strongly the policy is held to the reference model", page)
        # Nothing is read from elsewhere.
        self.assertNotIn("<script src=\"http", page)


if __name__ == "__main__":
    unittest.main()
