# `make` alone lists the commands. Nothing but make and Python 3.11, 3.12 or 3.13 is needed; uv is used where it is there.

VENV ?= .venv
BIN := $(VENV)/bin
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c '$(SUITABLE)' 2>/dev/null && echo "$$p" && break; done)
UV := $(shell command -v uv 2>/dev/null)
BUDGET ?= 4500
TESTS ?=
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run install test lint types fmt lock lock-check schema-doc schema-doc-check cli-doc cli-doc-check screenshots mutants bench kafka clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  ARGS="…" goes to run, mutants and bench; TESTS="tests/cli -k help" narrows test; PYTHON= and VENV= choose others.'

run: $(VENV)/.run ## A simulated wiki's day, followed live into an embedded Postgres, then compared (ARGS="--for 30s")
	@$(BIN)/wikimirror demo $(ARGS)

install: $(VENV)/.dev ## Make .venv with the locked versions of everything that development needs

test: lint types lock-check schema-doc-check cli-doc-check ## Everything that must hold: lint, types, locks, docs, tests (75 minutes at most)
	$(BIN)/pytest --durations=10 --session-timeout=$(BUDGET) $(TESTS)

lint: $(VENV)/.dev ## Style, formatting and the one-way import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev ## Strict types in the daemon, the tests and the tools
	$(BIN)/mypy

fmt: $(VENV)/.dev ## Format, and mend what can be mended by rule
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lock: $(VENV)/.dev ## Make requirements/*.lock again from pyproject.toml (ARGS=--upgrade takes the newest versions)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/locks.py make $(ARGS)

lock-check: $(VENV)/.dev ## The locks agree with pyproject.toml, and each file has its hash
	$(BIN)/python tools/locks.py check

schema-doc: $(VENV)/.dev ## Write docs/schema.md from a freshly migrated database
	$(BIN)/python tools/schema_doc.py

schema-doc-check: $(VENV)/.dev ## docs/schema.md says what the migrations make
	$(BIN)/python tools/schema_doc.py --check

cli-doc: $(VENV)/.dev ## Write docs/cli.md from the program itself
	$(BIN)/python tools/cli_doc.py

cli-doc-check: $(VENV)/.dev ## docs/cli.md says what the commands are
	$(BIN)/python tools/cli_doc.py --check

screenshots: $(VENV)/.dev ## Take the pictures of the status page anew (needs Debian's chromium)
	$(BIN)/python tools/screenshots.py

mutants: $(VENV)/.dev ## Break the law and its application on purpose; the tests must notice each time
	$(BIN)/python tests/mutants/run.py $(ARGS)

bench: $(VENV)/.dev ## Measure the daemon live, its memory, applying and decoding; write docs/benchmarks.md
	$(BIN)/python -m tests.bench.run $(ARGS)

kafka: $(VENV)/.run ## Get Apache Kafka for tests and the demo into ~/.cache/wikimirror (needs Java 17 and Maven)
	@$(BIN)/python tools/kafka.py

clean: ## Remove .venv, caches and build products (the demo's database stays)
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find daemon tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. Development's lock holds all that running needs, in the same versions, so it serves both.

$(VENV)/.run: requirements/run.lock pyproject.toml | $(BIN)/python
	$(call install_locked,requirements/run.lock)
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml | $(BIN)/python
	$(call install_locked,requirements/dev.lock)
	@touch $@ $(VENV)/.run

ifeq ($(UV),)
define install_locked
	@echo "Installing $(1) into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
endef
else
define install_locked
	@echo "Installing $(1) into $(VENV)"
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r $(1)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
endef
endif

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found. Install one, or say make PYTHON=/path/to/python." >&2; exit 1; }
ifeq ($(UV),)
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "This Python cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv." >&2; exit 1; }
else
	@$(UV) venv --quiet --python "$(PYTHON)" $(VENV)
endif
