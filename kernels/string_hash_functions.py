"""Hashes of 64 bits of many texts of one length at once: each is a row of an array of bytes.

MurmurHash64A is Austin Appleby's, with the seed of TensorFlow; SipHash-2-4 is Aumasson's and
Bernstein's ("SipHash: a fast short-input PRF", 2012); the fingerprint is that of FarmHash, by
Geoff Pike, which is defined by its published algorithm and never changes. Numbers are unsigned and
wrap around.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Block = Any  # uint8, (texts, bytes)
Words = Any  # uint64, one for each text
Pair = tuple[Words, Words]

_U64 = np.uint64


def _fetch64(block: Block, at: int) -> Words:
    """The eight bytes from `at` on, as little-endian numbers."""
    return np.ascontiguousarray(block[:, at : at + 8]).view("<u8")[:, 0]


def _fetch32(block: Block, at: int) -> Words:
    return np.ascontiguousarray(block[:, at : at + 4]).view("<u4")[:, 0].astype(_U64)


def _byte(block: Block, at: int) -> Words:
    return block[:, at].astype(_U64)


def _rotate_right(word: Words, bits: int) -> Words:
    return (word >> _U64(bits)) | (word << _U64(64 - bits))


def _rotate_left(word: Words, bits: int) -> Words:
    return _rotate_right(word, 64 - bits)


def _rest(block: Block, start: int) -> Words:
    """Up to seven bytes at the end, as little-endian numbers."""
    word = np.zeros(len(block), _U64)
    for index in range(start, block.shape[1]):
        word |= _byte(block, index) << _U64(8 * (index - start))
    return word


# --- MurmurHash64A --------------------------------------------------------------------------------

_MURMUR = _U64(0xC6A4A7935BD1E995)
_SEED = 0xDECAFCAFFE


def murmur_hash(block: Block) -> Words:
    """MurmurHash64A of each row."""
    length = block.shape[1]
    found = np.full(len(block), (_SEED ^ (length * int(_MURMUR))) & (2**64 - 1), _U64)
    whole = length - length % 8
    for at in range(0, whole, 8):
        word = _fetch64(block, at) * _MURMUR
        word ^= word >> _U64(47)
        found = (found ^ (word * _MURMUR)) * _MURMUR
    if whole < length:
        found = (found ^ _rest(block, whole)) * _MURMUR
    found ^= found >> _U64(47)
    found *= _MURMUR
    return found ^ (found >> _U64(47))


# --- SipHash-2-4 ----------------------------------------------------------------------------------


def _sip_round(v0: Words, v1: Words, v2: Words, v3: Words) -> tuple[Words, Words, Words, Words]:
    v0 = v0 + v1
    v1 = _rotate_left(v1, 13) ^ v0
    v0 = _rotate_left(v0, 32)
    v2 = v2 + v3
    v3 = _rotate_left(v3, 16) ^ v2
    v0 = v0 + v3
    v3 = _rotate_left(v3, 21) ^ v0
    v2 = v2 + v1
    v1 = _rotate_left(v1, 17) ^ v2
    return v0, v1, _rotate_left(v2, 32), v3


def sip_hash(block: Block, key: Sequence[int]) -> Words:
    """SipHash-2-4 of each row under a key of two numbers."""
    low, high = (number & (2**64 - 1) for number in key)
    names = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    starts = [name ^ part for name, part in zip(names, (low, high, low, high), strict=True)]
    state = tuple(np.full(len(block), start, _U64) for start in starts)
    length = block.shape[1]
    whole = length - length % 8
    words = [_fetch64(block, at) for at in range(0, whole, 8)]
    words.append(_rest(block, whole) | _U64((length & 0xFF) << 56))
    for word in words:
        state = (*state[:3], state[3] ^ word)
        state = _sip_round(*_sip_round(*state))
        state = (state[0] ^ word, *state[1:])
    state = (*state[:2], state[2] ^ _U64(0xFF), state[3])
    for _ in range(4):
        state = _sip_round(*state)
    v0, v1, v2, v3 = state
    return v0 ^ v1 ^ v2 ^ v3


# --- FarmHash's fingerprint -----------------------------------------------------------------------

_K0, _K1, _K2 = _U64(0xC3A5C85C97CB3127), _U64(0xB492B66FBE98F273), _U64(0x9AE16A3B2F90404F)


def _shift_mix(word: Words) -> Words:
    return word ^ (word >> _U64(47))


def _hash16(low: Words, high: Words, mul: Any) -> Words:
    a = _shift_mix((low ^ high) * mul)
    return _shift_mix((high ^ a) * mul) * mul


def farm_fingerprint(block: Block) -> Words:
    """FarmHash's 64-bit fingerprint of each row."""
    length = block.shape[1]
    if length <= 16:
        return _farm_to_16(block, length)
    if length <= 32:
        return _farm_to_32(block, length)
    if length <= 64:
        return _farm_to_64(block, length)
    return _farm_long(block, length)


def _mul(length: int) -> Any:
    return _U64((int(_K2) + 2 * length) & (2**64 - 1))


def _farm_to_16(block: Block, length: int) -> Words:
    mul = _mul(length)
    if length >= 8:
        a = _fetch64(block, 0) + _K2
        b = _fetch64(block, length - 8)
        c = _rotate_right(b, 37) * mul + a
        d = (_rotate_right(a, 25) + b) * mul
        return _hash16(c, d, mul)
    if length >= 4:
        a = _fetch32(block, 0)
        return _hash16(_U64(length) + (a << _U64(3)), _fetch32(block, length - 4), mul)
    if length > 0:
        y = _byte(block, 0) + (_byte(block, length >> 1) << _U64(8))
        z = _U64(length) + (_byte(block, length - 1) << _U64(2))
        return _shift_mix((y * _K2) ^ (z * _K0)) * _K2
    return np.full(len(block), _K2, _U64)


def _farm_to_32(block: Block, length: int) -> Words:
    mul = _mul(length)
    a = _fetch64(block, 0) * _K1
    b = _fetch64(block, 8)
    c = _fetch64(block, length - 8) * mul
    d = _fetch64(block, length - 16) * _K2
    low = _rotate_right(a + b, 43) + _rotate_right(c, 30) + d
    return _hash16(low, a + _rotate_right(b + _K2, 18) + c, mul)


def _farm_to_64(block: Block, length: int) -> Words:
    mul = _mul(length)
    a = _fetch64(block, 0) * _K2
    b = _fetch64(block, 8)
    c = _fetch64(block, length - 8) * mul
    d = _fetch64(block, length - 16) * _K2
    y = _rotate_right(a + b, 43) + _rotate_right(c, 30) + d
    z = _hash16(y, a + _rotate_right(b + _K2, 18) + c, mul)
    e = _fetch64(block, 16) * mul
    f = _fetch64(block, 24)
    g = (y + _fetch64(block, length - 32)) * mul
    h = (z + _fetch64(block, length - 24)) * mul
    low = _rotate_right(e + f, 43) + _rotate_right(g, 30) + h
    return _hash16(low, e + _rotate_right(f + a, 18) + g, mul)


def _weak_hash_32(block: Block, at: int, a: Words, b: Words) -> Pair:
    """Two words of 32 bytes and two seeds."""
    w, x, y, z = (_fetch64(block, at + 8 * i) for i in range(4))
    a = a + w
    b = _rotate_right(b + a + z, 21)
    c = a
    a = a + x + y
    return a + z, b + _rotate_right(a, 44) + c


def _farm_long(block: Block, length: int) -> Words:
    count, seed = len(block), 81
    x = _U64(seed * int(_K2) & (2**64 - 1)) + _fetch64(block, 0)
    y = np.full(count, (seed * int(_K1) + 113) & (2**64 - 1), _U64)
    z = _shift_mix(y * _K2 + _U64(113)) * _K2
    v = w = np.zeros(count, _U64), np.zeros(count, _U64)
    for at in range(0, (length - 1) // 64 * 64, 64):
        x, y, z, v, w = _farm_step(block, at, x, y, z, v, w, _K1, 1)
    mul = _K1 + ((z & _U64(0xFF)) << _U64(1))
    w = w[0] + _U64((length - 1) & 63), w[1]
    v = v[0] + w[0], v[1]
    w = w[0] + v[0], w[1]
    x, y, z, v, w = _farm_step(block, length - 64, x, y, z, v, w, mul, 9)
    low = _hash16(v[0], w[0], mul) + _shift_mix(y) * _K0 + z
    return _hash16(low, _hash16(v[1], w[1], mul) + x, mul)


def _farm_step(
    block: Block, at: int, x: Words, y: Words, z: Words, v: Pair, w: Pair, mul: Any, factor: int
) -> tuple[Words, Words, Words, Pair, Pair]:
    """Take in 64 bytes."""
    weight = _U64(factor)
    x = _rotate_right(x + y + v[0] + _fetch64(block, at + 8), 37) * mul
    y = _rotate_right(y + v[1] + _fetch64(block, at + 48), 42) * mul
    x = x ^ (w[1] * weight)
    y = y + v[0] * weight + _fetch64(block, at + 40)
    z = _rotate_right(z + w[0], 33) * mul
    v = _weak_hash_32(block, at, v[1] * mul, x + w[0])
    w = _weak_hash_32(block, at + 32, z + w[1], y + _fetch64(block, at + 16))
    return z, y, x, v, w
