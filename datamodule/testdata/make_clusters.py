"""Makes clusters.json: k-means and silhouettes of scikit-learn.

    python datamodule/testdata/make_clusters.py

Made with scikit-learn 1.9.1, numpy 2.4.6, seed 47. The peer runs Lloyd's
algorithm from given middles until nothing moves.
"""
import json
import pathlib

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

rng = np.random.default_rng(47)
middles = rng.normal(0, 6, (5, 6))
x = np.concatenate([m + rng.normal(0, 1.2, (n, 6)) for m, n in zip(middles, (40, 25, 60, 12, 33))]).astype(np.float32)
out = dict(points=[[round(float(v), 4) for v in p] for p in x], cases=[])
x = np.array(out["points"], np.float32)
for k in (2, 3, 5, 7, 9):
    start = x[rng.choice(len(x), k, replace=False)].astype(np.float64)
    m = KMeans(k, init=start, n_init=1, max_iter=300, tol=0, algorithm="lloyd").fit(x.astype(np.float64))
    best = KMeans(k, n_init=20, random_state=0).fit(x.astype(np.float64))
    out["cases"].append(dict(k=k, start=start.tolist(), labels=m.labels_.tolist(), inertia=m.inertia_, silhouette=float(silhouette_score(x, m.labels_)),
                             best=best.inertia_, best_silhouette=float(silhouette_score(x, best.labels_))))
pathlib.Path(__file__).with_name("clusters.json").write_text(json.dumps(out))
