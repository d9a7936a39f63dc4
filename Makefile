# Everything a user or developer runs. `make help` lists it; every target sets up what it needs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ABAW   := $(BIN)/abaw

# What `make features`, `make labels` and `make train` work on.
DATA     ?= data
CACHE    ?= features
BACKBONE ?=
WEIGHTS  ?=
NAME     ?=
SET      ?=
CONFIG   ?=
FEATURES ?=
DEMO     ?= demo
STUDY    ?= ablation

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-data ablation features labels train test test-slow check bench clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready  ## set up .venv with everything (once; a few GB for torch)

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "abaw needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1); run make PYTHON=python3.11"; exit 2; }
	@echo "setting up $(VENV): installing abaw and what it needs"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	    { echo "python3 could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@mkdir -p .types && ln -sfn .. .types/abaw
	@touch $@

demo-data: setup
	$(ABAW) sample $(DEMO) --preset demo
	$(MAKE) --no-print-directory features DATA=$(DEMO)/cropped_aligned CACHE=$(DEMO)/features CONFIG=docs/demo.yaml
	$(MAKE) --no-print-directory labels DATA=$(DEMO) CACHE=$(DEMO)/features

demo: demo-data  ## both stages on drawn sample faces, with random weights; prints the scores
	for features in thumbnail mae_vit_small_patch16 iresnet18 densenet121 \
	    mae_vit_small_patch16+iresnet18+densenet121; do \
	    $(ABAW) temporal-train $$features --cache $(DEMO)/features --out $(DEMO)/runs || exit $$?; \
	done
	$(ABAW) report $(DEMO)/runs/* --cache $(DEMO)/features

features: setup  ## stage 1: DATA=<frame tree> and BACKBONE= WEIGHTS= [NAME= SET="key=value …"], or CONFIG=
	@test -n "$(CONFIG)$(BACKBONE)" || { echo "make features needs BACKBONE= and WEIGHTS=, or CONFIG=; 'abaw backbones' lists backbones"; exit 2; }
	$(ABAW) extract $(DATA) --cache $(CACHE) $(if $(CONFIG),--config $(CONFIG),--backbone $(BACKBONE) $(if $(WEIGHTS),--weights $(WEIGHTS))) \
	    $(if $(NAME),--name $(NAME)) $(foreach pair,$(SET),--set $(pair))

labels: setup  ## DATA/annotations -> CACHE/labels.h5, with a report of what is odd
	$(ABAW) labels $(DATA)/annotations --frames $(DATA)/cropped_aligned --cache $(CACHE)

train: setup  ## stage 2: FEATURES=<name or A+B> [SET="key=value …"]
	@test -n "$(FEATURES)" || { echo "make train needs FEATURES=, the name of an embedding in $(CACHE) or several joined by +"; exit 2; }
	$(ABAW) temporal-train $(FEATURES) --cache $(CACHE) $(foreach pair,$(SET),--set $(pair))

# Without CACHE= on the command line: the demo's faces, which are drawn and extracted first.
ifeq ($(filter command line environment,$(origin CACHE)),)
ablation: demo-data
ablation: CACHE := $(DEMO)/features
else
ablation: setup
endif
ablation:  ## the paper's study on CACHE= (default: the demo's): sweeps into STUDY=, the report into docs/
	$(ABAW) folds --k 4 --cache $(CACHE)
	$(ABAW) temporal-sweep docs/paper.yaml --cache $(CACHE) --out $(STUDY)/runs --jobs auto
	$(ABAW) temporal-sweep dependency --features @all --cache $(CACHE) --out $(STUDY)/dependency --jobs auto
	$(ABAW) temporal-sweep --features @all --fold 1-4 --cache $(CACHE) --out $(STUDY)/folds --jobs auto
	$(ABAW) temporal-ensemble $(STUDY)/runs --best 5 --weights greedy --cache $(CACHE) --out $(STUDY)/ensemble
	$(ABAW) report $(STUDY)/runs $(STUDY)/ensemble $(STUDY)/dependency --cache $(CACHE) \
	    --html docs/ablation.html --markdown docs/ablation.md
	$(ABAW) report $(STUDY)/folds --cache $(CACHE) --html docs/ablation-folds.html

test: setup  ## all tests but the large counts
	$(BIN)/pytest -m "not slow"

test-slow: setup  ## the large counts: crash points, kills, big networks
	$(BIN)/pytest -m slow

check: setup  ## format, lint, types, import rules, fast tests
	@mkdir -p .types && ln -sfn .. .types/abaw
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPYPATH=.types $(BIN)/mypy -p abaw
	$(BIN)/pytest -q -m "not slow and not heavy"

bench: setup  ## every speed and quality figure, as ratios measured in one run
	@for script in $(filter-out bench/timing.py bench/trees.py,$(wildcard bench/*.py)); do echo "== $$script"; $(BIN)/python $$script || exit $$?; done

clean:  ## remove the environment, caches and the demo's output
	rm -rf $(VENV) .types .mypy_cache .pytest_cache .ruff_cache .hypothesis build ./*.egg-info $(DEMO)
