"""The quick starts of the README do what they say, on a tiny model."""

import os
import re
import sys
import unittest

from readme import README, block, c_program
from support import BUILD, FIXTURES, PAIRS, Case, run

MODEL = FIXTURES / "gguf" / "llama-tied.gguf"


class QuickStarts(Case):
    def setUp(self) -> None:
        super().setUp()
        (self.directory / "model.gguf").symlink_to(MODEL)
        (self.directory / "pairs.jsonl").symlink_to(PAIRS)

    def test_shell(self) -> None:
        commands = re.findall(r"^    build/bin/(dpo .*?)(?: +#.*)?$", README, re.MULTILINE)
        self.assertGreaterEqual(len(commands), 2)
        for command in commands:
            done = run(*command.split(), cwd=self.directory, env={"PATH": f"{BUILD}/bin:{os.environ['PATH']}"})
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.directory / "adapter.gguf").is_file())

    def test_python(self) -> None:
        done = run(sys.executable, "-c", block("python"), cwd=self.directory)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.directory / "run/final.h5").is_file())

    def test_c(self) -> None:
        source = self.directory / "host.c"
        source.write_text(c_program())
        environment = {"PKG_CONFIG_PATH": f"{BUILD}/lib/pkgconfig", "LD_LIBRARY_PATH": f"{BUILD}/lib"}
        flags = run("pkg-config", "--cflags", "--libs", "dpo", env=environment).stdout.split()
        built = run("cc", "-Wall", "-Wextra", "-Werror", source, *flags, "-o", self.directory / "host")
        self.assertEqual(built.returncode, 0, built.stderr)
        done = run(self.directory / "host", cwd=self.directory, env=environment)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertTrue((self.directory / "run/final.h5").is_file())


if __name__ == "__main__":
    unittest.main()
