# make demo    train a small model on toy scenes and synthesize with it: no files needed, about five minutes
# make test    lint and test, a file of tests on each core
# make lint    style, types, and which part imports which
# make parity  compare the normalization with tensorflow-addons, in a second virtual environment
# make serving-compatibility  run an export of today on the oldest TensorFlow for it, in another virtual environment
# make clean   remove the virtual environment and what the demo made

PYTHON ?= python3
VENV ?= .venv
TFA_PYTHON ?= python3.11
TFA_VENV ?= .venv-tfa
TFA_GOLDEN := tests/golden/tfa_group_normalization.npz
OLDEST_PYTHON ?= python3.11
OLDEST_VENV ?= .venv-oldest-serving
PYTEST_FLAGS ?= --numprocesses=auto --maxprocesses=4 --dist=loadfile

.PHONY: demo test lint parity serving-compatibility install install-dev clean

demo: RUN := runs/demo-$(shell date +%Y%m%d-%H%M%S)
demo: $(VENV)/installed
	$(VENV)/bin/python train.py --demo --out $(RUN)
	$(VENV)/bin/python test.py --weights $(RUN) --out results/demo
	@echo 'The training in one picture: $(RUN)/stages.png'
	@echo 'What the model makes of new layouts: results/demo/contact_sheet.png'

test: lint
	@echo 'tests: six to twelve minutes on two cores; those marked slow, half an hour more, only with PYTEST_FLAGS=--slow'
	$(VENV)/bin/python -m pytest $(PYTEST_FLAGS)

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Three fresh random inputs, and the golden file's own, whose results are computed and written again.
parity: $(VENV)/installed $(TFA_VENV)/installed
	for seed in $$(od -An -N6 -tu2 /dev/urandom); do \
		$(TFA_VENV)/bin/python tests/parity/addons_normalization.py $$seed $(TFA_VENV)/seed_$$seed.npz || exit 1; done
	$(TFA_VENV)/bin/python tests/parity/addons_normalization.py $(TFA_GOLDEN) $(TFA_VENV)/golden.npz
	$(VENV)/bin/python tests/parity/compare_normalization.py $(TFA_VENV)/*.npz
	mv $(TFA_VENV)/golden.npz $(TFA_GOLDEN)
	rm $(TFA_VENV)/seed_*.npz

# An export made anew, and its answers to a request for each signature.
serving-compatibility: $(VENV)/installed $(OLDEST_VENV)/installed
	rm -rf $(OLDEST_VENV)/exported
	$(VENV)/bin/python tests/compatibility/write_export.py $(OLDEST_VENV)/exported
	$(OLDEST_VENV)/bin/python tests/compatibility/compare_answers.py $(OLDEST_VENV)/exported

install: $(VENV)/installed

install-dev: $(VENV)/installed-dev

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'error: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 ...' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt requirements-serving.txt
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt --requirement requirements-dev.txt
	@touch $@

$(TFA_VENV)/installed: requirements-tfa.txt
	$(TFA_PYTHON) -m venv $(TFA_VENV)
	$(TFA_VENV)/bin/python -m pip install --quiet --requirement requirements-tfa.txt
	@touch $@

$(OLDEST_VENV)/installed: requirements-oldest-serving.txt
	$(OLDEST_PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python -m pip install --quiet --requirement requirements-oldest-serving.txt
	@touch $@

clean:
	rm -rf $(VENV) $(TFA_VENV) $(OLDEST_VENV) runs/demo-* results/demo
