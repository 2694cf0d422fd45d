"""What `make test-packages` calls: wheel, tarball and Debian packages, here and on other systems. The last line is the sum.

Usage: check.py BUILD

The wheel is installed by every Python from 3.9 that the machine has as python3.N, and by those of Debian's suites, which debootstrap puts
in .cache/trees once (2 GB). There the tarball and the Debian packages are used, too. That needs root.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

from packaging.metadata import Metadata

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests/python"))

import readme  # noqa: E402

FIXTURES = ROOT / "Tests/Fixtures"
SUITES = ("bookworm", "trixie", "sid")
PACKAGES = "python3,python3-venv,gcc,libc6-dev,pkg-config,cmake,make"
#: libgcc_s comes with glibc: glibc loads it itself when a thread is cancelled.
OF_GLIBC = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"}
LICENSES = {
    "libdpo", "HDF5", "Jansson", "PCRE2", "utf8proc", "libyaml", "zlib", "xxHash", "libstdc++", "Swift", "swift-argument-parser", "swift-collections", "ggml",
}
#: Those licences' names in the wheel's metadata.
SPDX = {
    "Apache-2.0", "Swift-exception", "HDF5", "BSD-3-Clause-LBNL", "MIT", "BSD-3-Clause", "PCRE2-exception", "BSD-2-Clause",
    "Unicode-DFS-2015", "GPL-3.0-or-later", "GCC-exception-3.1",
}
#: What a package may take, in bytes.
LIMITS = {".whl": 12_000_000, ".gz": 18_000_000}
passed = failed = 0
skipped: "list[str]" = []


def expect(condition: bool, message: str) -> None:
    global passed, failed
    if condition:
        passed += 1
    else:
        failed += 1
        print(f"   failed: {message}")


def output(*command: object) -> str:
    return subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout


def count(name: str, command: "list[str]") -> None:
    """Adds what a program's last line tells."""
    global passed, failed
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = re.search(r"(\d+) passed, (\d+) failed\s*$", done.stdout)
    bad = int(found.group(2)) if found else 1
    if done.returncode or bad:
        print(done.stdout)
        bad = max(bad, 1)
    passed += int(found.group(1)) if found else 0
    failed += bad
    lines = done.stdout.splitlines()
    python = next((line for line in lines if line.startswith("Python ")), "")
    print(f"   {name}{', ' if python else ''}{python}: {lines[-1] if lines else 'no output'}", flush=True)


def program(path: pathlib.Path, floor: "tuple[int, int]", debug: pathlib.Path) -> None:
    dynamic = output("readelf", "-d", path)
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
    expect(needed <= OF_GLIBC, f"{path.name} needs {needed - OF_GLIBC}")
    expect("BIND_NOW" in dynamic, f"{path.name} does not bind all functions at its start")
    expect("RUNPATH" not in dynamic and "RPATH" not in dynamic, f"{path.name} has a path to libraries")
    versions = [(int(major), int(minor)) for major, minor in re.findall(r"GLIBC_(\d+)\.(\d+)", output("objdump", "-T", path))]
    expect(max(versions) == floor, f"{path.name} needs glibc {max(versions)}, and the wheel's tag says {floor}")
    expect(".symtab" not in output("readelf", "-SW", path), f"{path.name} is not stripped")
    build = re.compile(r"Build ID: (\w+)")
    expect(
        build.search(output("readelf", "-n", path)).group(1) == build.search(output("readelf", "-n", debug)).group(1),
        f"{debug.name} is of another build than {path.name}",
    )


def contents(build: pathlib.Path, wheel: pathlib.Path, tarball: pathlib.Path) -> None:
    print("== contents", flush=True)
    for package in (wheel, tarball):
        print(f"   {package.name}: {package.stat().st_size / 1e6:.1f} MB")
        expect(package.stat().st_size < LIMITS[package.suffix], f"{package.name} is too large")
    tag = re.fullmatch(r"libdpo-(\S+)-py3-none-manylinux_(\d+)_(\d+)_\w+\.whl", wheel.name)
    expect(tag is not None, f"{wheel.name} has no tag of glibc alone")
    floor = (int(tag.group(2)), int(tag.group(3))) if tag else (0, 0)
    debug = build / "debug"
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place)
        licenses = {path.stem for path in place.glob("*.dist-info/licenses/**/*.txt") if path.stat().st_size > 500}
        expect(licenses == LICENSES, f"the wheel's licences differ: {licenses ^ LICENSES}")
        expect((place / "libdpo/py.typed").exists(), "the wheel has no py.typed")
        (information,) = place.glob("*.dist-info")
        metadata = Metadata.from_email((information / "METADATA").read_bytes(), validate=True)
        unknown = [name for name in metadata.license_files or () if not (information / "licenses" / name).exists()]
        expect(bool(metadata.license_files) and not unknown, f"the wheel's metadata names licences that it has not: {unknown}")
        expect(set(re.findall(r"[\w.-]+", metadata.license_expression or "")) - {"AND", "WITH"} == SPDX,
               f"the wheel's License-Expression is {metadata.license_expression}")
        library = next((place / "libdpo/lib").iterdir())
        symbols = output("nm", "-D", "--defined-only", library).split("\n")[:-1]
        expect(bool(symbols) and all(" dpo_" in line for line in symbols), "libdpo.so exports what is not of dpo.h")
        program(library, floor, debug / "wheel-libdpo.so.debug")
    with tempfile.TemporaryDirectory() as directory:
        with tarfile.open(tarball) as archive:
            archive.extractall(directory)
        (sdk,) = pathlib.Path(directory).iterdir()
        for name in ("include/dpo.h", "include/dpo.hpp", "lib/pkgconfig/dpo.pc", "lib/cmake/dpo/dpo-config.cmake", "lib/libdpo.so",
                     "share/man/man1/dpo.1", "share/bash-completion/completions/dpo"):
            expect((sdk / name).exists(), f"the tarball has no {name}")
        output(ROOT / "scripts/install", build, f"{directory}/installed")
        for name, place in (("the tarball", sdk), ("make install", sdk.parent / "installed")):
            licenses = {path.stem for path in (place / "share/doc/libdpo/licenses").iterdir() if path.stat().st_size > 500}
            expect(licenses == LICENSES, f"the licences of {name} differ: {licenses ^ LICENSES}")
        program(sdk / "lib/libdpo.so", floor, next(debug.glob("libdpo.so.*.debug")))
        program(sdk / "bin/dpo", floor, debug / "dpo.debug")


def debian(debs: "list[pathlib.Path]") -> None:
    print("== Debian packages", flush=True)
    for path in debs:
        print(f"   {path.name}: {path.stat().st_size / 1e6:.2f} MB")
    names = [path.name.split("_")[0] for path in debs]
    expect(names == ["dpo-tools", "libdpo-dev", "libdpo-mpi", "libdpo0", "python3-libdpo"], f"there are {names}")
    copyright = (ROOT / "packaging/debian/copyright").read_text(encoding="utf-8")
    carried = {"libdpo", *re.findall(r"carried/([\w.+-]+)/", copyright)}
    information = output("dpkg-deb", "-I", next(path for path in debs if path.name.startswith("libdpo-mpi")))
    expect(" libopenmpi" in information, f"libdpo-mpi does not depend on Open MPI:\n{information}")
    expect(carried == LICENSES, f"Debian's copyright names others than are carried: {carried ^ LICENSES}")
    # It prints nothing when all is well; what it may find is named with the reason in packaging/debian/*.lintian-overrides.
    found = subprocess.run(
        ["lintian", "--allow-root", "--pedantic", "-I", *map(str, debs)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    expect(found.returncode == 0 and not found.stdout, f"lintian finds:\n{found.stdout}")


def pythons(wheel: pathlib.Path) -> None:
    print("== the wheel with this machine's Pythons", flush=True)
    for minor in range(9, 15):
        name = f"python3.{minor}"
        if not shutil.which(name) or subprocess.run([name, "-c", "import venv, ensurepip"], capture_output=True).returncode:
            skipped.append(f"there is no {name} here")
            continue
        count(name, [name, str(ROOT / "Tests/packages/wheel.py"), str(wheel), str(FIXTURES)])


def tree(suite: str) -> "pathlib.Path | None":
    """A system of Debian's, without anything of ours."""
    place = ROOT / ".cache/trees" / suite
    if (place / "complete").exists():
        return place
    if os.getuid() or not shutil.which("debootstrap"):
        skipped.append(f"{suite} needs root and debootstrap")
        return None
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    print(f"   debootstrap {suite}", flush=True)
    mirror = os.environ.get("DEBIAN_MIRROR")
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(place), *([mirror] if mirror else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        skipped.append(f"debootstrap {suite} did not succeed: {(done.stdout.splitlines() or [''])[-1]}")
        return None
    (place / "complete").touch()
    return place


def within(root: pathlib.Path) -> "list[str]":
    """Runs a command in a tree, without a network."""
    return [
        "unshare", "--mount", "--net", "sh", "-eu", "-c",
        'mount --rbind /proc "$0/proc"; mount --rbind /dev "$0/dev"; '
        'exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 chroot "$0" "$@"',
        str(root),
    ]


def elsewhere(suite: str, wheel: pathlib.Path, tarball: pathlib.Path, debs: "list[pathlib.Path]") -> None:
    print(f"== Debian {suite}", flush=True)
    root = tree(suite)
    if not root:
        return
    inside = root / "test"
    shutil.rmtree(inside, ignore_errors=True)
    inside.mkdir()
    for path in (wheel, tarball, *(ROOT / "Tests/packages").glob("*.*")):
        shutil.copy(path, inside)
    (inside / "debs").mkdir()
    for path in debs:
        # It depends on Open MPI, which a tree without a network cannot get.
        if not path.name.startswith("libdpo-mpi"):
            shutil.copy(path, inside / "debs")
    (inside / "host.c").write_text(readme.c_program())
    (inside / "quick_start.py").write_text(readme.block("python"))
    for part in ("models/llama-tied", "gguf", "data"):
        shutil.copytree(FIXTURES / part, inside / "fixtures" / part)
    enter = within(root)
    glibc = output(*enter, "ldd", "--version").splitlines()[0].split()[-1]
    count(f"wheel, glibc {glibc}", [*enter, "python3", "/test/wheel.py", f"/test/{wheel.name}", "/test/fixtures"])
    count(f"tarball, glibc {glibc}", [*enter, "sh", "/test/tarball.sh", f"/test/{tarball.name}", "/test/fixtures", "/test/host.c"])
    count(f"Debian packages, glibc {glibc}", [*enter, "sh", "/test/debian.sh", "/test/debs", "/test/fixtures", "/test/host.c",
                                              "/test/quick_start.py"])
    shutil.rmtree(inside)


def bare(tarball: pathlib.Path) -> None:
    """A tree without anything of Debian's: glibc where Fedora has it, the tarball, and the README's program, made with it."""
    print("== glibc alone, in /usr/lib64", flush=True)
    if os.getuid():
        skipped.append("a tree with glibc alone needs root")
        return
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for folder in ("usr/lib64", "etc", "opt", "proc", "dev"):
            (root / folder).mkdir(parents=True)
        (root / "lib64").symlink_to("usr/lib64")
        for name in OF_GLIBC:
            shutil.copy(output("cc", f"-print-file-name={name}").strip(), root / "usr/lib64" / name)
        (root / "etc/ld.so.conf").write_text("/usr/lib64\n")
        output("ldconfig", "-r", root)
        with tarfile.open(tarball) as archive:
            archive.extractall(root / "opt")
        (sdk,) = (root / "opt").iterdir()
        shutil.copy(FIXTURES / "gguf/llama-tied.gguf", root / "model.gguf")
        shutil.copy(FIXTURES / "data/pairs.jsonl", root)
        (root / "host.c").write_text(readme.c_program())
        output("cc", root / "host.c", f"-I{sdk}/include", f"-L{sdk}/lib", "-ldpo", f"-Wl,-rpath,/opt/{sdk.name}/lib", "-o", root / "host")
        train = [f"/opt/{sdk.name}/bin/dpo", "train", "model.gguf", "--data", "pairs.jsonl", "--output-dir", "by-dpo", "--max-steps", "2"]
        for command, result in ((train, "by-dpo"), (["/host"], "run")):
            done = subprocess.run([*within(root), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            expect(done.returncode == 0 and (root / result / "final.h5").exists(), f"{command[0]}: {done.stdout}")


def main() -> int:
    build = pathlib.Path(sys.argv[1]).resolve()
    (wheel,), (tarball,) = build.glob("wheel/*.whl"), build.glob("libdpo-*.tar.gz")
    debs = sorted(build.glob("deb/*.deb"))
    contents(build, wheel, tarball)
    debian(debs)
    bare(tarball)
    pythons(wheel)
    for suite in SUITES:
        elsewhere(suite, wheel, tarball, debs)
    for reason in skipped:
        print(f"   not run: {reason}")
    print(f"{passed} passed, {failed} failed" + (f", {len(skipped)} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
