"""Writes importance.json.gz: PED-ANOVA of random studies by Optuna.

    DIR/bin/python importance.py     (DIR of parity/setup_optuna.sh)
Made with optuna 5.0.0, numpy 2.4.6.
"""
import gzip, json, os, warnings

warnings.simplefilter("ignore")
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(t, several):
    x, y = t.suggest_float("x", -5, 5), t.suggest_float("y", 1e-5, 1, log=True)
    n, m = t.suggest_int("n", 1, 9), t.suggest_int("m", 1, 100, log=True)
    s = t.suggest_float("s", 0, 1, step=0.125)
    c = t.suggest_categorical("c", ["a", "b", "d"])
    v = x * x + n * 0.5 + (2 if c == "b" else 0) + s
    if c == "a":
        v += t.suggest_float("only a", 0, 3)
    return (v, y - n) if several else v


out = []
for seed in range(10):
    several = seed % 4 == 3
    study = optuna.create_study(directions=["minimize", "minimize"] if several else [["minimize", "maximize"][seed % 2]], sampler=optuna.samplers.RandomSampler(seed=seed))
    study.optimize(lambda t: objective(t, several), n_trials=30 + 17 * seed)
    trials = []
    for t in study.trials:
        trials.append({"values": t.values, "params": {k: [t.distributions[k].to_internal_repr(v), optuna.distributions.distribution_to_json(t.distributions[k])] for k, v in t.params.items()}})
    out.append({"directions": [d.value for d in study.directions], "trials": trials, "importance": optuna.importance.get_param_importances(study)})
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "importance.json.gz"), "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as f:
    f.write(json.dumps(out).encode())
