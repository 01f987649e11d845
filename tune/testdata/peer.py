"""The Python side of parity_test.go: peer.py COMMAND STORAGE STUDY [N].

STORAGE is sqlite:///FILE, postgresql+psycopg2://…, mysql+pymysql://… or journal:FILE.
Commands: dump (print the study as JSON), make (a study of N trials), more and work (run N
trials of a study that is there), die (begin a trial under heartbeats and wait to be killed),
rescue (run N trials, those of dead workers first).
"""
import json, math, sys, warnings

warnings.simplefilter("ignore")
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
command, where, name = sys.argv[1:4]
n = int(sys.argv[4]) if len(sys.argv) > 4 else 0


def storage():
    if where.startswith("journal:"):
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        return JournalStorage(JournalFileBackend(where[8:]))
    kwargs = {"heartbeat_interval": 1} if command == "die" else {}
    if command == "rescue":
        kwargs = {"heartbeat_interval": 1, "grace_period": 3, "heartbeat_stale_trial_callback": optuna.storages.RetryHeartbeatStaleTrialCallback()}
    return optuna.storages.RDBStorage(where, engine_kwargs={"connect_args": {"timeout": 60}} if where.startswith("sqlite") else {}, **kwargs)


def plain(v):
    return repr(float(v)) if isinstance(v, float) or v is None and v != v else v


def objective(t):
    x = t.suggest_float("x", -5, 5)
    k = t.suggest_int("k", 1, 64, log=True)
    c = t.suggest_categorical("c", ["a", None, True, 2, 2.5])
    s = t.suggest_float("s", 0, 1, step=0.25)
    for step in range(3):
        t.report(x * x + step, step)
    t.set_user_attr("from", "python")
    return x * x + k / 64 + (c == "a") + s


if command == "dump":
    study = optuna.load_study(study_name=name, storage=storage())
    trials = []
    for t in study.get_trials(deepcopy=False):
        trials.append({
            "number": t.number, "state": t.state.name, "values": [plain(float(v)) for v in t.values or []],
            "params": {k: plain(v) for k, v in t.params.items()},
            "dists": {k: json.loads(optuna.distributions.distribution_to_json(d)) for k, d in t.distributions.items()},
            "reports": {str(k): plain(float(v)) for k, v in t.intermediate_values.items()}, "user": t.user_attrs,
        })
    print(json.dumps({"directions": [d.name for d in study.directions], "trials": trials, "best": study.best_trial.number,
                      "importances": optuna.importance.get_param_importances(study) if n else {}}))
elif command in ("make", "more", "work", "rescue"):
    if command == "make":
        optuna.create_study(study_name=name, storage=storage(), direction="minimize")
    study = optuna.load_study(study_name=name, storage=storage(), sampler=optuna.samplers.TPESampler(n_startup_trials=5))
    study.optimize(objective, n_trials=n)
elif command == "die":
    import os, time

    study = optuna.load_study(study_name=name, storage=storage())
    def hang(t):
        t.suggest_float("x", -5, 5)
        print(t.number, flush=True)
        time.sleep(60)
    study.optimize(hang, n_trials=1)
