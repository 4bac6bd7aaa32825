"""What a strided slice selects: its vectors and bit masks as an index of NumPy's kind.

The graph asks for the shape of the result, kernels for the elements; both read it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tfsession.core.shape import Shape

_ALL: Final = slice(None)

# An entry of an index: a new dimension, a position, or a range.
Entry = None | int | slice


class Masks(NamedTuple):
    """One bit for each entry of `begin`, `end` and `strides`."""

    begin: int = 0
    end: int = 0
    ellipsis: int = 0
    new_axis: int = 0
    shrink_axis: int = 0


def index_of(
    shape: tuple[int, ...],
    begin: Sequence[int],
    end: Sequence[int],
    strides: Sequence[int],
    masks: Masks,
) -> tuple[Entry, ...]:
    """The index that selects the slice of an array of `shape`.

    Raises:
        ValueError: a position out of bounds, a stride of zero, more entries than dimensions.
    """
    if not masks.ellipsis and not masks.new_axis and len(begin) <= len(shape):
        entries: list[Entry] = [
            _entry(shape[i], i, i, begin, end, strides, masks) for i in range(len(begin))
        ]
        return tuple(entries)
    entries = []
    for bit, dim in _layout(len(begin), len(shape), masks):
        if bit is None:
            entries.append(_ALL)
        elif dim is None:
            entries.append(None)
        else:
            entries.append(_entry(shape[dim], bit, dim, begin, end, strides, masks))
    return tuple(entries)


def _entry(
    size: int,
    bit: int,
    dim: int,
    begin: Sequence[int],
    end: Sequence[int],
    strides: Sequence[int],
    masks: Masks,
) -> Entry:
    stride = strides[bit]
    if stride == 0:
        raise ValueError(f"strides[{dim}] must be non-zero")
    if masks.shrink_axis >> bit & 1:
        if stride < 0:
            raise ValueError("only stride 1 allowed on non-range indexing.")
        position = begin[bit]
        if not -size <= position < size:
            position += size if position < 0 else 0
            raise ValueError(f"slice index {position} of dimension {dim} out of bounds.")
        return position
    return slice(
        None if masks.begin >> bit & 1 else begin[bit],
        None if masks.end >> bit & 1 else end[bit],
        stride,
    )


def _layout(count: int, rank: int, masks: Masks) -> list[tuple[int | None, int | None]]:
    """For each entry of the dense index its bit and its dimension.

    (bit, None) is a new dimension, (None, dimension) one that the ellipsis stands for.
    """
    ellipsis = masks.ellipsis
    if ellipsis & (ellipsis - 1):
        raise ValueError("Multiple ellipses in slice spec not allowed")
    new_axes = [bool(masks.new_axis & ~ellipsis & 1 << bit) for bit in range(count)]
    used = sum(not new for bit, new in enumerate(new_axes) if not ellipsis >> bit & 1)
    if used > rank:
        raise ValueError(f"Index out of range using input dim {rank}; input has only {rank} dims")
    layout: list[tuple[int | None, int | None]] = []
    dim = 0
    for bit in range(count):
        if ellipsis >> bit & 1:
            layout.extend((None, d) for d in range(dim, dim + rank - used))
            dim += rank - used
        elif new_axes[bit]:
            layout.append((bit, None))
        else:
            layout.append((bit, dim))
            dim += 1
    return layout


def sliced_shape(
    shape: Shape,
    begin: Sequence[int] | None,
    end: Sequence[int] | None,
    strides: Sequence[int] | None,
    masks: Masks,
    count: int | None,
) -> Shape:
    """The shape of a slice, as far as `shape`, `begin` and `end` are known; `count` entries.

    Raises:
        ValueError: as `index_of`.
    """
    if shape is None or count is None or strides is None:
        return None
    layout = _layout(count, len(shape), masks)
    result: list[int | None] = []
    for bit, dim in layout:
        if bit is None:
            assert dim is not None
            result.append(shape[dim])
        elif dim is None:
            result.append(1)
        else:
            result.extend(_sliced_size(shape[dim], bit, dim, begin, end, strides, masks))
    used = sum(dim is not None for _, dim in layout)
    return (*result, *shape[used:])


def _sliced_size(
    size: int | None,
    bit: int,
    dim: int,
    begin: Sequence[int] | None,
    end: Sequence[int] | None,
    strides: Sequence[int],
    masks: Masks,
) -> list[int | None]:
    """The size of the dimension, in a list that is empty when the dimension goes."""
    known = begin is not None and end is not None
    if masks.shrink_axis >> bit & 1 and (size is None or not known):
        return []
    if not known and not masks.begin >> bit & masks.end >> bit & 1:
        size = None
    positions = begin or (0,) * (bit + 1)
    entry = _entry(size or 0, bit, dim, positions, end or positions, strides, masks)
    if not isinstance(entry, slice):
        return []
    return [None if size is None else len(range(*entry.indices(size)))]
