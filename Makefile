# Everything is installed into .venv, once: the stamp below is younger than pyproject.toml, so a second call
# installs nothing and needs no network.
PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := runs/where_are_digits

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench clean

help: ## this list
	@echo "make TARGET    (PYTHON=python3.12 chooses another Python; 3.11 or newer)"
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(STAMP) ## set up, then ask where digits can be decoded: claims as a table, the report in runs/where_are_digits
	$(BIN)/interp run where_are_digits --out $(DEMO)

test: $(STAMP) ## set up, then run the tests
	$(BIN)/python -m pytest

check: $(STAMP) ## lint, format and types: checks, never repairs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(STAMP) ## speed against plain PyTorch and scikit-learn, as one table of ratios
	$(BIN)/python tests/benchmarks

clean: ## remove what make made here: .venv, caches, the demo's report (other runs and the networks' cache stay)
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find analyses interp models tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -d runs ]; then rmdir runs 2>/dev/null || true; fi

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	@echo "Setting up $(VENV), once: this downloads torch and others and takes minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
