# make demo    the whole pipeline on scikit-learn's digits -> runs/demo/report.html
# make test    formatter, linter, type checker and the fast tests
# make check   the other tests: of killed processes and full disks, of long compilations, and of equal bits with XLA's optimisations
# make matrix  the fast tests with other Pythons, and with the lowest and the newest versions that pyproject.toml allows
# make peers   tests against PyTorch and diffusers, in an environment of their own (some gigabytes: PyTorch brings its CUDA libraries)
# Tests that share runs or compiled functions stay in one process (tests/conftest.py).
# Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
INSTALLED := $(VENV)/installed
PEERS := .venv-peers/installed
COMPILED := JAX_COMPILATION_CACHE_DIR=$(CURDIR)/$(VENV)/compiled
PYTEST := $(COMPILED) $(VENV)/bin/python -m pytest -q -n 2 --durations 15

# What chooses the versions of the packages, and with which options.
INSTALLER ?= pip
VERSIONS ?= -c constraints.txt

# Most tests compile in haste, because they compile for longer than they compute.
HASTE := XLA_FLAGS="--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"

.PHONY: demo test fast check matrix peers install

demo: $(INSTALLED)
	$(VENV)/bin/python -m train.pipeline --preset demo
	$(VENV)/bin/python -m train.report --run runs/demo

test: $(INSTALLED)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(MAKE) fast

fast: $(INSTALLED)
	$(HASTE) $(PYTEST) --dist loadgroup -m "not slow and not optimised"

check: $(INSTALLED)
	$(PYTEST) --dist loadfile -m "optimised"
	$(HASTE) $(PYTEST) --dist loadfile -m "slow and not optimised"

matrix:
	$(MAKE) fast VENV=.venv-matrix/python3.12 PYTHON=python3.12
	$(MAKE) fast VENV=.venv-matrix/python3.13 PYTHON=python3.13
	$(MAKE) fast VENV=.venv-matrix/lowest INSTALLER='uv pip' VERSIONS='--resolution lowest-direct'
	$(MAKE) fast VENV=.venv-matrix/newest VERSIONS=--upgrade

peers: $(PEERS)
	$(HASTE) .venv-peers/bin/python -m pytest -q tests/peers tests/test_docs_snippets.py::test_blocks_with_torch_run

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "GeoVQ: expected Python >= 3.11, found " + sys.version.split()[0] + "; give another: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check $(firstword $(INSTALLER))
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/python -m $(INSTALLER) install -q $(VERSIONS) -e '.[dev]'
	touch $(INSTALLED)

$(PEERS): pyproject.toml constraints.txt constraints-peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install -q --disable-pip-version-check -c constraints-peers.txt -e '.[dev,peers]'
	touch $(PEERS)
