"""From a key and a counter to arrays of random numbers: what the random kernels share.

A block of the generator is four words; `kernels/random_math.py` makes normal numbers of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfsession.kernels.random_math import doubles, normal_pair, normal_pair_double
from tfsession.resources.philox import MULTIPLIERS, ROUNDS, WEYL

__all__ = ["BLOCKS_PER_ELEMENT", "Draws", "Start", "words_of"]

# TensorFlow advances a counter by this for each element, so that rejections never run out.
BLOCKS_PER_ELEMENT = 256

_WORD = (1 << 32) - 1
_LONG = (1 << 64) - 1
_TRUNCATION = 2.0
# So many numbers are drawn for each group where nobody looks whether enough of them fit: that they
# do not has a chance below 1e-24. It is worth it for few: most numbers fit at once.
_DRAWN_UNSEEN, _MOST_UNSEEN = 24, 1 << 22
# Bits of a uniform number that is narrower than float32.
_NARROW_BITS = {"float16": 10, "bfloat16": 7}

Lanes = tuple[Any, Any, Any, Any]
Convert = Callable[[Any, Lanes, Any], None]


class Start:
    """Where a stream of blocks begins: the keys of the rounds, and a counter of two words.

    Numbers, or where a device holds them, arrays of no dimension.
    """

    __slots__ = ("_is_any", "high", "keys", "low")

    def __init__(self, words: Sequence[Any], is_any: bool = False) -> None:
        """As `words_of` gives them. `is_any` says that the same must be done whatever they are."""
        self.low, self.high = words[0], words[1]
        self.keys = [(words[2 + 2 * n], words[3 + 2 * n]) for n in range(ROUNDS)]
        self._is_any = is_any

    @classmethod
    def of(cls, key: int, counter: int) -> Start:
        """Of a key of 64 bits and a counter of 128."""
        return cls(words_of(key, counter))

    def carries(self, largest: int) -> bool:
        """Whether the lower word may run over when so much is added to it."""
        return self._is_any or self.low + largest > _LONG


def words_of(key: int, counter: int) -> list[int]:
    """The counter's two words, the lower one first, and the keys of the rounds in pairs."""
    words = [counter & _LONG, counter >> 64]
    k0, k1 = key & _WORD, key >> 32
    for _ in range(ROUNDS):
        words += [k0, k1]
        k0, k1 = k0 + WEYL[0] & _WORD, k1 + WEYL[1] & _WORD
    return words


def _encrypted(keys: Sequence[tuple[Any, Any]], c0: Any, c1: Any, c2: Any, c3: Any) -> Lanes:
    """The four words of each block, as uint64, from counters: ints, or arrays to overwrite."""
    for k0, k1 in keys:
        p0 = c0 * MULTIPLIERS[0]
        p1 = c2 * MULTIPLIERS[1]
        c1 ^= k0
        c3 ^= k1
        c0 = p1 >> 32
        c0 ^= c1
        c2 = p0 >> 32
        c2 ^= c3
        p1 &= _WORD
        p0 &= _WORD
        c1, c3 = p1, p0
    return c0, c1, c2, c3


def _lanes(start: Start, offsets: Any, largest: int) -> Lanes:
    """The words of the blocks `offsets` behind the start; no offset is over `largest`."""
    high = start.high
    c0 = offsets + start.low
    c1 = c0 >> 32
    if start.carries(largest):
        carry = (c0 < offsets).astype(np.uint64)
        carry += high
        high = carry
    c2, c3 = high & _WORD, high >> 32
    c0 &= _WORD
    return _encrypted(start.keys, c0, c1, c2, c3)


def _joined(low: Any, high: Any, out: Any) -> None:
    """64-bit numbers of two 32-bit words."""
    high <<= 32
    high |= low
    out[...] = high


def _words(xp: Any, lanes: Lanes, out: Any) -> None:
    _joined(lanes[0], lanes[1], out[:, 0])
    _joined(lanes[2], lanes[3], out[:, 1])


def _uniform(xp: Any, lanes: Lanes, out: Any) -> None:
    _words(xp, lanes, out.view(np.uint64))
    bits = out.view(np.uint32)
    bits &= 0x7FFFFF
    bits |= 0x3F800000
    out -= np.float32(1.0)


def _uniform_narrow(bits: int) -> Convert:
    def convert(xp: Any, lanes: Lanes, out: Any) -> None:
        for column, lane in enumerate(lanes):
            lane &= (1 << bits) - 1
            numbers = lane.astype(np.float32)
            numbers *= np.float32(2.0**-bits)
            out[:, column] = numbers

    return convert


def _uniform_double(xp: Any, lanes: Lanes, out: Any) -> None:
    out[:, 0] = doubles(lanes[0], lanes[1])
    out[:, 1] = doubles(lanes[2], lanes[3])


def _normal(xp: Any, lanes: Lanes, out: Any) -> None:
    out[:, 0], out[:, 1] = normal_pair(xp, lanes[0], lanes[1])
    out[:, 2], out[:, 3] = normal_pair(xp, lanes[2], lanes[3])


class Draws:
    """Draws over any array module, some blocks at a time.

    `blocks_at_once` bounds what intermediate results take: a cache on a host, a part of its memory
    on an accelerator. `of_c_library` is `normal_pair_double`'s. `is_recorded` says that what is
    done for a start must not depend on it: it will be done for others.
    """

    def __init__(self, blocks_at_once: int, of_c_library: bool, is_recorded: bool = False) -> None:
        self.is_recorded = is_recorded
        self._blocks_at_once = blocks_at_once
        self._of_c_library = of_c_library

    def _parts(
        self, xp: Any, start: Start, count: int, stride: int = 1
    ) -> Iterator[tuple[Lanes, slice]]:
        """The words of `count` blocks, `stride` apart, part by part, each with its place."""
        for begin in range(0, count, self._blocks_at_once):
            stop = min(begin + self._blocks_at_once, count)
            offsets = xp.arange(begin, stop, dtype=np.uint64)
            if stride != 1:
                offsets *= stride
            yield _lanes(start, offsets, stop * stride), slice(begin, stop)

    def _fill(self, xp: Any, start: Start, out: Any, convert: Convert) -> None:
        """Convert one block for each row of `out`."""
        for lanes, part in self._parts(xp, start, len(out)):
            convert(xp, lanes, out[part])

    def words(self, xp: Any, start: Start, count: int) -> Any:
        """The next `count` 32-bit words, as uint32."""
        out = xp.empty((-(-count // 4), 2), np.uint64)
        self._fill(xp, start, out, _words)
        return out.view(np.uint32).reshape(-1)[:count]

    def long_words(self, xp: Any, start: Start, count: int) -> Any:
        """The next `count` pairs of words, as uint64."""
        out = xp.empty((-(-count // 2), 2), np.uint64)
        self._fill(xp, start, out, _words)
        return out.reshape(-1)[:count]

    def integers(self, xp: Any, start: Start, count: int, low: int, high: int, dtype: Any) -> Any:
        """`count` integers of [low, high); a remainder, so not quite evenly spread."""
        wide = dtype.itemsize == 8
        drawn = (self.long_words if wide else self.words)(xp, start, count)
        drawn %= drawn.dtype.type(high - low)
        drawn += drawn.dtype.type(low % (1 << 8 * dtype.itemsize))
        return drawn.view(dtype)

    def uniform(self, xp: Any, start: Start, count: int, dtype: Any) -> Any:
        """`count` numbers of [0, 1)."""
        wide = dtype.itemsize == 8
        per_block = 2 if wide else 4
        out = xp.empty((-(-count // per_block), per_block), dtype)
        bits = _NARROW_BITS.get(dtype.name)
        if bits is not None:
            self._fill(xp, start, out, _uniform_narrow(bits))
        else:
            self._fill(xp, start, out, _uniform_double if wide else _uniform)
        return out.reshape(-1)[:count]

    def _normal_double(self, xp: Any, lanes: Lanes, out: Any) -> None:
        out[:, 0], out[:, 1] = normal_pair_double(xp, lanes, self._of_c_library)

    def normal(self, xp: Any, start: Start, count: int, dtype: Any) -> Any:
        """`count` numbers with mean 0 and deviation 1."""
        wide = dtype.itemsize == 8
        per_block = 2 if wide else 4
        out = xp.empty((-(-count // per_block), per_block), dtype)
        self._fill(xp, start, out, self._normal_double if wide else _normal)
        return out.reshape(-1)[:count]

    def truncated_normal(self, xp: Any, start: Start, count: int, dtype: Any) -> Any:
        """`count` such numbers less than two deviations off.

        The numbers of one group, as many as a block gives, are the first fit ones of the group's
        own run of blocks.
        """
        wide = dtype.itemsize == 8
        per_group = 2 if wide else 4
        stride = per_group * BLOCKS_PER_ELEMENT // 4
        normal = self._normal_double if wide else _normal
        groups = -(-count // per_group)
        out = xp.empty((groups, per_group), np.float64 if wide else np.float32)
        if self.is_recorded and count <= _MOST_UNSEEN:
            self._draw_unseen(xp, start, out, normal, stride)
            return out.reshape(-1)[:count].astype(dtype, copy=False)
        unfit = [xp.zeros(0, np.int64)]
        for lanes, part in self._parts(xp, start, groups, stride):
            normal(xp, lanes, out[part])
            far = xp.abs(out[part]) >= _TRUNCATION
            # All flags of a group at once, as one integer.
            found = xp.nonzero(far.view(f"u{per_group}").reshape(-1))[0]
            unfit.append(found + part.start)
        redrawn = xp.concatenate(unfit)
        for begin in range(0, redrawn.size, self._blocks_at_once):
            part = slice(begin, begin + self._blocks_at_once)
            self._redraw(xp, start, out, redrawn[part], normal, stride)
        return out.reshape(-1)[:count].astype(dtype, copy=False)

    def _draw_unseen(self, xp: Any, start: Start, out: Any, normal: Convert, stride: int) -> None:
        """Fill all groups from as many blocks as surely are enough."""
        groups, per_group = out.shape
        # What does not fit, and what is drawn beyond a group's end, goes to one more column.
        filled = xp.zeros((groups, per_group + 1), out.dtype)
        rows = xp.arange(groups)[:, None]
        offsets = xp.arange(groups, dtype=np.uint64) * stride
        kept = xp.zeros((groups, 1), np.int64)
        attempts = _DRAWN_UNSEEN // per_group
        for attempt in range(attempts):
            drawn = xp.empty(out.shape, out.dtype)
            normal(xp, _lanes(start, offsets + attempt, groups * stride + attempts), drawn)
            fits = xp.abs(drawn) < _TRUNCATION
            place = xp.cumsum(fits, axis=1) + (kept - 1)
            filled[rows, xp.where(fits, xp.minimum(place, per_group), per_group)] = drawn
            kept += xp.sum(fits, axis=1, keepdims=True)
        out[...] = filled[:, :per_group]

    def _redraw(
        self,
        xp: Any,
        start: Start,
        out: Any,
        groups: Any,
        normal: Convert,
        stride: int,
    ) -> None:
        """Fill again, from further blocks, groups of which a number does not fit."""
        drawn = out[groups]
        kept = xp.zeros(groups.shape, np.int64)
        attempt = 0
        while groups.size:
            fits = xp.abs(drawn) < _TRUNCATION
            place = xp.cumsum(fits, axis=1)
            place += (kept - 1)[:, None]
            fits &= place < out.shape[1]
            row, column = xp.nonzero(fits)
            out[groups[row], place[row, column]] = drawn[row, column]
            kept += xp.sum(fits, axis=1)
            unfilled = xp.nonzero(kept < out.shape[1])[0]
            groups, kept = groups[unfilled], kept[unfilled]
            attempt += 1
            offsets = groups.astype(np.uint64)
            offsets *= stride
            offsets += attempt
            drawn = xp.empty((len(groups), out.shape[1]), out.dtype)
            normal(xp, _lanes(start, offsets, len(out) * stride + attempt), drawn)

    def permutation(self, start: Start, count: int) -> Any:
        """An order of `count` elements, on the host; takes `count - 1` words."""
        order = list(range(count))
        if count > 1:
            first = np.arange(count - 1)
            chosen = first + self.words(np, start, count - 1) % (count - first)
            for i, j in enumerate(chosen.tolist()):
                order[i], order[j] = order[j], order[i]
        return np.array(order, np.int64)

    def categories(self, xp: Any, start: Start, logits: Any, count: int, dtype: Any) -> Any:
        """`count` classes for each row of `logits`, as likely as their exponentials say."""
        logits = logits.astype(np.float64)
        finite = xp.isfinite(logits)
        largest = xp.where(finite, logits, -np.inf).max(axis=1, keepdims=True)
        weights = xp.where(finite, xp.exp(logits - largest), 0.0)
        sums = xp.cumsum(weights, axis=1)
        rows = len(sums)
        wanted = self.uniform(xp, start, rows * count, np.dtype(np.float64))
        wanted = wanted.reshape(rows, count)
        wanted *= sums[:, -1:]
        return _first_above(xp, sums, wanted, dtype)


def _first_above(xp: Any, sums: Any, wanted: Any, dtype: Any) -> Any:
    """In each row of `sums`, which ascends, the place of the first element over each wanted one."""
    rows, count = wanted.shape
    out = xp.empty(wanted.shape, dtype)
    compared = count * sums.shape[1]
    if compared > 1 << 13:
        for row in range(rows):
            out[row] = xp.searchsorted(sums[row], wanted[row], side="right")
        return out
    step = max(1, (1 << 20) // max(1, compared))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        out[part] = (sums[part, None, :] <= wanted[part, :, None]).sum(axis=2)
    return out
