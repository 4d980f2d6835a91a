# Tidewatch. `make` prints this menu; every target installs what it lacks, where it may.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

# TLS comes from the system's OpenSSL where its headers are, else from one compiled from source (slower to build, the same otherwise).
CARGO_FEATURES = $(shell pkg-config --exists openssl 2>/dev/null || echo --no-default-features --features ssl-vendored)
APT = $(shell command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && echo yes)

.PHONY: help
help: ## This menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: headers ## Compile the optimised binary: target/release/tidewatch
	cargo build --release --locked $(CARGO_FEATURES)

.PHONY: demo
demo: build ## Watch the service find known incidents in a simulated feed; Ctrl-C ends it
	target/release/tidewatch demo

.PHONY: test
test: headers java valgrind ## All tests, those on a real Apache Kafka included (Maven fetches it once)
	cargo test --locked --no-fail-fast $(CARGO_FEATURES)

.PHONY: bench
bench: build java valgrind ## Speed, memory and quality, as docs/benchmarks.md shows them
	cargo bench --locked $(CARGO_FEATURES)
	python3 benches/quality/nab.py target/release/tidewatch ../shared target/nab
	python3 benches/quality/attribution.py target/release/tidewatch ../shared target/attribution
	python3 benches/quality/categories.py ../shared/data/loghub ../shared/tools/log_grouping.py

.PHONY: verify
verify: headers ## Only look: formatting, lints, documentation, house rules
	cargo fmt --check
	cargo clippy --locked --all-targets $(CARGO_FEATURES) -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --no-deps --document-private-items $(CARGO_FEATURES)
	cargo test --locked --test tidy $(CARGO_FEATURES)

.PHONY: fix
fix: ## Only mend: formatting, and the lints that know their own cure
	cargo fmt
	cargo clippy --fix --allow-dirty --allow-staged --all-targets $(CARGO_FEATURES)
	cargo fmt

# What a fresh machine may lack.

.PHONY: headers
headers:
	@if ! pkg-config --exists openssl 2>/dev/null && [ "$(APT)" = yes ]; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc g++ make pkg-config zlib1g-dev libssl-dev; \
	fi

.PHONY: java
java:
	@if ! { command -v java && command -v mvn && command -v setpriv; } >/dev/null; then \
	  if [ "$(APT)" = yes ]; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless maven util-linux; \
	  else \
	    echo "The tests on a real Apache Kafka need java (17 or later), mvn and setpriv: install them." >&2; exit 1; \
	  fi; \
	fi

.PHONY: valgrind
valgrind:
	@if ! command -v valgrind >/dev/null; then \
	  if [ "$(APT)" = yes ]; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends valgrind libc6-dbg; \
	  else \
	    echo "The limits on instructions an event need valgrind: install it." >&2; exit 1; \
	  fi; \
	fi
