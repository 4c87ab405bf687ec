# Needs Python 3.11+, make and git only.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
BIN = .venv/bin

.PHONY: run test lint types unit install format lock browser sim mutants crash bench bench-mapping schema bench-push api-fuzz

run: .venv/run.stamp
	@exec $(BIN)/portal up

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed."; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing (Debian: apt install python3-venv)."; exit 1; }

.venv/run.stamp: .venv/bin/python requirements.lock pyproject.toml
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

.venv/dev.stamp: .venv/bin/python requirements-dev.lock pyproject.toml
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@ .venv/run.stamp

browser:
	@command -v chromium >/dev/null 2>&1 && fc-list 2>/dev/null | grep -qi cjk \
	|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null 2>&1 \
	     && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-noto-cjk >/dev/null; } \
	|| echo "Chromium or a Japanese font is missing: apt install chromium fonts-noto-cjk. Browser tests are skipped."

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/dev.stamp
	$(BIN)/mypy

test: .venv/dev.stamp browser lint types
	$(BIN)/python -m pytest -n 2 --dist worksteal

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --group dev pyproject.toml -o requirements-dev.lock

sim: .venv/dev.stamp
	$(BIN)/python -m tests.sim

mutants: .venv/dev.stamp
	$(BIN)/python -m tests.sim.mutants

crash: .venv/dev.stamp
	$(BIN)/python -m tests.load.crash

bench: .venv/dev.stamp
	$(BIN)/python -m tests.load.bench

bench-mapping: .venv/dev.stamp
	$(BIN)/python -m tests.load.bench_mapping

.PHONY: bench-timetable
bench-timetable: .venv/dev.stamp
	$(BIN)/python -m tests.load.bench_timetable

.PHONY: rollout-1000
rollout-1000: .venv/dev.stamp
	$(BIN)/python -m tests.load.rollout

schema: .venv/dev.stamp
	EXAMPLES=$${EXAMPLES:-300} $(BIN)/python -m pytest -q tests/contract/test_openapi.py

bench-push: .venv/dev.stamp
	$(BIN)/python -m tests.load.push

api-fuzz: .venv/dev.stamp
	EXAMPLES=$${EXAMPLES:-200} $(BIN)/python -m pytest -q tests/contract/test_terminal_fuzz.py
