# Tripost. `make` alone lists what there is to do.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python

.PHONY: help setup run test check pages-check fmt docs kerberos bench bench-edge lock clean

help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 13

setup: ## Make .venv with all that is needed, from the hash-locked requirements
	@scripts/setup

run: setup ## Start the whole cluster in the foreground; Ctrl-C stops it
	@exec .venv/bin/tripost-cluster

test: setup ## Run all tests, with real servers
	@$(PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadfile

check: setup ## Lint, types, layers, and that generated pages are up to date
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo
	@$(MAKE) --no-print-directory pages-check

pages-check: setup ## Say whether the pages made from the code are up to date
	@$(PYTHON) scripts/settings_page.py --check
	@$(PYTHON) -m tripost_admin_api.openapi --check
	@$(PYTHON) -m tripost_admin_api.cli.reference --check

docs: setup ## Write the pages that are made from the code anew
	@$(PYTHON) scripts/settings_page.py
	@$(PYTHON) -m tripost_admin_api.openapi
	@$(PYTHON) -m tripost_admin_api.cli.reference

fmt: setup ## Format the code and mend what the linter can
	@.venv/bin/ruff check --fix --quiet || true
	@.venv/bin/ruff format --quiet

kerberos: setup ## Add the extra for logins by Kerberos to .venv; needs a compiler, libkrb5-dev and python3-dev
	@.venv/bin/python -m pip install -qq --require-hashes --only-binary :all: -r requirements/gssapi-build.txt
	@.venv/bin/python -m pip install -qq --require-hashes --no-build-isolation -r requirements/gssapi.txt

bench: setup ## Measure the running product against Postfix in alternating rounds
	@$(PYTHON) -m bench

bench-edge: setup ## Measure edge alone beside other servers: CPU a message, sessions at a time
	@$(PYTHON) -m bench.edge

lock: ## Resolve the requirements anew (needs uv)
	@scripts/lock

clean: ## Remove .venv and caches; state in ./var stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -path ./var -prune -o \( -name __pycache__ -o -name '*.egg-info' -o -name 'crash-*' \) -prune -exec rm -rf {} +
