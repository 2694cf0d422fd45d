"""The staged tree, the installation, the wheel and the package without NumPy."""

import os
import shutil
import sys
import unittest

from support import BUILD, MODEL, PAIRS, ROOT, Case, run

PROGRAM = r"""
#include <dpo.h>
#include <stdio.h>
int main(void) { printf("%s %d\n", dpo_version(), (int)dpo_abi_version()); return dpo_abi_version() != DPO_ABI_VERSION; }
"""

BASICS = r"""
import sys
sys.modules["numpy"] = None  # as if it were not installed
import array, libdpo
result = libdpo.dpo_loss([-12.5], [-14.25], [-13.0], [-13.75])
assert abs(result.loss - 0.6443966600735709) < 1e-12 and isinstance(result.losses, array.array)
model = libdpo.Model(sys.argv[1], threads=1)
sums, tokens = model.score_tokens([[1, 2]], [[3, 4, 5]])
assert abs(sum(tokens[0]) - sums[0]) < 1e-4
assert model.score(["A"], [" b"])[0].logp < 0
trainer = libdpo.DPOTrainer(model, args=libdpo.DPOConfig(lora_r=2, threads=1), train_dataset=sys.argv[2])
scores = trainer.forward([0, 1])
loss = libdpo.dpo_loss(scores.policy_chosen, scores.policy_rejected, scores.reference_chosen, scores.reference_rejected)
trainer.backward(loss.gradient_chosen, loss.gradient_rejected)
assert trainer.apply()["step"] == 1
values, gradients = next(iter(trainer.parameters().values()))
assert isinstance(values, memoryview) and values.format == "f" and len(values) > 0
print("good")
"""


class Package(Case):
    def prefix(self) -> "os.PathLike[str]":
        """The staged tree, copied to another place."""
        target = self.directory / "elsewhere"
        shutil.copytree(BUILD, target, symlinks=True, ignore=shutil.ignore_patterns("wheel", "debug", "libdpo-*"))
        return target

    def test_staged_tree_works_where_it_lies(self) -> None:
        prefix = self.prefix()
        source = self.directory / "program.c"
        source.write_text(PROGRAM)
        flags = run("pkg-config", "--cflags", "--libs", "dpo", env={"PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig"})
        self.assertEqual(flags.returncode, 0, flags.stderr)
        program = self.directory / "program"
        built = run("cc", "-std=c99", "-Wall", "-Werror", source, "-o", program, *flags.stdout.split())
        self.assertEqual(built.returncode, 0, built.stderr)
        done = run(program, env={"LD_LIBRARY_PATH": f"{prefix}/lib"})
        self.assertEqual((done.returncode, done.stdout), (0, "0.1.0 0\n"))
        self.assertEqual(run(prefix / "bin" / "dpo", "version").returncode, 0)
        self.assertEqual(os.readlink(prefix / "lib" / "libdpo.so"), "libdpo.so.0")
        self.assertEqual(os.readlink(prefix / "lib" / "libdpo.so.0"), "libdpo.so.0.1.0")

    def test_install_with_prefix_and_destdir(self) -> None:
        done = run("make", "install", "PREFIX=/opt/dpo", f"DESTDIR={self.directory}/root")
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("bin/dpo", "lib/libdpo.so.0.1.0", "include/dpo.h", "lib/pkgconfig/dpo.pc", "lib/cmake/dpo/dpo-config.cmake", "share/man/man1/dpo-train.1",
                     "share/bash-completion/completions/dpo", "share/zsh/site-functions/_dpo", "share/fish/vendor_completions.d/dpo.fish"):
            self.assertTrue((self.directory / "root/opt/dpo" / name).is_file(), name)

    def test_cmake_finds_it(self) -> None:
        if not shutil.which("cmake"):
            self.skipTest("cmake is not installed")
        project = self.directory / "project"
        project.mkdir()
        (project / "program.c").write_text(PROGRAM)
        (project / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.16)\nproject(host C)\nfind_package(dpo 0.1 REQUIRED)\n"
            "add_executable(host program.c)\ntarget_link_libraries(host dpo::dpo)\n"
        )
        done = run("cmake", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={self.prefix()}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(run("cmake", "--build", project / "build").returncode, 0)
        self.assertEqual(run(project / "build" / "host").stdout, "0.1.0 0\n")

    def test_wheel_carries_the_library(self) -> None:
        source = self.directory / "source"
        shutil.copytree(ROOT / "bindings/python", source, ignore=shutil.ignore_patterns("__pycache__", "lib"))
        (source / "libdpo/lib").mkdir()
        shutil.copy(BUILD / "lib" / "libdpo.so.0", source / "libdpo/lib")
        done = run(
            sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w",
            self.directory / "wheel", source,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        (wheel,) = (self.directory / "wheel").glob("libdpo-0.1.0-py3-none-linux_*.whl")
        target = self.directory / "installed"
        done = run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, wheel)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((target / "libdpo/py.typed").is_file())
        check = "import libdpo, os; print(libdpo._native.lib._name, libdpo.dpo_loss([0.0], [0.0], [0.0], [0.0]).loss)"
        done = run(sys.executable, "-c", check, env={"PYTHONPATH": str(target), "LIBDPO_LIBRARY": ""})
        self.assertEqual(done.stdout.split()[0], str(target / "libdpo/lib/libdpo.so.0"), done.stderr)

    def test_basics_without_numpy(self) -> None:
        done = run(sys.executable, "-c", BASICS, MODEL, PAIRS)
        self.assertEqual((done.stdout, done.stderr), ("good\n", ""))

    def test_a_library_of_another_abi_is_refused(self) -> None:
        source = self.directory / "other.c"
        source.write_text("int dpo_abi_version(void) { return 7; }\n")
        library = self.directory / "libdpo.so.0"
        self.assertEqual(run("cc", "-shared", "-fPIC", source, "-o", library).returncode, 0)
        done = run(sys.executable, "-c", "import libdpo", env={"LIBDPO_LIBRARY": str(library)})
        self.assertIn("ABI version 7", done.stderr)
        done = run(sys.executable, "-c", "import libdpo", env={"LIBDPO_LIBRARY": "/none.so"})
        self.assertIn("ImportError", done.stderr)


if __name__ == "__main__":
    unittest.main()
