#!/bin/sh
# Usage: tarball.sh TARBALL FIXTURES EXAMPLE. Unpacks the tarball and uses it: the command, and a program in C, found by pkg-config and
# by CMake.
tarball=$1
fixtures=$2
example=$3
passed=0
failed=0

check() {
  if "$@" >"$place/log" 2>&1; then passed=$((passed + 1)); else
    echo "$*: exit status $?"
    cat "$place/log"
    failed=$((failed + 1))
  fi
}

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
model=$fixtures/models/llama-tied
pairs=$fixtures/data/pairs.jsonl
check tar -xzf "$tarball" -C "$place"
sdk=$(echo "$place"/libdpo-*)
check "$sdk/bin/dpo" train "$model" --data "$pairs" --output-dir "$place/run" --max-steps 2 --lora-r 2

export PKG_CONFIG_PATH="$sdk/lib/pkgconfig"
# shellcheck disable=SC2046
check cc -std=c99 "$example" $(pkg-config --cflags --libs dpo) -o "$place/by-pkg-config"
check env LD_LIBRARY_PATH="$sdk/lib" "$place/by-pkg-config" "$model" "$pairs" "$place/run-1"

mkdir "$place/project"
cp "$example" "$place/project/host.c"
cat >"$place/project/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.16)
project(host C)
find_package(dpo 0.1 REQUIRED)
add_executable(host host.c)
target_link_libraries(host dpo::dpo)
CMAKE
check cmake -S "$place/project" -B "$place/project/build" -DCMAKE_PREFIX_PATH="$sdk"
check cmake --build "$place/project/build"
check "$place/project/build/host" "$model" "$pairs" "$place/run-2"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
