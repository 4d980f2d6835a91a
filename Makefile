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
	TIDEWATCH_REVISION=$$(git rev-parse --short HEAD 2>/dev/null || echo unknown) cargo build --release --locked $(CARGO_FEATURES)

.PHONY: demo
demo: build ## Watch the service find known incidents in a simulated feed; Ctrl-C ends it
	target/release/tidewatch demo

.PHONY: test
test: headers java shipper valgrind alertmanager moto chart-tools ## All tests, those on a real Apache Kafka included (Maven fetches it once)
	cargo test --locked --no-fail-fast $(CARGO_FEATURES)

.PHONY: chaos
chaos: headers java ## The table of faults in its long form, figures of docs/reliability.md; TIDEWATCH_TEST_SEED sets another seed
	TIDEWATCH_CHAOS=long cargo test --locked $(CARGO_FEATURES) --test kafka faults:: -- --nocapture --test-threads 1

.PHONY: bench
bench: build java valgrind ## Speed, memory and quality, as docs/benchmarks.md shows them
	cargo bench --locked $(CARGO_FEATURES)
	python3 benches/quality/nab.py target/release/tidewatch ../shared target/nab
	python3 benches/quality/attribution.py target/release/tidewatch ../shared target/attribution
	python3 benches/quality/together.py target/release/tidewatch
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

.PHONY: shipper
shipper:
	@if ! command -v rsyslogd >/dev/null; then \
	  if [ "$(APT)" = yes ]; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends rsyslog rsyslog-kafka; \
	  else \
	    echo "The test of a real shipper needs rsyslog and its Kafka module (rsyslog-kafka): install them." >&2; exit 1; \
	  fi; \
	fi

.PHONY: moto
moto: target/moto/installed
target/moto/installed:
	@if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then \
	  if [ "$(APT)" = yes ]; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; \
	  else \
	    echo "The tests on an S3 server need Python's venv: install python3-venv." >&2; exit 1; \
	  fi; \
	fi
	python3 -m venv target/moto
	target/moto/bin/pip install -q 'moto[s3]==5.2.5' flask flask-cors
	touch $@

.PHONY: valgrind
valgrind:
	@if ! command -v valgrind >/dev/null; then \
	  if [ "$(APT)" = yes ]; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends valgrind libc6-dbg; \
	  else \
	    echo "The limits on instructions an event need valgrind: install it." >&2; exit 1; \
	  fi; \
	fi

# What checks helm/, the dashboards, the rules, the image and the compose file: Python packages, and promtool out of Debian's package of
# Prometheus (only that file of it; installed, it would start a server).
CHART_TOOLS = target/chart-venv/bin

.PHONY: chart-tools
chart-tools: $(CHART_TOOLS)/ready

$(CHART_TOOLS)/ready: tests/chart/requirements.txt
	@if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then \
	  if [ "$(APT)" = yes ]; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv; \
	  else \
	    echo "The tests of the Helm chart need python3 with venv: install them." >&2; exit 1; \
	  fi; \
	fi
	@rm -rf target/chart-venv && python3 -m venv target/chart-venv
	@$(CHART_TOOLS)/pip install --quiet --disable-pip-version-check -r tests/chart/requirements.txt \
	  || { echo "The tests of the Helm chart need the packages in tests/chart/requirements.txt, from PyPI." >&2; exit 1; }
	@if ! command -v promtool >/dev/null; then \
	  if [ "$(APT)" = yes ]; then apt-get update -qq; fi; \
	  rm -rf target/promtool && mkdir target/promtool \
	    && ( cd target/promtool && apt-get download -qq -o APT::Sandbox::User=root prometheus && dpkg -x prometheus_*.deb . ) \
	    && cp target/promtool/usr/bin/promtool $(CHART_TOOLS) \
	    || { echo "The tests of the alert rules need promtool, of Prometheus 2.42 or later: install it." >&2; exit 1; }; \
	  rm -rf target/promtool; \
	fi
	@touch $@

.PHONY: alertmanager
alertmanager:
	@if ! command -v prometheus-alertmanager >/dev/null && ! command -v alertmanager >/dev/null; then \
	  if [ "$(APT)" = yes ]; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus-alertmanager; \
	  else \
	    echo "The tests of alerts need Alertmanager: install it." >&2; exit 1; \
	  fi; \
	fi
