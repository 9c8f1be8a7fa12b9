# Everything a person does here, one word each. `make` alone says which words there are.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SETUP := pyproject.toml constraints.txt sdk/python/pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench clean

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: $(VENV)/installed ## run a fleet of agents through a whole plan, and prove what happened
	@$(BIN)/coordctl demo

test: $(VENV)/developing ## run all tests
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -r fEs

check: $(VENV)/developing ## lint, check the format, the types and the direction of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/developing ## put the code into its format, and mend what can be mended
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(VENV)/installed ## measure speed, each figure beside its limit
	@$(BIN)/coordctl bench

clean: ## remove the environment and all caches
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: an environment is installed again only when what it is made from has changed.

$(VENV)/installed: $(SETUP)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "coordctl needs Python 3.11 or later; name one: make PYTHON=python3.12 …")'
	@echo "installing coordctl into $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --editable .
	@touch $@

$(VENV)/developing: $(VENV)/installed
	@echo "installing what tests and checks need into $(VENV) …"
	@$(PIP) --editable '.[dev]' --editable sdk/python
	@touch $@
