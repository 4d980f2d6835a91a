#!/usr/bin/env python3
"""NAB (development subset) with default settings for every file: mean(value), bucket_span = the data's own step.

    benches/quality/nab.py TIDEWATCH SHARED OUT     binary, folder with data/ and tools/, folder for results

Writes one job a file, runs `tidewatch detect`, and scores bucket results with SHARED/tools (one threshold for all files, and leave one category out).
Renormalisation is off: a score counts as it was first given, for a stream has no second look.
"""
import csv
import json
import os
import subprocess
import sys
from datetime import datetime
from statistics import median


def step_seconds(path):
    with open(path, newline="") as f:
        times = [datetime.strptime(row["timestamp"], "%Y-%m-%d %H:%M:%S") for row in csv.DictReader(f)]
    return max(1, int(median((b - a).total_seconds() for a, b in zip(times, times[1:]))))


def job(name, span):
    return {
        "job_id": "nab-" + "".join(c if c.isalnum() else "-" for c in name.lower())[:50].strip("-"),
        "analysis_config": {"bucket_span": f"{span}s", "detectors": [{"function": "mean", "field_name": "value"}]},
        "data_description": {"time_field": "timestamp", "time_format": "yyyy-MM-dd HH:mm:ss"},
        "renormalization_window_days": 0,
    }


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    binary, shared, out = sys.argv[1:]
    nab = os.path.join(shared, "data", "nab")
    results = os.path.join(out, "results")
    os.makedirs(results, exist_ok=True)
    with open(os.path.join(nab, "dev.txt")) as f:
        names = [line.strip() for line in f if line.strip() and not line.startswith("#")]
    for name in names:
        data = os.path.join(nab, "data", name)
        flat = name.replace("/", "__")[: -len(".csv")]
        config = os.path.join(out, flat + ".json")
        with open(config, "w") as f:
            json.dump(job(flat, step_seconds(data)), f)
        command = [binary, "detect", config, data, "--format", "ndjson", "--out", os.path.join(results, flat + ".ndjson")]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    tools = os.path.join(shared, "tools")
    scores = os.path.join(out, "scores")
    subprocess.run([sys.executable, os.path.join(tools, "results_to_nab.py"), results, os.path.join(nab, "data"), scores], check=True, stdout=subprocess.DEVNULL)
    windows = os.path.join(nab, "combined_windows.json")
    subprocess.run([sys.executable, os.path.join(tools, "nab_score.py"), "--windows", windows, "--edges", "24", "--loco", "tidewatch=" + scores], check=True)
    fixed_in_advance(tools, windows, scores)


def fixed_in_advance(tools, windows, scores):
    """NAB's standard score with the threshold that people are told beforehand: a bucket is critical from 75 on."""
    sys.path.insert(0, tools)
    import nab_score

    with open(windows) as f:
        files = nab_score.load(scores, json.load(f), edges=24)
    cost = nab_score.PROFILES["standard"]
    parts = nab_score.nab_parts(files, cost, 0.75)
    by_category = {c: [f for f in files if f.category == c] for c in sorted({f.category for f in files})}
    told = {c: nab_score.nab_normalise(some, cost, parts) for c, some in by_category.items()}
    print("\n## standard, threshold fixed at a score of 75\n")
    print(f"all {nab_score.nab_normalise(files, cost, parts):.1f}; " + ", ".join(f"{c} {score:.1f}" for c, score in told.items() if score is not None))
    order = sorted(((f.scores[i], k, i) for k, f in enumerate(files) for i in range(f.start, f.n)), key=lambda row: -row[0])
    print(f"the best threshold on these files would be {100 * nab_score.nab_optimise(files, cost, order)[0]:.1f}")


if __name__ == "__main__":
    main()
