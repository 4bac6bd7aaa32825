"""Checksums of stored data: CRC-32C (Castagnoli, RFC 3720), and the masked form that files hold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import google_crc32c
import numpy as np

_MASK_DELTA: Final = 0xA282EAD8
_POLYNOMIAL: Final = 0x82F63B78


def crc32c(data: Any, crc: int = 0) -> int:
    """The checksum of `data`; of what came before, too, when that has the checksum `crc`.

    Args:
        data: bytes, an array or any other buffer; not copied if it is contiguous.
        crc: the checksum of what came before.
    """
    if type(data) is not bytes:
        # The library refuses writable buffers, and the buffer protocol some of our dtypes.
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    return int(google_crc32c.extend(crc, data))


def joined(first: int, second: int, size: int) -> int:
    """The checksum of data in two parts, from those of the parts; `size` is that of the second.

    A checksum is a polynomial over GF(2), modulo that of CRC-32C: as many zero bytes behind the
    data multiply it by a power of x.
    """
    return _multiplied(_power(size), first) ^ second if first else second


@lru_cache(maxsize=64)
def _power(size: int) -> int:
    """x to the power 8 * size; bit 31 is the coefficient of x**0."""
    power, square = 1 << 31, 1 << 23
    while size:
        if size & 1:
            power = _multiplied(square, power)
        square = _multiplied(square, square)
        size >>= 1
    return power


def _multiplied(one: int, other: int) -> int:
    """The product of two polynomials."""
    product = 0
    for place in range(31, -1, -1):
        if one >> place & 1:
            product ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product


def masked_crc32c(data: Any) -> int:
    """The checksum of `data` in the form that is stored beside it."""
    return masked(crc32c(data))


def masked(crc: int) -> int:
    """The form in which a checksum is stored.

    A checksum of data that hold checksums says little; so TensorFlow stores them rotated by 15
    bits, and with a constant added.
    """
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def first_wrong(parts: Sequence[bytes], stored: Sequence[int]) -> int | None:
    """The position of the first of many parts whose checksum is not that stored for it."""
    crcs = np.fromiter(map(google_crc32c.value, parts), np.uint32, len(parts))
    masks = (crcs >> np.uint32(15) | crcs << np.uint32(17)) + np.uint32(_MASK_DELTA)
    wrong = np.flatnonzero(masks != np.array(stored, np.uint32))
    return int(wrong[0]) if wrong.size else None
