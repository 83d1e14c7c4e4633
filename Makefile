# make demo    install, and build the quickstart dataset into out/quickstart
# make test    install, and run all tests
# make check   lint, types and tests
# make bench   measure, and print one table
#
# PYTHON       the interpreter to make .venv with (3.11 or newer)
# TORCH_INDEX  a package index with the PyTorch build you want (CPU or CUDA); unset: pip's own
# FAISS        cpu or gpu

PYTHON ?= python3
FAISS ?= cpu
OUT ?= out/quickstart
FAISS_PACKAGE = $(if $(filter gpu,$(FAISS)),gpu-cu12,cpu)

PIP = .venv/bin/python -m pip --disable-pip-version-check --quiet
TORCH = torch==2.13.0 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: demo test lint types check bench clean

demo: .venv/demo-installed-$(FAISS)
	.venv/bin/hypersynth build quickstart --out $(OUT)

test: .venv/test-installed-$(FAISS) .venv/servers-installed
	.venv/bin/python -m pytest

lint: .venv/test-installed-$(FAISS)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/test-installed-$(FAISS)
	.venv/bin/mypy

check: lint types test

bench: .venv/test-installed-$(FAISS)
	.venv/bin/python -m bench

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Hypersynth needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/demo-installed-$(FAISS): .venv/bin/python pyproject.toml constraints.txt
	@echo "installing into .venv (a minute or two)"
	$(PIP) install -c constraints.txt $(TORCH)
	-@$(PIP) uninstall --yes $(filter-out faiss-$(FAISS_PACKAGE),faiss-cpu faiss-gpu-cu12) 2>/dev/null
	$(PIP) install -c constraints.txt -e '.[$(FAISS),ray]'
	touch $@

.venv/test-installed-$(FAISS): .venv/demo-installed-$(FAISS)
	$(PIP) install -c constraints.txt -e '.[$(FAISS),ray,models,s3,test]'
	touch $@

# S3 servers that tests store in: one has other requirements than the tests, the other is for Node.js.
.venv/servers-installed: .venv/test-installed-$(FAISS)
	$(PYTHON) -m venv .venv/servers/ministack
	.venv/servers/ministack/bin/python -m pip --disable-pip-version-check --quiet install ministack==1.5.33
	@if command -v npm >/dev/null; then \
		npm install --no-audit --no-fund --loglevel=error --prefix .venv/servers/s3rver s3rver@3.7.1; \
	else echo "no npm here: tests with s3rver will be skipped"; fi
	touch $@

clean:
	rm -rf .venv out
