# A fresh machine needs Python 3.11 or newer and git. Each environment is made once, and again when what it is made
# from has changed. `make run ARGS="--model hashing:"` hands ARGS to the command, `make test ARGS="-k ranking"` to
# pytest, which tests in one process more than there are processors, as many tests wait, and in eight at most; WORKERS
# sets their number, 0 for none.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
ARGS ?=
comma := ,

# Two environments, so that a user's light one never meets torch and neither has to be rebuilt for the other.
CORE := .venv-run
DEV := .venv
# What OpenCLIP takes of torchvision runs beside any torch, yet an installed torchvision would change what transformers
# takes, so it lies in a folder of its own.
OPEN_CLIP := .venv-open-clip
DEFINITION := setup.cfg pyproject.toml constraints.txt
# Not compiled: Python compiles what it imports, and compiling all that is installed takes a third of the time.
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check --no-input --no-compile \
  --constraint constraints.txt

# Tests start hundreds of processes, each of which would compile its libraries anew.
unexport PYTHONDONTWRITEBYTECODE

WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min((os.cpu_count() or 1) + 1, 8))')
PYTEST = $(DEV)/bin/python -m pytest -n $(WORKERS)

.DEFAULT_GOAL := help
.PHONY: help run check test lint types imports unit tests open-clip docs bench model clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(CORE)/.installed ## measure the default model on the shipped task (installs the core only)
	@$(CORE)/bin/mlbench run $(ARGS)

check: lint types imports unit ## check style, types, layers and the quick unit tests: what to run while working

test: lint types imports docs tests open-clip ## check everything: style, types, layers, documentation, all tests

lint: $(DEV)/.installed
	@echo "style: ruff check, ruff format"
	@$(DEV)/bin/ruff check --quiet .
	@$(DEV)/bin/ruff format --quiet --check . || { echo "run: $(DEV)/bin/ruff format ." >&2; exit 1; }

types: $(DEV)/.installed
	@echo "types: mypy"
	@$(DEV)/bin/mypy

imports: $(DEV)/.installed
	@echo "layers: lint-imports"
	@$(DEV)/bin/lint-imports

unit: $(DEV)/.installed
	@echo "unit tests: pytest"
	@$(PYTEST) -m "not slow" tests/unit $(ARGS)

tests: $(DEV)/.installed
	@echo "tests: pytest"
	@$(PYTEST) $(ARGS)

open-clip: $(DEV)/.installed $(OPEN_CLIP)/.installed ## test models that need torchvision (installs it into a folder)
	@echo "tests with torchvision: pytest"
	@PYTHONPATH=$(OPEN_CLIP) $(DEV)/bin/python -m pytest tests/unit/retrievers/test_open_clip.py \
	  tests/unit/retrievers/test_vision_language.py $(ARGS)

docs: $(DEV)/.installed ## build the documentation into site/
	@echo "documentation: mkdocs"
	@$(DEV)/bin/mkdocs build --strict --quiet

bench: $(DEV)/.installed ## measure our own speed, and mteb beside it (minutes; real data in MLBENCH_DATA)
	@$(DEV)/bin/python $(PIP_INSTALL) --no-build-isolation --editable '.[bench]'
	@for script in ranking encoding overhead sampler against_mteb; do $(DEV)/bin/python -m tests.bench.$$script || exit 1; done

model: $(DEV)/.installed ## train the default model again, into models/default (minutes; downloads the data that are not in MLBENCH_DATA)
	@$(DEV)/bin/mlbench train default --out build/default
	@$(DEV)/bin/mlbench models quantise build/default models/default

clean: ## remove the environments and everything that was built or cached here
	@echo "removing environments, builds and caches"
	@rm -rf $(CORE) $(DEV) $(OPEN_CLIP) build dist site .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name '*.egg-info' -prune -exec rm -rf {} +
	@find . -name __pycache__ -prune -exec rm -rf {} +

$(CORE)/.installed: $(DEFINITION)
	$(call install,$(CORE),.,the core)

$(DEV)/.installed: $(DEFINITION)
	$(call install,$(DEV),.[all$(comma)dev$(comma)docs],everything$(comma) with torch and the tools of development)

$(OPEN_CLIP)/.installed: $(DEFINITION) | $(DEV)/.installed
	@echo "installing OpenCLIP and torchvision, into $(OPEN_CLIP)"
	@$(DEV)/bin/python $(PIP_INSTALL) --no-deps --upgrade --target $(OPEN_CLIP) open_clip_torch timm torchvision ftfy wcwidth
	@touch $@

# The build tools come first and pinned, instead of the newest ones in a temporary environment of pip's.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "mlbench needs Python 3.11 or newer; $(PYTHON) is not: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing $(3), into $(1)"
	@$(PYTHON) -m venv $(1)
	@$(1)/bin/python $(PIP_INSTALL) setuptools wheel
	@$(1)/bin/python $(PIP_INSTALL) --no-build-isolation --editable '$(2)'
	@touch $@
endef
