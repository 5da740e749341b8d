# Two commands matter: `make book` and `make test`. Each works as the first one on a fresh machine.
# Needed: Python 3.11 or newer with venv, make, and a package registry for the first run.

VENV   := .venv
PYTHON := $(VENV)/bin/python
PIP    := $(PYTHON) -m pip --disable-pip-version-check --quiet
LOCKED := -c requirements.lock

# Only used to create $(VENV). The lock was made with 3.11, so that one is tried first.
BOOTSTRAP ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && { echo "$$p"; break; }; done)

# A machine without a GPU needs no CUDA libraries (about 4 GB); they are left out where PyTorch's own index answers.
CPU_WHEELS := https://download.pytorch.org/whl/cpu

# What `make bench` compares with, and what of their needs is not there already.
PEERS := pythae==0.1.2 jax==0.10.2 jaxlib==0.10.2 ml_dtypes opt_einsum pydantic pydantic_core \
  annotated_types typing_inspection imageio

# One thread each: two processes of many threads on few cores get in each other's way.
export OMP_NUM_THREADS ?= 1
WORKERS ?= 2

# Directories are listed too: their time changes when a file in them goes. (`book` is a target's name.)
BOOK_SOURCES := _config.yml _toc.yml benchmarks/results.md book/. \
  $(shell find book vaelib tools -not -path book -not -path '*/.*' -not -path '*/__pycache__*' -not -path 'book/runs*' 2>/dev/null)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book pdf serve test test-slow unit pages validate check runs prune format notebooks new-chapter address class explorables cards reproduce bench mutants rehearse lock lab clean distclean

help:  ## list the targets
	@echo 'usage: make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# --- set-up: done once, and again only when the pins change ---------------------------------------------------

$(VENV)/.created:
	@test -n '$(BOOTSTRAP)' || { echo 'Python 3.11 or newer with its venv module was not found.' \
	  'Install it, or name it: make BOOTSTRAP=/path/to/python3'; exit 1; }
	$(BOOTSTRAP) -m venv $(VENV)
	$(PIP) install $(LOCKED) --upgrade pip
	@touch $@

$(VENV)/.book: $(VENV)/.created pyproject.toml requirements.lock
	$(PIP) install $(LOCKED) --group book
	@touch $@

$(VENV)/.full: $(VENV)/.book
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1 \
	  && $(PYTHON) -c 'from urllib.request import urlopen; urlopen("$(CPU_WHEELS)/torch/", timeout=5)' 2>/dev/null; then \
	  echo 'installing the CPU builds of torch and torchvision'; \
	  $(PIP) install $(LOCKED) --no-deps --index-url $(CPU_WHEELS) torch torchvision \
	  || echo 'that failed: taking the ordinary builds'; fi
	$(PIP) install $(LOCKED) --group test --editable '.[lab,book,cluster]'
	@touch $@

$(VENV)/.jupyterlab: $(VENV)/.full
	$(PIP) install $(LOCKED) --group jupyterlab
	@touch $@

# --- reading ---------------------------------------------------------------------------------------------------

book: _build/.book  ## build the HTML from the stored outputs (no torch, no data)
	@echo 'The book: open file://$(CURDIR)/_build/html/index.html'

# A build that warned is not kept as built: Sphinx would not repeat the warnings of pages it has already read.
# --all, since Sphinx takes over a changed style sheet or script only when it writes pages.
_build/.book: $(VENV)/.book $(BOOK_SOURCES)
	@$(VENV)/bin/jupyter-book build book --path-output . --config _config.yml --toc "$(CURDIR)/_toc.yml" --all --warningiserror --nitpick --keep-going --quiet \
	  || { rm -rf _build/.doctrees; exit 1; }
	@touch $@

pdf: $(VENV)/.full book  ## the whole book as one file, _build/pdf/book.pdf (needs Chromium or Chrome)
	$(PYTHON) tools/pdf.py

serve: book  ## serve the built book at http://127.0.0.1:8000
	$(PYTHON) -m http.server --bind 127.0.0.1 --directory _build/html 8000

# --- testing ---------------------------------------------------------------------------------------------------

PYTEST := $(PYTHON) -m pytest -n $(WORKERS) --dist worksteal

test: check unit validate  ## everything that a change can break: check, unit and validate

check: $(VENV)/.full  ## format, lint and types
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy --strict vaelib

unit: $(VENV)/.full book  ## the unit tests, with the gates on the stored chapters and the built pages
	$(PYTEST)

validate: $(VENV)/.full  ## run the chapters that changed and compare with what is stored (CHAPTER=sparsity, AGAIN=1)
	$(PYTHON) tools/validate_book.py $(CHAPTER) $(if $(AGAIN),--again)

test-slow: $(VENV)/.full book  ## what is slow by nature: kills, damage, planted faults, every colour of every page
	$(PYTEST) -rs tests/slow

pages: $(VENV)/.full book  ## only the tests of the built pages, in a browser without network
	$(PYTEST) tests/test_pages.py tests/test_explorables.py tests/test_print.py tests/test_page_speed.py

runs: $(VENV)/.full  ## which chapter, explorable or test reads which stored run, and how large it is
	$(PYTHON) tools/runs.py

prune: $(VENV)/.full  ## list the stored runs that nobody reads; YES=1 deletes them
	$(PYTHON) tools/runs.py prune $(if $(YES),--yes)

# --- working on it ----------------------------------------------------------------------------------------------

format: $(VENV)/.full  ## format code and notebooks, mend what the linter can mend
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

notebooks: $(VENV)/.full  ## run every chapter, store its outputs, check it on glyphs (CHAPTER=sparsity for one)
	$(PYTHON) tools/run_notebooks.py $(CHAPTER)

new-chapter: $(VENV)/.full  ## start a chapter (NAME=small-data TITLE="Few images")
	$(PYTHON) tools/new_chapter.py '$(NAME)' '$(TITLE)'

address: $(VENV)/.full  ## tell the book and its chapters where the repository is (URL=https://...)
	$(PYTHON) tools/colab.py $(URL)

class: $(VENV)/.full  ## write the chapters without solutions to _build/class (CHAPTER=sparsity for one)
	$(PYTHON) tools/class_notebooks.py $(CHAPTER)

explorables: $(VENV)/.full  ## write the numbers and still pictures of what readers can move, from the stored runs
	$(PYTHON) tools/engine/assemble.py
	$(PYTHON) tools/explorables.py

cards: $(VENV)/.full  ## draw the pictures that links to chapters show elsewhere; make notebooks does it too
	$(PYTHON) tools/cards.py

reproduce: $(VENV)/.full  ## train everything again and check every claim; can be stopped and goes on
	$(PYTHON) -m vaelib.lab.reproduce

bench: $(VENV)/.full book  ## time training, also in a page, and the front page on a slow phone; writes benchmarks/results.md
	@test -d _build/peers/jax || $(PIP) install --quiet --no-deps --target _build/peers $(PEERS)
	$(PYTHON) benchmarks/run.py

$(VENV)/.mutants: $(VENV)/.full
	$(PIP) install $(LOCKED) --group mutants
	@touch $@

mutants: $(VENV)/.mutants  ## change the package in thousands of small ways: does a unit test notice? (MODULES="metrics lab.run")
	$(PYTHON) tools/mutants.py $(MODULES)

rehearse: $(VENV)/.full  ## run every chapter as Binder would, with 2 GB and one core (CHAPTER=sparsity for one)
	$(PYTHON) tools/rehearse_binder.py $(CHAPTER)

lab: $(VENV)/.jupyterlab  ## open the chapters in JupyterLab, with the text rendered as in the book
	$(VENV)/bin/jupyter lab book

# Not $(VENV)/.full, which installs with the old lock.
lock: $(VENV)/.created  ## resolve pyproject.toml into requirements.lock and environment.yml (PACKAGE=joblib moves that alone)
	$(PYTHON) tools/lock.py $(PACKAGE)

clean:  ## remove what was built
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove the virtual environment as well
	rm -rf $(VENV)
