# make demo    train a small model on toy scenes and synthesize with it: no files needed, about five minutes
# make test    lint and test
# make clean   remove the virtual environment and what the demo made

PYTHON ?= python3
VENV ?= .venv
PYTEST_FLAGS ?=

.PHONY: demo test lint install install-dev clean

demo: RUN := runs/demo-$(shell date +%Y%m%d-%H%M%S)
demo: $(VENV)/installed
	$(VENV)/bin/python train.py --demo --out $(RUN)
	$(VENV)/bin/python test.py --weights $(RUN) --out results/demo
	@echo 'The training in one picture: $(RUN)/stages.png. What the model makes of new layouts: results/demo/'

test: lint
	$(VENV)/bin/python -m pytest $(PYTEST_FLAGS)

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .

install: $(VENV)/installed

install-dev: $(VENV)/installed-dev

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'error: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 ...' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt --requirement requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) runs/demo-* results/demo
