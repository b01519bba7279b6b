# The two commands: `make demo` and `make test`. Each does all of its own set-up in .venv.
# Needs only make and Python 3.11 or newer; PYTHON=... names another interpreter.
# TORCH_INDEX=https://download.pytorch.org/whl/cpu fetches PyTorch's small CPU build (Linux).

SHELL := /bin/sh
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
TORCH_INDEX ?=
WORKERS ?= 2
DEMO_OUT ?= demo

# One thread per process: the tests run $(WORKERS) processes side by side.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: help demo test lint format bench setup setup-dev clean distclean

help:
	@echo "make demo    generate structures with the shipped models; writes $(DEMO_OUT)/report.html"
	@echo "make test    all tests and checks"
	@echo "make lint    style, types and import directions only"
	@echo "make format  let ruff rewrite the code's layout"
	@echo "make bench   training, generation and tokenizer speed (quiet machine)"
	@echo "make clean   remove build products; 'make distclean' removes .venv as well"

setup: $(VENV)/.runtime
setup-dev: $(VENV)/.dev

$(BIN)/python:
	@found=; \
	for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	      >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "SciAR needs Python 3.11 or newer with its venv module, and none was found." >&2; \
	  echo "Install one (Debian, Ubuntu: apt install python3 python3-venv), or name it:" >&2; \
	  echo "    make demo PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	echo "Creating $(VENV) with $$("$$found" --version) ($$found)"; \
	"$$found" -m venv $(VENV)

# The stamps are newer than what they were made from, so that set-up runs once.
$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing SciAR and what it needs into $(VENV) (minutes, once)"
	@$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing the tools of the tests into $(VENV)"
	@$(PIP) -e '.[dev]'
	@touch $@

demo: $(VENV)/.runtime
	@# Exit code 3 says that some samples failed; the report counts and shows them.
	@$(BIN)/sciar demo --out $(DEMO_OUT) || [ $$? -eq 3 ]
	@echo
	@echo "Results: $(CURDIR)/$(DEMO_OUT)"
	@echo "Open in a browser: $(CURDIR)/$(DEMO_OUT)/report.html"

test: lint
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) -q

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find sciar tests -type d -name __pycache__ -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
