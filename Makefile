# `make demo` and `make test` set everything up. Both need Python 3.11 or newer and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEGWRIGHT := $(BIN)/segwright

BROWSERS := chromium chromium-browser google-chrome google-chrome-stable

# Options of the demo.
SEED ?= 0
SIZE ?= 320x240
IMAGES ?= 300
LONG_SIDE := $(shell echo $(SIZE) | tr x '\n' | sort -n | tail -1)
# Larger images are scaled down more, so that a crop still shows the surroundings of objects.
BASE_SIZE := $(shell expr $(LONG_SIDE) / 2 + 128)

.PHONY: help demo test test-browser test-sdk check format docs image clean

help:
	@echo "make demo          draw street scenes, train on them, predict and evaluate (SEED=0 SIZE=320x240 IMAGES=300)"
	@echo "make test          run all tests"
	@echo "make test-browser  test the generated pages in a browser (installs Chromium on Debian, as root)"
	@echo "make test-sdk      run the code of docs/sagemaker.md with the SageMaker Python SDK v2 and v3"
	@echo "make check         lint, types, import directions"
	@echo "make format        format and fix with ruff"
	@echo "make docs          write the generated pages of docs/"
	@echo "make image         build the container image for CPUs with Docker (docs/instances.md has the others)"
	@echo "make clean         remove the virtual environments and the demo"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Segwright needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml requirements-lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements-lock.txt -e .
	@touch $@

$(VENV)/.developing: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements-lock.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(SEGWRIGHT) sample demo/data --images $(IMAGES) --size $(SIZE) --seed $(SEED) --overwrite
	$(SEGWRIGHT) train demo/data --output demo/model --overwrite --device cpu --seed $(SEED) \
		--algorithm fcn --backbone test_resnet --no-use-pretrained-model --learning-rate 0.002 --head-rate-factor 1 \
		--epochs 36 --base-size $(BASE_SIZE) --crop-size 176 --precision-dtype auto
	$(SEGWRIGHT) predict demo/model demo/data/test --output demo/predictions --overlay --overwrite --device cpu
	$(SEGWRIGHT) evaluate demo/model --images demo/data/test --masks demo/data/test_annotation \
		--json demo/metrics.json --device cpu
	@echo
	@echo "demo/predictions: a mask and an overlay for each test image"
	@echo "demo/metrics.json: the scores"
	@echo "demo/model: the model"

test: $(VENV)/.developing
	$(BIN)/python -m pytest -n 2

# Uses an installed Chromium or Chrome, else installs Debian's, as root.
test-browser: $(VENV)/.developing
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit 0; done; \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core >/dev/null || \
		{ echo "The browser tests need Chromium or Chrome on the PATH; on Debian: sudo apt-get install chromium"; exit 1; }
	$(BIN)/python -m pytest browser_tests

# The SDKs exclude each other: each has its own environment.
.venv-sdk2/.installed: sdk_tests/requirements-sdk2.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.venv-sdk3/.installed: sdk_tests/requirements-sdk3.txt sdk_tests/requirements-sdk3-alone.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $(word 2,$^)
	@touch $@

test-sdk: $(VENV)/.developing .venv-sdk2/.installed .venv-sdk3/.installed
	$(BIN)/python -m pytest sdk_tests

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
	$(SEGWRIGHT) container metric-definitions > docs/metric_definitions.json

image:
	docker build --tag segwright:cpu .

clean:
	rm -rf $(VENV) .venv-sdk2 .venv-sdk3 demo
