# Two commands need nothing but Python >= 3.11: `make demo` and `make test`. Both set up .venv once.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint clean

demo: .venv/.installed-demo
	$(BIN)/minform compare

test: .venv/.installed-test
	$(BIN)/pytest -n auto

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# A stamp per set of packages: a second call installs nothing unless pyproject.toml changed.
.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed-demo: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[plot]'
	touch $@

.venv/.installed-test: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ .venv/.installed-demo

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
