"""Interleave two commands and compare one number of the JSON line that each prints last.

    python pairs.py --ours "CMD" --peer "CMD" --key images_per_second --pairs 5 --out results/NAME.json

Alternating evens out what else the machine does; the ratio is that of the medians.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path


def once(command):
    done = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{command}: exit status {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--key", default="images_per_second")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    runs = {"ours": [], "peer": []}
    for pair in range(args.pairs):
        for side in ("ours", "peer") if pair % 2 == 0 else ("peer", "ours"):
            runs[side].append(once(getattr(args, side)))
            print(pair, side, runs[side][-1][args.key], [round(x, 2) for x in os.getloadavg()], flush=True)
    median = {side: statistics.median(r[args.key] for r in results) for side, results in runs.items()}
    result = {"key": args.key, "median": median, "ours_over_peer": round(median["ours"] / median["peer"], 4), "runs": runs}
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: result[k] for k in ("key", "median", "ours_over_peer")}))


if __name__ == "__main__":
    main()
