# make demo | test | test-full | serve | lint. Each sets up what it needs and works alone, from a clean clone.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export PYTHONUNBUFFERED := 1
unexport PYTHONDONTWRITEBYTECODE  # else each of a hundred processes that tests start compiles all sources anew
MAKEFLAGS += -j2  # two compilations, or one beside the linters

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-full lint checks audit format clean

help:
	@echo "make demo       the whole way once, from upload to dump (KEEP=1 keeps serving)"
	@echo "make serve      run the platform on http://127.0.0.1:$(or $(PORT),8000)/"
	@echo "make test       lint and tests, at most ten minutes"
	@echo "make test-full  and what is long: kills, real weights, corpus"
	@echo "make lint       ruff, mypy, import-linter, missing migrations, known vulnerabilities"
	@echo "make format     let ruff format the code"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements-torchsim.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# compiled once an installation, and again after a change of the hull; whoever calls it uncompiled waits instead
$(VENV)/.hull: $(VENV)/.runtime $(wildcard hull/*.py)
	$(BIN)/python -m hull
	@touch $@

# the same for what structures are read, checked, compared and relaxed with
$(VENV)/.kernels: $(VENV)/.runtime $(wildcard validation/*.py validation/judges/*.py hull/*.py)
	$(BIN)/python -m validation.compiling
	@touch $@

demo: $(VENV)/.hull $(VENV)/.kernels
	@rm -rf data/demo
	DATA_DIR=data/demo $(BIN)/python manage.py demo $(if $(KEEP),--keep) $(if $(PORT),--port $(PORT))

serve: $(VENV)/.hull $(VENV)/.kernels
	$(BIN)/python manage.py up --port $(or $(PORT),8000)

lint: checks audit

# beside the linters, since two may run; asks the network for at most 40 seconds
audit: $(VENV)/.dev
	@$(BIN)/python .ci/audit.py

checks: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy hull validation philately benchmark
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# files in the order of their folders: flows take long and come early, so that no process is left alone with them
test: lint $(VENV)/.hull $(VENV)/.kernels
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 12

test-full: lint $(VENV)/.hull $(VENV)/.kernels
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 12 -m "slow or not slow"

clean:
	rm -rf $(VENV) data .mypy_cache .ruff_cache .pytest_cache .hypothesis
