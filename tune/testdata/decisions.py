"""Writes decisions.gz: what Optuna's pruners decide on random tables.

    DIR/bin/python decisions.py [TABLES [OUT]]     (DIR of parity/setup_optuna.sh; 1000, into this folder, unless given)
Tables come from numpy.random.RandomState(table), whose stream the Go test has,
too; the file holds a line of 0 and 1 for each pruner and table.
Made with numpy 2.4.6, optuna 5.0.0.
"""
import gzip, math, os, sys, warnings

warnings.simplefilter("ignore")
import numpy as np
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
P = optuna.pruners
PRUNERS = [
    lambda: P.MedianPruner(n_startup_trials=2),
    lambda: P.MedianPruner(n_startup_trials=0, n_warmup_steps=2, interval_steps=3, n_min_trials=2),
    lambda: P.PercentilePruner(25.0, n_startup_trials=1),
    lambda: P.SuccessiveHalvingPruner(),
    lambda: P.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2, min_early_stopping_rate=1, bootstrap_count=1),
    lambda: P.HyperbandPruner(),
    lambda: P.HyperbandPruner(min_resource=1, max_resource=12, reduction_factor=2),
    lambda: P.WilcoxonPruner(p_threshold=0.3),
    lambda: P.PatientPruner(P.MedianPruner(n_startup_trials=1), patience=1),
    lambda: P.PatientPruner(None, patience=2, min_delta=0.5),
    lambda: P.ThresholdPruner(lower=0.3, upper=3.5, n_warmup_steps=1, interval_steps=2),
]
TRIALS, STEPS = 9, 12
TABLES = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
OUT = sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(os.path.abspath(__file__))


def run(table, pruner):
    rng = np.random.RandomState(table)
    study = optuna.create_study(direction=["minimize", "maximize"][table % 2], pruner=pruner, study_name=f"table{table}",
                                sampler=optuna.samplers.RandomSampler(seed=0))
    parallel = [1, 4][table // 2 % 2]
    out, running, begun = [], [], 0
    while begun < TRIALS or running:
        while len(running) < parallel and begun < TRIALS:
            running.append([study.ask(), 0, math.floor(rng.random_sample() * 16.0) / 8.0])
            begun += 1
        for item in list(running):
            trial, step, level = item
            value = level + math.floor(rng.random_sample() * 16.0) / 8.0
            if rng.random_sample() < 0.03:
                value = float("nan")
            if rng.random_sample() < 0.9:
                trial.report(value, step)
                prune = trial.should_prune()
                out.append("1" if prune else "0")
                if prune:
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    running.remove(item)
                    continue
            item[1] = step + 1
            if item[1] == STEPS:
                study.tell(trial, level)
                running.remove(item)
    return "".join(out)


lines = []
for make in PRUNERS:
    for table in range(TABLES):
        lines.append(run(table, make()))
path = os.path.join(OUT, "decisions.gz")
with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as f:
    f.write("\n".join(lines).encode())
