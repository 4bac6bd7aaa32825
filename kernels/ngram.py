"""Runs of neighbouring texts, joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.kernels.string import texts


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@kernel("StringNGrams", device="CPU")
def string_ngrams(
    xp: Any,
    data: Any,
    data_splits: Any,
    *,
    separator: bytes,
    ngram_widths: list[int],
    left_pad: bytes,
    right_pad: bytes,
    pad_width: int,
    preserve_short_sequences: bool,
) -> tuple[Any, Any]:
    """Of each row first the runs of the first width, then those of the next."""
    _check(data, data_splits, ngram_widths)
    splits, words = data_splits.tolist(), data.tolist()
    found: list[bytes] = []
    counts = np.zeros_like(data_splits)
    # Nothing comes of an empty row without padding.
    rows = range(len(splits) - 1) if pad_width else np.flatnonzero(np.diff(data_splits)).tolist()
    for index in rows:
        row, before = words[splits[index] : splits[index + 1]], len(found)
        for width in ngram_widths:
            pads = width - 1 if pad_width < 0 else min(pad_width, width - 1)
            padded = [left_pad] * pads + row + [right_pad] * pads
            _require_room(padded, width, separator)
            found += _runs(padded, width, separator)
        if preserve_short_sequences and row and len(found) == before:
            if pad_width < 0:
                raise _refuse("A row is too short for any of the widths, and its padding is open")
            pads = [left_pad] * pad_width, [right_pad] * pad_width
            found.append(separator.join([*pads[0], *row, *pads[1]]))
        counts[index + 1] = len(found) - before
    return texts(found, (len(found),)), np.cumsum(counts, dtype=counts.dtype)


def _runs(words: Sequence[bytes], width: int, separator: bytes) -> Iterator[bytes]:
    for start in range(len(words) - width + 1):
        yield separator.join(words[start : start + width])


def _require_room(words: Sequence[bytes], width: int, separator: bytes) -> None:
    """Raise MemoryError where there is no room for all runs, before most of them are made."""
    runs = len(words) - width + 1
    if runs * width > _MANY:
        ends = np.cumsum([0, *map(len, words)], dtype=np.float64)
        sizes = ends[width:] - ends[:-width]
        # A byte more for each word: those that have none take their time, too.
        np.empty(int(sizes.sum()) + runs * width * (len(separator) + 1), np.uint8)


# Words in runs that are joined without asking whether there is room.
_MANY = 1 << 20


def _check(data: Any, splits: Any, widths: list[int]) -> None:
    if any(width <= 0 for width in widths):
        raise _refuse(f"ngram_widths must contain positive values, got {widths}")
    if data.ndim != 1 or splits.ndim != 1:
        raise _refuse("data and data_splits must be vectors")
    if not splits.size:
        if data.size:
            raise _refuse("Last split value must be data size; there are no splits")
        return
    if splits[0] != 0:
        raise _refuse(f"First split value must be 0, got {splits[0]}")
    falls = np.flatnonzero((splits[1:] < splits[:-1]) | (splits[1:] > data.size))
    if falls.size:
        first = falls[0]
        raise _refuse(
            f"Invalid split value {splits[first + 1]}, must be in [{splits[first]}, {data.size}]"
        )
    if splits[-1] != data.size:
        raise _refuse(f"Last split value must be data size. Expected {data.size}, got {splits[-1]}")
