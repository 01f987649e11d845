"""Writes suggestions-<version>.bin.gz: what Optuna's samplers suggest, seed by seed.

Run with the virtual environments of parity/setup_optuna.sh:
    DIR/bin/python suggestions.py [SEEDS [OUT]]          (5.0.0; 50 seeds, into this folder, unless given)
    DIR-4.9/bin/python suggestions.py [SEEDS [OUT]]      (4.9.0)
NumPy's vector sorts must be off (off() sees to it): they put equal values into an order
that depends on the processor, and the widths of their kernels with it.
The file holds little-endian doubles: for each case, seed, trial 0..59, the
internal value of every parameter in the order in which they are asked for.
Values, reports and constraints are made from parameters by the same arithmetic in
the Go test, so that they need no place in the file.
Made with numpy 2.4.6, optuna 5.0.0 and 4.9.0.
"""
import gzip, os, struct, sys

FEATURES = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR AVX2 FMA3 X86_V3 X86_V4"


def off():
    if "NPY_DISABLE_CPU_FEATURES" not in os.environ:
        os.environ["NPY_DISABLE_CPU_FEATURES"] = FEATURES
        os.execv(sys.executable, [sys.executable] + sys.argv)


off()
import warnings

warnings.simplefilter("ignore")
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
SEEDS, TRIALS = int(sys.argv[1]) if len(sys.argv) > 1 else 50, 60
OUT = sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(os.path.abspath(__file__))


def mixed(t):
    p = [
        t.suggest_float("x", -5, 5),
        t.suggest_float("y", 1e-5, 1e-1, log=True),
        t.suggest_float("z", 0, 10, step=0.5),
        t.suggest_int("n", 1, 20),
        t.suggest_int("m", 1, 128, log=True),
        float("abcd".index(t.suggest_categorical("c", ["a", "b", "c", "d"]))),
    ]
    return p


def loss(p):
    x, y, z, n, m, c = p
    return (x - 1.0) * (x - 1.0) + (y * 100.0 - 1.0) * (y * 100.0 - 1.0) + (z - 3.0) * (z - 3.0) * 0.125 + (n - 7.0) * (n - 7.0) * 0.0625 + (m - 30.0) * (m - 30.0) * 0.001 + c * 0.5


def conditional(t):
    kind = t.suggest_categorical("kind", ["sgd", "adam"])
    if kind == "sgd":
        return [0.0, t.suggest_float("momentum", 0, 1), t.suggest_float("lr", 1e-5, 1, log=True)]
    p = [1.0, t.suggest_float("beta", 0.8, 1), t.suggest_float("lr", 1e-5, 1, log=True)]
    return p


def conditional_loss(p):
    return p[0] * 0.25 + (p[1] - 0.875) * (p[1] - 0.875) + (p[2] - 0.01) * (p[2] - 0.01)


def ask(study, space=mixed):
    t = study.ask()
    return t, space(t)


def plain(study, space, f, out, trials=TRIALS):
    sign = -1.0 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else 1.0
    for _ in range(trials):
        t, p = ask(study, space)
        out += p
        study.tell(t, sign * f(p))


def pruned(study, out, seed):
    for i in range(TRIALS):
        t, p = ask(study)
        out += p
        v = loss(p)
        if i % 3 == 1:
            for step in range(1 + i % 4):
                t.report(v + 1.0 / (step + 1.0) if i % 9 else float("nan"), step)
            study.tell(t, state=optuna.trial.TrialState.PRUNED)
        elif i % 7 == 6:
            study.tell(t, state=optuna.trial.TrialState.PRUNED)
        elif i % 11 == 10:
            study.tell(t, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(t, v)


def constrained(study, out, seed):
    for _ in range(TRIALS):
        t, p = ask(study)
        out += p
        t.set_constraint("sum", p[0] + p[2] - 4.0)
        t.set_constraint("n", p[3] - 15.0)
        study.tell(t, loss(p))


def liar(study, out, seed):
    queue = []
    for _ in range(TRIALS):
        t, p = ask(study)
        out += p
        queue.append((t, p))
        if len(queue) == 3:
            t, p = queue.pop(0)
            study.tell(t, loss(p))


def several(study, out, seed):
    for _ in range(TRIALS):
        t, p = ask(study)
        out += p
        values = [loss(p), (p[0] + 2.0) * (p[0] + 2.0) + p[5], p[2] * 0.5 - p[3]]
        study.tell(t, values[: len(study.directions)])


def main():
    new = optuna.__version__.startswith("5")
    S, TPE = optuna.samplers, optuna.samplers.TPESampler
    directions = lambda seed: {"directions": ["minimize", "minimize", "maximize"][: 2 + seed % 2]}
    single = lambda seed: {"direction": ["minimize", "maximize"][seed % 2]}
    one = lambda seed: {"direction": "minimize"}
    cases = [
        ("random", lambda s: S.RandomSampler(seed=s), one, lambda st, o, s: plain(st, mixed, loss, o)),
        ("default", lambda s: TPE(seed=s), single, lambda st, o, s: plain(st, mixed, loss, o)),
        ("separate", lambda s: TPE(seed=s, multivariate=False, constant_liar=False), one, lambda st, o, s: plain(st, mixed, loss, o)),
        ("conditional", lambda s: TPE(seed=s), one, lambda st, o, s: plain(st, conditional, conditional_loss, o)),
        ("group", lambda s: TPE(seed=s, multivariate=True, group=True), one, lambda st, o, s: plain(st, conditional, conditional_loss, o)),
        ("pruned", lambda s: TPE(seed=s), one, pruned),
        ("constrained", lambda s: TPE(seed=s), one, constrained),
        ("liar", lambda s: TPE(seed=s), one, liar),
        ("separate liar", lambda s: TPE(seed=s, multivariate=False), one, liar),
        ("several", lambda s: TPE(seed=s), directions, several),
    ]
    if not new:
        cases = [
            ("default", lambda s: TPE(seed=s), one, lambda st, o, s: plain(st, mixed, loss, o)),
            ("multivariate", lambda s: TPE(seed=s, multivariate=True), one, lambda st, o, s: plain(st, mixed, loss, o)),
            ("several", lambda s: TPE(seed=s), directions, several),
        ]
    out = []
    for name, sampler, how, run in cases:
        for seed in range(SEEDS):
            run(optuna.create_study(sampler=sampler(seed), **how(seed)), out, seed)
        print(name, len(out), flush=True)
    write(out, f"suggestions-{optuna.__version__}.bin.gz")


def write(out, name):
    path = os.path.join(OUT, name)
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as f:
        f.write(struct.pack(f"<{len(out)}d", *out))


if __name__ == "__main__":
    main()
