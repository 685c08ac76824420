# `make demo` and `make test` need only Rust, a C compiler, make and the package registries. Each of the others installs
# what it needs (scripts/), where it can.

TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help binaries demo test check image fmt lint doc deny contract-lint fuzz-api fuzz browser app bench bench-smoke promtool manifests roll soak

APP := examples/attio-app
APP_SOURCES := $(shell find $(APP)/src -type f ! -name '*.graphql.d.ts') $(wildcard $(APP)/*.json)

help: ## Lists these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

binaries:
	cargo build --locked -p alc-connector -p sandbox --bins

demo: ## Shows the life of a lead (DEMO_ONCE=1, DEMO_FAULT=attio, DEMO_STORE=redis)
	@if [ "$(DEMO_STORE)" = redis ]; then scripts/ensure-redis; fi
	@if [ -e $(APP)/dist/server.js ]; then $(MAKE) --no-print-directory $(APP)/dist/server.js; fi
	@$(MAKE) --no-print-directory binaries
	@$(TARGET)/debug/sandbox demo --connector $(TARGET)/debug/alc-connector --attio-app $(APP)

test: ## All Rust tests, on SQLite and a real Redis
	@scripts/test

check: ## Everything that CI runs
	@scripts/check

fmt: ## Formats the sources
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

lint: ## Format and lints
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

# Nobody uses the library from outside, so what is private is documented with the rest, and may be linked to.
doc: ## The documentation builds without a warning
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --lib --no-deps --document-private-items --locked

deny: ## Licences, banned crates, sources
	@scripts/deny

contract-lint: ## Lints openapi.yaml
	@scripts/ensure-node
	cd tests/contract && npm ci --ignore-scripts --no-audit --no-fund && REDOCLY_TELEMETRY=off npm run --silent lint

promtool: ## The alerts, their tests and the dashboard, by the real promtool
	@scripts/promtool

manifests: ## deploy/ by the schemas of Compose and Kubernetes
	@scripts/manifests $(TARGET)

fuzz-api: binaries ## Schemathesis against both listeners, judged by openapi.yaml
	@scripts/fuzz-api $(TARGET)

fuzz: ## Each libFuzzer target for a minute (FUZZ_SECONDS)
	@scripts/fuzz $(TARGET)

# npm writes this file whenever it has installed.
APP_INSTALLED := $(APP)/node_modules/.package-lock.json

$(APP_INSTALLED): $(APP)/package.json $(APP)/package-lock.json
	@scripts/ensure-node
	cd $(APP) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

$(APP)/dist/server.js: $(APP_INSTALLED) $(APP_SOURCES)
	cd $(APP) && npm run --silent build

app: binaries $(APP_INSTALLED) ## Builds the Attio app, and runs it against a real connector
	@scripts/ensure-node
	cd $(APP) && npm run --silent check && SANDBOX="$(abspath $(TARGET))/debug/sandbox" \
		ALC_CONNECTOR="$(abspath $(TARGET))/debug/alc-connector" npm test --silent

browser: binaries $(APP)/dist/server.js ## Clicks through the demo's and the operators' pages in headless Chromium
	@scripts/ensure-node
	@scripts/ensure-chromium
	cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund && \
		ATTIO_APP="$(abspath $(APP))" DEMO_BIN="$(abspath $(TARGET))/debug/sandbox" \
		CONNECTOR="$(abspath $(TARGET))/debug/alc-connector" sh -c 'node demo.mjs && node operate.mjs'

bench: ## Measures beside a bare limit, as a table (docs/performance.md)
	@scripts/bench

bench-smoke: ## The bench with few leads: all is answered and shown; nothing is timed
	@BENCH_PROFILE=dev scripts/bench --store redis,sqlite --requests 60 --batch 15 --workspaces 4 --callers 8 --rounds 1 \
		--job send,callback,callback@100,batch,mixed

soak: ## Trouble drawn by a seed, and a year: SOAK_SEED, _SEEDS, _SECONDS, _LEADS, _STORE=redis|sentinel|cluster|sqlite, _MODEL_SEEDS, _YEAR_LEADS (docs/reliability.md)
	@scripts/ensure-redis
	@scripts/ensure-faketime
	cargo test --locked --lib store::conformance::history::tests::histories_of_as_many_seeds_as_asked_can_be_true -- --ignored --nocapture
	cargo test --locked --test blackbox soak::year::as_asked_for -- --ignored --nocapture
	cargo test --locked --test blackbox soak::as_asked -- --ignored --nocapture

roll: binaries ## Three replicas behind nginx: from the version before to this one, and back
	@scripts/roll $(TARGET)

image: ## Builds the container image and runs it
	@scripts/image
