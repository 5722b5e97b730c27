# The commands of the project; `make` alone lists them.

PYTHON  ?= $(shell command -v python3.11 || command -v python3)
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
PIP     := $(BIN)/python -m pip --disable-pip-version-check -qq
WORKERS ?= 2

# One thread per process: tests run in $(WORKERS) processes, and small tensors gain nothing from more.
PYTEST  := OMP_NUM_THREADS=1 $(BIN)/pytest -q -n $(WORKERS) --dist worksteal

OUT     ?= demo-run
DEMO    := $(if $(DATA),--data "$(DATA)") --out "$(OUT)" $(if $(PRESET),--preset $(PRESET))

.DEFAULT_GOAL := help
.PHONY: help venv demo docs screenshots browser check test test-federation test-load test-containers certs lint format clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## make .venv with everything pinned (done by the others when needed)

# torch comes first and by its plain version: where pip is set up to find a CPU-only build, that is the one it takes,
# and nothing later asks for another. OpenCV's headless build goes over the full one that staintools asks for: the same
# version and the same module, but it needs no libGL on the machine.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "c2lst needs Python 3.11 or later; pass PYTHON=/path/to/python3.11")'
	@echo "Installing c2lst into $(VENV): about 2 GB, a few minutes the first time."
	@$(PYTHON) -m venv $(VENV)
	@echo "  torch ..." && $(PIP) install -c constraints.txt torch
	@echo "  everything else ..." && $(PIP) install -c constraints.txt -e '.[dev]'
	@$(PIP) install -c constraints.txt --no-deps --force-reinstall opencv-python-headless
	@touch $@

demo: $(STAMP) ## the whole story on a phantom, or on DATA=folder; also OUT=folder PRESET=tiny|small
	@$(BIN)/python -m c2lst_demo $(DEMO)

# The theme announces its successor in every build; the site is built with pinned versions and needs no network.
docs: $(STAMP) ## build the documentation site into site/, to be read from the disk
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet -f website/mkdocs.yml
	@echo "Built site/: open site/index.html"

# The slow tests drive a real browser. Where it is missing and Debian's packages can be installed, it is.
browser:
	@command -v chromium >/dev/null || { echo "Installing chromium for the tests of pages." \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| { echo "The tests of pages need chromium: install it, or leave them out by: make test WITHOUT=browser"; exit 1; }

check: lint ## format, lint, types, import direction and the fast tests: under a minute
	$(PYTEST) -m "not slow and not real_data"

test: lint $(if $(filter browser,$(WITHOUT)),,browser) ## everything but the next: what check does, and the slow tests
	$(PYTEST) -m "not federation and not load$(if $(filter browser,$(WITHOUT)), and not browser)"

test-federation: $(STAMP) ## a whole federation in real processes, some of them killed (about half an hour; needs nginx)
	$(BIN)/pytest -q -m federation tests/federation

test-load: $(STAMP) ## the server under load and in trouble, a training over two machines, in real processes (ten minutes)
	$(BIN)/pytest -q -m load tests/server

# Another engine than Docker: CONTAINER_ENGINE=podman CONTAINER_BUILD="podman build --format docker" CONTAINER_COMPOSE=podman-compose
test-containers: $(STAMP) ## build every image and hold a round through real containers (half an hour; needs an engine)
	$(BIN)/python tests/containers/drill.py

screenshots: $(STAMP) ## pictures of the pages into docs/images, by a real server and browser (needs chromium)
	$(BIN)/python tests/screenshots/dashboard.py docs/images
	$(BIN)/python tests/screenshots/console.py docs/images

certs: ## a private authority and a certificate for NAME=host, into OUT=folder (docs/operations.md)
	@docker/certs "$(if $(filter demo-run,$(OUT)),secrets,$(OUT))" $(or $(NAME),localhost)

lint: $(STAMP) ## format (unchanged), lint and types
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy

format: $(STAMP) ## put the code into the project's format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix --quiet

clean: ## remove what builds, checks and the demo leave behind (.venv stays)
	rm -rf build dist demo-run site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
