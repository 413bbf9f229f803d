# `make` alone lists what there is. Everything runs in .venv, made here from the committed uv.lock.
.DEFAULT_GOAL := help
UV := $(shell command -v uv 2>/dev/null || echo .venv/uv/bin/uv)
# bytecode at install: without it every start takes twice as long; and never fetch an interpreter
export UV_COMPILE_BYTECODE = 1
export UV_PYTHON_DOWNLOADS = never
# behind a proxy with certificates of its own, the system knows them and uv alone doesn't; an older uv knows the second name only
export UV_SYSTEM_CERTS = 1
export UV_NATIVE_TLS = 1
READY := .venv/ready
RUN := .venv/bin

help:  ## this list
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:[^#]*##/\t/' | expand -t 14

setup: $(READY)  ## make .venv from uv.lock (every other target does this first)

.venv/uv/bin/uv:
	@echo "no uv on this machine: fetching it into .venv"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed, python3 is $$(python3 --version 2>&1). Install it and run make again." >&2; exit 1; }
	@python3 -m venv .venv || { echo "python3 cannot make an environment: install its venv module (Debian: apt-get install python3-venv)." >&2; exit 1; }
	@.venv/bin/pip install -qq --disable-pip-version-check --target .venv/uv 'uv>=0.5'

$(READY): uv.lock pyproject.toml $(if $(filter .venv/%,$(UV)),$(UV))
	@$(UV) sync --quiet --locked --extra notebooks
	@touch $@

.PHONY: help setup demo test test-all test-order test-engines test-duckdb2 test-v3 test-places lint docs check fmt bench soak pictures clean lab

demo: $(READY)  ## no account needed: sandbox, two runs, the table of carriers
	@$(RUN)/pickups demo

test: $(READY)  ## the tests, in three minutes; what is left out says the last line
	@$(RUN)/pytest -q -n auto --dist worksteal

test-all: $(READY)  ## every test in every suite, an hour and more; once a night
	@HYPOTHESIS_PROFILE=thorough $(RUN)/pytest -q -n auto --dist worksteal -m "not engines"
	@HYPOTHESIS_PROFILE=thorough $(MAKE) SLOW=yes test-duckdb2 test-v3 test-engines test-places

test-order: $(READY)  ## the tests in a random order, with Python's own checks on, and each file alone
	@$(RUN)/python -X dev -m pytest -q -n auto --random-order-seed=$${SEED:-$$PPID}
	@for file in $$(git ls-files 'tests/*test_*.py'); do $(RUN)/pytest -q -n 0 "$$file" || [ $$? = 5 ] || exit 1; done

# which tests a suite has, their markers say (pyproject.toml); SLOW=yes adds those that are slow
QUICK = $(if $(SLOW),,not slow and )

# real engines beside the project; Chromium is Debian's (apt-get install chromium), as is PgBouncer; without them those tests say so
.PHONY: engines
engines: $(READY)
	@UV_PROJECT_ENVIRONMENT=.venv/engines $(UV) sync --quiet --locked --extra notebooks --extra dagster --extra postgres --extra s3 --extra spark --group engines

test-engines: engines  ## the tests that need a browser, a server, an extra or the package index
	@.venv/engines/bin/pytest -q -n auto --dist loadfile -m "$(QUICK)engines"

# what a user gets who installs without our lock; dlt 1.31 does not read duckdb 2 in every way, we don't use those ways
test-duckdb2: $(READY)  ## the tests that touch the database, on duckdb 2.0
	@UV_PROJECT_ENVIRONMENT=.venv/duckdb2 $(UV) sync --quiet --locked --extra notebooks
	@$(UV) pip install --quiet --no-config --python .venv/duckdb2/bin/python 'duckdb==2.0.0'
	@.venv/duckdb2/bin/pytest -q -n auto --dist worksteal -m "$(QUICK)duckdb2"

# the promise once more over the other version of the API; what is particular to it is in test_v3*.py, with `make test`
test-v3: $(READY)  ## the tests of the promise, on the API's version 3
	@TESTED_API_VERSION=v3 $(RUN)/pytest -q -n auto --dist worksteal -m "$(QUICK)v3"

# the promise where rows are elsewhere than in DuckDB files; what is particular to a place is in test_on_*.py
PLACES ?= postgres delta
test-places: engines  ## the tests of the promise, on PostgreSQL and on a lake; PLACES=bucket: on a lake in a bucket
	@for place in $(PLACES); do echo "on $$place:"; \
	  TESTED_DESTINATION=$$place .venv/engines/bin/pytest -q -n auto --dist worksteal -m "$(QUICK)places" || exit 1; done

lint: $(READY)  ## format, lint and types
	@$(RUN)/ruff format --check . && $(RUN)/ruff check . && $(RUN)/mypy

# in an environment of its own, so that the interpreter of the tests stays as it is installed
docs: $(if $(filter .venv/%,$(UV)),$(UV))  ## build the documentation in build/docs; a warning is an error
	@UV_PROJECT_ENVIRONMENT=.venv/docs $(UV) sync --quiet --locked --only-group docs
	@.venv/docs/bin/sphinx-build -q -W --keep-going -n -b html docs build/docs

check: lint test  ## format, lint, types, tests; all that CI runs is in .ci/run

fmt: $(READY)  ## put the code in order
	@$(RUN)/ruff format . && $(RUN)/ruff check --fix .

ROUNDS ?= 3
bench: $(READY) .venv/singer/ready .venv/pyairbyte/ready  ## speed and memory beside floors and other ways (an hour; ONLY=first-100k, ROUNDS=3)
	@$(RUN)/python tests/bench/bench.py --rounds $(ROUNDS) $(ONLY:%=--only %)

# other tools in environments of their own; where one cannot be installed, the table says so
.venv/singer/ready: PARTS = 'singer-sdk==0.54.9' 'target-duckdb==0.8.0' 'duckdb==1.5.5'
.venv/pyairbyte/ready: PARTS = 'airbyte==0.71.3'
.venv/singer/ready .venv/pyairbyte/ready: Makefile | $(READY)
	@$(UV) venv --quiet --clear $(@D) && $(UV) pip install --quiet --no-config --python $(@D)/bin/python $(PARTS) \
	  && touch $@ || rm -rf $(@D)

# an hour and a half on two cores; the seed that was used is printed, SEED=… repeats it
KILLS ?= 200
RUNS ?= 10000
IDLE ?= 1000
DAYS ?= 500
HISTORIES ?= 100
soak: $(READY)  ## KILLS=200 processes killed, IDLE=1000 runs that find nothing, DAYS=500 of a schedule, HISTORIES=100 of worlds, RUNS=10000 of accounts that live on (an hour and a half)
	@$(RUN)/python -m tests.soak.kills --kills $(KILLS) $(SEED:%=--seed %)
	@TESTED_API_VERSION=v3 $(RUN)/python -m tests.soak.kills --kills $(KILLS) $(SEED:%=--seed %)
	@$(RUN)/python -m tests.soak.idle --runs $(IDLE)
	@$(RUN)/python -m tests.soak.year --days $(DAYS)
	@$(RUN)/python -m tests.soak.intervals
	@RUNS_BESIDE_READERS=200 $(RUN)/pytest -q tests/operations/test_readers.py -m "" -k never_block
	@HISTORIES=$(HISTORIES) PICKUPS_IN_A_WORLD=50000 $(RUN)/pytest -q -m "" tests/runs/test_worlds.py tests/numbers/test_blind_check.py
	@$(RUN)/python -m tests.soak.worlds --runs $(RUNS) $(SEED:%=--seed %)

pictures: $(READY)  ## the READMEs' pictures, from a fresh demo
	@$(RUN)/pickups demo >/dev/null && PUBLISH__PATH=$(CURDIR)/data/demo/pickups.duckdb $(RUN)/python notebooks/pictures.py

lab: $(READY)  ## the notebooks in JupyterLab
	@$(RUN)/jupyter lab notebooks

clean:  ## remove the environment, the built documentation and caches; data/ stays
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis
