# Everything a newcomer, a developer and CI need. Nothing but make and Python 3.11 or newer is assumed.
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.vitrin-lock
VITRIN_VAR ?= var
export VITRIN_VAR
unexport PYTHONDONTWRITEBYTECODE   # with it every process would compile everything again

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make run ONCE=1            the whole story, then exit: 0 only if what must be live is live"
	@echo "  make run CATALOG=file.csv  with a catalog of your own (Shopify export or common feed)"
	@echo "  make test T=tests/kit      only some tests"

.PHONY: venv
venv: ## Make .venv with the locked dependencies; again only when the lock changed
	@deploy/bin/venv.sh "$(VENV)" "$(STAMP)"

.PHONY: run
run: venv ## Start everything, import a catalog, show it arriving (ONCE=1, CATALOG=path)
	@exec $(BIN)/vitrin up --demo $(if $(ONCE),--once) $(if $(CATALOG),--catalog "$(CATALOG)")

.PHONY: test
test: venv ## Run the tests in JOBS=2 processes without those of faults and browsers (T=path: some of them, in one)
	$(BIN)/pytest $(if $(T),$(T),--numprocesses=$(or $(JOBS),2) --ignore=tests/faults --ignore=tests/browser)

.PHONY: test-browser
test-browser: venv ## Drive the pixel in a real Chromium (CHROMIUM=path; needs Debian's package chromium)
	@deploy/bin/browser.sh "$(VENV)"
	$(BIN)/pytest $(or $(T),tests/browser)

.PHONY: test-faults
test-faults: venv ## Kill, stall and restart under load, on the embedded broker
	$(BIN)/pytest $(or $(T),tests/faults)

.PHONY: soak
soak: venv ## Kill the process that delivers webhooks KILLS=1000 times: no event is lost (about 10 minutes)
	VITRIN_WEBHOOK_KILLS=$(or $(KILLS),1000) $(BIN)/pytest tests/faults/test_webhook_kills.py

.PHONY: test-simulation
test-simulation: venv ## Simulate SEEDS=5000 scenarios from FIRST=0 on the house's decisions, in virtual time
	@PYTHONPATH=services:. $(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),5000) --first $(or $(FIRST),0)

.PHONY: test-audiences
test-audiences: venv ## Random histories of SEEDS=1000 shops from FIRST=0 against the reference and DuckDB (about 3 minutes)
	@PYTHONPATH=services:. $(BIN)/python -m tests.retargeting.audiences --seeds $(or $(SEEDS),1000) --first $(or $(FIRST),0)

.PHONY: mutation
mutation: venv ## Mutate the pure decisions and see whether tests notice (EACH=40 per module, 0 for all; AGAIN=var/mutation.json: its survivors; not in CI)
	@[ -x var/mutation/bin/python ] || { $(BIN)/python -m venv var/mutation && var/mutation/bin/pip install \
		--quiet --disable-pip-version-check cosmic-ray==8.7.0; }
	@PYTHONPATH="services:.:$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		var/mutation/bin/python -W ignore -m tests.simulation.mutation --each $(or $(EACH),40) --only "$(ONLY)" \
		$(if $(AGAIN),--again "$(AGAIN)" --out var/mutation-again.json)

.PHONY: test-kafka
test-kafka: venv ## Conformance and faults on Apache Kafka (needs java and mvn)
	$(BIN)/pytest --broker=kafka $(or $(T),tests/conformance tests/faults)

.PHONY: test-postgres15
test-postgres15: venv ## Migrations and conformance on the system's PostgreSQL 15
	$(BIN)/pytest --postgres=15 $(or $(T),tests/conformance)

.PHONY: check
check: venv ## What CI checks without running the system: style, types, boundaries, contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=services $(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory proto-check
	$(BIN)/python deploy/bin/pixel.py --check
	$(BIN)/pytest -q tests/architecture

.PHONY: fmt
fmt: venv ## Format the code and fix what can be fixed by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: proto
proto: venv ## Generate services/vitrin/protos from proto/
	@deploy/bin/proto.sh "$(BIN)" services

.PHONY: proto-check
proto-check: venv ## Lint proto/ and check that the generated code is what it generates
	@deploy/bin/proto-check.sh "$(BIN)"

.PHONY: pixel
pixel: venv ## Build pixel.js from its source
	$(BIN)/python deploy/bin/pixel.py

.PHONY: docs
docs: venv ## Write the generated documents: metrics, how long every table is kept, the OpenAPI documents
	$(BIN)/python deploy/bin/metrics-catalogue.py > deploy/prometheus/metrics.md.new
	mv deploy/prometheus/metrics.md.new deploy/prometheus/metrics.md
	$(BIN)/python deploy/bin/retention.py > deploy/retention.md.new
	mv deploy/retention.md.new deploy/retention.md
	PYTHONPATH=services $(BIN)/python deploy/bin/openapi.py deploy/openapi

.PHONY: clients
clients: ## Generate the Python client, and with npm the TypeScript one, into build/clients
	@deploy/bin/clients.sh build/clients

.PHONY: bench
bench: venv ## Run the benchmarks (NAME=P17 for one); results in bench/results.json
	@PYTHONPATH=services $(BIN)/python -m bench $(NAME)

.PHONY: lock
lock: ## Write requirements/*.txt anew (needs uv)
	@deploy/bin/lock.sh

.PHONY: clean
clean: ## Remove the data of local runs and all caches; keeps .venv
	@if [ -e "$(VITRIN_VAR)/lock" ] && [ -x $(BIN)/vitrin ] && $(BIN)/vitrin status --json >/dev/null 2>&1; then \
		echo "a vitrin up runs on $(VITRIN_VAR): stop it first" >&2; exit 1; fi
	rm -rf "$(VITRIN_VAR)" .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/results.json
	find services tests -name __pycache__ -type d -prune -exec rm -rf {} +
