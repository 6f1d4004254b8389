# Two commands on a fresh machine: `make demo` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
# One thread per process: tests run side by side, and sums of floats depend on the number of threads.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# Stealing leaves the tests of a module together, so a set-up that they share happens once and not in both workers.
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist worksteal

FLOWER := .venv-flower/bin
FLOWER_TESTS ?= tests/test_deploy_keys.py tests/test_deploy_flower.py tests/test_flower_nodes.py

.PHONY: demo pictures test slow lint docs clean federation test-flower

demo: .venv/core
	$(BIN)/coplay run configs/digits.toml

# The pictures of README and first run, as the demo draws them now.
pictures: demo
	cp runs/digits/figures/shares.svg docs/pictures/demo-shares.svg
	cp runs/digits/figures/samples-image.png docs/pictures/demo-samples.png

test: .venv/dev
	$(PYTEST)

# What takes long by nature; SHARE=0.1 SEED=7 runs a tenth of it, and at least one test of each file.
SHARE ?= 1
SEED ?= 0
slow: .venv/dev
	$(PYTEST) -m slow --slow-share $(SHARE) --slow-seed $(SEED) tests

# Three hospitals and a coordinator on this machine: TLS, registered keys, a proxy. Flower needs older versions of
# rich and protobuf than the rest, so it has an environment of its own. Needs nginx.
federation: .venv-flower/ready
	$(ONE_THREAD) $(FLOWER)/coplay deploy rehearse configs/hospitals/federation.toml

# Tests that need Flower; make test leaves them out.
test-flower: .venv-flower/ready
	$(ONE_THREAD) $(FLOWER)/python -m pytest -m "slow or not slow" \
		--slow-share $(SHARE) --slow-seed $(SEED) $(FLOWER_TESTS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The table of components, then the site: docs/_site/index.html opens from disk.
docs: .venv/dev
	$(BIN)/python docs/build.py
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_site
	@echo "docs/_site/index.html"

clean:
	rm -rf .venv .venv-flower .pytest_cache .mypy_cache .ruff_cache docs/_site docs/_project

.venv/core: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('coplay needs Python 3.11 or newer, this is ' + sys.version.split()[0] if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/dev: .venv/core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv-flower/ready: pyproject.toml constraints-flower.txt
	$(PYTHON) -m venv .venv-flower
	$(FLOWER)/python -m pip install --quiet --constraint constraints-flower.txt --editable '.[flower]' pytest
	touch $@
