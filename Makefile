# make demo    the whole pipeline on scikit-learn's digits -> runs/demo
# make test    formatter, linter, type checker, tests: most of them compiled in haste, for to compile takes longest; a file's
#              tests stay together, for they share runs and compiled functions
# Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
INSTALLED := .venv/installed

HASTE := --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false

.PHONY: demo test install

demo: $(INSTALLED)
	.venv/bin/python -m train.pipeline --preset demo

test: $(INSTALLED)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/python -m pytest -q -n 2 --dist loadfile -m optimised
	XLA_FLAGS="$(HASTE)" .venv/bin/python -m pytest -q -n 2 --dist loadfile --durations 15 -m "not optimised"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "GeoVQ: expected Python >= 3.11, found " + sys.version.split()[0] + "; give another: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(INSTALLED)
