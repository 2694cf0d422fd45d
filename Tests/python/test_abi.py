"""scripts/abi notices what changes the binary interface, and which step of the version it takes."""

import re
import shutil
import sys
import unittest

from support import ROOT, Case, run

COMMENT = "Default 0.2. */\n"  # of the field in dpo_ppo_options alone
OPTION = f"{COMMENT}    double cliprange_value;\n"
END = "} dpo_ppo_options;\n"
FUNCTION = "int32_t dpo_abi_version(void);\n"


@unittest.skipUnless(shutil.which("abidw") and shutil.which("gcc"), "libabigail's abidw (Debian's abigail-tools) or gcc is not installed")
class Interface(Case):
    def setUp(self) -> None:
        super().setUp()
        for name in ("include/dpo.h", "Sources/DPOCABI/libdpo.map", "packaging/abi", "packaging/debian", "CHANGELOG.md"):
            target = self.directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, target)
        # A version of the test's own, so that it does not matter which is the project's.
        for path in (self.directory / "packaging/abi").glob("libdpo-*.abi"):
            path.unlink()
        self.version("0", "4", "0", abi="0")
        self.abi("--write")
        self.abi()

    def replace(self, name: str, pattern: str, replacement: str) -> None:
        path = self.directory / name
        text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"))
        self.assertGreater(count, 0, pattern)
        path.write_text(text, encoding="utf-8")

    def version(self, *parts: str, abi: str) -> None:
        for name, value in zip(("VERSION_MAJOR", "VERSION_MINOR", "VERSION_PATCH", "ABI_VERSION"), (*parts, abi)):
            self.replace("include/dpo.h", rf"(#define DPO_{name}) \d+", rf"\1 {value}")
        self.replace("packaging/debian/changelog", r"\Alibdpo \([\d.]+-", f"libdpo ({'.'.join(parts)}-")
        self.replace("CHANGELOG.md", r"\A# Changelog\n", f"# Changelog\n\n## {'.'.join(parts)} (unreleased)\n")
        self.replace("Sources/DPOCABI/libdpo.map", r"LIBDPO_\d+", f"LIBDPO_{abi}")

    def declare(self, before: str, after: str) -> None:
        self.replace("include/dpo.h", re.escape(before), after)

    def add_function(self) -> None:
        self.declare(FUNCTION, f"{FUNCTION}int32_t dpo_brand_new(dpo_status_of_this *);\n")
        self.declare("const char *dpo_version", "typedef struct dpo_status_of_this { int32_t a; } dpo_status_of_this;\nconst char *dpo_version")
        self.replace("Sources/DPOCABI/libdpo.map", "dpo_bradley_terry;", "dpo_bradley_terry; \n    dpo_brand_new;")

    def abi(self, *arguments: str, says: str = "") -> None:
        done = run(sys.executable, ROOT / "scripts/abi", *arguments, cwd=self.directory)
        self.assertEqual(done.returncode, 1 if says else 0, done.stdout + done.stderr)
        self.assertIn(says, done.stdout)

    def release(self) -> None:
        self.replace("CHANGELOG.md", r"\(unreleased\)", "")

    def test_every_kind_of_change_is_noticed(self) -> None:
        header = (self.directory / "include/dpo.h").read_text(encoding="utf-8")
        for before, after in (
            (OPTION, COMMENT),  # a field less
            (OPTION, OPTION.replace("double", "float")),
            (END, f"    double more;\n{END}"),
            ("DPO_ERROR_IO = -2,", "DPO_ERROR_IO = -20,"),
            ("DPO_ERROR_IO = -2,", "DPO_ERROR_IO = -2, DPO_ERROR_MORE = -20,"),
            ("DPO_LOSS_HINGE = 1,", "DPO_LOSS_HINGE = 17,"),
            ("int32_t dpo_bradley_terry(size_t count", "int32_t dpo_bradley_terry(int32_t count"),
        ):
            with self.subTest(after):
                self.declare(before, after)
                self.abi(says="The interface is not that of packaging/abi/libdpo-0.4.0.abi")
                (self.directory / "include/dpo.h").write_text(header, encoding="utf-8")
        self.declare(FUNCTION, "")
        self.abi(says="differ: ['dpo_abi_version']")

    def test_before_a_release_it_is_recorded_anew(self) -> None:
        self.add_function()
        self.abi(says="run make abi")
        self.abi("--write")
        self.abi()
        self.assertIn("\n dpo_brand_new@LIBDPO_0 0.4.0\n", (self.directory / "packaging/debian/libdpo0.symbols").read_text())

    def test_after_a_release_an_addition_takes_a_minor_version(self) -> None:
        self.release()
        self.add_function()
        self.declare(END, f"    double more;\n{END}")
        self.abi(says="0.4.0 is released: raise the version")
        self.abi("--write", says="raise the version")
        self.version("0", "4", "1", abi="0")
        self.abi(says="that needs a new minor version")
        self.abi("--write", says="that needs a new minor version")
        self.version("0", "5", "0", abi="0")
        self.abi("--write")
        self.abi()
        symbols = (self.directory / "packaging/debian/libdpo0.symbols").read_text()
        self.assertIn("\n dpo_brand_new@LIBDPO_0 0.5.0\n", symbols)
        self.assertRegex(symbols, r"\n dpo_bradley_terry@LIBDPO_0 (?!0\.5)")

    def test_what_breaks_programs_takes_another_abi_version(self) -> None:
        self.release()
        self.declare(OPTION, OPTION.replace(COMMENT, f"{COMMENT}    double first;\n"))
        self.version("0", "5", "0", abi="0")
        self.abi("--write", says="Programs made for 0.4.0 would break")
        self.version("0", "5", "0", abi="1")
        self.abi("--write")
        self.abi()

    def test_the_library_exports_what_the_map_lists(self) -> None:
        library = ROOT / "build/lib/libdpo.so"
        if not library.exists():
            self.skipTest("nothing is built")
        self.abi("--library", str(library))
        self.add_function()
        self.abi("--write")
        self.abi("--library", str(library), says="does not export what")


if __name__ == "__main__":
    unittest.main()
