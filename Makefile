# make study   a whole study and its report     STUDY=demo DATA=<folder> CORES=4 PROFILE=local
#              (STUDY=published: the paper's own record)
# make new-study  writes a study of your own pictures, after a look at them   NAME=mine REAL=… FAKE=…
# make judge   is a picture GAN-made? real, fake or cannot tell   PICTURES=<picture, folder or zip>
#              (with PROFILE=slurm in as many jobs as PARTS=16 says)
# make lab     the notebooks in JupyterLab, as copies in my_notebooks/
# make test    the tests
# make test-slurm  the batch on a Slurm of one node, started for it; as root on Debian
# make keep    copies a study's report and tables to reports/kept/, which git keeps   STUDY=demo NOTEBOOKS=1
# make archive packs a study into one zip to deposit, with its provenance and no pictures  STUDY=demo
# make verify  makes a study anew and holds it to what was kept of it   STUDY=demo
# make bench   measures the speed, beside the plain way and the machine's limit       QUICK=1
# make bundle  what a GPU machine without network needs   STUDY=faces_xception DATA=<folder>
# make check   measures that the simulated data are instructive (after make study)
# make setup   what the others need, once: .venv from the pinned requirements

PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
  && echo $$python && break; done)
STUDY ?= demo
PROFILE ?= local
PARTS ?= 16
READY := .venv/.ready
SHELL := bash
.SHELLFLAGS := -o pipefail -c
# What is given goes into the environment as it is written, and never through a shell or make.
override export STUDY := $(value STUDY)
override export PICTURES := $(value PICTURES)
override export NAME := $(value NAME)
override export REAL := $(value REAL)
override export FAKE := $(value FAKE)
override export WORK := $(or $(value PATCHWISE_WORK),$(CURDIR))
# reports/published/ holds the paper's numbers.
override export REPORT := $(if $(filter published,$(STUDY)),published_record,$(STUDY))
# rules/ holds what shows the jobs' progress.
SNAKEMAKE := PYTHONPATH="rules$${PYTHONPATH:+:$$PYTHONPATH}" snakemake --logger patchwise \
  --profile profiles/$(PROFILE) $(if $(CORES),--cores $(CORES))

export PATH := $(CURDIR)/.venv/bin:$(PATH)
ifdef DATA
override DATA := $(value DATA)
override export PATCHWISE_DATA := $(if $(filter /% ~%,$(firstword $(DATA))),,$(CURDIR)/)$(DATA)
endif

.PHONY: setup study new-study judge lab test test-slurm keep archive verify bundle bench check help

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; give it as make PYTHON=<path>"; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --requirement requirements.txt
	.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Packing first, so that networks are trained anew only where the packed images did change.
study: $(READY)
ifeq ($(STUDY),published)
	@mkdir -p "$$WORK/results/$$REPORT"
	papermill --log-level WARNING --no-progress-bar notebooks/A2_published_record.ipynb \
	  "$$WORK/results/$$REPORT/A2_published_record.ipynb" 2>&1 | { grep -v IPKernelApp || true; }
else
	@$(SNAKEMAKE) --config "study=$$STUDY" -- all_packed
	@$(SNAKEMAKE) --config "study=$$STUDY"
	@fold -s -w 100 "$$WORK/reports/$$REPORT/answer.txt" 2> /dev/null || true
endif
	@echo "The report: $$WORK/reports/$$REPORT/index.html"

new-study: $(READY)
	@python tools/new_study.py "$$NAME" "$$REAL" "$$FAKE"

judge: $(READY)
	@test -n "$$PICTURES" || { echo "Say which: make judge PICTURES=<picture, folder or zip>"; exit 1; }
ifeq ($(PROFILE),local)
	@python -m lib judge -- "$$PICTURES"
else
	@$(SNAKEMAKE) --config parts=$(PARTS) -- judged
endif

lab: $(READY)
	python tools/working_copies.py
	jupyter lab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/my_notebooks

# A thread for each worker: more of them would wait for each other.
test: $(READY)
	ruff check .
	ruff format --check .
	lint-imports
	OMP_NUM_THREADS=1 python -m pytest --numprocesses 2 --dist loadfile

test-slurm: $(READY)
	PATCHWISE_SLURM=1 python -m pytest --verbose tests/test_slurm.py

keep: $(READY)
	python tools/keep.py "$$REPORT" $(if $(NOTEBOOKS),--notebooks)

archive: $(READY)
	@python tools/archive.py "$$STUDY"

verify: study
	python tools/verify.py "$$STUDY"

help:
	@sed -n '/^# make/,/^$$/s/^# \{0,1\}//p' Makefile

bundle: $(READY)
	python tools/bundle.py "$$STUDY"

bench: $(READY)
	python -m benchmarks $(if $(QUICK),--quick)

check: $(READY)
	python -m benchmarks.demo_is_instructive
