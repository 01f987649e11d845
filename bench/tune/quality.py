"""Our samplers against Optuna's: 20 seeds a side, one-sided Mann-Whitney test that ours are worse.

    go build -o OURS ./bench/tune/ours
    DIR/bin/python quality.py OURS [SAMPLER [PROBLEM]]      (DIR of parity/setup_optuna.sh; gp needs torch)

Each number is the best value of a study (zdt1: what the front misses of the square below (1.1, 1.1)); all
problems have their minimum at 0. results/quality.json keeps what was run; p < 0.05 would say that ours are worse.
"""

import json
import math
import subprocess
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
import optuna
from scipy.stats import mannwhitneyu

optuna.logging.set_verbosity(optuna.logging.ERROR)
S = optuna.samplers
SEEDS = 20
TRIALS = {"cmaes": 400, "nsga2": 500, "gp": 50, "qmc": 256}
SAMPLERS = {
    # ours keep a margin for integers by default: so does the peer where there are any
    "cmaes": lambda seed, problem: S.CmaEsSampler(seed=seed, with_margin=problem == "mixed", warn_independent_sampling=False),
    "nsga2": lambda seed, problem: S.NSGAIISampler(seed=seed),
    "gp": lambda seed, problem: S.GPSampler(seed=seed),
    "qmc": lambda seed, problem: S.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
}


def floats(t, n, low, high):
    return [t.suggest_float(f"x{i}", low, high) for i in range(n)]


def sphere(x):
    return sum(v * v for v in x)


def rosenbrock(t):
    x = floats(t, 5, -5, 5)
    return sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(4))


def rastrigin(t):
    x = floats(t, 5, -5.12, 5.12)
    return 50 + sum(v * v - 10 * math.cos(2 * math.pi * v) for v in x)


def mixed(t):
    x, a, b = floats(t, 3, -5, 5), t.suggest_int("n0", 1, 20), t.suggest_int("n1", 1, 100)
    return sphere(x) + (a - 7) ** 2 / 4 + (b - 30) ** 2 / 100 + 2 * "abcd".index(t.suggest_categorical("c", list("abcd")))


def zdt1(t):
    x = floats(t, 10, 0, 1)
    g = 1 + 9 * sum(x[1:]) / 9
    return x[0], g * (1 - math.sqrt(x[0] / g))


PROBLEMS = {"sphere": lambda t: sphere(floats(t, 5, -5, 5)), "rosenbrock": rosenbrock, "rastrigin": rastrigin, "mixed": mixed, "zdt1": zdt1}


def area(front, reference=1.1):
    total, top = 0.0, reference
    for x, y in sorted(front):
        if x < reference and y < top:
            total, top = total + (reference - x) * (top - y), y
    return total


def theirs(sampler, problem):
    out = []
    for seed in range(SEEDS):
        several = problem == "zdt1"
        study = optuna.create_study(directions=["minimize"] * (2 if several else 1), sampler=SAMPLERS[sampler](seed, problem))
        study.optimize(PROBLEMS[problem], n_trials=TRIALS[sampler])
        out.append(1.1 * 1.1 - area([t.values for t in study.best_trials]) if several else study.best_value)
    return out


def main():
    path = Path(__file__).parent / "results" / "quality.json"
    results = json.loads(path.read_text()) if path.exists() else {"optuna": optuna.__version__, "seeds": SEEDS}
    median = lambda v: sorted(v)[len(v) // 2]
    for sampler in SAMPLERS:
        for problem in PROBLEMS:
            if sys.argv[2:3] not in ([], [sampler]) or sys.argv[3:4] not in ([], [problem]) or problem == "zdt1" and sampler != "nsga2":
                continue
            command = [sys.argv[1], "quality", sampler, problem, str(TRIALS[sampler]), str(SEEDS)]
            a = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
            old = results.get(f"{sampler} {problem}", {})
            b = old["theirs"] if old.get("trials") == TRIALS[sampler] else theirs(sampler, problem)
            p = mannwhitneyu(a, b, alternative="greater").pvalue
            results[f"{sampler} {problem}"] = {"trials": TRIALS[sampler], "ours_median": median(a), "theirs_median": median(b), "p_worse": p, "ours": a, "theirs": b}
            print(f"{sampler} {problem}: ours {median(a):.3g}, Optuna {median(b):.3g}, p {p:.3f}", flush=True)
            path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
