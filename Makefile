# Everything this project does by itself. It needs make and Python 3.11 or newer; all else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEEDS ?= 20
WORKERS ?= 2
FUNCTIONS := oauth_callback mail_proxy magnet_ingest label_sweep
INSTALLED := $(VENV)/.installed
TERRAFORM_VENV := .venv-terraform
TERRAFORM_TOOLS := $(TERRAFORM_VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install run run-gmail demo test lint types format unit integration browser chaos openapi bench bench-quick volume hooks terraform-tools clean

help: ## List the targets
	@$(PYTHON) -c 'import re, sys; [print(f"  make {name:16} {what}") for name, what in re.findall(r"(?m)^([a-z-]+):.*## (.*)", open(sys.argv[1]).read())]' Makefile

install: $(INSTALLED) ## Make .venv and install what is pinned in requirements-dev.txt

run: $(INSTALLED) ## Start the product on a local Google, play the main job, open the demo CRM, stay up until Ctrl-C
	@$(BIN)/python -m local.demo --stay

run-gmail: $(INSTALLED) ## Run the functions on Google's own OAuth and Gmail: CLIENT=client_secret.json [CONTACTS=a@x.com,b@y.com]
	@test -n "$(CLIENT)" || { echo "Say which OAuth client: make run-gmail CLIENT=client_secret.json (README.md)"; exit 2; }
	@$(BIN)/python -m local.on_gmail "$(CLIENT)" --contacts "$(CONTACTS)"

demo: $(INSTALLED) ## Play the main job on a local Google and end; fails if a step did not do what it says
	@$(BIN)/python -m local.demo

test: lint terraform-tools ## Check style and types, then run all tests, in WORKERS processes, and show the coverage of branches
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --cov --cov-report=term-missing:skip-covered

unit: $(INSTALLED) ## Run the tests that need no network
	$(BIN)/python -m pytest tests/unit

integration: $(INSTALLED) ## Run the tests against the stand-ins, and in Chromium where it is installed (or CHROMIUM=path)
	$(BIN)/python -m pytest tests/integration

browser: $(INSTALLED) ## Run the tests in Chromium alone, as people click the demo CRM; pictures in .local/screens
	$(BIN)/python -m pytest tests/e2e tests/integration/test_hostile_mail_in_browser.py

chaos: $(INSTALLED) ## Play seeded chaos against the model: SEEDS=100 for that many, SEEDS=7,8 for these, SEEDS=7, for one
	@$(BIN)/python -m tests.chaos.run $(SEEDS)

lint: $(INSTALLED) types ## Check style (ruff) and types (mypy --strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## Check types; the entry points are all called main, so each has a call of its own
	$(BIN)/mypy
	@for name in $(FUNCTIONS); do \
		echo "mypy functions/$$name"; \
		MYPYPATH=functions/$$name $(BIN)/mypy --exclude '^$$' functions/$$name/*.py || exit 1; \
	done

format: $(INSTALLED) ## Bring the code into the agreed form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

openapi: $(INSTALLED) ## Write openapi.yaml from the routes
	$(BIN)/python -m ops.openapi

bench: $(INSTALLED) ## Measure every figure that the product is held to, in 15 minutes; writes bench/results/latest.md
	@$(BIN)/python -m bench.run

bench-quick: $(INSTALLED) ## The same in small sizes, in two minutes
	@$(BIN)/python -m bench.run --quick

volume: $(INSTALLED) ## Sweep 10,000 due users and dispatch among 100,000 on this machine; writes bench/results
	$(BIN)/python -m bench.volume --users 10000
	$(BIN)/python -m bench.dispatch --users 100000

hooks: $(INSTALLED) ## Check style and types before each commit from now on
	$(BIN)/pre-commit install

clean: ## Remove what the tools and the local stack leave behind
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* htmlcov .local

# Without terraform they would be of no use: the tests that need them say so and are skipped.
terraform-tools: ## Make .venv-terraform with what checks terraform/, where terraform is installed
	@if command -v terraform >/dev/null 2>&1; then $(MAKE) --no-print-directory $(TERRAFORM_TOOLS); else \
		echo "terraform is not installed: terraform/ is not checked here"; fi

$(TERRAFORM_TOOLS): requirements-terraform.txt
	$(PYTHON) -m venv $(TERRAFORM_VENV)
	$(TERRAFORM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-terraform.txt
	@touch $@

$(INSTALLED): requirements.txt requirements-ops.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
