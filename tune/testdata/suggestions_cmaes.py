"""Writes suggestions-cmaes.bin.gz: what Optuna's CmaEsSampler suggests, seed by seed.

    DIR/bin/python suggestions_cmaes.py [SEEDS [OUT]]     (DIR of parity/setup_optuna.sh; 10 seeds, into this folder, unless given)
As suggestions.py, of whose functions it makes use, with 120 trials a study, which is 14 updates of a population of 8.
A warm start begins with the 70 trials of a random search.
Made with numpy 2.4.6, optuna 5.0.0, cmaes 0.13.1.
"""
import sys

sys.argv[1:] = sys.argv[1:] or ["10"]
from suggestions import SEEDS, loss, mixed, optuna, plain, write

TRIALS, SOURCE = 120, 70


def valley(t):
    return [t.suggest_float(f"x{i}", -5, 5) for i in range(5)]


def rosenbrock(x):
    return sum((x[i + 1] - x[i] * x[i]) * (x[i + 1] - x[i] * x[i]) * 100.0 + (x[i] - 1.0) * (x[i] - 1.0) for i in range(4))


def study(direction, seed=0, **options):
    sampler = optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False, **options)
    return optuna.create_study(direction=direction, sampler=sampler)


out = []
for seed in range(SEEDS):
    plain(study("minimize", seed), valley, rosenbrock, out, TRIALS)
for options in ({}, {"with_margin": True}, {"use_separable_cma": True}):
    for seed in range(SEEDS):
        plain(study(["minimize", "maximize"][seed % 2], seed, **options), mixed, loss, out, TRIALS)
for seed in range(SEEDS):
    source = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    plain(source, mixed, loss, out, SOURCE)
    # a parameter that CMA-ES cannot have would make every trial incompatible
    trials = [optuna.trial.create_trial(value=t.value, params={k: v for k, v in t.params.items() if k != "c"}, distributions={k: d for k, d in t.distributions.items() if k != "c"}) for t in source.trials]
    plain(study("minimize", seed, source_trials=trials), mixed, loss, out, TRIALS - SOURCE)
write(out, "suggestions-cmaes.bin.gz")
