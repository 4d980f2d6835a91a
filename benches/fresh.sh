#!/usr/bin/env bash
# From a fresh clone to the end of `make demo`, and to the end of `make test`: `benches/fresh.sh [DIRECTORY]`.
#
# Clones what is committed into DIRECTORY (default: a temporary one), beside which a link to this checkout's ../shared stands, and times the two commands
# with nothing built before. What cargo and Maven have downloaded already is used; what they have not is in the times.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
where=${1:-$(mktemp -d)}
mkdir -p "$where"
git clone -q "$here" "$where/tidewatch"
[ -e "$where/shared" ] || ln -s "$(cd "$here/../shared" && pwd)" "$where/shared"
cd "$where/tidewatch"
for target in demo test; do
  began=$(date +%s)
  if make "$target" > "$where/$target.log" 2>&1; then outcome=passed; else outcome="FAILED, see $where/$target.log"; fi
  echo "fresh clone, make $target: $(( $(date +%s) - began )) s, $outcome"
done
