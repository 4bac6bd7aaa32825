"""Philox4x32-10, the random generator of TensorFlow's kernels: its counter as session state.

The generator is Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Plain
integers here, and streams for host code; kernels compute what devices take.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsession.core import forking

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
# How many blocks a stream makes at a time.
_AT_ONCE = 256

_WORD = (1 << 32) - 1
_LONG = (1 << 64) - 1
_COUNTER = (1 << 128) - 1
# The key under which a seed of the stateless ops is turned into their key and counter.
_SCRAMBLING_KEY = 0x02461E29 << 32 | 0x3EC8F720


def block(key: int, counter: int) -> tuple[int, int, int, int]:
    """The four 32-bit words of one block: `key` has 64 bits, `counter` 128."""
    k0, k1 = key & _WORD, key >> 32 & _WORD
    c0, c1, c2, c3 = (counter >> shift & _WORD for shift in (0, 32, 64, 96))
    for _ in range(ROUNDS):
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = p1 >> 32 ^ c1 ^ k0, p1 & _WORD, p0 >> 32 ^ c3 ^ k1, p0 & _WORD
        k0, k1 = k0 + WEYL[0] & _WORD, k1 + WEYL[1] & _WORD
    return c0, c1, c2, c3


def blocks(key: int, counter: int, count: int) -> Any:
    """The words of blocks from a counter on, in a vector of 64-bit integers."""
    low = np.arange(count, dtype=np.uint64) + np.uint64(counter & _LONG)
    high = np.uint64(counter >> 64) + (low < np.uint64(counter & _LONG)).astype(np.uint64)
    word, half = np.uint64(_WORD), np.uint64(32)
    c0, c1, c2, c3 = low & word, low >> half, high & word, high >> half
    k0, k1 = key & _WORD, key >> 32 & _WORD
    for _ in range(ROUNDS):
        p0, p1 = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c2 = p1 >> half ^ c1 ^ np.uint64(k0), p0 >> half ^ c3 ^ np.uint64(k1)
        c1, c3 = p1 & word, p0 & word
        k0, k1 = k0 + WEYL[0] & _WORD, k1 + WEYL[1] & _WORD
    return np.stack([c0, c1, c2, c3], 1).reshape(-1).view(np.int64)


class Words:
    """The endless stream of 32-bit words from a counter on."""

    def __init__(self, key: int, counter: int) -> None:
        self._key = key
        self._counter = counter + 1 & _COUNTER  # of the next block
        self._ready = np.array(block(key, counter))
        self._at = 0

    def next(self) -> int:
        """The next word."""
        return int(self.take(1)[0])

    def take(self, count: int) -> Any:
        """So many next words."""
        left = len(self._ready) - self._at
        if left < count:
            made = max(_AT_ONCE, count // 4)
            more = blocks(self._key, self._counter, made)
            self._counter = self._counter + made & _COUNTER
            self._ready = np.concatenate([self._ready[self._at :], more])
            self._at = 0
        self._at += count
        return self._ready[self._at - count : self._at]


def words(key: int, counter: int) -> Iterator[int]:
    """The same words one by one."""
    stream = Words(key, counter)
    yield from stream.take(4).tolist()
    while True:
        yield from stream.take(_AT_ONCE).tolist()


def scrambled(seed0: int, seed1: int) -> tuple[int, int]:
    """Key and first counter of a stateless op with the seed `[seed0, seed1]`."""
    counter = (seed1 & _LONG) << 64 | seed0 & _LONG
    x0, x1, x2, x3 = block(_SCRAMBLING_KEY, counter)
    return x1 << 32 | x0, (x3 << 32 | x2) << 64


class Philox:
    """What a stateful random op keeps from run to run; safe to use from many threads.

    `key` has 64 bits. Both seeds zero means: seeds from the operating system.
    """

    def __init__(self, seed: int, seed2: int) -> None:
        if seed == 0 and seed2 == 0:
            seed, seed2 = (int.from_bytes(os.urandom(8), "little") for _ in range(2))
        self.key = seed & _LONG
        self._counter = (seed2 & _LONG) << 64
        self._lock = forking.lock()

    def reserve(self, blocks: int) -> int:
        """The counter of the next block, and as many blocks from it on for the caller alone."""
        with self._lock:
            first = self._counter
            self._counter = first + blocks & _COUNTER
        return first
