# What people type; CI types the same. Needs only make and Python >= 3.11 with venv and pip.
#   make PYTHON=python3.13 VENV=/tmp/dispatcher-venv test     another interpreter, another place
#   make pytest ARGS="tests/unit -k broker"                   a part of the tests
PYTHON ?= python3
VENV ?= .venv
# Three workers on two cores: many tests wait for a server or a child process.
WORKERS ?= 3
ARGS ?=

BIN := $(VENV)/bin
# Relative on purpose: pip splits the value at blanks. The first name pins the build backend as well
# with the pip of Python 3.11 to 3.13, the second with newer ones, which no longer look at the first.
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	$(BIN)/python -m pip --disable-pip-version-check install --quiet
RUNTIME := $(VENV)/.installed-runtime
TEST := $(VENV)/.installed-test

.PHONY: help demo test lint types pytest bench format venv clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: $(RUNTIME) ## run the demo on a broker of its own (sets everything up first)
	$(BIN)/dispatcher demo

test: lint types pytest ## what CI runs: lint, types, all tests in parallel

lint: $(TEST) ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TEST) ## mypy, strict, over source and tests
	$(BIN)/mypy

pytest: $(TEST) ## the tests alone; ARGS="tests/unit -k name" for a part of them
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

bench: $(TEST) ## measure; prints a table with versions
	$(BIN)/python -m tests.bench $(ARGS)

format: $(TEST) ## rewrite the code as ruff wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

venv: $(TEST) ## only make the virtual environment, for editors and for work by hand

clean: ## remove the virtual environment and everything that tools left
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find dispatcher agent cli tests examples -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.made:
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "Dispatcher needs Python 3.11 or newer, and '$(PYTHON)' was not found."; \
	  echo "Install it, or name another one: make PYTHON=/path/to/python3.12 ..."; exit 1; } >&2
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Dispatcher needs Python 3.11 or newer; '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1)."; \
	  echo "Name another one: make PYTHON=python3.12 ..."; exit 1; } >&2
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' comes without venv or pip. On Debian and Ubuntu: apt install python3-venv"; \
	  echo "Or name another Python: make PYTHON=/path/to/python3.12 ..."; exit 1; } >&2
	"$(PYTHON)" -m venv "$(VENV)"
	@touch $@

$(RUNTIME): $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

# What the tests need includes what the product needs, hence both stamps.
$(TEST): $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) --editable '.[test]'
	@touch $(RUNTIME) $@
