"""The command dpo that a wheel carries: `dpo`, or `python -m libdpo`."""

import os
import pathlib
import sys


def main() -> None:
    # The library of a wheel can be run as a program (scripts/wheel).
    programs = list((pathlib.Path(__file__).resolve().parent / "lib").glob("libdpo.so.*"))
    if not programs:
        sys.exit("Only wheels carry the command dpo. Debian has it in the package dpo-tools; in a checkout it is build/bin/dpo.")
    os.execv(programs[0], ["dpo", *sys.argv[1:]])


if __name__ == "__main__":
    main()
