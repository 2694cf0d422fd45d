"""The quick starts of the README do what they say, on a tiny model."""

import os
import re
import sys
import unittest

from support import BUILD, FIXTURES, PAIRS, ROOT, Case, run

README = (ROOT / "README.md").read_text()
MODEL = FIXTURES / "gguf" / "llama-tied.gguf"


def block(kind: str) -> str:
    return re.search(rf"```{kind}\n(.*?)```", README, re.DOTALL).group(1)


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
        source.write_text(
            "#include <dpo.h>\n#include <stdio.h>\n"
            "static int32_t on_event(const dpo_event *event, void *data) { (void)data; return event->done > 1000; }\n"
            "int main(void) {\n"
            "  dpo_model *model = NULL; dpo_dataset *pairs = NULL; dpo_trainer *trainer = NULL;\n"
            "  dpo_train_options options; dpo_train_options_init(&options, sizeof options);\n"
            f"{block('c')}  return dpo_last_error()[0] != 0;\n}}\n"
        )
        environment = {"PKG_CONFIG_PATH": f"{BUILD}/lib/pkgconfig", "LD_LIBRARY_PATH": f"{BUILD}/lib"}
        flags = run("pkg-config", "--cflags", "--libs", "dpo", env=environment).stdout.split()
        built = run("cc", "-Wall", "-Wextra", "-Werror", source, *flags, "-o", self.directory / "host")
        self.assertEqual(built.returncode, 0, built.stderr)
        done = run(self.directory / "host", cwd=self.directory, env=environment)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertTrue((self.directory / "run/final.h5").is_file())


if __name__ == "__main__":
    unittest.main()
