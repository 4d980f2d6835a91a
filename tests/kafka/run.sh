#!/bin/sh
# Runs what cargo has built (`.cargo/config.toml`). Of tests there are as many at a time as there are cores, and that is right for all that compute. Those on
# Kafka wait: for brokers, sessions and transactions that time out, and for each other, where several want the three brokers for themselves. They
# take a fifth of a core each. `--test-threads` still has the last word.
case "$1" in
  */deps/kafka-*) RUST_TEST_THREADS="${TIDEWATCH_KAFKA_TEST_THREADS:-16}"; export RUST_TEST_THREADS ;;
esac
exec "$@"
