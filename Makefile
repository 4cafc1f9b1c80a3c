# Each target first makes what it needs, from Python 3.11 to 3.13 and make alone:
#   make demo   train, quantise, verify, time and report on the embedded digits: runs/digits
#   make test   lint, tests, README examples, notebook
#   make bench  the measurements of tests/benchmarks, one after the other
#   make lint   ruff, types (pyright), imports (import-linter)
#   make arm    the agent on emulated 64-bit Arm, under both runtimes (Debian 12; 350 MB, 5 minutes)

PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do \
	$$p -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo $$p && break; done)
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/ready
QUIET := TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=

.PHONY: demo test bench lint arm clean

demo: $(READY)
	$(BIN)/keras-se run --overwrite

test: lint
	$(QUIET) $(BIN)/python -m pytest -q -n $(WORKERS) -m "not debian and not slow and not device" tests
	$(QUIET) $(BIN)/python -m pytest -q --nbmake --nbmake-timeout=600 notebooks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo

bench: $(READY)
	@for script in tests/benchmarks/[a-z]*.py; do \
		echo "== $$script"; $(QUIET) $(BIN)/python $$script || exit 1; done

arm: export KERAS_SE_ARM ?= $(HOME)/.cache/keras-se/arm
arm: $(READY)
	PYTHON=$(BIN)/python sh tests/benchmarks/arm_root.sh $$KERAS_SE_ARM cortex-a72
	$(QUIET) $(BIN)/python -m pytest -q -s tests/mobile/devices/test_arm.py

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.13 with venv found. Install one (Debian:" \
		"apt install python3 python3-venv) or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache
