# `make run` and `make test` need Python (>= 3.10) and nothing else: they set up a virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One process for each core, up to eight, with one thread each: more threads would wait for each other.
PYTEST := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist worksteal

.PHONY: run test processor coverage lint format docs figures clean
.DEFAULT_GOAL := run

# Run again when the dependencies change. The stamp is written last, so that an interrupted setup is repeated.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

$(VENV)/.docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@

run: $(VENV)/.ready  ## the default experiment: credit ratings, equal disjoint
	$(BIN)/cgm

test: $(VENV)/.ready  ## all tests, on all cores
	$(PYTEST)

processor: $(VENV)/.ready  ## tests whose numbers might depend on the processor, as on one without AVX-512
	OPENBLAS_CORETYPE=Haswell ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(PYTEST) -m processor tests

coverage: $(VENV)/.ready  ## all tests, and the lines that none of them runs
	$(PYTEST) --cov=cgm --cov-report=term-missing:skip-covered

lint: $(VENV)/.ready  ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs  ## HTML pages in docs/_build
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build

figures: $(VENV)/.ready  ## the paper's figures and tables at small size, into outputs/reproduction: some minutes
	$(BIN)/python -m experiments.paper size=small 'what=[paper]'

clean:
	rm -rf $(VENV) build dist docs/_build .coverage .pytest_cache .ruff_cache .mypy_cache .hypothesis
