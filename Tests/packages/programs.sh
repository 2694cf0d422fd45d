# Sourced by the tests of packages: counts checks, and uses the library from C.
passed=0
failed=0

check() {
  if "$@" >"$place/log" 2>&1; then passed=$((passed + 1)); else
    echo "$*: exit status $?"
    cat "$place/log"
    failed=$((failed + 1))
  fi
}

# prepare FIXTURES HOST: goes to a new folder with a model and pairs, and the README's program in C.
prepare() {
  place=$(mktemp -d)
  cp "$1/gguf/llama-tied.gguf" "$place/model.gguf"
  cp "$1/data/pairs.jsonl" "$place/pairs.jsonl"
  cp "$2" "$place/host.c"
  cd "$place" || exit 1
}

# from_c FOLDER-OF-LIBRARY cmake-arguments...: the program, compiled as pkg-config says, and by CMake.
from_c() {
  library=$1
  shift
  # shellcheck disable=SC2046
  check cc -std=c99 -Wall -Wextra -Werror host.c $(pkg-config --cflags --libs dpo) -o host
  check env LD_LIBRARY_PATH="$library" ./host
  check test -e run/final.h5
  rm -rf run

  mkdir project
  cp host.c project
  cat >project/CMakeLists.txt <<CMAKE
cmake_minimum_required(VERSION 3.16)
project(host C)
find_package(dpo 0.1 REQUIRED)
add_executable(host host.c)
target_link_libraries(host dpo::dpo)
CMAKE
  check cmake -S project -B project/build "$@"
  check cmake --build project/build
  check project/build/host
  check test -e run/final.h5
  rm -rf run
}

verdict() {
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ]
}
