# `make` alone lists the targets. Everything runs in .venv, which `setup` makes from requirements.lock.
SHELL := /bin/sh
VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.refold-setup

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-deep test-chaos prove check fix site bench dev lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## create .venv with everything in it (done once; instant when nothing changed)

$(STAMP): requirements.lock pyproject.toml
	@python=; for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Refold needs Python 3.11 or newer with venv; install it (Debian: apt install python3 python3-venv) and run make again." >&2; exit 1; \
	fi; \
	[ -x $(BIN)/python ] || { echo "creating $(VENV) with $$($$python --version)"; $$python -m venv $(VENV); }
	@echo "installing the locked packages (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

test-deep: setup ## 100,000 simulated schedules and every mutant, from a new seed (ARGS="--seed 7")
	@$(BIN)/python -m tests.simulation $(ARGS)

test-chaos: setup ## a hundred faults, fifty zombies, restores on real servers, with figures (ARGS="--seed 7")
	@$(BIN)/python -m tests.e2e $(ARGS)

prove: test-deep test-chaos ## both of them: each promise at full size, with its figures

demo: setup ## everything from nothing: servers, real receipts, the result (ARGS="--weeks 8")
	@$(BIN)/refold demo $(ARGS)

test: setup ## every test, fast ones first, three files at a time (ARGS="-k name")
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart=0 $(ARGS)

check: setup ## lint, spelling, types, layers, the tests that need no server, and what they cover
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/typos
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not servers and not e2e" --cov --cov-report=html $(ARGS)
	@printf 'these tests run %s %% of the code, whole processes of ours not counted\n' "$$($(BIN)/coverage report --format=total)"

fix: setup ## mend what can be mended by itself: lint, format, spelling
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/typos --write-changes

site: setup ## the pages as a site with search, in build/site, every link checked
	@$(BIN)/python docs/site.py
	@$(BIN)/zensical build --strict --clean
	@echo "read it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site"

bench: setup ## the speed of rebuild, live, commands and latency
	@for name in rebuild live commands latency; do $(BIN)/python -m benchmarks.$$name || exit 1; done

dev: setup ## everything in the foreground with one log, until Ctrl-C
	@$(BIN)/refold dev $(ARGS)

lock: setup ## write requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --all-extras --generate-hashes --universal --python-version 3.11 \
	  --no-emit-index-url --no-header --no-annotate --quiet -o requirements.lock

clean: ## remove .venv and caches; data in .refold and the jars in your cache stay
	@rm -rf $(VENV) .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
