# make demo    quantize a real model to 4, 3 and 2 bits, run it, print the table
# make models  run every recipe of models/ and write docs/models.md
# make test    everything that has to hold
# make grids   recompute the stored grids
# make wheel-arm64   the wheel of another machine, into dist/
# make container-arm64   its container image, into dist/; ENGINE=tflite, MODELS=, TARGET=checked
# make test-container-arm64 test-arm64   both, emulated: docs/arm.md
# make test-c-arm64   programs in C, cross-built and emulated: docs/arm.md
# make wasm test-wasm   the library for JavaScript, and its test in node: docs/wasm.md
# make test-cross    the libraries of armv7, riscv64 and x86-64, emulated and here
# make test-bundle   folders for devices, emulated and here: docs/bundle.md
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard runtime/*/*.cc runtime/*/*.h runtime/ops/*.inc runtime/ops/*/*.cc)
EXAMPLES := $(wildcard examples/*/*.c examples/*/*.h)
PACKAGES := runtime devices quant export models
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

CROSS := .venv-cross
ENGINE := onnx
TARGET := plain
ARM64 := PYTHONPATH=devices/arm64:devices/toolchain:tests:tests/kernels:tests/hosts $(BIN)/python tests/arm64

.PHONY: demo models test lint grids clean container-arm64 test-container-arm64 test-arm64 test-c-arm64 \
  test-cross wasm test-wasm test-bundle

demo: $(VENV)/demo
	$(BIN)/python -m smalti.models.demo --out build

models: $(VENV)/test
	$(BIN)/smalti models run
	$(BIN)/smalti models page

test: $(VENV)/test lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/test build/src
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(NATIVE) $(EXAMPLES)
	MYPYPATH=build/src:devices/arm64 $(BIN)/mypy $(PACKAGES:%=-p smalti.%) -p benchmarks.quality -p benchmarks.interpolation -p benchmarks.matmul -m benchmarks.conv -m benchmarks.litert -m benchmarks.latency
	PYTHONPATH=build/src $(BIN)/lint-imports --no-cache

grids: $(VENV)/demo
	$(BIN)/python -m smalti.quant.lloyd quant/tables

$(VENV)/demo $(VENV)/test: $(VENV)/%: pyproject.toml constraints.txt CMakeLists.txt $(NATIVE)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing smalti[$*] into $(VENV); the first time this takes a few minutes" >&2
	$(INSTALL) --editable '.[$*]'
	@touch $@

wheel-%: $(CROSS)/ready
	$(CROSS)/bin/python devices/toolchain/packages.py $*

container-arm64: wheel-arm64
	$(CROSS)/bin/python devices/arm64/container.py $(ENGINE) $(MODELS) --target $(TARGET)

test-container-arm64: container-arm64 $(VENV)/test
	$(ARM64)/container_check.py $(ENGINE)

test-arm64: wheel-arm64 $(VENV)/test
	$(ARM64)/matrix.py

test-c-arm64: wheel-arm64 $(VENV)/test
	$(ARM64)/c_check.py

wasm: $(CROSS)/ready
	$(CROSS)/bin/python devices/toolchain/wasm.py

test-wasm: wasm $(VENV)/test
	PYTHONPATH=tests:tests/kernels $(BIN)/python tests/wasm/every_case.py

test-cross: wheel-armv7 wheel-riscv64 wheel-x86-64 $(VENV)/test
	$(ARM64)/cross.py $(CROSS)/bin/python

test-bundle: wheel-arm64 wheel-x86-64 $(VENV)/test
	$(ARM64)/bundle_check.py

# Not `pip install .[cross]`: that would build smalti for this machine.
$(CROSS)/ready: pyproject.toml
	test -x $(CROSS)/bin/python || $(PYTHON) -m venv $(CROSS)
	$(CROSS)/bin/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['cross'], sep='\n')" > $(CROSS)/requirements.txt
	$(CROSS)/bin/pip install --quiet --disable-pip-version-check --requirement $(CROSS)/requirements.txt
	@touch $@

# The folders under their import names, for tools that do not follow editable installs.
build/src: $(PACKAGES:%=%/__init__.py)  # not the folder models: that is a target
	mkdir -p build/src/smalti
	for p in $(PACKAGES); do ln -sfn ../../../$$p build/src/smalti/$$p; done
	@touch build/src

clean:
	rm -rf build $(VENV) $(CROSS)
