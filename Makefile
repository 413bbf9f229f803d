# `make` alone lists what there is. Everything runs in .venv, made here from the committed uv.lock.
.DEFAULT_GOAL := help
UV := $(shell command -v uv 2>/dev/null || echo .venv/uv/bin/uv)
# bytecode at install: without it every start takes twice as long; and never fetch an interpreter
export UV_COMPILE_BYTECODE = 1
export UV_PYTHON_DOWNLOADS = never
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

.PHONY: help setup demo test test-engines test-duckdb2 test-v3 test-places lint check fmt bench soak pictures clean lab

demo: $(READY)  ## no account needed: sandbox, two runs, the table of carriers
	@$(RUN)/pickups demo

test: $(READY)  ## all tests; left out: test-engines, test-duckdb2, test-v3, test-places, test-bucket, soak, bench
	@$(RUN)/pytest -q -n auto --dist worksteal

# real engines beside the project; Chromium is Debian's (apt-get install chromium), as is PgBouncer; without them those tests say so
ON_ENGINES := report_in_a_browser installed dagster views_on_postgres views_on_spark on_postgres on_postgres_for_people on_postgres_locks on_a_lake on_a_bucket
test-engines: $(READY)  ## the tests that need a browser or the package index
	@UV_PROJECT_ENVIRONMENT=.venv/engines $(UV) sync --quiet --locked --extra notebooks --extra dagster --extra postgres --extra s3 --extra spark --group engines
	@ENGINES=1 .venv/engines/bin/pytest -q -n auto --dist loadfile $(ON_ENGINES:%=tests/test_%.py)

# what a user gets who installs without our lock; dlt 1.31 does not read duckdb 2 in every way, we don't use those ways
ON_DUCKDB := second_runs history sweep quarantine status_history commands source_alone models published_lists statistics reading_ahead
test-duckdb2: $(READY)  ## the tests that touch the database, on duckdb 2.0
	@UV_PROJECT_ENVIRONMENT=.venv/duckdb2 $(UV) sync --quiet --locked --extra notebooks
	@$(UV) pip install --quiet --no-config --python .venv/duckdb2/bin/python 'duckdb==2.0.0'
	@.venv/duckdb2/bin/pytest -q -n auto --dist worksteal $(ON_DUCKDB:%=tests/test_%.py)

# the promise once more over the other version of the API; what is particular to it is in test_v3*.py, with `make test`
ON_V3 := second_runs history sweep quarantine status_history worlds worlds_machine bad_input retries reading_ahead \
  after_a_crash after_a_crash_at_an_instant
test-v3: $(READY)  ## the tests of the promise, on the API's version 3
	@TESTED_API_VERSION=v3 $(RUN)/pytest -q -n auto --dist worksteal $(ON_V3:%=tests/test_%.py)

# the promise where rows are elsewhere than in DuckDB files; what is particular to a place is in test_on_*.py
ON_PLACES := second_runs history sweep quarantine status_history v3_switch keeping_house_anywhere after_a_crash_at_an_instant
test-places: $(READY)  ## the tests of the promise, on PostgreSQL and on a lake
	@UV_PROJECT_ENVIRONMENT=.venv/engines $(UV) sync --quiet --locked --extra notebooks --extra dagster --extra postgres --extra s3 --extra spark --group engines
	@for place in postgres filesystem; do echo "on $$place:"; \
	  TESTED_DESTINATION=$$place .venv/engines/bin/pytest -q -n auto --dist worksteal $(ON_PLACES:%=tests/test_%.py) || exit 1; done

test-bucket: $(READY)  ## some of them on a lake in a bucket, ten minutes; what is particular to it is in test-engines
	@UV_PROJECT_ENVIRONMENT=.venv/engines $(UV) sync --quiet --locked --extra notebooks --extra dagster --extra postgres --extra s3 --extra spark --group engines
	@TESTED_DESTINATION=bucket .venv/engines/bin/pytest -q -n auto --dist worksteal tests/test_second_runs.py tests/test_quarantine.py tests/test_status_history.py

lint: $(READY)  ## format, lint and types
	@$(RUN)/ruff format --check . && $(RUN)/ruff check . && $(RUN)/mypy

check: lint test  ## what CI runs: format, lint, types, tests

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
	@RUNS_BESIDE_READERS=200 $(RUN)/pytest -q tests/test_readers.py -k never_block
	@HISTORIES=$(HISTORIES) PICKUPS_IN_A_WORLD=50000 $(RUN)/pytest -q tests/test_worlds.py tests/test_blind_check.py
	@$(RUN)/python -m tests.soak.worlds --runs $(RUNS) $(SEED:%=--seed %)

pictures: $(READY)  ## the READMEs' pictures, from a fresh demo
	@$(RUN)/pickups demo >/dev/null && PUBLISH__PATH=$(CURDIR)/data/demo/pickups.duckdb $(RUN)/python notebooks/pictures.py

lab: $(READY)  ## the notebooks in JupyterLab
	@$(RUN)/jupyter lab notebooks

clean:  ## remove the environment and caches; data/ stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
