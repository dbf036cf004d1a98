# Two commands do it all on a fresh machine with Python 3.11 and make: `make up` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/bin/uv
RUN := .venv/bin
# The CPU build by default; a machine with a GPU: make install TORCH_BACKEND=auto
TORCH_VERSION := 2.13.0
TORCH_BACKEND ?= cpu
MEMBERS := $(wildcard operator/pyproject.toml services/*/pyproject.toml)

.PHONY: help
help:  ## What can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: up
up: .venv/.installed  ## Start the whole platform here, with a database, sample data and a first model (DETACH=1: in the background)
	@$(RUN)/sentops up $(if $(DETACH),--detach) $(UP_OPTIONS)

.PHONY: down
down:  ## Stop it; nothing keeps running
	@[ -x $(RUN)/sentops ] || { echo "Nothing is installed here, so nothing runs."; exit 0; }; $(RUN)/sentops down

# Processes that share the tests, by files; those that need a Docker Engine run in one: make test-compose.
TEST_WORKERS ?= 2

.PHONY: test
test: .venv/.installed  ## All tests: real PostgreSQL, real S3 server, real (small) training, real browser where there is one
	@$(RUN)/pytest -n $(TEST_WORKERS) --dist loadfile $(TEST_OPTIONS)

.PHONY: check
check: .venv/.installed  ## Format, lint, types, direction of imports
	@$(RUN)/ruff format --check
	@$(RUN)/ruff check
	@$(RUN)/lint-imports
	@$(RUN)/mypy

.PHONY: format
format: .venv/.installed  ## Write the code as `make check` wants it
	@$(RUN)/ruff check --fix
	@$(RUN)/ruff format

.PHONY: bench-swap
bench-swap: .venv/.installed  ## 50 hot swaps of the model under constant load; prints JSON
	@$(RUN)/python benchmarks/swap.py

.PHONY: bench-quality
bench-quality: .venv/.installed  ## Train on real reviews with three seeds and score rows never trained on; prints JSON
	@$(RUN)/python -m benchmarks.quality $(BENCH_OPTIONS)

.PHONY: bench-train
bench-train: .venv/.installed  ## Time, CPU and memory of a training beside transformers' Trainer with its defaults, three seeds; prints JSON
	@$(RUN)/python -m benchmarks.train $(BENCH_OPTIONS)

.PHONY: bench-model
bench-model: .venv/.installed  ## CPU per answer, sustained rate, memory and start of the model server beside a plain reference; prints JSON
	@$(RUN)/python -m benchmarks.model $(BENCH_OPTIONS)

.PHONY: bench-web
bench-web: .venv/.installed  ## CPU of an answer through web, kept in PostgreSQL, over one of the model server; prints JSON
	@$(RUN)/python -m benchmarks.web $(BENCH_OPTIONS)

.PHONY: bench-pages
bench-pages: .venv/.installed  ## Server time of every staff page with 100,000 predictions, 20,000 examples, 200 versions; prints JSON
	@$(RUN)/python benchmarks/pages.py $(BENCH_OPTIONS)

.PHONY: bench-scale
bench-scale: .venv/.installed  ## How cost grows from 10^4 answers to 10^6 (--sizes 1e4,1e7: to 10^7): writing, pages, upkeep; prints JSON
	@$(RUN)/python -m benchmarks.scale $(BENCH_OPTIONS)

.PHONY: bench-monitor
bench-monitor: .venv/.installed  ## What counting costs the monitor at 10 k, 100 k and 1 M predictions, and at 1,000 more; prints JSON
	@$(RUN)/python benchmarks/monitor.py $(BENCH_OPTIONS)

.PHONY: screenshots
screenshots: .venv/.installed  ## Pictures of every screen, light, dark and phone, in build/screenshots/index.html (needs Chromium)
	@$(RUN)/python -m tests.screenshots $(SCREENSHOT_OPTIONS)

# What images are called, and what else `docker build` is told (say, IMAGE_OPTIONS="--build-arg TORCH_BACKEND=cu130").
REGISTRY ?=
TAG ?= dev
IMAGE_OPTIONS ?=
IMAGE_PREFIX = $(if $(REGISTRY),$(REGISTRY)/)
IMAGES := web backoffice model trainer monitor operator cli mlflow

.PHONY: images
images: $(addprefix image-,$(IMAGES))  ## Build every image, sentops-web and its like (REGISTRY=, TAG=dev)

image-%:
	@echo "Building $(IMAGE_PREFIX)sentops-$*:$(TAG) ..."
	@DOCKER_BUILDKIT=1 docker build --quiet --target $* --tag $(IMAGE_PREFIX)sentops-$*:$(TAG) --build-arg VERSION=$(TAG) \
	    --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) $(IMAGE_OPTIONS) .

.PHONY: compose-init
compose-init:  ## Write compose/.env with generated secrets, and show the first password (INIT_OPTIONS="--domain example.org --profiles edge")
	@$(PYTHON) services/cli/src/sentops_cli/compose_env.py --folder compose $(INIT_OPTIONS)

.PHONY: test-compose
test-compose: .venv/.installed  ## The whole platform under docker compose: TLS, training, killed containers, backup (needs a Docker Engine)
	@$(RUN)/pytest tests/compose tests/images -m "not e2e" $(TEST_OPTIONS)

.PHONY: image-sizes
image-sizes:  ## What each image adds to its base; prints JSON
	@$(PYTHON) tests/images/sizes.py "$(IMAGE_PREFIX)" "$(TAG)"

.PHONY: e2e
e2e: .venv/.installed  ## The whole lifecycle in the cluster that KUBECONFIG names (see tests/e2e/README.md)
	@$(RUN)/pytest tests/e2e -m e2e $(TEST_OPTIONS)

.PHONY: bench-operator
bench-operator: .venv/.installed  ## From apply to Job for 1, 100 and 1,000 TrainingJobs, and what it costs (KUBECONFIG: on that cluster); prints JSON
	@$(RUN)/python benchmarks/apply_to_job.py $(BENCH_OPTIONS)

.PHONY: k8s-manifests
k8s-manifests: .venv/.installed  ## Render the chart into k8s/base, for kubectl apply -k k8s/ (HELM_OPTIONS="--set image.registry=...")
	@$(RUN)/python -m tests.k8s.rendering $(HELM_OPTIONS)

.PHONY: dashboards
dashboards: .venv/.installed  ## Write grafana/dashboards from grafana/generator
	@$(RUN)/python -m grafana.generator

.PHONY: install
install: .venv/.installed  ## The programs and their tools in .venv, from the lock (TORCH_BACKEND=auto: torch for this machine's GPU)
	@[ $(TORCH_BACKEND) = cpu ] || $(UV) pip install --quiet --no-config --reinstall-package torch --torch-backend $(TORCH_BACKEND) torch==$(TORCH_VERSION)

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13) and "Python 3.11 or 3.12 is needed; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.11")'
	@$(PYTHON) -m venv .tools || { echo "This Python has no venv module (Debian: apt install python3-venv)." >&2; exit 1; }
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# torch is not in the lock (its default build carries gigabytes of CUDA): the pinned CPU build comes from a local
# wheel folder where pip is configured with one, else from PyTorch's own index.
.venv/.installed: uv.lock pyproject.toml $(MEMBERS) | $(UV)
	@echo "Installing the programs into .venv (a few minutes the first time) ..."
	@$(UV) sync --quiet --frozen --inexact --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@links="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-$$(.tools/bin/python -m pip config get global.find-links 2>/dev/null || true)}}"; \
	$(RUN)/python -c 'import torch' 2>/dev/null \
	|| { [ $(TORCH_BACKEND) = cpu ] && [ -n "$$links" ] && $(UV) pip install --quiet --no-config --find-links "$$links" "torch==$(TORCH_VERSION)+cpu"; } \
	|| $(UV) pip install --quiet --no-config --torch-backend $(TORCH_BACKEND) torch==$(TORCH_VERSION)
	@touch $@
