#!/bin/sh
# Usage: debian.sh FOLDER-OF-PACKAGES FIXTURES HOST QUICK-START, as root. Installs the Debian packages by apt and uses them: the command, a
# program in C, found by pkg-config and by CMake, and one in Python. Then it removes them.
. "$(dirname "$0")/programs.sh"
prepare "$2" "$3"
export DEBIAN_FRONTEND=noninteractive
names="libdpo0 libdpo-dev dpo-tools python3-libdpo"
trap 'apt-get purge -y $names >/dev/null 2>&1; rm -rf "$place"' EXIT

# There is no network, and no need of one: what they depend on is there.
check apt-get install -y --no-install-recommends "$1"/*.deb
# shellcheck disable=SC2086
check dpkg --verify $names
check dpo version
check dpo train model.gguf --data pairs.jsonl --output-dir run --max-steps 2 --lora-r 2
rm -rf run
from_c /none
check python3 "$4"
check test -e run/final.h5
check python3 -c 'import importlib.metadata, libdpo; assert importlib.metadata.version("libdpo") == libdpo.__version__'
# shellcheck disable=SC2086
check apt-get purge -y $names
check sh -c '! ls /usr/lib/*/libdpo* /usr/lib/python3/dist-packages/libdpo* /usr/bin/dpo /usr/include/dpo.h 2>/dev/null'
verdict
