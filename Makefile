# Fleethand: every chore of this repository, one target each.

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(if $(shell $(p) -c "import sys; print('ok' if sys.version_info >= (3, 11) else '')" 2>/dev/null),$(p))) python3)
BIN := .venv/bin
T ?= tests
EXTRAS := worker,dispatcher,embedded,dashboard,dev
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo check test bench docs lock format clean

help:  ## Print this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '%-12s %s\n' "$$name" "$$text"; done

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Fleethand needs Python 3.11 or later and found " + sys.version.split()[0] + ". Name another one: make PYTHON=/path/to/python3")'
	@echo "installing into .venv (once; about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: $(STAMP)  ## Start a server, a control plane and workers here, and run a first command on them
	@$(BIN)/fleethand demo

check: $(STAMP)  ## Lint, format, types, import contracts, file sizes and unit tests; under half a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/unit

test: $(STAMP)  ## Every test; T=path selects some
	$(BIN)/pytest -n 3 --dist worksteal --durations=5 $(T)

bench: $(STAMP)  ## Measure beside plain Celery and raw Redis, write docs/benchmarks.md
	PYTHONPATH=tests $(BIN)/python -m bench

docs: $(STAMP)  ## Write the generated pages of docs/reference again
	$(BIN)/python docs/generate.py

format: $(STAMP)  ## Format, and repair what ruff can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(STAMP)  ## Write constraints.txt again: the newest of everything within the bounds of pyproject.toml
	.ci/lock $(PYTHON) '$(EXTRAS)'

clean:  ## Remove what can be made again
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
