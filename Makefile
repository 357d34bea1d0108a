# `make demo` and `make test` need python3 (3.11 or newer) and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip
DIST := dist
# Readers of exports, for tests: in a folder of their own, since DuckDB's Iceberg extension needs the DuckDB of its release,
# and pandas is otherwise kept out (see override-dependencies).
READERS := duckdb==1.5.5\nduckdb-extension-avro==1.5.5\nduckdb-extension-iceberg==1.5.5\npandas>=3\npyiceberg>=0.12\n

.DEFAULT_GOAL := help
.PHONY: help demo test test-all quick check lint types layers docs dist lock witness engines sbom soak pictures clean

help:            ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ \t/'

demo: $(VENV)/.local  ## run a full export and a restore on the local stack
	@$(BIN)/bqdump demo

# Test processes start in half the time where Python keeps what it has compiled, whatever the environment says.
test test-all quick: export PYTHONDONTWRITEBYTECODE :=
PYTEST = $(BIN)/pytest -n auto --dist worksteal --tier

quick: $(VENV)/.dev  ## run the tests for editing, in memory: under a minute
	@$(PYTEST) quick

test: $(VENV)/.dev  ## run the tests that find nearly every mistake: 3 minutes on two cores
	@$(PYTEST) test

test-all: $(VENV)/.dev  ## run all tests: 10 to 14 minutes on two cores; leave parts out: WITHOUT="stand-ins walks"
	@failed=; for tier in memory servers; do $(PYTEST) $$tier $(addprefix --without ,$(WITHOUT)) || failed=1; done; test -z "$$failed"

check: lint types layers test  ## lint, format, strict types, import layers, and make test

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/actionlint
	$(BIN)/zizmor --quiet --offline --persona pedantic .github

types: $(VENV)/.dev
	$(BIN)/mypy

layers: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.docs  ## build the documentation as a site, in dist/site; a dead link fails
	@$(BIN)/python docs/site/build.py "$(DIST)"

dist: $(VENV)/.tools  ## build the archives: the source, and the wheel from the source, equal bit by bit each time
	@$(BIN)/uv build -q --no-config --no-build-isolation --python $(BIN)/python --out-dir "$(DIST)"

lock:            ## update the hashed lock files
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --extra dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --extra local -c requirements/dev.txt pyproject.toml -o requirements/local.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --extra read -c requirements/dev.txt pyproject.toml -o requirements/read.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --extra verify -c requirements/dev.txt pyproject.toml -o requirements/verify.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q -c requirements/dev.txt pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --extra otel -c requirements/dev.txt pyproject.toml -o requirements/otel.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --extra s3 -c requirements/dev.txt pyproject.toml -o requirements/s3.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --extra docs -c requirements/dev.txt pyproject.toml -o requirements/docs.txt
	printf '$(READERS)' | $(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q - -o requirements/readers.txt
	$(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q requirements/witness.in -o requirements/witness.txt
	$(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q requirements/localstack.in -o requirements/localstack.txt
	$(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q requirements/witness-dbt.in -o requirements/witness-dbt.txt
	$(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --extra airflow --extra verify pyproject.toml -o requirements/airflow.txt
	$(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --extra dagster --extra verify pyproject.toml -o requirements/dagster.txt
	printf 'prefect\n' | $(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q pyproject.toml - -o requirements/prefect.txt
	printf 'uv\nhatchling\neditables\n' | $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q - -o requirements/tools.txt

$(VENV)/.tools: requirements/tools.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "bqdump needs Python 3.11 or newer: set PYTHON=python3.x"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/.local: requirements/local.txt pyproject.toml $(VENV)/.tools
	@$(UV) install -q --python $(BIN)/python --require-hashes --no-deps -r $<
	@$(UV) install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/readers.txt pyproject.toml $(VENV)/.tools
	@$(UV) install -q --python $(BIN)/python --require-hashes --no-deps -r $<
	@$(UV) install -q --no-config --python $(BIN)/python --require-hashes --no-deps --target $(VENV)/readers -r requirements/readers.txt
	@$(UV) install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.local

# A second server of S3, in an environment of its own: it needs another version of the client.
$(VENV)/.localstack: requirements/localstack.txt $(VENV)/.dev
	@rm -f $@
	@$(BIN)/python -m venv --clear --without-pip $(VENV)/localstack
	@$(BIN)/uv pip install --no-config -q --compile-bytecode --python $(VENV)/localstack/bin/python --require-hashes --no-deps -r $<
	@touch $@

# Each with bqdump in an environment of its own: their packages are many.
$(VENV)/.airflow $(VENV)/.dagster $(VENV)/.prefect: $(VENV)/.%: requirements/%.txt $(VENV)/.dev
	@rm -f $@
	@$(BIN)/python -m venv --clear --without-pip $(VENV)/$*
	@$(BIN)/uv pip install --no-config -q --compile-bytecode --python $(VENV)/$*/bin/python --require-hashes --no-deps -r $<
	@$(BIN)/uv pip install --no-config -q --python $(VENV)/$*/bin/python --no-deps --build-constraint requirements/tools.txt -e .
	@touch $@

engines: $(VENV)/.airflow $(VENV)/.dagster $(VENV)/.prefect  ## run exports in Airflow, Dagster and Prefect
	@$(BIN)/pytest -q tests/engines

$(VENV)/.docs: requirements/docs.txt $(VENV)/.dev
	@$(UV) install -q --python $(BIN)/python --require-hashes --no-deps -r $<
	@touch $@

witness: $(VENV)/.witness  ## run the test suites of Google's clients against the local stack; WRITE=1 renews the table in docs
	@$(BIN)/python -m tests.witness $(SUITES) $(if $(WRITE),--write)

# The suites are in the source archives of their packages, and run in environments of their own: dbt needs older clients.
$(VENV)/.witness: requirements/witness.txt requirements/witness-dbt.txt requirements/witness-suites.txt $(VENV)/.dev
	@$(BIN)/python -m venv --clear --without-pip $(VENV)/witness
	@$(BIN)/uv pip install --no-config -q --python $(VENV)/witness/bin/python --require-hashes --no-deps -r requirements/witness.txt
	@$(BIN)/python -m venv --clear --without-pip $(VENV)/witness-dbt
	@$(BIN)/uv pip install --no-config -q --python $(VENV)/witness-dbt/bin/python --require-hashes --no-deps -r requirements/witness-dbt.txt
	@$(BIN)/python -m pip download -q --no-deps --no-binary :all: --require-hashes -d $(VENV)/witness/sources -r requirements/witness-suites.txt
	@touch $@

sbom: $(VENV)/.dev  ## list the packages of the images with their licenses, in dist/; of one: IMAGE="read otel" (CycloneDX)
	@"$(BIN)/python" deploy/sbom.py "$(DIST)" $(if $(IMAGE),"$(IMAGE)",runtime otel read s3 verify)

soak: $(VENV)/.dev  ## run 100,000 simulated schedules; a failure prints the seed to replay
	$(BIN)/python -m tests.simulation --schedules 100000
	$(BIN)/python -m tests.simulation --restores --schedules 50000
	$(BIN)/python -m tests.simulation --sets --schedules 20000

pictures: $(VENV)/.dev  ## renew the pictures of the README (needs Chromium)
	$(BIN)/python -m tests.browser.pictures

clean:           ## remove the files of make and the demo
	rm -rf $(VENV) bqdump-demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
