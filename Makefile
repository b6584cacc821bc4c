# Everything that is done to this repository is done by one of these. `make` alone lists them.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
# Each of the many processes that tests start would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

# The first Python of 3.11 or newer; `make PYTHON=/path/to/python …` names another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
# Written when an installation is complete, so that it is repeated only when the pins change.
READY := $(VENV)/.installed
READY_DEV := $(VENV)/.installed-dev

# Bundles what has changed of the pages' scripts and styles; without them the pages say how to get them.
ASSETS := $(PY) hatch_build.py --if-possible

# Tests run on two processes; `make test WORKERS=0` runs them in one.
WORKERS ?= 2

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

.PHONY: setup
setup: $(READY_DEV) ## Make .venv with everything for development (again only when the pins changed)

.PHONY: demo
demo: $(READY) ## A simulated CRM into an embedded Postgres, in one command. ARGS="--once --contacts 500"
	@$(ASSETS)
	@$(VENV)/bin/syncline demo $(ARGS)

.PHONY: assets
assets: $(READY) ## Bundle the scripts and styles of the pages (only what changed)
	@$(PY) hatch_build.py

.PHONY: test
test: $(READY_DEV) ## Run the tests in random order. ARGS="-k merge"
	@$(ASSETS)
	@$(PY) -m pytest -n $(WORKERS) -m "not nightly" $(ARGS)

.PHONY: test-one
test-one: $(READY_DEV) ## Run one test file or test. T=tests/store/test_db.py
	@test -n "$(T)" || { echo 'Say which: make test-one T=tests/store/test_db.py'; exit 2; }
	@$(ASSETS)
	@$(PY) -m pytest -p no:randomly "$(T)" $(ARGS)

.PHONY: nightly
nightly: $(READY_DEV) ## Run the long tests, too, and all on each Postgres the machine has
	@$(PY) -m pytest -n $(WORKERS) --timeout=3600 $(ARGS)
	@for bin in /usr/lib/postgresql/1[5-9]/bin; do \
		if [ -x "$$bin/postgres" ]; then \
			echo "== on $$bin"; \
			SYNCLINE_TEST_POSTGRES="$$bin" $(PY) -m pytest -n $(WORKERS) -m "not nightly" $(ARGS) || exit 1; \
		fi; \
	done

.PHONY: check
check: $(READY_DEV) ## Check format, lint, types and the direction of imports
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/basedpyright
	$(VENV)/bin/lint-imports

.PHONY: fix
fix: $(READY_DEV) ## Mend what ruff can mend by itself
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

.PHONY: bench
bench: $(READY_DEV) ## Measure loads against the floor and a plain script, then the metrics. ARGS="--contacts 2900 --no-write"
	@$(PY) bench/run.py $(ARGS)
	@$(PY) bench/metrics.py $(filter --large --no-write,$(ARGS))

.PHONY: bench-metrics
bench-metrics: $(READY_DEV) ## Measure each metric and all at once. ARGS="--large --keep FOLDER --no-write"
	@$(PY) bench/metrics.py $(ARGS)

.PHONY: bench-pages
bench-pages: $(READY_DEV) ## Measure pages and API over HTTP. ARGS="--large --keep FOLDER --no-write"
	@$(PY) bench/pages.py $(ARGS)

.PHONY: bench-lists
bench-lists: $(READY_DEV) ## Measure lists and searches. ARGS="--contacts 1000000"
	@$(PY) bench/lists.py $(ARGS)

.PHONY: bench-pipedrive
bench-pipedrive: $(READY_DEV) ## Measure a load of Pipedrive. ARGS="--persons 2000 --no-write"
	@$(PY) bench/pipedrive.py $(ARGS)

.PHONY: bench-two-way
bench-two-way: $(READY_DEV) ## Measure pushes and webhooks
	@$(PY) bench/push.py
	@$(PY) bench/webhooks.py

.PHONY: pins
pins: $(READY_DEV) ## Resolve requirements/*.txt from pyproject.toml. ARGS="--upgrade" takes newer versions
	$(call compile,runtime.txt,pyproject.toml)
	$(call compile,build.txt,--group build --constraint requirements/runtime.txt)
	$(call compile,dev.txt,pyproject.toml --all-extras --group dev --constraint requirements/runtime.txt)

# Every file of each version with its hash, for every platform, naming no index. The development and
# build pins are held to the runtime ones, so that the tests run what users run.
define compile
@UV_CUSTOM_COMPILE_COMMAND="make pins" $(VENV)/bin/uv pip compile $(2) \
	--quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate \
	--output-file requirements/$(1) $(ARGS) >/dev/null
endef

.PHONY: clean
clean: ## Remove .venv and what the tools left behind; databases are not touched
	rm -rf $(VENV) .assets src/syncline/web/static .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(READY): requirements/runtime.txt requirements/build.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo 'Syncline needs Python 3.11 or newer. Install it, or say make PYTHON=/path/to/python.'; exit 1; }
	@echo 'Preparing .venv (once, about half a minute) …'
	@$(PY) -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo 'No virtual environment could be made. On Debian and Ubuntu: apt-get install python3-venv'; exit 1; }
	@$(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(READY_DEV): requirements/dev.txt $(READY)
	@echo 'Installing the tools for development …'
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
