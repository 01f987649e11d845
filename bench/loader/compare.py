"""Our loader, exact and fast, and Ultralytics' in turns, on one core each.

    go build -o ours ./bench/loader/ours
    python bench/loader/compare.py SET/data.yaml --ours ./ours --rounds 5 --out bench/loader/results/NAME.json

A core's second is a second of processor time, so that what else the machine does
falls on both sides alike; the load average stands beside each run.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

p = argparse.ArgumentParser()
p.add_argument("data")
p.add_argument("--ours", required=True)
p.add_argument("--rounds", type=int, default=5)
p.add_argument("--out", type=pathlib.Path)
a = p.parse_args()
here = pathlib.Path(__file__).parent
env = dict(os.environ, GOMAXPROCS="1", OMP_NUM_THREADS="1")
sides = {
    "exact": [a.ours, "-data", a.data],
    "fast": [a.ours, "-data", a.data, "-decode", "fast"],
    "ultralytics": [sys.executable, str(here / "peer.py"), a.data],
}
runs = {k: [] for k in sides}
for r in range(a.rounds):
    for side in list(sides)[r % 3 :] + list(sides)[: r % 3]:
        done = subprocess.run(sides[side], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env, check=True)
        run = json.loads(done.stdout.strip().splitlines()[-1])
        run["load"] = round(os.getloadavg()[0], 1)
        runs[side].append(run)
        print(r, side, run["per_core_second"], run["load"], flush=True)
median = {k: round(statistics.median(x["per_core_second"] for x in v), 1) for k, v in runs.items()}
best = {k: max(x["per_core_second"] for x in v) for k, v in runs.items()}
result = dict(median=median, best=best, exact_over_peer=round(median["exact"] / median["ultralytics"], 2), fast_over_peer=round(median["fast"] / median["ultralytics"], 2), runs=runs)
print(json.dumps({k: v for k, v in result.items() if k != "runs"}))
if a.out:
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.write_text(json.dumps(result, indent=1) + "\n")
