# SPDX-License-Identifier: Apache-2.0
"""Draws weights from a tensor's name and shape alone, so that golden files do not have to hold them.

Tests/InferenceTests/SegmentAnything/DrawnWeights.swift draws the same bits. Every tensor gets drawn values, because a
test with zero relative positions or unit norms would not prove anything about them.

    norm weights 1 +- .2, biases +- .2, running variances .5 ... 1.5, running means +- .2
    pos_embed, rel_pos_*, attention_biases N(0, .3); every other matrix N(0, 1.5 / sqrt(fan-in)), whose fan-in is the
    product of all axes but the first

Larger prompt embeddings make the mask decoder chaotic: even the reference then gives other answers in fp64.
"""
import math

import numpy as np
import torch

MASK = (1 << 64) - 1
SPREAD = math.sqrt(4 * (65536.0 ** 2 - 1) / 12)  # standard deviation of a sum of four draws from 0 ... 65535


def bits(name, count):
    """`count` words of 64 bits: splitmix64, seeded with the FNV-1a hash of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        x = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def uniform(name, count, low, high):
    scale = np.float32((high - low) / 2 ** 24)
    return (bits(name, count) >> np.uint64(40)).astype(np.float32) * scale + np.float32(low)


def normal(name, count, deviation):
    x = bits(name, count)
    total = sum(((x >> np.uint64(16 * part)) & np.uint64(0xFFFF)).astype(np.int64) for part in range(4))
    return (total - 131070).astype(np.float32) * np.float32(deviation / SPREAD)


def noise(name, shape, deviation):
    return torch.from_numpy(normal(name, math.prod(shape), deviation).reshape(tuple(shape)))


def tensor(name, shape):
    """The drawn tensor called `name`."""
    count = math.prod(shape)
    last = name.rsplit(".", 1)[-1]
    if last == "running_var":
        values = uniform(name, count, 0.5, 1.5)
    elif last in ("bias", "running_mean"):
        values = uniform(name, count, -0.2, 0.2)
    elif last == "weight" and len(shape) == 1:
        values = uniform(name, count, 0.8, 1.2)
    elif last in ("pos_embed", "rel_pos_h", "rel_pos_w", "attention_biases"):
        values = normal(name, count, 0.3)
    else:
        values = normal(name, count, 1.5 / math.sqrt(math.prod(shape[1:])))
    return torch.from_numpy(values.reshape(tuple(shape)))


def fill(network):
    """Draws every floating-point tensor of the state dict and returns the shapes by name."""
    state = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    drawn = {name: tensor(name, list(value.shape)) for name, value in state.items()}
    network.load_state_dict(drawn, strict=False)
    return {name: list(value.shape) for name, value in state.items()}
