#!/usr/bin/env python3
"""Series that are judged together, on feeds made here: how often noise is critical, and what of known incidents is found.

    python3 benches/quality/together.py target/release/tidewatch [OTHER...]

Two kinds of noise, twenty users' sums each (29 days of 15 minutes, 4 seeds): three amounts about 100 a bucket (normal), and a Poisson number of log-normal ones.
Then simulated web shops (`tidewatch simulate`): calm ones for 29 days, and ten days with one incident of each kind. Every binary named sees the same feeds;
the first one makes the shops. Prints tables; judges nothing.
"""

import json
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
USERS, BUCKETS, SPAN_MS = 20, 29 * 96, 900_000
START_MS = 1_772_323_200_000
NOISE_SEEDS = range(1, 5)
CALM_SEEDS = range(11, 15)
INCIDENT_SEEDS = range(21, 27)
INCIDENTS = ["spike", "dip", "outage", "level-shift", "slow-host", "exfiltration"]
SUMS = """
job_id: sums
analysis_config:
  bucket_span: 15m
  detectors: [{function: high_sum, field_name: bytes, by_field_name: user.name}]
  influencers: [user.name]
data_description: {time_field: "@timestamp", time_format: epoch_ms}
"""


def poisson(draw, mean):
    """By inversion."""
    count, chance, u = 0, math.exp(-mean), draw.random()
    total = chance
    while u > total and count < 1_000:
        count += 1
        chance *= mean / count
        total += chance
    return count


def amounts(draw, kind):
    """What one user moves in one bucket."""
    if kind == "normal":
        return [draw.gauss(100, 15) for _ in range(3)]
    return [draw.lognormvariate(7, 1) for _ in range(poisson(draw, 2))]


def write_noise(path, kind, seed):
    draw = random.Random(f"{kind} {seed}")
    with open(path, "w") as out:
        for bucket in range(BUCKETS):
            start = START_MS + bucket * SPAN_MS
            events = [(start + draw.randrange(SPAN_MS), user, x) for user in range(USERS) for x in amounts(draw, kind)]
            for at, user, x in sorted(events):
                event = {"@timestamp": at, "user": {"name": f"user-{user}"}, "bytes": round(x, 2)}
                out.write(json.dumps(event) + "\n")


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


def critical(binary, job, feed):
    """Buckets with a record that was critical when it was said first."""
    scores = {}
    for line in run(binary, "detect", job, feed, "--kinds", "record").splitlines():
        record = json.loads(line)
        at = record["timestamp"]
        scores[at] = max(scores.get(at, 0), record["initial_record_score"])
    return sum(score >= 75 for score in scores.values())


def found(binary, job, feed, labels):
    """(found, false alerts) at 75, then at 50."""
    said = json.loads(run(binary, "backtest", job, feed, "--labels", labels, "--format", "json"))
    rows = {row["threshold"]: row for row in said["measured"]["table"]}
    return [rows[at][what] for at in (75.0, 50.0) for what in ("found", "false_alerts")]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    binaries = sys.argv[1:]
    shop = ROOT / "examples/web.yaml"
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        sums = scratch / "sums.yaml"
        sums.write_text(SUMS)
        print("| noise | " + " | ".join(f"{name}: critical buckets per 1,000" for name in binaries) + " |")
        print("|---|" + "---:|" * len(binaries))
        feed, labels = scratch / "feed.ndjson", scratch / "labels.ndjson"
        for kind in ("normal", "bursts"):
            counts = [0] * len(binaries)
            for seed in NOISE_SEEDS:
                write_noise(feed, kind, seed)
                counts = [count + critical(binary, sums, feed) for count, binary in zip(counts, binaries)]
            print(f"| {kind} | " + " | ".join(f"{1e3 * count / BUCKETS / len(NOISE_SEEDS):.2f}" for count in counts) + " |")
        counts = [0] * len(binaries)
        for seed in CALM_SEEDS:
            run(binaries[0], "simulate", "calm", "--rate", "0.1", "--days", "29", "--seed", seed, "-o", feed)
            counts = [count + critical(binary, shop, feed) for count, binary in zip(counts, binaries)]
        print("| calm shops | " + " | ".join(f"{1e3 * count / BUCKETS / len(CALM_SEEDS):.2f}" for count in counts) + " |")
        print("\n| incidents of six seeds | " + " | ".join(f"{name}: found / false at 75, at 50" for name in binaries) + " |")
        print("|---|" + "---|" * len(binaries))
        totals = [[0] * 4 for _ in binaries]
        for incident in INCIDENTS:
            sums_of = [[0] * 4 for _ in binaries]
            for seed in INCIDENT_SEEDS:
                run(binaries[0], "simulate", incident, "--rate", "0.1", "--seed", seed, "-o", feed, "--labels", labels)
                for at, binary in enumerate(binaries):
                    sums_of[at] = [a + b for a, b in zip(sums_of[at], found(binary, shop, feed, labels))]
            totals = [[a + b for a, b in zip(total, own)] for total, own in zip(totals, sums_of)]
            print(f"| {incident} | " + " | ".join("{} / {}, {} / {}".format(*own) for own in sums_of) + " |")
        print("| all | " + " | ".join("{} / {}, {} / {}".format(*total) for total in totals) + " |")


if __name__ == "__main__":
    main()
