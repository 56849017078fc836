# The words every contributor and CI use. Each makes .venv first if it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help demo test test-all fuzz check format bench-inference bench-train bench-frontends clean
.DEFAULT_GOAL := help

help: ## list the words
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch goes first and exactly. On Linux pip takes the build with CUDA, gigabytes larger; uv can ask
# for another:   make demo TORCH_BACKEND=cpu
ifdef TORCH_BACKEND
TORCH = $(PIP) uv && $(BIN)/uv pip install --quiet --python $(BIN)/python \
	--torch-backend=$(TORCH_BACKEND) torch==2.13.0
else
TORCH = $(PIP) torch==2.13.0
endif

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing (PyTorch, OpenVINO, ONNX Runtime: several hundred MB the first time) ..."
	$(TORCH)
	$(PIP) --editable '.[all]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.demo ## install, then run the main job on real data: demo/fast.hasten
	$(BIN)/python examples/demo.py

test: $(VENV)/.dev ## the tests: under 10 minutes on 2 cores; no GPU, root or internet
	$(BIN)/python -m pytest -m 'not slow'

$(VENV)/.sources: $(VENV)/.dev
	$(PIP) --editable '.[tensorflow]' ai-edge-litert
	@touch $@

test-all: $(VENV)/.sources ## also the slow ones, and TensorFlow's (2 GB more)
	$(BIN)/python -m pytest

fuzz: $(VENV)/.dev ## 100,000 damaged files for every reader of our own; 1,000 for libraries (hours)
	HASTEN_FUZZ=100000 $(BIN)/python -m pytest tests/test_fuzz.py

check: $(VENV)/.dev ## format, lint, types, layers
	$(BIN)/python -m ruff format --check src tests bench examples
	$(BIN)/python -m ruff check src tests bench examples
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

format: $(VENV)/.dev ## format and mend what can be mended
	$(BIN)/python -m ruff format src tests bench examples
	$(BIN)/python -m ruff check --fix src tests bench examples

bench-inference: $(VENV)/.dev ## the race against peers (hours; resumable): bench/results
	$(BIN)/python -m bench.inference

$(VENV)/.bench-train: $(VENV)/.dev
	$(PIP) --editable '.[bench-train]'
	@touch $@

bench-train: $(VENV)/.bench-train ## the training race (hours; resumable): bench/results/training.md
	$(BIN)/python -m bench.train --tune
	$(BIN)/python -m bench.train

bench-frontends: $(VENV)/.sources ## real models of other frameworks against their home (an hour)
	$(BIN)/python -m bench.frontends

clean: ## remove what make made
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
