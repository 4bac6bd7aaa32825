"""Parts of tensors: slices, `tensor[...]`, and elements under a mask."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from tfsession.core.dimension import Dimension
from tfsession.core.dtypes import DType, as_dtype, int16, int32, int64
from tfsession.core.exports import export, export_value
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, num_elements
from tfsession.core.slicing import Masks, index_of, sliced_shape
from tfsession.graph.constant_value import (
    constant_dims,
    constant_shape,
    constant_value,
    folds,
    folds_partially,
)
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant, ones_like
from tfsession.ops.shape import reshape, shape, squeeze

Array = np.ndarray[Any, Any]

export_value(None, "newaxis")

# --- definitions ----------------------------------------------------------------------------------


def _slice_shape(op: Operation) -> list[Shape]:
    given, begin, size = (t._shape for t in op.inputs)
    length = merge_dims(_length(begin), _length(size))
    if length is not None:
        given = with_rank(given, length)
    if given is None:
        return [None]
    starts, sizes = constant_value(op.inputs[1]), constant_value(op.inputs[2])
    if sizes is None:
        return [(None,) * len(given)]
    result: list[int | None] = []
    for i, wanted in enumerate(sizes.tolist()):
        rest = given[i]
        if wanted == -1:
            start = None if starts is None else int(starts[i])
            if start is not None and rest is not None and start > rest:
                raise ValueError(
                    f"Negative dimension size caused by subtracting {start} from {rest}"
                )
            result.append(None if start is None or rest is None else rest - start)
        else:
            result.append(wanted)
    return [tuple(result)]


def _length(vector: Shape) -> int | None:
    vector = with_rank(vector, 1)
    return None if vector is None else vector[0]


define_op(
    "Slice",
    inputs=["input: T", "begin: Index", "size: Index"],
    outputs=["output: T"],
    attrs=["T: type", "Index: {int32, int64}"],
    shape=_slice_shape,
)


def masks_of(op: Operation) -> Masks:
    """The bit masks of a StridedSlice or StridedSliceGrad."""
    return Masks(*(op.attrs[f"{name}_mask"] for name in Masks._fields))


def _strided_slice_shape(op: Operation) -> list[Shape]:
    count = None
    for tensor in op.inputs[1:]:
        count = merge_dims(count, _length(tensor._shape))
    values = [constant_value(tensor) for tensor in op.inputs[1:]]
    begin, end, strides = (None if value is None else value.tolist() for value in values)
    return [sliced_shape(op.inputs[0]._shape, begin, end, strides, masks_of(op), count)]


_SLICE_MASKS = [
    "begin_mask: int = 0",
    "end_mask: int = 0",
    "ellipsis_mask: int = 0",
    "new_axis_mask: int = 0",
    "shrink_axis_mask: int = 0",
]
define_op(
    "StridedSlice",
    inputs=["input: T", "begin: Index", "end: Index", "strides: Index"],
    outputs=["output: T"],
    attrs=["T: type", "Index: {int16, int32, int64}", *_SLICE_MASKS],
    shape=_strided_slice_shape,
)
define_op(
    "StridedSliceGrad",
    inputs=["shape: Index", "begin: Index", "end: Index", "strides: Index", "dy: T"],
    outputs=["output: T"],
    attrs=["T: type", "Index: {int32, int64}", *_SLICE_MASKS],
    shape=lambda op: [constant_shape(op.inputs[0])],
)


def _part_of_dims(op: Operation) -> list[int | None] | int | None:
    """What a slice selects of an integer vector of which something is known."""
    values = [constant_value(tensor) for tensor in op.inputs[1:]]
    if values[0] is None or values[1] is None or values[2] is None or len(values[0]) != 1:
        return None
    shape = op.inputs[0]._shape
    dims = constant_dims(op.inputs[0]) if shape is not None and len(shape) == 1 else None
    if dims is None:
        return None
    begin, end, strides = (value.tolist() for value in values if value is not None)
    (entry,) = index_of((len(dims),), begin, end, strides, masks_of(op))
    return None if entry is None else dims[entry]


@folds("StridedSlice")
def _strided_slice_value(op: Operation, _: int) -> Array | None:
    part = _part_of_dims(op)
    known = part is not None and (isinstance(part, int) or None not in part)
    return np.array(part, op.attrs["T"].numpy) if known else None


@folds_partially("StridedSlice")
def _strided_slice_dims(op: Operation, _: int) -> list[int | None] | None:
    part = _part_of_dims(op)
    return part if isinstance(part, list) else None


# --- builders -------------------------------------------------------------------------------------


@export("slice")
def slice_(input_: Any, begin: Any, size: Any, name: str | None = None) -> Tensor:
    """The block of a tensor that begins at `begin`, of the sizes `size`; -1 takes all the rest."""
    result: Tensor = create_op("Slice", [input_, begin, size], name=name)
    return result


@export("strided_slice")
def strided_slice(
    input_: Any,
    begin: Any,
    end: Any,
    strides: Any = None,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
    var: Any = None,
    name: str | None = None,
) -> Tensor:
    """The slice `input_[begin:end:strides]`, of which the bits of the masks change entries.

    Args:
        input_: tensor.
        begin: integer vector, one entry for each sliced dimension.
        end: the same, not included.
        strides: the same; ones if None.
        begin_mask: entries whose `begin` is ignored.
        end_mask: entries whose `end` is ignored.
        ellipsis_mask: the entry that stands for as many dimensions as are left.
        new_axis_mask: entries that stand for a new dimension of size 1.
        shrink_axis_mask: entries that select the single position `begin`.
        var: not used.
        name: name of the operation.

    Raises:
        ValueError, or InvalidArgumentError at run time: a position is out of bounds.
    """
    if strides is None:
        strides = ones_like(begin)
    attrs = {
        "begin_mask": begin_mask,
        "end_mask": end_mask,
        "ellipsis_mask": ellipsis_mask,
        "new_axis_mask": new_axis_mask,
        "shrink_axis_mask": shrink_axis_mask,
    }
    result: Tensor = create_op("StridedSlice", [input_, begin, end, strides], attrs, name)
    return result


_POSITIONS = frozenset({int16, int32, int64})


class _Spec(NamedTuple):
    """The entries of `tensor[...]` as they become known."""

    begin: list[Any]
    end: list[Any]
    strides: list[Any]
    masks: dict[str, int]

    def add(self, begin: Any, end: Any, stride: Any, *masks: str) -> None:
        bit = 1 << len(self.begin)
        self.begin.append(begin)
        self.end.append(end)
        self.strides.append(stride)
        for mask in masks:
            self.masks[mask] |= bit


def _position_type(entry: Any) -> DType | None:
    """The dtype of a tensor that is a position, None for an integer; raises TypeError."""
    if isinstance(entry, Integral | Dimension):
        return None
    dtype = getattr(entry, "dtype", None)
    try:
        found = None if dtype is None else as_dtype(dtype).base_dtype
    except TypeError:
        found = None
    rank = entry.shape.ndims if isinstance(entry, Tensor) else np.ndim(entry)
    if found not in _POSITIONS or rank not in (0, None):
        raise TypeError(
            "Only integers, slices (`:`), ellipsis (`...`), tf.newaxis (`None`) and scalar "
            f"tf.int32/tf.int64 tensors are valid indices, got {entry!r}"
        )
    return found


def _plain(entry: Any) -> Any:
    return int(entry) if isinstance(entry, Integral | Dimension) else entry


def _add_range(spec: _Spec, entry: slice) -> None:
    given = (entry.start, entry.stop, entry.step)
    types = [_position_type(item) for item in given if item is not None]
    dtype = next((t for t in types if t is not None), None)
    # What is left out beside a tensor takes the tensor's type.
    begin, end, stride = (
        _plain(item) if item is not None else default if dtype is None else constant(default, dtype)
        for item, default in zip(given, (0, 0, 1), strict=True)
    )
    masks = [m for m, item in (("begin", entry.start), ("end", entry.stop)) if item is None]
    spec.add(begin, end, stride, *masks)


def _add_position(spec: _Spec, entry: Any) -> None:
    dtype = _position_type(entry)
    if dtype is None:
        position = int(entry)
        spec.add(position, position + 1, 1, "shrink_axis")
        return
    following = create_op("AddV2", [entry, 1], name="add")
    one = 1 if dtype is int32 else constant(1, dtype)
    spec.add(entry, following, one, "shrink_axis")


def _is_mask(key: Any) -> bool:
    dtype = getattr(key, "dtype", None)
    return isinstance(key, bool) or (dtype is not None and dtype == "bool")


def _getitem(self: Tensor, key: Any) -> Tensor:
    """Part of a tensor: integers, slices, `...`, `tf.newaxis`, scalar tensors, or a mask."""
    if _is_mask(key):
        return boolean_mask(self, key)
    entries = key if isinstance(key, list | tuple) else (key,)
    spec = _Spec([], [], [], dict.fromkeys(Masks._fields, 0))
    graph = self.op.graph
    with graph.as_default():
        for entry in entries:
            if isinstance(entry, slice):
                _add_range(spec, entry)
            elif entry is Ellipsis:
                spec.add(0, 0, 1, "ellipsis")
            elif entry is None:
                spec.add(0, 0, 1, "new_axis")
            else:
                _add_position(spec, entry)
        with graph.name_scope("strided_slice") as scope:
            vectors = _vectors([spec.begin, spec.end, spec.strides])
            attrs = {f"{name}_mask": bits for name, bits in spec.masks.items()}
            result: Tensor = create_op("StridedSlice", [self, *vectors], attrs, scope)
            return result


def _vectors(lists: Sequence[list[Any]]) -> list[Tensor]:
    """Lists of positions as integer vectors of one dtype."""
    if not lists[0]:
        return [constant([], int32)] * 3
    vectors = [convert_to_tensor(values, name="stack") for values in lists]
    if any(vector.dtype is int64 for vector in vectors):
        vectors = [
            vector if vector.dtype is int64 else create_op("Cast", [vector], {"DstT": int64})
            for vector in vectors
        ]
    return vectors


Tensor.__getitem__ = _getitem  # type: ignore[method-assign]


@export("boolean_mask")
def boolean_mask(
    tensor: Any, mask: Any, name: str | None = "boolean_mask", axis: Any = None
) -> Tensor:
    """The elements (or slices) of a tensor where `mask` is true, one after another.

    Args:
        tensor: tensor.
        mask: bool tensor of known rank at least 1; its shape is a part of that of `tensor`.
        name: name scope of the operations.
        axis: the dimension of `tensor` where that part begins, 0 by default.

    Raises:
        ValueError: the shapes do not fit, or the rank of the mask is not known.
    """
    graph = graph_of([tensor, mask])
    with graph.as_default(), graph.name_scope(name or "boolean_mask"):
        tensor = convert_to_tensor(tensor, name="tensor")
        mask = convert_to_tensor(mask, name="mask")
        rank = mask.shape.ndims
        if rank == 0:
            raise ValueError("mask cannot be scalar.")
        if rank is None:
            raise ValueError(
                "Number of mask dimensions must be specified, even if some dimensions are None.  "
                "E.g. shape=[None] is ok, but shape=None is not."
            )
        if isinstance(axis, Tensor):
            axis = constant_value(axis)
        at = 0 if axis is None else int(axis)
        static = tensor.shape
        if static.ndims is not None:
            at += static.ndims if at < 0 else 0
            static[at : at + rank].assert_is_compatible_with(mask.shape)
        flat = _flattened(tensor, at, rank)
        chosen = squeeze(create_op("Where", [reshape(mask, [-1])]), [1])
        result: Tensor = create_op("GatherV2", [flat, chosen, at])
        return result


def _flattened(tensor: Tensor, at: int, rank: int) -> Tensor:
    """`tensor` with `rank` dimensions from `at` on made one."""
    length = create_op("Prod", [shape(tensor)[at : at + rank], [0]])
    sizes = [shape(tensor)[:at], [length], shape(tensor)[at + rank :]]
    flat = reshape(tensor, create_op("ConcatV2", [sizes, 0], name="concat"))
    given = tensor._shape
    if given is not None:
        count = num_elements(given[at : at + rank])
        flat.set_shape((*given[:at], count, *given[at + rank :]))
    return flat
