"""Another package depends on libdpo by address and version, as SwiftPM takes it: no unsafe flags, nothing to set."""

import json
import os
import re
import shutil
import subprocess
import unittest

import libdpo
from support import FIXTURES, ROOT, Case, run

SWIFT = os.environ.get("SWIFT", "swift")

MANIFEST = """// swift-tools-version: 6.1
import PackageDescription

let package = Package(
  name: "app",
  dependencies: [.package(url: "file://{libdpo}", from: "{version}", traits: [])],
  targets: [.executableTarget(name: "app", dependencies: [.product(name: "DPO", package: "libdpo")])],
  swiftLanguageModes: [.v6])
"""

PROGRAM = """
import DPO

let model = try LanguageModel(path: CommandLine.arguments[1])
let scores = try model.score(texts: [(prompt: "The film was", completion: " good")])
print(scores[0].logProb)
let options = TrainingOptions(method: .dpo(losses: [.sigmoid], beta: 0.1), lora: .init(rank: 2))
let data = try model.file.dataset(.file(CommandLine.arguments[2]), options: options.dataset())
print(try Trainer(model: model.file, data: data, options: options).takeStep()[.loss] ?? 0)
"""


@unittest.skipUnless(shutil.which(SWIFT), "there is no Swift compiler")
class Package(Case):
    def git(self, *arguments: str) -> None:
        done = run("git", "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments, cwd=self.directory / "libdpo")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_package_elsewhere_builds_against_it(self) -> None:
        source, app = self.directory / "libdpo", self.directory / "app"
        listed = run("git", "ls-files", "-co", "--exclude-standard", "Package.swift", "Sources", "include", "examples",
                     "Tests", ":!Tests/Fixtures", cwd=ROOT).stdout.splitlines()
        for name in listed:
            if (ROOT / name).is_file():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, source / name)
        self.git("init", "-q")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "as it is")
        self.git("tag", libdpo.__version__)

        (app / "Sources" / "app").mkdir(parents=True)
        (app / "Package.swift").write_text(MANIFEST.format(libdpo=source, version=libdpo.__version__))
        (app / "Sources" / "app" / "main.swift").write_text(PROGRAM)
        environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CXX")}
        built = subprocess.run(
            [SWIFT, "build", "--package-path", str(app)], capture_output=True, text=True, env=environment, timeout=1500
        )
        self.assertEqual(built.returncode, 0, (built.stdout + built.stderr)[-4000:])
        pins = json.loads((app / "Package.resolved").read_text())["pins"]
        self.assertEqual({pin["identity"] for pin in pins}, {"libdpo", "swift-collections"}, "what only the command needs is not fetched")

        model = FIXTURES / "models" / "llama-tied"
        done = run(app / ".build" / "debug" / "app", model, FIXTURES / "data" / "pairs.jsonl")
        self.assertEqual(done.returncode, 0, done.stderr)
        score, loss = (float(line) for line in re.findall(r"^[-\d.e]+$", done.stdout, re.MULTILINE))
        expected = libdpo.Model(model).score(["The film was"], [" good"])[0].logp
        self.assertAlmostEqual(score, expected, delta=1e-4 * abs(expected))
        self.assertAlmostEqual(loss, 0.693147, delta=1e-4)


if __name__ == "__main__":
    unittest.main()
