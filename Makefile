# make demo    the whole pipeline on scikit-learn's digits -> runs/demo/report.html
# make test    formatter, linter, type checker and the fast tests
# make check   the other tests: of killed processes and full disks, of long compilations, and of equal bits with XLA's optimisations
# make peers   tests against PyTorch and diffusers, in an environment of their own (some gigabytes: PyTorch brings its CUDA libraries)
# Tests that share runs or compiled functions stay in one process (tests/conftest.py).
# Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
INSTALLED := .venv/installed
PEERS := .venv-peers/installed
COMPILED := JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.venv/compiled
PYTEST := $(COMPILED) .venv/bin/python -m pytest -q -n 2 --durations 15

# Most tests compile in haste, because they compile for longer than they compute.
HASTE := XLA_FLAGS="--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"

.PHONY: demo test check peers install

demo: $(INSTALLED)
	.venv/bin/python -m train.pipeline --preset demo
	.venv/bin/python -m train.report --run runs/demo

test: $(INSTALLED)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	$(HASTE) $(PYTEST) --dist loadgroup -m "not slow and not optimised"

check: $(INSTALLED)
	$(PYTEST) --dist loadfile -m "optimised"
	$(HASTE) $(PYTEST) --dist loadfile -m "slow and not optimised"

peers: $(PEERS)
	$(HASTE) .venv-peers/bin/python -m pytest -q tests/peers tests/test_docs_snippets.py::test_blocks_with_torch_run

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "GeoVQ: expected Python >= 3.11, found " + sys.version.split()[0] + "; give another: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(INSTALLED)

$(PEERS): pyproject.toml constraints.txt constraints-peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install -q --disable-pip-version-check -c constraints-peers.txt -e '.[dev,peers]'
	touch $(PEERS)
