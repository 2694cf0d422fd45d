"""Runs the comparisons of libdpo with its peers; see Tests/peers/README.md. The last line is the verdict."""
import argparse
import random
import sys
import time
import traceback

import support
import data
import exports
import families
import from_trl
import gloo
import host
import llama
import real
import rewards
import scoring
import templates
import tokens
import training


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", metavar="PART", help="run the checks whose name contains one of these")
    options.add_argument("--seed", type=int, default=random.randrange(1000), help="of models and rows; default: a new one each run")
    args = options.parse_args()
    if not support.COMMAND.exists():
        sys.exit(f"{support.COMMAND} does not exist: run make build first")
    print(f"seed {args.seed}", flush=True)
    passed, failed = 0, []
    for module in (data, scoring, training, exports, families, rewards, from_trl, gloo, llama, host, real, tokens, templates):
        for name, check in module.checks(args.seed):
            if args.names and not any(part in name for part in args.names):
                continue
            start = time.perf_counter()
            try:
                note = check()
            except Exception as error:
                failed.append(name)
                reason = str(error) if isinstance(error, AssertionError) else "".join(traceback.format_exception(error)).strip()
                print(f"FAILED  {name}: {reason}", flush=True)
            else:
                passed += 1
                print(f"ok      {name} ({time.perf_counter() - start:.1f} s){': ' + note if note else ''}", flush=True)
    print(f"{passed} passed, {len(failed)} failed")
    sys.exit(bool(failed) or not passed)


if __name__ == "__main__":
    main()
