# `make run` and `make test` need Python (>= 3.10) and nothing else: they set up a virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: run test lint format figures clean
.DEFAULT_GOAL := run

# made anew when the dependencies change; the stamp is written last, so that a broken setup is not taken for a whole one
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

run: $(VENV)/.ready  ## the main job on the built-in default: credit ratings, equal disjoint
	$(BIN)/cgm

test: $(VENV)/.ready
	$(BIN)/pytest

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

figures: $(VENV)/.ready  ## the paper's figures and tables at small size, into outputs/reproduction: some minutes
	$(BIN)/python experiments/reproduce.py size=small 'what=[paper]'

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
