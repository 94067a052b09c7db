# Everything a developer runs. `make help` lists it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   := out/demo

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test lint bench lock clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1	\2/' | expand -t 16

venv: $(STAMP) ## make .venv with the pinned packages and this tree

$(STAMP): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Headgate needs Python 3.11 or newer, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## profile a model and replay a day of traffic; the report lands in out/demo
	@mkdir -p $(DEMO)
	$(BIN)/headgate-profiler sweep --config config/examples/demo.yaml --out $(DEMO)/profile.json --report $(DEMO)/profile.html
	$(BIN)/headgate replay --config config/examples/demo.yaml --trace demo --profile $(DEMO)/profile.json --out $(DEMO)/report.html

lint: $(STAMP) ## style, types and layering
	@echo "== ruff check"
	@$(BIN)/ruff check
	@echo "== ruff format"
	@$(BIN)/ruff format --check
	@echo "== mypy"
	@$(BIN)/mypy
	@echo "== lint-imports"
	@$(BIN)/lint-imports

# PYTEST_ARGS narrows a run: make test PYTEST_ARGS="tests/unit -x"
test: lint ## lint, then every test
	@echo "== pytest"
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(STAMP) ## measure speed and forecast quality
	$(BIN)/python -m tests.bench

COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
          --no-emit-index-url --custom-compile-command "make lock" $(LOCK_ARGS)

# LOCK_ARGS=--upgrade takes the newest of everything; without it only what pyproject.toml asks for moves.
lock: $(STAMP) ## pin requirements*.txt anew from pyproject.toml
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) --extra dev --constraints requirements.txt --output-file requirements-dev.txt

clean: ## remove what was built; the pinned environment too
	rm -rf $(VENV) out build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
