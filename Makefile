# make study   the whole study and its report       STUDY=demo DATA=<folder> CORES=all PROFILE=local
# make test    the tests
# make lab     JupyterLab
# make setup   what the others need, once: .venv from the pinned requirements
# make bench   measures the speed, beside the plain way and the machine's limit   QUICK=1
# make check   measures that the simulated data are instructive (after make study)

PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
  && echo $$python && break; done)
STUDY ?= demo
CORES ?= all
PROFILE ?= local
READY := .venv/.ready

export PATH := $(CURDIR)/.venv/bin:$(PATH)
ifdef DATA
export PATCHWISE_DATA := $(shell $(PYTHON) -c "import os, sys; print(os.path.abspath(sys.argv[1]))" "$(DATA)")
endif

.PHONY: setup study test lab bench check

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; give it as make PYTHON=<path>"; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --requirement requirements.txt
	.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

study: $(READY)
	snakemake --profile profiles/$(PROFILE) --cores $(CORES) --config study=$(STUDY)
	@echo "The report: $${PATCHWISE_WORK:-$(CURDIR)}/reports/$(STUDY)/index.html"

test: $(READY)
	ruff check .
	ruff format --check .
	python -m pytest

lab: $(READY)
	jupyter lab notebooks

bench: $(READY)
	python -m benchmarks $(if $(QUICK),--quick)

check: $(READY)
	python -m benchmarks.demo_is_instructive
