#!/usr/bin/env python3
"""Series that are judged together, on feeds made here: how often noise is critical, and what of known incidents is found.

    python3 benches/quality/together.py target/release/tidewatch [OTHER...]

Two kinds of noise, twenty users' sums each (29 days of 15 minutes, 4 seeds): three amounts about 100 a bucket (normal), and a Poisson number of log-normal ones.
Then metrics of one machine: twenty of noise (2,500 buckets of 5 minutes, 4 seeds) that is normal, follows a common factor, its own last value, or has a heavy tail;
and 5, 40 or 120 of normal noise, one of which stands out by 12 standard deviations in bucket 700. Then simulated web shops (`tidewatch simulate`): calm ones for 29 days,
and ten days with one incident of each kind. Every binary named sees the same feeds; the first one makes the shops. Prints tables; judges nothing.
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

METRICS = """
job_id: metrics
analysis_config:
  bucket_span: 5m
  detectors: [{function: mean, field_name: value, by_field_name: metric}]
  influencers: [metric]
data_description: {time_field: "@timestamp", time_format: epoch_ms}
"""
METRIC_SPAN_MS, METRIC_BUCKETS, METRIC_SEEDS = 300_000, 2_500, range(1, 5)
METRIC_KINDS = ["normal", "common factor", "AR(1) .9", "Student-t 3", "log-normal"]
SPIKE_AT, SPIKE_SIGMAS, CROWDS = 700, 12, (5, 40, 120)


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


def write_metrics(path, kind, seed, metrics, buckets, spike_at=None):
    draw = random.Random(f"{kind} {seed} {metrics}")
    last = [0.0] * metrics

    def noise(metric, common):
        own = draw.gauss(0, 1)
        if kind == "common factor":
            return 0.8 * common + 0.6 * own
        if kind == "AR(1) .9":
            last[metric] = 0.9 * last[metric] + math.sqrt(0.19) * own
            return last[metric]
        if kind == "Student-t 3":
            return own / math.sqrt(sum(draw.gauss(0, 1) ** 2 for _ in range(3)) / 3)
        return math.exp(own) if kind == "log-normal" else own

    with open(path, "w") as out:
        for bucket in range(buckets):
            common = draw.gauss(0, 1)
            for metric in range(metrics):
                x = noise(metric, common) + (SPIKE_SIGMAS if (bucket, metric) == (spike_at, seed) else 0)
                event = {"@timestamp": START_MS + bucket * METRIC_SPAN_MS, "metric": f"m{metric}", "value": round(100 + x, 4)}
                out.write(json.dumps(event) + "\n")


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


def scores_of(binary, job, feed):
    """The highest score, as said first, of each bucket with a record."""
    scores = {}
    for line in run(binary, "detect", job, feed, "--kinds", "record").splitlines():
        record = json.loads(line)
        at = record["timestamp"]
        scores[at] = max(scores.get(at, 0), record["initial_record_score"])
    return scores


def critical(binary, job, feed):
    """Buckets with a record that was critical when it was said first."""
    return sum(score >= 75 for score in scores_of(binary, job, feed).values())


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
        sums, metrics = scratch / "sums.yaml", scratch / "metrics.yaml"
        sums.write_text(SUMS)
        metrics.write_text(METRICS)
        print("| noise | " + " | ".join(f"{name}: critical buckets per 1,000" for name in binaries) + " |")
        print("|---|" + "---:|" * len(binaries))
        feed, labels = scratch / "feed.ndjson", scratch / "labels.ndjson"
        for kind in ("normal", "bursts"):
            counts = [0] * len(binaries)
            for seed in NOISE_SEEDS:
                write_noise(feed, kind, seed)
                counts = [count + critical(binary, sums, feed) for count, binary in zip(counts, binaries)]
            print(f"| {kind} | " + " | ".join(f"{1e3 * count / BUCKETS / len(NOISE_SEEDS):.2f}" for count in counts) + " |")
        for kind in METRIC_KINDS:
            counts = [0] * len(binaries)
            for seed in METRIC_SEEDS:
                write_metrics(feed, kind, seed, 20, METRIC_BUCKETS)
                counts = [count + critical(binary, metrics, feed) for count, binary in zip(counts, binaries)]
            print(f"| 20 metrics, {kind} | " + " | ".join(f"{1e3 * count / METRIC_BUCKETS / len(METRIC_SEEDS):.2f}" for count in counts) + " |")
        counts = [0] * len(binaries)
        for seed in CALM_SEEDS:
            run(binaries[0], "simulate", "calm", "--rate", "0.1", "--days", "29", "--seed", seed, "-o", feed)
            counts = [count + critical(binary, shop, feed) for count, binary in zip(counts, binaries)]
        print("| calm shops | " + " | ".join(f"{1e3 * count / BUCKETS / len(CALM_SEEDS):.2f}" for count in counts) + " |")
        print(f"\n| one of so many metrics out by {SPIKE_SIGMAS} sigma after {SPIKE_AT} buckets | " + " | ".join(f"{name}: scores" for name in binaries) + " |")
        print("|---:|" + "---|" * len(binaries))
        for crowd in CROWDS:
            scores = [[] for _ in binaries]
            for seed in METRIC_SEEDS:
                write_metrics(feed, "normal", seed, crowd, SPIKE_AT + 2, SPIKE_AT)
                for own, binary in zip(scores, binaries):
                    own.append(scores_of(binary, metrics, feed).get(START_MS + SPIKE_AT * METRIC_SPAN_MS, 0))
            print(f"| {crowd} | " + " | ".join(", ".join(f"{score:.0f}" for score in sorted(own)) for own in scores) + " |")
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
