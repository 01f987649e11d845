"""Goldens of internal/assign: the pairs that scipy's linear_sum_assignment makes.

    python detr_assign.py    # rewrites ../internal/assign/testdata/scipy.json
"""

import json
from importlib import metadata
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

SEED = 7
SIZES = [(1, 1), (5, 5), (3, 8), (8, 3), (40, 9), (100, 12), (12, 60), (0, 4)]


def case(cost):
    rows, columns = linear_sum_assignment(cost)
    pairs = [-1] * cost.shape[0]
    for i, j in zip(rows, columns):
        pairs[i] = int(j)
    return {"rows": cost.shape[0], "cols": cost.shape[1], "cost": cost.ravel().tolist(), "columns": pairs}


def main():
    random = np.random.default_rng(SEED)
    cases = [case(random.normal(size=s).round(4)) for s in SIZES]
    cases += [case(random.integers(0, 3, size=s).astype(float)) for s in [(6, 6), (7, 12), (12, 7), (30, 5)]]  # ties
    out = {"seed": SEED, "scipy": metadata.version("scipy"), "numpy": metadata.version("numpy"), "cases": cases}
    path = Path(__file__).resolve().parents[1] / "internal" / "assign" / "testdata" / "scipy.json"
    path.write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
