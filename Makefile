# Everything a developer runs. `make help` lists it.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV     := $(VENV)/.dev
DEMO    := out/demo
PIP      = $(BIN)/python -m pip install -qq

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test lint bench lock clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1	\2/' | expand -t 16

# Two steps, so that a first `make demo` does not wait for linters.
$(RUNTIME): pyproject.toml requirements.txt requirements-build.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Headgate needs Python 3.11 or newer, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@echo "== installing the pinned packages into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes -r requirements.txt -r requirements-build.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.txt
	@echo "== installing the pinned development tools into $(VENV)"
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

venv: $(DEV) ## make .venv with the pinned packages and this tree

demo: $(RUNTIME) ## profile a model, replay traffic against it; the reports land in out/demo
	@mkdir -p $(DEMO)
	$(BIN)/headgate-profiler sweep --model gpt-oss-120b --hardware gb200 --backend roofline \
	  --rate 180 --isl 8k --osl 50 --ttft 300ms --e2e 500ms --budget 28 \
	  --out $(DEMO)/profile.json --report $(DEMO)/profile.html
	$(BIN)/headgate replay --config config/examples/demo.yaml --trace demo --out $(DEMO)/report.html
	@echo "Open $(DEMO)/report.html (and $(DEMO)/profile.html) in a browser."

lint: $(DEV) ## style, types and layering
	@echo "== ruff check"
	@$(BIN)/ruff check
	@echo "== ruff format"
	@$(BIN)/ruff format --check
	@echo "== mypy"
	@$(BIN)/mypy
	@echo "== lint-imports"
	@$(BIN)/lint-imports --no-logo

# PYTEST_ARGS narrows a run: make test PYTEST_ARGS="tests/unit -x". PARALLEL= runs in one process, for a debugger.
# In the order of the folders: by their number of tests the one file that waits for minutes would begin last.
PARALLEL ?= --numprocesses auto --dist loadfile --no-loadscope-reorder

test: lint ## lint, then every test
	@echo "== pytest"
	@$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

bench: $(DEV) ## measure speed and forecast quality
	$(BIN)/python -m tests.bench

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
          --no-emit-index-url --custom-compile-command "make lock" $(LOCK_ARGS)

# LOCK_ARGS=--upgrade takes the newest of everything; without it only what pyproject.toml asks for moves.
lock: $(DEV) ## pin requirements*.txt anew from pyproject.toml
	$(COMPILE) pyproject.toml --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra azure --constraints requirements.txt --output-file requirements-azure.txt
	$(COMPILE) --group build --constraints requirements.txt --output-file requirements-build.txt
	$(COMPILE) pyproject.toml --group dev --constraints requirements.txt --constraints requirements-build.txt \
	  --output-file requirements-dev.txt
	tests/tools/make-dynamo-environment --lock
	tests/tools/make-peers-environment --lock

clean: ## remove what was built; the pinned environment too
	rm -rf $(VENV) out build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
