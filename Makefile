# Two commands do everything on a machine with Python 3.11+, git and make:
#   make demo    install into .venv, then trace, cost, search, report and retrain on real data
#   make test    install into .venv, then run the tests
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= .venv-extras
BIN    := $(VENV)/bin
RUN    ?= runs/demo
# Processes that share the tests: as many as there are cores; who is done takes from the rest of another, so that none
# waits for a long file at the end. WORKERS=0: this one alone.
WORKERS ?= auto
# The small networks of the demo and the tests gain nothing from more threads, and on a busy machine lose a lot.
export OMP_NUM_THREADS ?= 1
# Nothing installed outside the virtual environment may help.
export PYTHONNOUSERSITE := 1
unexport PYTHONPATH PYTHONHOME

.PHONY: install demo test docs extras lint check bench clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python >= 3.11 is needed, but $(PYTHON) is $$($(PYTHON) --version 2>&1). Write: make PYTHON=python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt "torch>=2.8"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	-$(BIN)/python -m hwmodel.warm
	@touch $@

demo: install
	$(BIN)/hwmodel search examples/demo.yaml --run $(RUN)
	$(BIN)/hwmodel finetune --config $(RUN)/best.yaml --epochs 2 --output $(RUN)/finetuned.safetensors
	@echo "The report is at $(abspath $(RUN))/report.html"

test: install
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal $(PYTEST_ARGS)

# The site of the documentation, in docs/_build/html; a warning is an error. It needs no network once it is installed.
docs: install
	$(BIN)/python -c 'import furo, myst_parser, sphinx' 2>/dev/null || \
	  $(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going --quiet -b html docs docs/_build/html
	@echo "The documentation is at $(abspath docs/_build/html)/index.html"

# transformers, timm, Ray and psycopg may move the versions of other packages, so they have an environment of their
# own. It reads the packages of the first one, and those that are newer here come first. timm's dependencies are there.
extras: install
	test -x $(EXTRAS)/bin/python || $(PYTHON) -m venv $(EXTRAS)
	for dir in $$(cd $(VENV) && pwd)/lib/python3*/site-packages; do \
	  echo "import site; site.addsitedir('$$dir')" > $$(echo $(EXTRAS)/lib/python3*/site-packages)/first.pth; done
	$(EXTRAS)/bin/pip install --quiet --constraint constraints.txt transformers "ray>=2.40" "psycopg[binary]>=3.2"
	$(EXTRAS)/bin/pip install --quiet --constraint constraints.txt --no-deps timm torchvision
	HWMODEL_EXTRAS=1 $(EXTRAS)/bin/python -m pytest tests/extras $(PYTEST_ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

bench: install
	for file in $(filter-out $(addprefix benchmarks/,chromium.py fidelity.py page.py pretrained.py provenance.py),$(wildcard benchmarks/*.py)); do $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) $(EXTRAS) runs build docs/_build docs/reference/_generated dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
