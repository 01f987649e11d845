"""A real tuning: 12 short detection trainings with Hyperband, killed half-way and resumed, against the same
without pruning; then the chosen configuration and the default, each retrained on three new seeds, on test.

    python bench/tune/generate.py TOY
    python bench/tune/real.py WILDTRAIN TOY OUT       # OUT/real.json; goes on where it was stopped

All by the command line, one process at a time. Configurations are chosen on val; test is looked at in the
last step only. Times are wall seconds and processor seconds of the processes themselves, killed one included.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

BINARY, TOY, OUT = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()
TRIALS, EPOCHS, SEEDS = 12, 9, (101, 102, 103)
COMMON = [f"data.root={TOY}/wildata", "model=yolov8n", f"training.epochs={EPOCHS}", "training.imgsz=160", "training.batch=8",
          "training.precision=bf16", "training.threads=1", "data.workers=0", "data.cache=ram"]
SPACE = ("tune.space={training.lr0:{low:1e-4,high:3e-2,log:true},training.optimizer:{choices:[SGD,AdamW]},"
         "training.nbs:{choices:[8,16,32,64]},training.warmup_epochs:{low:0.5,high:3}}")


class Clock:
    """Wall and processor seconds of the processes it runs."""

    def __init__(self):
        self.wall = self.cpu = 0.0

    def run(self, args, log, until=None):
        """Runs args; kills it (SIGKILL) as soon as until() is true. Returns whether it was killed."""
        begun, killed = time.time(), False
        with open(log, "ab") as out:
            child = subprocess.Popen([BINARY, *args], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=OUT)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG if until else 0)
            if pid:
                break
            if not killed and until():
                child.send_signal(signal.SIGKILL)
                killed = True
            time.sleep(0.2)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.wall += time.time() - begun
        self.cpu += usage.ru_utime + usage.ru_stime
        if child.returncode and not killed:
            raise SystemExit(f"{args[0]} ended with {child.returncode}: see {log}")
        return killed

    def seconds(self):
        return {"wall_s": round(self.wall, 1), "cpu_s": round(self.cpu, 1)}


def trials(study):
    path = OUT / "runs" / "tuning" / study / "study.json"
    return json.loads(path.read_text()) if path.exists() else None


def half_way(study):
    """Half of the trials have ended, and the running one has saved at least two epochs."""
    runs = OUT / "runs" / "tuning" / study
    metrics = runs / f"trial-{TRIALS // 2:04d}" / "metrics.csv"
    return metrics.exists() and metrics.read_text().count("\n") >= 3


def tune(study, pruner, kill):
    args = ["tune", *COMMON, "runs=runs", "experiment_name=tuning", "seed=7", f"tune.study={study}", f"tune.trials={TRIALS}",
            f"tune.pruner={pruner}", SPACE]
    clock, killed = Clock(), False
    if kill:
        killed = clock.run(args, OUT / f"{study}.log", lambda: half_way(study))
        print(study, "killed" if killed else "NOT killed", clock.seconds(), flush=True)
    clock.run(args, OUT / f"{study}.log")
    return {"pruner": pruner, "killed": killed, **clock.seconds(), "study": trials(study)}


def retrain(name, seed, extra):
    """Trains on a seed and scores the best weights by val on test."""
    clock, run = Clock(), OUT / "runs" / "again" / f"{name}-{seed}"
    log = OUT / f"{name}-{seed}.log"
    clock.run(["train", *extra[0], *COMMON, *extra[1], "runs=runs", "experiment_name=again", f"name={name}-{seed}", f"seed={seed}"], log)
    clock.run(["evaluate", f"weights={run}/checkpoints/best", f"data.root={TOY}/wildata", "evaluation.split=test", "training.imgsz=160", f"out={run}/test"], log)
    found = json.loads((run / "test" / "evaluation.json").read_text())["detection"]["values"]
    return {"seed": seed, "test": {k: found[k] for k in ("AP", "AP50", "AP75")}, **clock.seconds()}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / "real.json"
    done = json.loads(path.read_text()) if path.exists() else {}
    best = OUT / "runs" / "tuning" / "hyperband" / "best"
    steps = {"hyperband": lambda: tune("hyperband", "hyperband", True), "none": lambda: tune("none", "none", False)}
    for seed in SEEDS:
        steps[f"default {seed}"] = lambda seed=seed: retrain("default", seed, ([], []))
        steps[f"best {seed}"] = lambda seed=seed: retrain("best", seed, (["--config-dir", str(best)], ["+tuned=best"]))
    for name, step in steps.items():
        if name not in done:
            done[name] = step()
            path.write_text(json.dumps(done, indent=1))
            print(name, "done", flush=True)


main()
