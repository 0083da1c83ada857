# The four commands set up what they need: a .venv from the hashed lock and an embedded PostgreSQL.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help install demo test serve lint lock clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/'

install: .venv/.installed  ## the environment alone

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Regulars needs Python 3.11 or later; name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	    { echo "This Python has no venv; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install  ## a small storefront's year, from checkout to the nine cards
	$(BIN)/regulars demo

test: install lint  ## everything that must hold
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/regulars dbt -- --quiet --warn-error parse
	$(BIN)/regulars dbt --run sqlfluff -- lint --disable-progress-bar models tests/dbt
	$(BIN)/sqlfluff lint --disable-progress-bar --templater jinja macros
	$(BIN)/sqlfluff lint --disable-progress-bar --templater raw ingest/storage/schema

serve: install  ## the nightly refresh, on its schedule
	$(BIN)/regulars serve

# The lock holds hashes and no address: who installs decides where from.
lock:  ## make requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --no-emit-index-url --no-header --all-extras --group dev pyproject.toml -o requirements.lock

clean:  ## forget the environment and what dbt built; .regulars (the data) stays
	rm -rf .venv target logs
