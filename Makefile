# Two commands matter to a new user: `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help install run up test soak fuzz lint types bench lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/runtime.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.demo: requirements/demo.txt $(VENV)/.runtime
	$(PIP) install --require-hashes -r requirements/demo.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

install: $(VENV)/.runtime ## the product and its pinned, hashed requirements into .venv
run: $(VENV)/.demo ## the whole product with demo data: real Kafka, real PostgreSQL, a real data set
	exec $(BIN)/segments up --demo

up: $(VENV)/.runtime ## the whole product without demo data
	exec $(BIN)/segments up

test: $(VENV)/.dev ## every test, on real servers that the tests bring up themselves
	$(BIN)/python -m pytest $(ARGS)

soak: $(VENV)/.dev ## chaos: every process killed again and again under load; SECONDS=3600 SEED=7 for hours, or one of your own
	$(BIN)/python -m tests.soak.run --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED)) $(ARGS)

fuzz: $(VENV)/.dev ## the property tests with 50 times as many examples; FACTOR=500 for more, ARGS="-k sequences" for a part
	SEGMENTS_FUZZ_FACTOR=$(or $(FACTOR),50) $(BIN)/python -m pytest tests/property --timeout=0 $(ARGS)

lint: $(VENV)/.dev ## style, layers, formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev ## mypy --strict
	$(BIN)/mypy

bench: $(VENV)/.dev ## throughput, latency and memory on this machine
	$(BIN)/python -m benchmarks.run $(ARGS)

lock: ## rewrites requirements/*.txt from pyproject.toml (needs uv)
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --group build pyproject.toml -o requirements/runtime.txt
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --extra demo --group build -c requirements/runtime.txt pyproject.toml -o requirements/demo.txt
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --all-extras --group build -c requirements/runtime.txt -c requirements/demo.txt pyproject.toml -o requirements/dev.txt

clean: ## removes the virtual environment and local data
	rm -rf $(VENV) .local
