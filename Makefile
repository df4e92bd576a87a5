# `make demo` and `make test` set everything up themselves: a virtual environment in .venv, pinned by constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test lint check app browser bench report clean

setup: $(VENV)/.ready

# torch first and alone: its build is chosen by the pin, and what comes later finds it installed.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,sdv,dev]'
	@touch $@

demo: setup
	@$(BIN)/privsynth demo; code=$$?; [ $$code -eq 0 ] || [ $$code -eq 3 ]

test: setup
	$(BIN)/pytest -m 'not network and not gpu and not browser'

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: lint
	$(BIN)/pytest -q

app: setup
	$(BIN)/privsynth app

# The tests that need a browser: Debian's, installed here where it is missing and may be. Without one they are skipped and say why.
browser: setup
	command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } \
	  || echo "Chromium is missing and cannot be installed here" >&2
	$(BIN)/pytest -m browser -rs

bench: setup
	$(BIN)/python benchmarks/main_job.py

report: setup
	@$(BIN)/privsynth demo --folder reports/.draft; code=$$?; [ $$code -eq 0 ] || [ $$code -eq 3 ]
	for format in html pdf json; do \
	  cp reports/.draft/release/report.$$format reports/bank-vendor.$$format; \
	  cp reports/.draft/internal/report.$$format reports/bank-internal.$$format; \
	done
	rm -rf reports/.draft
	$(BIN)/python reports/pictures.py

clean:
	rm -rf $(VENV) reports/demo reports/.draft
