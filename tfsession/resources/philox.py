"""Philox4x32-10, the random generator of TensorFlow's kernels: its counter as session state.

The generator is Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Plain
integers here; kernels compute many blocks at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from tfsession.core import forking

__all__ = ["MULTIPLIERS", "ROUNDS", "WEYL", "Philox", "block", "scrambled", "words"]

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

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


def words(key: int, counter: int) -> Iterator[int]:
    """The endless stream of 32-bit words from a counter on."""
    while True:
        yield from block(key, counter)
        counter = counter + 1 & _COUNTER


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
