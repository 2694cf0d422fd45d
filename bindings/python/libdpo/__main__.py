"""The command dpo that a wheel carries: `dpo`, or `python -m libdpo`."""

import os
import pathlib
import sys


def main() -> None:
    program = pathlib.Path(__file__).resolve().parent / "bin" / "dpo"
    if not program.exists():
        sys.exit(f"There is no {program}: only wheels carry the command. In a checkout it is build/bin/dpo.")
    os.execv(program, ["dpo", *sys.argv[1:]])


if __name__ == "__main__":
    main()
