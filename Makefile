# One set of commands for people, pre-commit and CI. `make help` lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Test files run side by side; most of their time is waiting for real services.
TEST_PROCESSES ?= 3
FUZZ   := PYTHONPATH=$(VENV)/fuzz nice $(BIN)/python -m tests.fuzz
FUZZ_SECONDS ?= 30

.DEFAULT_GOAL := help

.PHONY: help
help:  ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP)  ## virtual environment with exactly the locked packages

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "scanstream needs Python 3.11 or later; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Setting up $(VENV) (once; about 1.5 GB) ..."
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "Python's venv module is missing: install it (Debian: apt-get install python3-venv)"; exit 1; }
	@awk '/^uv==/ {keep = 1; print; next} /^[a-z]/ {keep = 0} keep' requirements.lock > $(VENV)/uv.lock
	@{ $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock \
	    && $(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock; } \
	  || $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
	  || { echo "The packages could not be installed: check the network and run the same command again"; exit 1; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: setup  ## the whole stream on a real head MR: arrive, infer, come back as DICOM, FHIR and audit rows
	@$(BIN)/scanstream demo

.PHONY: test
test: lint type test-unit test-integration  ## everything that must be green

.PHONY: lint
lint: setup  ## ruff and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: type
type: setup  ## mypy --strict
	$(BIN)/mypy

.PHONY: test-unit
test-unit: setup  ## tests that start no service
	$(BIN)/pytest -q -n $(TEST_PROCESSES) --dist loadfile -m "not integration"

.PHONY: test-integration
test-integration: setup  ## tests against real Kafka, Orthanc, validators, the whole stack
	$(BIN)/pytest -q -n $(TEST_PROCESSES) --dist loadfile -m integration

.PHONY: contract
contract: setup  ## freeze changed Avro schemas, write docs/ and the README table anew
	$(BIN)/python -m schemas.release
	$(BIN)/python -m producers.conformance

.PHONY: lock
lock: setup  ## resolve pyproject.toml into requirements.lock (hashed, no addresses)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes \
	  --no-header --extra local --extra dev --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes \
	  --no-header --output-file tests/fuzz/requirements.lock tests/fuzz/requirements.in

.PHONY: fuzz
fuzz: $(VENV)/fuzz/.installed  ## look for bytes that break a reader (FUZZ_SECONDS=30 each, FUZZ_TARGETS=names)
	@for name in $(or $(FUZZ_TARGETS),$$($(FUZZ))); do \
	  echo "== $$name: $(FUZZ_SECONDS) s"; mkdir -p build/fuzz/$$name; \
	  $(FUZZ) $$name $(FUZZ_SECONDS) > build/fuzz/$$name.log 2>&1 \
	    || { tail -n 40 build/fuzz/$$name.log; echo "broken: see build/fuzz/$$name"; exit 1; }; \
	  grep -E "^(Done|stat::(average|peak))" build/fuzz/$$name.log; done

$(VENV)/fuzz/.installed: $(STAMP) tests/fuzz/requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target $(VENV)/fuzz --only-binary :all: --require-hashes \
	    -r tests/fuzz/requirements.lock \
	  || { echo "The fuzzer needs CPython 3.11 to 3.14 on Linux x86_64: \`make test\` replays its corpus anywhere"; exit 1; }
	@touch $@

.PHONY: bench
bench: setup  ## every benchmark, quick form (figures: benchmarks/README.md)
	@for name in demo latency exactly_once dicomweb ingest associations stages outage writers destination_down escalation engine throughput priority ct_screen critical_path; do echo "== $$name"; $(BIN)/python -m benchmarks.$$name --quick || exit 1; done

.PHONY: pictures
pictures: setup  ## what OHIF shows of the demonstration (npm and Chromium; after make demo), for docs/pictures
	$(BIN)/python -m tests.viewers.ohif

.PHONY: clean
clean:  ## remove what the targets above made
	rm -rf $(VENV) demo/state demo/*.json demo/*.png demo/*.dcm build dist .mypy_cache .ruff_cache .pytest_cache
