#!/usr/bin/env python3
"""Groups labelled logs with `tidewatch categorize` and holds the groups against people's.

    categories.py TRUTH_DIR SCORER [--binary target/release/tidewatch] [--keep DIR]

TRUTH_DIR   <system>.csv with columns line,message,event (Loghub's 2k samples in this form)
SCORER      log_grouping.py: prints GA, FGA and pairwise F1 a system, and the means

One configuration for all logs: none. Messages go in one at a time, and the category that counts is the one a line got when it came.
Standard library only.
"""
import argparse, csv, json, os, subprocess, sys, tempfile


def group(binary, truth, out):
    """The category of each line of `truth`, written as line,category."""
    with open(truth, newline="") as f:
        rows = list(csv.DictReader(f))
    lines = "".join(json.dumps({"message": r["message"]}) + "\n" for r in rows)
    run = subprocess.run([binary, "categorize", "-", "--field", "message", "--format", "csv"],
                         input=lines, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{truth}: {run.stderr}")
    given = {int(r["line"]): r["category"] for r in csv.DictReader(run.stdout.splitlines())}
    with open(out, "w") as f:
        f.write("line,category\n")
        for at, row in enumerate(rows, 1):
            f.write(f"{row['line']},{given[at]}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth")
    parser.add_argument("scorer")
    parser.add_argument("--binary", default="target/release/tidewatch")
    parser.add_argument("--keep", help="where the groups go; thrown away without")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        to = args.keep or scratch
        os.makedirs(to, exist_ok=True)
        for name in sorted(os.listdir(args.truth)):
            if name.endswith(".csv"):
                group(args.binary, os.path.join(args.truth, name), os.path.join(to, name))
        subprocess.run([sys.executable, args.scorer, args.truth, f"tidewatch={to}"], check=True)


main()
