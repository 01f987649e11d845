"""Numbers that two programs can make without exchanging them: the rule of parity/README.md.

Every tensor is a function of its name and shape: splitmix64 over an FNV-1a hash of the name. Go and
numpy get the same bits, so golden files need neither weights nor inputs.
"""

import math

import numpy as np

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15
CHUNK = 1 << 15  # numbers at a time, so that large tensors stay in the cache
GAIN = 1.2  # of convolutions under the "spread" rule: activations neither vanish nor explode at any size


def fnv1a(name):
    """The 64-bit FNV-1a hash of the name's UTF-8 bytes."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def bits(name, n, start=0):
    """n hashed 64-bit words from word start on: splitmix64 seeded with the hash of the name."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + np.arange(start + 1, start + n + 1, dtype=np.uint64) * np.uint64(GAMMA)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(name, n, start=0):
    """n doubles in [-1, 1): the upper 24 bits of the words, exact in float32 too."""
    return (bits(name, n, start) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0


def tensor(name, shape, centre, half):
    """float32(centre + half*u), row-major; one rounding after exact-or-double arithmetic."""
    n = int(np.prod(shape, dtype=np.int64))
    out = np.empty(n, np.float32)
    for start in range(0, n, CHUNK):
        part = min(CHUNK, n - start)
        out[start:start + part] = centre + half * uniform(name, part, start)
    return out.reshape(shape)


def fan_in(shape):
    return int(np.prod(shape[1:], dtype=np.int64))


def spread(name, shape):
    """A parameter or buffer of a model whose outputs shall have a spread (forward parity)."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("dfl.conv.weight"):
        return np.arange(shape[1], dtype=np.float32).reshape(shape)
    if name.endswith("running_mean") or name.endswith(".bias"):
        return tensor(name, shape, 0.0, 0.5)
    if name.endswith((".attn.proj.bn.weight", ".mlp.1.bn.weight")):  # else residual attention blocks grow beyond measure
        return tensor(name, shape, 0.25, 0.125)
    if name.endswith("running_var") or len(shape) == 1:
        return tensor(name, shape, 1.0, 0.5)
    return tensor(name, shape, 0.0, GAIN * math.sqrt(3.0 / fan_in(shape)))


def initial(name, shape, biases):
    """A parameter or buffer as training starts with it (trajectory parity); biases: name → value."""
    if name in biases:
        return np.full(shape, biases[name], np.float32)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("dfl.conv.weight"):
        return np.arange(shape[1], dtype=np.float32).reshape(shape)
    if name.endswith("running_mean") or name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    if name.endswith("running_var") or len(shape) == 1:
        return np.ones(shape, np.float32)
    return tensor(name, shape, 0.0, math.sqrt(1.0 / fan_in(shape)))
