"""Makes the wheel one of this platform: it carries libdpo.so, but no Python extension. Its version is that library's."""

import ctypes
import pathlib

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel


class PlatformWheel(bdist_wheel):
    def get_tag(self) -> "tuple[str, str, str]":
        return ("py3", "none", super().get_tag()[2])


class WithLibrary(Distribution):
    def has_ext_modules(self) -> bool:
        return True


def version() -> str:
    folder = pathlib.Path(__file__).resolve().parent / "libdpo" / "lib"
    libraries = sorted(folder.glob("libdpo.so.*"))
    if not libraries:
        raise SystemExit(f"There is no libdpo.so in {folder}: make wheel puts it there.")
    dpo_version = ctypes.CDLL(str(libraries[0])).dpo_version
    dpo_version.restype = ctypes.c_char_p
    return dpo_version().decode()


setup(version=version(), cmdclass={"bdist_wheel": PlatformWheel}, distclass=WithLibrary)
