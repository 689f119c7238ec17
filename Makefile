# Two commands are all a newcomer needs: `make demo` and `make test`. Both set everything up first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test lint types unit docs clean

help:
	@echo "make demo   set up, run the whole story on digits (about 4 minutes), write mimic-demo/report.html"
	@echo "make test   set up, lint, check types, run the tests"
	@echo "make docs   render the tables and pictures of docs/ from results/"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	@touch $(READY)

demo: $(READY)
	$(BIN)/mimic demo --out mimic-demo

test: lint types unit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# One thread per process and a process per core: small tensors gain nothing from more threads.
unit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile --durations 10

docs: $(READY)
	$(BIN)/python docs/render.py

clean:
	rm -rf $(VENV) mimic-demo .pytest_cache .mypy_cache .ruff_cache
