"""Time a trial of TPE with ten float parameters, ours and Optuna's in turns, with the same durability.

    go build -o OURS ./bench/tune/ours
    DIR/bin/python speed.py OURS [ROUNDS [SCRATCH]]      (DIR of parity/setup_optuna.sh; SCRATCH is a folder on a disk)

SQLite is in its default mode on both sides (rollback journal, synchronous=FULL), the journal is synced at every
write on both sides, and both stores lie in one folder. results/speed.json keeps every round, of earlier calls too,
with the load before it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

TRIALS = {"memory": 1000, "sqlite": 300, "journal": 300}


def theirs(store):
    warnings.simplefilter("ignore")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None
    if store.startswith("journal:"):
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(store[8:]))
    elif store != "memory":
        storage = store
    study = optuna.create_study(storage=storage, study_name="speed", sampler=optuna.samplers.TPESampler(seed=1))
    n = TRIALS[store.split(":")[0]]
    begun, used = time.time(), time.process_time()
    study.optimize(lambda t: sum(t.suggest_float(f"x{i}", -5, 5) ** 2 for i in range(10)), n_trials=n)
    print(json.dumps({"ms_per_trial": 1000 * (time.time() - begun) / n, "cpu_ms_per_trial": 1000 * (time.process_time() - used) / n}))


def main():
    ours, rounds, scratch = sys.argv[1], int((sys.argv[2:3] or [3])[0]), (sys.argv[3:4] or [None])[0]
    path = Path(__file__).parent / "results" / "speed.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    first = 1 + max((x["round"] for x in runs), default=-1)
    for r in range(first, first + rounds):
        for kind, n in TRIALS.items():
            for side in ("ours", "optuna")[:: 1 if r % 2 == 0 else -1]:
                with tempfile.TemporaryDirectory(dir=scratch) as folder:
                    store = {"memory": "memory", "sqlite": f"sqlite:///{folder}/s.db", "journal": f"journal:{folder}/s.journal"}[kind]
                    command = [ours, "speed", store, str(n)] if side == "ours" else [sys.executable, __file__, "theirs", store]
                    load = round(os.getloadavg()[0], 1)
                    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
                runs.append({"round": r, "store": kind, "side": side, **json.loads(done.stdout), "load": load})
                print(runs[-1], flush=True)
    median = {}
    for what in ("ms_per_trial", "cpu_ms_per_trial"):
        for kind in TRIALS:
            a, b = (statistics.median(x[what] for x in runs if (x["store"], x["side"]) == (kind, side)) for side in ("ours", "optuna"))
            median[f"{kind} {what}"] = {"ours": a, "optuna": b, "times": b / a}
    print(json.dumps(median, indent=1))
    path.write_text(json.dumps({"trials": TRIALS, "median": median, "runs": runs}, indent=1) + "\n")


if sys.argv[1] == "theirs":
    theirs(sys.argv[2])
else:
    main()
