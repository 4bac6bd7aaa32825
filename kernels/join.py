"""Several arrays made one, and one made several."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import Spelling, kernel
from tfsession.core.shape import debug_string

_ALL = slice(None)


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@kernel("Pack", device="CPU", types={"T": ["resource"]})
def pack_handles(xp: Any, *values: Any, axis: int) -> Any:
    """Scalar handles, which are objects and no arrays, as a vector."""
    packed = xp.empty(len(values), object)
    for i, value in enumerate(values):
        if isinstance(value, xp.ndarray) and value.ndim:
            raise _refuse("Only scalar handles can be packed")
        packed[i] = value[()] if isinstance(value, xp.ndarray) else value
    return packed


@kernel("Pack")
def pack(xp: Any, *values: Any, axis: int) -> Any:
    """Equal shapes along a new dimension."""
    first = values[0]
    shape = first.shape
    for i, value in enumerate(values):
        if value.shape != shape:
            raise _refuse(
                f"Shapes of all inputs must match: values[0].shape = {debug_string(shape)} != "
                f"values[{i}].shape = {debug_string(value.shape)}"
            )
    rank = len(shape) + 1
    if not -rank <= axis < rank:
        raise _refuse(f"axis = {axis} not in [{-rank}, {rank})")
    at = axis + rank if axis < 0 else axis
    result = xp.empty((*shape[:at], len(values), *shape[at:]), first.dtype)
    front = (_ALL,) * at
    for i, value in enumerate(values):
        result[(*front, i, ...)] = value  # the dots: a text would be put in as an array
    return result


@kernel("Unpack", aliases=True)
def unpack(xp: Any, value: Any, num: int, axis: int) -> Any:
    """The slices along a dimension, as views."""
    shape, rank = value.shape, value.ndim
    if not -rank <= axis < rank:
        raise _refuse(f"axis = {axis} not in [{-rank}, {rank})")
    at = axis + rank if axis < 0 else axis
    if shape[at] != num:
        raise _refuse(f"Input shape axis {axis} must equal {num}, got shape {debug_string(shape)}")
    front = (_ALL,) * at
    return tuple(value[(*front, i)] for i in range(num))


def _spell_concat(inputs: Sequence[Any], attrs: Any, constant: Any) -> Spelling | None:
    axis, shapes = constant(len(inputs) - 1), [tensor._shape or () for tensor in inputs[:-1]]
    if axis is None or axis.ndim or not -len(shapes[0]) <= axis < len(shapes[0]):
        return None
    at = int(axis) % len(shapes[0])
    others = {(len(shape), *shape[:at], *shape[at + 1 :]) for shape in shapes}
    if len(others) > 1 or None in others.pop():
        return None
    parts = ", ".join([f"{{{number}}}" for number in range(len(shapes))])
    return Spelling(f"{{result}} = {{join}}(({parts}), {at})", {"join": np.concatenate})


@kernel("ConcatV2", host=["axis"], spells=_spell_concat)
def concat_v2(xp: Any, *inputs: Any) -> Any:
    """Arrays joined along a dimension."""
    try:
        return xp.concatenate(inputs[:-1], inputs[-1].item())
    except ValueError:
        raise _bad_concat([value.shape for value in inputs[:-1]], int(inputs[-1])) from None


@kernel("Concat", host=["concat_dim"])
def concat(xp: Any, concat_dim: Any, *values: Any) -> Any:
    """As ConcatV2, with the dimension first."""
    return concat_v2(xp, *values, concat_dim)


def _bad_concat(shapes: list[tuple[int, ...]], axis: int) -> InvalidArgumentError:
    first, rank = shapes[0], len(shapes[0])
    if rank == 0:
        return _refuse("ConcatOp : Can't concatenate scalars (use tf.stack instead)")
    if not -rank <= axis < rank:
        return _refuse(
            f"ConcatOp : Expected concatenating dimensions in the range [{-rank}, {rank}), but got "
            f"{axis}"
        )
    for i, shape in enumerate(shapes):
        pair = f"shape[0] = {debug_string(first)} vs. shape[{i}] = {debug_string(shape)}"
        if len(shape) != rank:
            return _refuse(f"ConcatOp : Ranks of all input tensors should match: {pair}")
        for dim, (a, b) in enumerate(zip(first, shape, strict=True)):
            if a != b and dim != axis % rank:
                return _refuse(f"ConcatOp : Dimension {dim} in both shapes must be equal: {pair}")
    return _refuse("ConcatOp : the shapes of the inputs do not fit")


@kernel("ConcatOffset", host=["concat_dim", "shape"], host_outputs=["offset"])
def concat_offset(xp: Any, concat_dim: Any, *shapes: Any) -> Any:
    """Where each part begins in the whole."""
    if concat_dim.ndim:
        text = debug_string(concat_dim.shape)
        raise _refuse(f"Concat dim tensor should be a scalar integer, but got shape {text}")
    for i, shape in enumerate(shapes, 1):
        if shape.ndim != 1:
            text = debug_string(shape.shape)
            raise _refuse(f"input {i} should be a vector, but got shape {text}")
    rank, given = shapes[0].size, int(concat_dim)
    if not -rank <= given < rank:
        raise _refuse(f"Concat dim is out of range: {given} vs. {rank}")
    axis = given % rank
    offsets = []
    start = 0
    for i, shape in enumerate(shapes):
        differs = shape != shapes[0] if shape.size == rank else np.ones(rank, bool)
        differs[axis] = shape.size != rank
        if differs.any():
            raise _refuse(
                f"All dimensions except {axis} must match. Input {i} has shape {_plain(shape)} and "
                f"doesn't match input 0 with shape {_plain(shapes[0])}."
            )
        offset = np.zeros(rank, shape.dtype)
        offset[axis] = start
        start += int(shape[axis])
        offsets.append(offset)
    return tuple(offsets)


def _plain(shape: Any) -> str:
    return "[" + " ".join(map(str, shape.tolist())) + "]"


def _axis_of(rank: int, axis: Any) -> int:
    at = int(axis)
    if not -rank <= at < rank:
        raise _refuse(f"-input rank(-{rank}) <= split_dim < input rank ({rank}), but got {at}")
    return at + rank if at < 0 else at


def _spell_split(inputs: Sequence[Any], attrs: Any, constant: Any) -> Spelling | None:
    axis, shape, count = constant(0), inputs[1]._shape or (), attrs["num_split"]
    if axis is None or axis.ndim or not -len(shape) <= axis < len(shape):
        return None
    if count < 2 or shape[axis] is None or shape[axis] % count:
        return None
    at = int(axis) % len(shape)
    parts = _equal_parts(shape, at, count)
    pieces = {f"part{number}": part for number, part in enumerate(parts)}
    views = ", ".join([f"{{1}}[{{{name}}}]" for name in pieces])
    # A variable may have another shape than the graph says.
    otherwise = f"if {{1}}.shape[{at}] == {shape[at]} else {{split}}({{np}}, {{0}}, {{1}}, {count})"
    return Spelling(f"{{result}} = ({views}) {otherwise}", {**pieces, "split": split, "np": np})


@kernel("Split", host=["split_dim"], aliases=True, spells=_spell_split)
def split(xp: Any, split_dim: Any, value: Any, num_split: int) -> Any:
    """Equal pieces along a dimension, as views."""
    parts = _equal_parts(value.shape, split_dim.item(), num_split)
    return tuple([value[part] for part in parts])


@lru_cache(maxsize=256)
def _equal_parts(shape: tuple[Any, ...], axis: int, parts: int) -> list[tuple[slice, ...]]:
    at = _axis_of(len(shape), axis)
    size, rest = divmod(shape[at], parts)
    if rest:
        raise _refuse(
            "Number of ways to split should evenly divide the split dimension, but got split_dim "
            f"{at} (size = {shape[at]}) and num_split {parts}"
        )
    front = (_ALL,) * at
    return [(*front, slice(i * size, (i + 1) * size)) for i in range(parts)]


@kernel("SplitV", host=["size_splits", "split_dim"], aliases=True)
def split_v(xp: Any, value: Any, size_splits: Any, split_dim: Any, num_split: int) -> Any:
    """Pieces of given sizes along a dimension, as views."""
    at, sizes = _axis_of(value.ndim, split_dim), size_splits.tolist()
    if size_splits.ndim != 1 or len(sizes) != num_split:
        raise _refuse(
            "size of the split_tensor must be 1-D and have the same elements as outputs got "
            f"{size_splits.ndim} -D and {size_splits.size} elements"
        )
    if min(sizes) < 0 or sum(sizes) != value.shape[at]:
        _complete(sizes, value.shape[at])
    front = (_ALL,) * at
    pieces, begin = [], 0
    for size in sizes:
        pieces.append(value[(*front, slice(begin, begin + size))])
        begin += size
    return tuple(pieces)


def _complete(sizes: list[int], whole: int) -> None:
    """Put the size in that is to be found out; raises InvalidArgumentError where none fits."""
    missing = [i for i, size in enumerate(sizes) if size == -1]
    if len(missing) > 1:
        raise _refuse("There can only be one -1 in the input.")
    known = sum(size for size in sizes if size != -1)
    if known > whole or (not missing and known != whole):
        raise _refuse(
            "Determined shape must either match input shape along split_dim exactly if fully "
            "specified, or be less than the size of the input along split_dim if not fully "
            f"specified.  Got: {known}"
        )
    for i in missing:
        sizes[i] = whole - known
    for i, size in enumerate(sizes):
        if size < 0:
            raise _refuse(f"Split size at index {i} must be >= 0. Got: {size}")
