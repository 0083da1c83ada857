# Every target but `lock` sets up what it needs: a .venv from the hashed lock, and an embedded PostgreSQL.
PYTHON ?= python3
BIN := .venv/bin
# Modules are compiled when they are first imported: most never are.
PIP := --quiet --disable-pip-version-check --no-compile --no-deps
# These tests load the machine themselves or count on a second, so they run after the others and alone.
ALONE := tests/integration/test_tracker_load.py tests/integration/test_api_outage.py

.PHONY: help install spark demo check test lint style sql-style serve texts lock clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/'

install: .venv/.installed  ## set up the environment alone

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Regulars needs Python 3.11 or later; choose one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	    { echo "This Python has no venv; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install $(PIP) --require-hashes -r requirements.lock
	$(BIN)/python -m pip install $(PIP) --no-build-isolation --editable .
	@touch $@

# This lock is resolved under the other one, so no installed package changes its version.
spark: .venv/.spark  ## install the extra packages for Spark (400 MB); install Java 17 first

.venv/.spark: .venv/.installed requirements.spark.lock
	@$(BIN)/python -m flows.spark.needs
	$(BIN)/python -m pip install $(PIP) --require-hashes -r requirements.spark.lock
	@touch $@

demo: install  ## show a made-up year of four shops, from checkout to the nine cards
	$(BIN)/regulars demo

check: install style  ## the fast loop: style, types, and every test without a build, a browser or a long wait
	$(BIN)/python -m pytest --quiet -m "not dbt and not browser and not long" --ignore tests/browser --numprocesses 2

test: install lint  ## run everything that CI runs
	$(BIN)/python -m pytest --durations 40 --numprocesses 2 --dist loadfile --no-loadscope-reorder $(addprefix --ignore=,$(ALONE))
	$(BIN)/python -m pytest $(ALONE)

lint: install  ## style and types, SQL and the dbt project too
	@$(MAKE) --no-print-directory --jobs 2 --output-sync style sql-style

sql-style: install
	$(BIN)/regulars dbt -- --quiet --warn-error parse
	$(BIN)/regulars dbt --run sqlfluff -- lint --disable-progress-bar --processes 2 models tests/dbt
	$(BIN)/sqlfluff lint --disable-progress-bar --templater jinja macros
	$(BIN)/sqlfluff lint --disable-progress-bar --templater raw ingest/storage/schema

style: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve: install  ## keep everything up: the nightly refresh, Prefect, the dashboard, the ingest API
	$(BIN)/regulars serve

TEXTS := target/regulars.pot
FRENCH := regulars/dashboard/locale/fr/LC_MESSAGES/regulars.po

texts: install  ## collect the pages' texts, and add the new ones to the French catalogue, untranslated
	@mkdir -p $(dir $(TEXTS))
	$(BIN)/pybabel --quiet extract --mapping-file pyproject.toml --keywords N_ --no-location --sort-output \
	    --output-file $(TEXTS) regulars/dashboard
	$(BIN)/pybabel --quiet update --no-fuzzy-matching --ignore-obsolete --no-wrap --omit-header \
	    --input-file $(TEXTS) --output-file $(FRENCH) --locale fr

# The locks hold hashes and no addresses, so that each installation chooses its own package index.
lock:  ## write both locks from pyproject.toml: of everything, and of Spark's extra packages
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --no-emit-index-url --no-header $(addprefix --extra ,pipeline ingest-api dashboard) --group dev \
	    pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --no-emit-index-url --no-header --extra spark --constraint requirements.lock pyproject.toml -o requirements.spark.lock

clean:  ## remove the environment and dbt's output; .regulars (the data) stays
	rm -rf .venv target logs
