# Two commands need nothing but Python >= 3.11: `make demo` and `make test`. Both set up .venv once.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test soak bench lint clean

demo: .venv/.installed-demo
	$(BIN)/minform compare

test: .venv/.installed-test
	$(BIN)/pytest -n auto

# The fuller battery: what the suite shows on some, here on all; many more kills, damages and hostile inputs. In slices:
# what was reached stands in .soak, where a later call goes on (`.venv/bin/python -m tests.soak --help`).
soak: .venv/.installed-test
	$(BIN)/python -m tests.soak

# What depends on time, which no test may: what starts without torch, beside `import torch`, reading batches, and steps
# of the same models by other libraries (`benchmarks/step.py train --rounds 5` for some of it).
bench: .venv/.installed-bench
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/batches.py
	$(BIN)/python benchmarks/step.py

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

.venv/.installed-bench: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test,bench]'
	touch $@ .venv/.installed-test .venv/.installed-demo

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
