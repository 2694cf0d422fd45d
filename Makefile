# Everything a user or developer runs. `make help` lists it.

SWIFT ?= swift
PYTHON ?= python3
CC ?= cc
CXX ?= c++
MPICC ?= mpicc
PREFIX ?= /usr/local
DESTDIR ?=

# SwiftPM takes CC and CXX from the environment for its own C targets, which need its clang.
unexport CC CXX

BUILD := build
VENV := .cache/venv
VERSION := $(shell sed -n 's/^#define DPO_VERSION_[A-Z]* \([0-9]*\)$$/\1/p' include/dpo.h | paste -sd.)
ABI := $(shell sed -n 's/^#define DPO_ABI_VERSION //p' include/dpo.h)
RELEASE = $(shell $(SWIFT) build -c release --show-bin-path)
# Nothing uses the regular expressions of Swift's library, which would make up a tenth of libdpo.so. Nothing that is shipped needs a
# path to libraries: it carries all but the C library (scripts/static).
export SWIFT_FLAGS := -Xswiftc -Xfrontend -Xswiftc -disable-implicit-string-processing-module-import \
  --pkg-config-path .cache/static/pkgconfig --disable-local-rpath
SWIFT_BUILD := $(SWIFT) build -c release $(SWIFT_FLAGS)

.PHONY: help options abi docs deps model build mpi demo paper test test-peers test-bindings test-arm64 bench fuzz sanitize install carries wheel dist deb test-packages format clean
.DEFAULT_GOAL := help

help: ## this list
	@echo "libdpo $(VERSION)"
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do \
	  printf '%-20s %s\n' "$$name" "$$text"; done

options: ## write what is made of the tables in options/: structs, flags, Python classes, docs/options.md
	@python3 options/generate.py

abi: deps ## record the binary interface of dpo.h and libdpo.so in packaging/abi, when a change of it is meant
	@scripts/deps "$(PYTHON)" "$(VENV)" abigail-tools
	@$(VENV)/bin/python scripts/abi --write

docs: build ## the references of the Swift API and the Python package as static sites, in build/docs
	@SWIFT="$(SWIFT)" $(VENV)/bin/python scripts/docs

deps: ## install what the build needs: Debian packages, and small Python packages in .cache/venv
	@scripts/deps "$(PYTHON)" "$(VENV)"
	@scripts/static .cache/static
	@scripts/deps "$(PYTHON)" "$(VENV)" openmpi-bin libopenmpi-dev || echo "Without them one process trains, not several together."

model: deps ## download the 135M-parameter model that demo, tests and bench use (93 MB, once)
	@$(VENV)/bin/python examples/data/fetch_model.py .cache

build: deps ## compile, and stage build/{bin,lib,include} that works where it lies
	@echo "== Compiling libdpo.so"
	@$(SWIFT_BUILD) --product DPOShared
	@echo "== Compiling the dpo command"
	@$(SWIFT_BUILD) --product dpo
	@scripts/stage "$(RELEASE)" "$(BUILD)" "$(VERSION)" "$(ABI)"
	@if command -v "$(MPICC)" >/dev/null; then scripts/mpi "$(MPICC)" "$(BUILD)"; else \
	  echo "There is no $(MPICC), so libdpo-mpi.so (docs/distributed.md) is not built."; fi

mpi: ## libdpo-mpi.so, by which several processes train one model, with the MPI of MPICC=mpicc; part of build where that is
	@scripts/mpi "$(MPICC)" "$(BUILD)"

demo: build ## preference-tune a real model (or MODEL=path) on film reviews, about 6 minutes: the paper's experiment in small
	@echo "== Compiling the demo"
	@$(SWIFT_BUILD) --product sentiment-demo
	@examples/sentiment/run $(VENV)/bin/python $(RELEASE)/sentiment-demo $(if $(MODEL),"$(MODEL)")

paper: build ## five experiments after the DPO paper in small: all, ONLY="sentiment dialogue", a trial with QUICK=1, another MODEL=path
	@PYTHON="$(PYTHON)" examples/paper/run $(if $(QUICK),--quick) $(if $(MODEL),--model "$(MODEL)") $(ONLY)

test: build model ## every test: Swift, C, C++, Python, command line, damaged files; the last line is the verdict
	@scripts/deps "$(PYTHON)" "$(VENV)" chromium libopenblas0 abigail-tools || echo "Checks that need these are skipped."
	@scripts/deps "$(PYTHON)" "$(VENV)" gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static || \
	  echo "The kernels are not tested for 64-bit Arm processors."
	@scripts/deps "$(PYTHON)" "$(VENV)" iproute2 mpich libmpich-dev python3-mpi4py || \
	  echo "Another MPI than Open MPI is not tested."
	@CC="$(CC)" CXX="$(CXX)" SWIFT="$(SWIFT)" $(VENV)/bin/python Tests/run.py

test-peers: build ## the comparisons with torch, TRL, PEFT and llama.cpp, live (installs them in .cache, 6 GB)
	@Tests/peers/run

test-bindings: build ## the bindings in the languages that are installed, or in those that LANGUAGES="rust go" names
	@Tests/bindings/run.py $(LANGUAGES)

test-arm64: build ## libdpo.so and dpo for 64-bit Arm, under qemu (takes a compiler from Debian unstable to .cache, 5 GB)
	@scripts/deps "$(PYTHON)" "$(VENV)" binutils-aarch64-linux-gnu qemu-user-static
	@SWIFT="$(SWIFT)" scripts/test-arm64 "$(VERSION)" "$(ABI)" $(VENV)/bin/python

test-packages: wheel dist deb ## wheel, tarball and Debian packages, with every Python here and in Debian 12, 13 and sid (as root; trees in .cache, 2 GB)
	@scripts/deps "$(PYTHON)" "$(VENV)" lintian
	@scripts/deps "$(PYTHON)" "$(VENV)" debootstrap || echo "The packages are tested on this system only."
	@$(VENV)/bin/python Tests/packages/check.py $(BUILD)

bench: build model ## every engine's times beside the limit and, where Tests/peers/setup put them, TRL, PyTorch, llama.cpp; QUICK=1: about 5 minutes
	@Benchmarks/bench $(VENV)/bin/python $(if $(QUICK),--quick) $(ENGINES)

fuzz: build ## feed randomly damaged files to every reader for five minutes
	@scripts/fuzz

sanitize: build ## the Swift tests and the C hosts under the address sanitizer and valgrind, threads under theirs; some 20 minutes
	@scripts/deps "$(PYTHON)" "$(VENV)" valgrind || echo "What needs valgrind is left out."
	@CC="$(CC)" SWIFT="$(SWIFT)" scripts/sanitize

install: ## copy the staged tree to $(DESTDIR)$(PREFIX)
	@test -e $(BUILD)/lib/libdpo.so || { echo "Nothing is built yet: run make build first." >&2; exit 1; }
	@scripts/install "$(BUILD)" "$(DESTDIR)$(PREFIX)"

carries: build
	@test -e .cache/static/stamp || { \
	  echo "Packages are made on Debian, where scripts/static makes the libraries part of libdpo.so and dpo." >&2; exit 1; }

wheel: carries ## a Python wheel with libdpo.so and dpo, in build/wheel
	@SWIFT="$(SWIFT)" scripts/wheel "$(RELEASE)" "$(BUILD)" "$(VENV)" "$(ABI)"

dist: carries ## library, command and header for other machines, as build/libdpo-VERSION-linux-PROCESSOR.tar.gz
	@SWIFT="$(SWIFT)" scripts/dist "$(BUILD)" "$(VERSION)"

deb: carries ## Debian packages of library, header, command and Python package, in build/deb
	@scripts/deps "$(PYTHON)" "$(VENV)" debhelper dh-python openmpi-bin libopenmpi-dev
	@scripts/mpi mpicc.openmpi "$(BUILD)"
	@scripts/deb "$(BUILD)" "$(VERSION)"

format: deps ## format the Swift and C sources in place, and those of bindings whose language is installed
	@$(SWIFT) format -i -r -p Sources Tests examples Package.swift
	@find Sources plugins Tests examples bindings include/dpo.hpp -name '*.[ch]' -o -name '*.[ch]pp' | xargs $(VENV)/bin/clang-format -i && echo "Formatted."
	@if command -v gofmt >/dev/null; then gofmt -w bindings/go; fi
	@if command -v cargo-fmt >/dev/null; then cargo fmt --all --manifest-path bindings/rust/Cargo.toml; fi

clean: ## remove what was built; downloads in .cache stay
	@rm -rf $(BUILD) .build .build-* && echo "Removed build and .build."
