# Everything from an empty machine: make quickstart, make test.
#
#   make quickstart ARGS="--preset=debug"   flags of experiments.quickstart
#   make ... PYTHON=/usr/bin/python3.12     which Python makes the environment
#   make ... VENV=/elsewhere/venv           where it is made

VENV ?= .venv
ARGS ?=
# The first Python in range, by trying it: a name on PATH may be a stub.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
  $$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
    >/dev/null 2>&1 && { echo $$name; break; }; done)
RUN = $(VENV)/bin/python

.PHONY: quickstart test test-slow test-llm lint benchmark api clean help

help:
	@echo "make quickstart   from nothing to a trained agent and its report"
	@echo "make test         linters, type check, tests"
	@echo "make test-slow    the learning checks, minutes each"
	@echo "make test-llm     asks real services where their keys are set"
	@echo "make benchmark    imagined steps per second"
	@echo "make api          pages of the programming interface, in build/api"
	@echo "make clean        removes the environment (runs/ stays)"

quickstart: $(VENV)/.ready
	@$(RUN) -m experiments.quickstart --workdir=runs/quickstart $(ARGS)

# The test processes compile the same programs: one of them each.
test: export JAX_COMPILATION_CACHE_DIR ?= $(abspath $(VENV))/jax_cache
test: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
test: lint
	$(RUN) -m pytest -n auto --maxprocesses=8 --dist=worksteal $(ARGS)

test-slow: $(VENV)/.ready-test
	$(RUN) -m pytest -m slow $(ARGS)

# What costs money says so: without a key a service is skipped, with the reason.
test-llm: $(VENV)/.ready-llm
	$(RUN) -m pytest -m llm -rs tests/pokedreamer_jax/planner $(ARGS)

lint: $(VENV)/.ready-test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

benchmark: $(VENV)/.ready
	@$(RUN) -m experiments.benchmark_imagination $(ARGS)

# What docs/api.txt lists, out of its docstrings; a warning ends it.
api: $(VENV)/.ready-docs
	$(RUN) -W error::UserWarning -m pdoc --docformat google -o build/api \
	  $$(grep -v '^#' docs/api.txt)
	@echo "Open build/api/index.html"

clean:
	rm -rf $(VENV)

# Stamps: the environment is brought up to date when a list changes.
$(VENV)/bin/python:
	@$(or $(PYTHON),false) -c 'import sys; v = sys.version_info; \
	  sys.exit(not (3, 11) <= v < (3, 14))' >/dev/null 2>&1 || { \
	  echo "Error: Python 3.11 to 3.13 is needed, found" \
	    "\"$$($(or $(PYTHON),python3) --version 2>&1 | head -n 1)\";" \
	    "install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "Making the environment in $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

$(VENV)/.ready: requirements.txt | $(VENV)/bin/python
	@echo "Installing requirements.txt (some 600 MB, a few minutes)"
	@$(RUN) -m pip install --quiet --disable-pip-version-check \
	  -r requirements.txt
	@touch $@

$(VENV)/.ready-test: requirements-test.txt $(VENV)/.ready
	@echo "Installing requirements-test.txt"
	@$(RUN) -m pip install --quiet --disable-pip-version-check \
	  -r requirements-test.txt
	@touch $@

$(VENV)/.ready-docs: requirements-docs.txt $(VENV)/.ready
	@echo "Installing requirements-docs.txt"
	@$(RUN) -m pip install --quiet --disable-pip-version-check \
	  -r requirements-docs.txt
	@touch $@

$(VENV)/.ready-llm: requirements-llm.txt $(VENV)/.ready-test
	@echo "Installing requirements-llm.txt"
	@$(RUN) -m pip install --quiet --disable-pip-version-check \
	  -r requirements-llm.txt
	@touch $@
