#!/usr/bin/env python3
"""Blame on entities of many metrics (SMD and ASD, development subsets): the right moment, the right metric, and who stands at the top.

    benches/quality/attribution.py TIDEWATCH SHARED OUT [smd|asd ...]     binary, folder with data/ and tools/, folder for results

For each data set: emits its readings as NDJSON, runs `tidewatch detect` with config/jobs/{smd,asd}.yaml as they are, and scores the records with
SHARED/tools/smd_attribution.py. Then the ten influencers of the highest score, each at its highest bucket. Records are scored as they stand
in the output: where a score was written again, the scorer takes the larger.
"""
import json
import os
import subprocess
import sys
from datetime import datetime, timezone

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOP = 10


def detect(binary, job, tool, data, results):
    """Pipes the readings through the detector; nothing of the size of the stream is kept."""
    emit = subprocess.Popen([sys.executable, tool, "emit", data], stdout=subprocess.PIPE)
    command = [binary, "detect", job, "-", "--input", "json", "--format", "ndjson", "--kinds", "record,influencer", "--out", results]
    subprocess.run(command, check=True, stdin=emit.stdout, stderr=subprocess.DEVNULL)
    emit.stdout.close()
    if emit.wait() != 0:
        sys.exit(f"the readings of {data} ended early")


def top_influencers(results):
    """Each influencer's highest document, and in how many buckets it scored 75 or more; the highest first."""
    highest, critical = {}, {}
    with open(results) as lines:
        for line in lines:
            document = json.loads(line)
            if document.get("result_type") != "influencer":
                continue
            name = (document["influencer_field_name"], document["influencer_field_value"])
            score = document["influencer_score"]
            if name not in highest or score > highest[name]["influencer_score"]:
                highest[name] = document
            if score >= 75:
                critical.setdefault(name, set()).add(document["timestamp"])
    ranked = sorted(highest.items(), key=lambda one: (-one[1]["influencer_score"], one[0]))
    return [(name, document, len(critical.get(name, ()))) for name, document in ranked[:TOP]]


def report(name, results):
    print(f"\n{name}: influencers of the highest score")
    print("| influencer | score | initially | at | buckets at 75 or more |\n|---|---|---|---|---|")
    for (field, value), document, critical in top_influencers(results):
        at = datetime.fromtimestamp(document["timestamp"] / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M")
        score, initial = document["influencer_score"], document["initial_influencer_score"]
        print(f"| {field}={value} | {score:.1f} | {initial:.1f} | {at} | {critical} |")


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    binary, shared, out, *wanted = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    tool = os.path.join(shared, "tools", "smd_attribution.py")
    for name in wanted or ["smd", "asd"]:
        data, results = os.path.join(shared, "data", name), os.path.join(out, name + ".ndjson")
        detect(binary, os.path.join(ROOT, "config", "jobs", name + ".yaml"), tool, data, results)
        print(f"\n{name}: attribution", flush=True)
        subprocess.run([sys.executable, tool, "score", data, results], check=True)
        report(name, results)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
