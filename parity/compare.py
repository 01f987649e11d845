"""Compare two safetensors files: |a-b| <= tolerance * max|b| for every tensor of the second.

    python compare.py OURS PEER [--tolerance 1e-4]

Exit status 1 if a tensor is missing, has another shape, is not finite or differs by more.
"""

import argparse
import sys

import numpy as np
from safetensors.numpy import load_file


def parts(tensors):
    """Boxes in pixels would drown the probabilities below them: "decoded" is compared in two halves."""
    decoded = tensors.pop("decoded", None)
    if decoded is not None:
        tensors |= {"decoded.boxes": decoded[:, :4], "decoded.probabilities": decoded[:, 4:]}
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours")
    parser.add_argument("peer")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    ours, peer = parts(load_file(args.ours)), parts(load_file(args.peer))
    bad = [f"unexpected {k}" for k in sorted(ours.keys() - peer.keys())]
    for name in sorted(peer):
        if name not in ours:
            bad.append(f"missing {name}")
            continue
        a, b = ours[name].astype(np.float64), peer[name].astype(np.float64)
        if a.shape != b.shape:
            bad.append(f"{name}: shape {a.shape}, peer {b.shape}")
            continue
        relative = np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)
        print(f"{name:21} {str(b.shape):20} max|b| {np.abs(b).max():.4g}  |a-b|/max|b| {relative:.2e}")
        if not relative <= args.tolerance:  # also catches NaN
            bad.append(f"{name}: {relative:.3g} > {args.tolerance:g}")
    for line in bad:
        print("FAIL", line)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
