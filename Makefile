# The commands of the project; `make` alone lists them. All that they install goes into .venv.

VENV := .venv
PORT ?= 8000
TESTS ?= tests
TARGET ?= all
SECONDS ?= 60
BIN := $(VENV)/bin
LEAST := 3.11
NODE_CLIENTS := tests/clients_node/node_modules/.package-lock.json

# The first interpreter that starts and is new enough; looked up only when the environment is made.
PYTHON ?= $(shell for candidate in python3.13 python3.12 python3.11 python3; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; done)

.DEFAULT_GOAL := help
.PHONY: help install run test fuzz lint types docs bench faults clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed-sandbox ## make .venv with the gateway and its sandbox; start nothing

run: $(VENV)/.installed-sandbox ## start the gateway and its sandbox on port 8000 (PORT=9000 for another)
	@exec $(BIN)/twistd -n --pidfile= tracseq-gateway --sandbox --port $(PORT) --workers 2

test: $(VENV)/.installed-test $(NODE_CLIENTS) ## run the tests (TESTS=tests.test_floors for some of them); a warning is an error
	@$(BIN)/python -W error -m twisted.trial --temp-directory=_trial_temp $(TESTS)

fuzz: $(VENV)/.installed-test $(VENV)/.installed-fuzz ## look for inputs that break a promise, a minute for each target (TARGET=path SECONDS=600 for one)
	@$(BIN)/python -m tests.fuzz $(TARGET) --seconds $(SECONDS)

lint: $(VENV)/.installed-test ## look for mistakes and for lines that are not formatted
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-test ## check the types
	@$(BIN)/mypy

docs: $(VENV)/.installed-docs ## build the documentation into docs/_build/html; a warning is an error
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --fresh-env docs docs/_build/html

bench: $(VENV)/.installed-bench ## measure the gateway beside nginx, Caddy and treq: a table and a plot
	@for tool in nginx wrk h2load redis-server; do PATH="$$PATH:/usr/sbin" command -v $$tool >/dev/null || { \
		echo "make bench needs $$tool: apt-get install nginx-light libnginx-mod-http-lua lua-nginx-redis redis-server wrk nghttp2-client" >&2; \
		exit 1; }; done
	@$(BIN)/python -m benchmarks all

faults: $(VENV)/.installed-test ## break things under load and look (FAULTS="1 12 --quick" for some of the scenarios)
	@$(BIN)/python -m tests.faults $(FAULTS)

clean: ## remove what these commands made; the sandbox's data stays
	@rm -rf $(VENV) build dist *.egg-info docs/_build _trial_temp* _fuzz .hypothesis .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -f twisted/plugins/dropin.cache

# One stamp for each extra of setup.py, so that a second `make run` starts at once.
$(VENV)/.installed-%: setup.py pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[$*]'
	@touch $@

# npm writes that file last. Without npm the tests with clients on Node.js are skipped.
$(NODE_CLIENTS): tests/clients_node/package-lock.json
	@if command -v npm >/dev/null; then \
		npm ci --prefix tests/clients_node --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@; \
	else echo "npm is not installed: the tests with clients on Node.js are skipped"; fi

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo "Python $(LEAST) or newer is needed and none was found (PYTHON=/path/to/python names one)." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python $(LEAST) or newer is needed; '$(PYTHON)' is not." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
