"""Random classification problems with the numbers that scikit-learn gives for them; where it has
none (calibration error, selective accuracy) plain numpy from the definition.

    python make_class_goldens.py OUT.json.gz [problems] [seed]
"""
import gzip, json, sys, warnings
from importlib import metadata

import numpy as np
from sklearn import metrics as m

warnings.filterwarnings("ignore")
BINS = 15
try:  # a second opinion where scikit-learn has none
    import torch
    from torchmetrics.classification import MulticlassCalibrationError as calibration
except ImportError:
    calibration = None


def r_close(a, b):
    return abs(float(a) - b) < 1e-5


def ranked(v, truth, p):
    """AUROC and AP of every class against the rest, -1 where there is none."""
    au, ap = [], []
    for k in range(p.shape[1]):
        t = truth[:, k]
        au.append(float(m.roc_auc_score(t, p[:, k])) if 0 < t.sum() < len(t) else -1.0)
        ap.append(float(m.average_precision_score(t, p[:, k])) if t.sum() else -1.0)
    support = truth.sum(0)
    for name, x in (("AUROC", np.array(au)), ("AP", np.array(ap))):
        v[name + "_macro"] = float(x[x >= 0].mean()) if (x >= 0).any() else -1.0
        v[name + "_weighted"] = float(np.average(x[x >= 0], weights=support[x >= 0])) if (support * (x >= 0)).any() else -1.0
    if all(a >= 0 for a in au):  # scikit-learn's own means
        assert abs(v["AUROC_macro"] - m.roc_auc_score(truth, p, average="macro")) < 1e-12
        assert abs(v["AUROC_weighted"] - m.roc_auc_score(truth, p, average="weighted")) < 1e-12
        assert abs(v["AP_weighted"] - m.average_precision_score(truth, p, average="weighted")) < 1e-12
    return au, ap


def averages(v, truth, said, **labels):
    for kind in ("micro", "macro", "weighted"):
        p, r, f, _ = m.precision_recall_fscore_support(truth, said, average=kind, zero_division=0, **labels)
        v["precision_" + kind], v["recall_" + kind], v["F1_" + kind] = float(p), float(r), float(f)


def single(r):
    k, n = int(r.integers(2, 7)), int(r.integers(6, 60))
    p = r.dirichlet(np.full(k, 0.7), n)
    p = np.round(p, 2) if r.random() < 0.3 else p
    truth = np.where(r.random(n) < 0.6, p.argmax(1), r.integers(0, max(k - int(r.integers(0, 2)), 1), n))
    said, v = p.argmax(1), {}
    v["accuracy"], v["balanced_accuracy"] = float(m.accuracy_score(truth, said)), float(m.balanced_accuracy_score(truth, said))
    v["MCC"], v["kappa"] = float(m.matthews_corrcoef(truth, said)), float(m.cohen_kappa_score(truth, said))
    if np.isnan(v["kappa"]):
        v["kappa"] = -1.0
    averages(v, truth, said)
    v["log_loss"] = float(-np.log(np.clip(p[np.arange(n), truth], np.finfo(float).eps, 1 - np.finfo(float).eps)).mean())
    if np.allclose(p.sum(1), 1, atol=1e-12):
        assert abs(v["log_loss"] - m.log_loss(truth, p, labels=range(k))) < 1e-12
    au, ap = ranked(v, np.eye(k, dtype=int)[truth], p)
    if all(len(set(row)) == k for row in p):  # ties are broken in other ways
        v["top2_accuracy"] = float(m.top_k_accuracy_score(truth, p, k=2, labels=range(k))) if k > 2 else 1.0
    confidence, right = p.max(1), said == truth
    place = np.clip(np.searchsorted(np.arange(BINS + 1) / BINS, confidence, side="right") - 1, 0, BINS - 1)
    v["ECE"] = float(sum(abs(right[place == b].mean() - confidence[place == b].mean()) * (place == b).mean() for b in range(BINS) if (place == b).any()))
    if calibration and not (np.round(p, 2) == p).all():  # in float32 round numbers fall on edges of bins; 1 has a bin of its own
        peer = calibration(num_classes=k, n_bins=BINS, norm="l1")(torch.tensor(p), torch.tensor(truth))
        assert confidence.max() > 0.999 or r_close(peer, v["ECE"]), (float(peer), v["ECE"])
    order = np.argsort(-confidence, kind="stable")
    sure = confidence >= 0.5
    v["coverage"], v["selective_accuracy"] = float(sure.mean()), float(right[sure].mean()) if sure.any() else -1.0
    v["AURC"] = float((1 - np.cumsum(right[order]) / np.arange(1, n + 1)).mean())
    p4, r4, f4, s4 = m.precision_recall_fscore_support(truth, said, labels=range(k), zero_division=0)
    rows = [[int(s4[i]), float(p4[i]), float(r4[i]), float(f4[i]), au[i], ap[i]] for i in range(k)]
    return dict(classes=k, multi=False, truth=[[int(t)] for t in truth], probs=p.tolist(), values=v, rows=rows,
                confusion=m.confusion_matrix(truth, said, labels=range(k)).tolist())


def multi(r):
    k, n = int(r.integers(2, 6)), int(r.integers(6, 50))
    p = np.round(r.random((n, k)), 1 if r.random() < 0.3 else 6)
    truth = (r.random((n, k)) < np.where(r.random((n, k)) < 0.5, p, 0.3)).astype(int)
    said, v = (p >= 0.5).astype(int), {}
    v["subset_accuracy"], v["hamming_loss"] = float(m.accuracy_score(truth, said)), float(m.hamming_loss(truth, said))
    present = [i for i in range(k) if truth[:, i].any() or said[:, i].any()]
    averages(v, truth, said, labels=present)
    au, ap = ranked(v, truth, p)
    p4, r4, f4, s4 = m.precision_recall_fscore_support(truth, said, zero_division=0)
    rows = [[int(s4[i]), float(p4[i]), float(r4[i]), float(f4[i]), au[i], ap[i]] for i in range(k)]
    return dict(classes=k, multi=True, truth=[[int(i) for i in np.flatnonzero(t)] for t in truth], probs=p.tolist(), values=v, rows=rows, confusion=None)


def main():
    out, count, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 40, int(sys.argv[3]) if len(sys.argv) > 3 else 4
    r = np.random.default_rng(seed)
    problems = [multi(r) if i % 4 == 3 else single(r) for i in range(count)]
    doc = dict(versions={n: metadata.version(n) for n in ("scikit-learn", "numpy")}, seed=seed, problems=problems)
    with gzip.GzipFile(out, "wb", 9, mtime=0) as f:
        f.write(json.dumps(doc).encode())


if __name__ == "__main__":
    main()
