#!/bin/sh
# Usage: tarball.sh TARBALL FIXTURES HOST. Unpacks the tarball and uses it: the command, and a program in C, found by pkg-config and by CMake.
. "$(dirname "$0")/programs.sh"
prepare "$2" "$3"
trap 'rm -rf "$place"' EXIT
check tar -xzf "$1" -C "$place"
sdk=$(echo "$place"/libdpo-*)
check "$sdk/bin/dpo" train model.gguf --data pairs.jsonl --output-dir run --max-steps 2 --lora-r 2
rm -rf run
export PKG_CONFIG_PATH="$sdk/lib/pkgconfig"
from_c "$sdk/lib" -DCMAKE_PREFIX_PATH="$sdk"
verdict
