# make demo    train a small model on toy scenes and synthesize with it: no files needed, about five minutes
# make paint   paint layouts on a page, with the small model that comes along
# make install make the virtual environment that the commands run in
# make test    lint and test, a file of tests on each core
# make lint    style, types, and which part imports which
# make parity  compare the normalization with tensorflow-addons, in a second virtual environment
# make serving-compatibility  run an export of today on the oldest TensorFlow for it, in another virtual environment
# make requirements    say which requirements an install takes, and why
# make clean   remove the virtual environment and what the demo made
#
# PYTHON=python3.12 names the Python; GPU=0 and GPU=1 decide whether TensorFlow comes with CUDA, else nvidia-smi does

PYTHON ?= python3
version_of = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
# An environment that another Python made stays as it is: the one that is asked for gets its own beside it.
ifeq ($(origin VENV),undefined)
VENV := .venv
ifneq ($(origin PYTHON),file)
ifneq ($(wildcard .venv/bin/python),)
ifneq ($(call version_of,.venv/bin/python),$(call version_of,$(PYTHON)))
VENV := .venv-$(or $(call version_of,$(PYTHON)),$(notdir $(PYTHON)))
endif
endif
endif
endif

CARD := $(shell nvidia-smi -L 2>/dev/null | sed -n 's/ .UUID.*//; /^GPU 0/p')
ifeq ($(origin GPU),undefined)
GPU := $(if $(CARD),1,0)
WHY := $(if $(CARD),nvidia-smi lists $(CARD); GPU=0 leaves CUDA out,nvidia-smi lists no card; GPU=1 installs CUDA too)
else
WHY := GPU=$(GPU)
endif
ifeq ($(filter $(GPU),0 1),)
$(error GPU=$(GPU): expected 0 or 1)
endif
REQUIREMENTS := $(if $(filter 1,$(GPU)),requirements-gpu.txt,requirements.txt)
CHOICE := installing $(REQUIREMENTS) into $(VENV): $(WHY)
INSTALLED := $(VENV)/installed$(if $(filter 1,$(GPU)),-gpu)
TFA_PYTHON ?= python3.11
TFA_VENV ?= .venv-tfa
TFA_GOLDEN := tests/golden/tfa_group_normalization.npz
OLDEST_PYTHON ?= python3.11
OLDEST_VENV ?= .venv-oldest-serving
PYTEST_FLAGS ?= --numprocesses=auto --maxprocesses=4 --dist=loadfile

.PHONY: demo paint test lint parity serving-compatibility install install-dev requirements clean

demo: RUN := runs/demo-$(shell date +%Y%m%d-%H%M%S)
demo: $(INSTALLED)
	$(VENV)/bin/python train.py --demo --out $(RUN)
	$(VENV)/bin/python test.py --weights $(RUN) --out results/demo
	@echo 'The training in one picture: $(RUN)/stages.png'
	@echo 'What the model makes of new layouts: results/demo/contact_sheet.png'
	@echo 'To paint layouts for it: $(VENV)/bin/python -m crn_tf.paint --weights $(RUN)'

paint: $(INSTALLED)
	$(VENV)/bin/python -m crn_tf.paint

# In two parts, because TensorFlow keeps much of what a process has traced until it ends. (5: a part had no such tests.)
test: lint
	@echo 'tests: ten to sixteen minutes on two cores; those marked slow, half an hour more, only with PYTEST_FLAGS=--slow'
	for part in '[a-l]' '[m-z]'; do \
		$(VENV)/bin/python -m pytest $(PYTEST_FLAGS) tests/test_$$part*.py || [ $$? = 5 ] || exit 1; done

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Three fresh random inputs, and the golden file's own, whose results are computed and written again.
parity: $(INSTALLED) $(TFA_VENV)/installed
	for seed in $$(od -An -N6 -tu2 /dev/urandom); do \
		$(TFA_VENV)/bin/python tests/parity/addons_normalization.py $$seed $(TFA_VENV)/seed_$$seed.npz || exit 1; done
	$(TFA_VENV)/bin/python tests/parity/addons_normalization.py $(TFA_GOLDEN) $(TFA_VENV)/golden.npz
	$(VENV)/bin/python tests/parity/compare_normalization.py $(TFA_VENV)/*.npz
	mv $(TFA_VENV)/golden.npz $(TFA_GOLDEN)
	rm $(TFA_VENV)/seed_*.npz

# An export made anew, and its answers to a request for each signature.
serving-compatibility: $(INSTALLED) $(OLDEST_VENV)/installed
	rm -rf $(OLDEST_VENV)/exported
	$(VENV)/bin/python tests/compatibility/write_export.py $(OLDEST_VENV)/exported
	$(OLDEST_VENV)/bin/python tests/compatibility/compare_answers.py $(OLDEST_VENV)/exported

install: $(INSTALLED)

install-dev: $(VENV)/installed-dev

requirements:
	@echo '$(CHOICE)'

$(INSTALLED): requirements.txt $(REQUIREMENTS)
	@command -v $(PYTHON) >/dev/null || \
		{ echo 'error: there is no $(PYTHON): name a Python that is here, such as: make PYTHON=python3.12' >&2; exit 2; }
	@$(PYTHON) crn_tf/supported.py
	@echo '$(CHOICE)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement $(REQUIREMENTS)
	@touch $@

$(VENV)/installed-dev: $(INSTALLED) requirements-dev.txt requirements-serving.txt
	$(VENV)/bin/python -m pip install --quiet --requirement $(REQUIREMENTS) --requirement requirements-dev.txt
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
