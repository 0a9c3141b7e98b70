# Two commands do all the set-up: `make demo` and `make test`. Both need Python 3.11 or newer and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEGWRIGHT := $(BIN)/segwright

# The demo's knobs: any seed, any picture size.
SEED ?= 0
SIZE ?= 320x240
IMAGES ?= 300
WIDTH := $(firstword $(subst x, ,$(SIZE)))

.PHONY: help demo test check format docs clean

help:
	@echo "make demo    draw street scenes, train on them, evaluate and predict (SEED=0 SIZE=320x240 IMAGES=300)"
	@echo "make test    run all tests"
	@echo "make check   lint, types, and the direction of imports"
	@echo "make format  let ruff format and fix"
	@echo "make docs    write the generated pages of docs/"
	@echo "make clean   remove the virtual environment and the demo"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Segwright needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml requirements-lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements-lock.txt -e .
	@touch $@

$(VENV)/.developing: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements-lock.txt -e '.[dev]'
	@touch $@

test: $(VENV)/.developing
	$(BIN)/python -m pytest

check: $(VENV)/.developing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.developing
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.installed
	$(BIN)/python scripts/write_hyperparameter_docs.py

clean:
	rm -rf $(VENV) demo
