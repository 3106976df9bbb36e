# Everything a newcomer types. `make` alone lists it.
# The environment .venv is made once for each content of requirements.lock and then left alone.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell nproc 2>/dev/null || echo 1)
STUDY ?= examples/quickstart/study.yaml
# Where a study's files go; empty: work/NAME, with the name in study.yaml.
OUT ?=
# Learning curves for `make benchmark-fits` (see tests/benchmarks/README.md), and smaller settings: --repeats 100
CURVES ?=
BENCHMARK_ARGS ?=
# For `make lock`: wheels of an index other than PyPI, whose hashes are accepted, too.
WHEELS ?=
PYTEST_ARGS ?=
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The name holds a checksum, so that a checkout that only touches files makes nothing anew.
checksum = $(shell cat $(1) | sha256sum | cut -c1-16)
PACKAGES := $(VENV)/packages-$(call checksum,requirements.lock)
STAMP := $(VENV)/project-$(call checksum,setup.py requirements.lock)

install = apt-get -qq -o Acquire::http::Timeout=20 update && \
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $(1) >/dev/null

.PHONY: help venv study control test test-programs test-kernels test-torture test-parity faults slurm chromium lint format lock benchmarks benchmark-fits \
	benchmark-training check-gpu clean distclean

help: ## list the commands
	@echo "make COMMAND, where COMMAND is one of:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "Variables: CORES=$(CORES) STUDY=$(STUDY) OUT=$(or $(OUT),work/NAME)"

venv: $(STAMP) ## make .venv with the pinned versions (the other commands do it themselves)

$(PACKAGES):
	@.ci/make_venv $(VENV) $@

$(STAMP): | $(PACKAGES)
	@$(BIN)/python -m pip -qq install --no-deps --no-build-isolation --editable .
	@touch $@

study: $(STAMP) ## get the text, train, translate, fit: the quickstart, or STUDY=path/to/study.yaml
	@$(BIN)/scaling-study run $(STUDY) $(if $(OUT),--out $(OUT) )--cores $(CORES)

control: $(STAMP) ## a study of generated languages, whose answer is known: shows that the installation works (no network, no apt-get)
	@$(BIN)/scaling-study run examples/control/study.yaml --out $(or $(OUT),work/control) --cores $(CORES)
	@$(BIN)/python examples/control/check.py $(or $(OUT),work/control)/results || echo "examples/control/README.md: what our run found."

test: $(STAMP) ## run the whole test suite
	@$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/torture $(PYTEST_ARGS)

test-programs: $(STAMP) ## run the tests that need SLURM or Chromium; without these `make test` skips them
	@$(BIN)/python -m pytest -q tests/study/run/test_slurm.py tests/report/test_browser.py $(PYTEST_ARGS)

test-kernels: $(STAMP) ## run the tests of models and training with no newer instructions of the CPU than AVX2
	@ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
		$(BIN)/python -m pytest -q -n 2 --dist loadfile tests/models tests/optim tests/tasks $(PYTEST_ARGS)

test-torture: $(STAMP) ## kill trainings, fill disks, damage logs and text, again and again (an hour)
	@$(BIN)/python -m pytest -s tests/torture $(PYTEST_ARGS)

test-parity: $(STAMP) ## compare 200 random models with Hugging Face's T5: logits, loss, gradients, search (minutes)
	@$(BIN)/python -m pytest -q tests/models/test_parity.py --parity-models 200 $(PYTEST_ARGS)

slurm: ## install SLURM, without which its test is skipped (Debian or Ubuntu, as root)
	@command -v slurmctld munged >/dev/null || { $(call install,slurm-wlm munge); }

chromium: ## install Chromium, without which the tests of the report in a browser are skipped (Debian, as root)
	@command -v chromium chromium-browser google-chrome >/dev/null || { $(call install,chromium fonts-liberation); }

faults: $(STAMP) ## count what was tried to break the project, as the table of docs/faults.md (half an hour or more)
	@$(BIN)/python -m pytest -q tests -m faults --faults-table $(PYTEST_ARGS)

lint: $(STAMP) ## check style (ruff) and types (mypy)
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(STAMP) ## mend what ruff can mend
	@$(BIN)/ruff check --fix .

check-gpu: $(STAMP) ## is training on this GPU right, and how fast? One table in 8 minutes; without a GPU what a CPU can show
	@$(BIN)/python tests/benchmarks/check_gpu.py $(BENCHMARK_ARGS)

benchmark-training: $(STAMP) ## training, text to binary and beam search beside Hugging Face and stock fairseq (long)
	@$(BIN)/python tests/benchmarks/corruption.py
	@$(BIN)/python tests/benchmarks/training_runs.py --compiled
	@$(BIN)/python tests/benchmarks/training_runs.py --dropout 0
	@$(BIN)/python tests/benchmarks/training_runs.py --arch t5_small --updates 6
	@$(BIN)/python tests/benchmarks/data_loading.py
	@$(BIN)/python tests/benchmarks/encoding.py
	@$(BIN)/python tests/benchmarks/translation.py

benchmarks: $(STAMP) ## run the benchmarks that have no command of their own here (long)
	@$(BIN)/python tests/benchmarks/training_step.py --vocabulary 8192
	@$(BIN)/python -m tests.benchmarks.scheduling
	@$(BIN)/python tests/benchmarks/sizes.py
	@$(BIN)/python tests/benchmarks/logs.py
	@for what in "forecasts simulated shared advice alarms separation worth speed" speed coverage "chinchilla tests/laws/data/chinchilla.csv"; do echo "== $$what"; $(BIN)/python -m tests.benchmarks.laws $$what; done

benchmark-fits: $(STAMP) ## what the fits reach against the goals and scipy, as one table (CURVES=path adds real curves)
	@$(BIN)/python -m tests.benchmarks.laws table tests/laws/data/chinchilla.csv $(if $(CURVES),--curves $(CURVES) )$(BENCHMARK_ARGS)

lock: $(STAMP) ## write requirements.lock from what is installed in .venv (WHEELS=path/to/torch.whl: its hash, too)
	@$(BIN)/python .ci/make_lock.py requirements.lock $(WHEELS)

clean: ## remove what tests and builds left behind (studies and downloads stay)
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .snakemake multirun outputs
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## remove .venv, work/ and cache/ too: trained models and downloads are lost
	@rm -rf $(VENV) work cache
