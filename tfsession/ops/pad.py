"""Tensors made larger: padded and tiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_dims, constant_value
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank
from tfsession.graph.tensor import Tensor


def _padded_rank(op: Operation) -> int | None:
    """The rank that input and paddings agree on; ValueError when they do not."""
    shape, pairs = op.inputs[0]._shape, with_rank(op.inputs[1]._shape, 2)
    assert pairs is not None
    merge_dims(pairs[1], 2)
    if pairs[0] is not None:
        with_rank(shape, pairs[0])
        return pairs[0]
    return None if shape is None else len(shape)


def _pad_shape(op: Operation) -> list[Shape]:
    rank, pairs = _padded_rank(op), constant_value(op.inputs[1])
    if rank is None:
        return [None]
    if pairs is None:
        return [(None,) * rank]
    if pairs.size and pairs.min() < 0:
        raise ValueError("Paddings must be non-negative")
    shape = with_rank(op.inputs[0]._shape, rank)
    assert shape is not None
    added = pairs.sum(axis=1).tolist()
    return [tuple(None if d is None else d + n for d, n in zip(shape, added, strict=True))]


def _unpad_shape(op: Operation) -> list[Shape]:
    rank, pairs = _padded_rank(op), constant_value(op.inputs[1])
    if rank is None:
        return [None]
    shape = with_rank(op.inputs[0]._shape, rank)
    if pairs is None or shape is None:
        return [(None,) * rank]
    taken = pairs.sum(axis=1).tolist()
    return [tuple(None if d is None else d - n for d, n in zip(shape, taken, strict=True))]


_PADDINGS = ["T: type", "Tpaddings: {int32, int64} = DT_INT32"]
_MODE = "mode: {'REFLECT', 'SYMMETRIC'}"
define_op(
    "Pad",
    inputs=["input: T", "paddings: Tpaddings"],
    outputs=["output: T"],
    attrs=_PADDINGS,
    shape=_pad_shape,
)
define_op(
    "PadV2",
    inputs=["input: T", "paddings: Tpaddings", "constant_values: T"],
    outputs=["output: T"],
    attrs=_PADDINGS,
    shape=_pad_shape,
)
define_op(
    "MirrorPad",
    inputs=["input: T", "paddings: Tpaddings"],
    outputs=["output: T"],
    attrs=[*_PADDINGS, _MODE],
    shape=_pad_shape,
)
define_op(
    "MirrorPadGrad",
    inputs=["input: T", "paddings: Tpaddings"],
    outputs=["output: T"],
    attrs=[*_PADDINGS, _MODE],
    shape=_unpad_shape,
)


def _tile_shape(op: Operation) -> list[Shape]:
    shape, length = op.inputs[0]._shape, with_rank(op.inputs[1]._shape, 1)
    if shape is not None and length is not None and length[0] not in (len(shape), None):
        raise ValueError(f"Shape must be rank {len(shape)} but is rank {length[0]}")
    factors = constant_dims(op.inputs[1])
    if factors is None:
        return [None if shape is None else (None,) * len(shape)]
    shape = with_rank(shape, len(factors))
    assert shape is not None
    return [tuple(map(_tiled_size, shape, factors))]


def _tiled_size(size: int | None, factor: int | None) -> int | None:
    if size == 0 or factor == 0:
        return 0
    return None if size is None or factor is None or factor < 0 else size * factor


define_op(
    "Tile",
    inputs=["input: T", "multiples: Tmultiples"],
    outputs=["output: T"],
    attrs=["T: type", "Tmultiples: {int32, int64} = DT_INT32"],
    shape=_tile_shape,
)


@export("pad")
def pad(
    tensor: Any,
    paddings: Any,
    mode: str = "CONSTANT",
    name: str | None = None,
    constant_values: Any = 0,
) -> Tensor:
    """`tensor` with `paddings[d]` = (before, after) elements more in each dimension d.

    Args:
        tensor: tensor of rank n.
        paddings: integer matrix of shape `[n, 2]`.
        mode: "CONSTANT" pads with `constant_values`; "REFLECT" mirrors at the border without
            repeating it, "SYMMETRIC" with it.
        name: name of the operation.
        constant_values: scalar of the same dtype.

    Raises:
        ValueError: another mode, or paddings that do not fit.
    """
    mode = mode.upper()
    result: Tensor
    if mode == "CONSTANT":
        if _is_zero(constant_values):
            result = create_op("Pad", [tensor, paddings], name=name)
        else:
            result = create_op("PadV2", [tensor, paddings, constant_values], name=name)
    elif mode in ("REFLECT", "SYMMETRIC"):
        result = create_op("MirrorPad", [tensor, paddings], {"mode": mode}, name)
    else:
        raise ValueError(
            'Value of argument `mode` expected to be one of "CONSTANT", "REFLECT", or "SYMMETRIC". '
            f"Received `mode` = {mode}"
        )
    return result


def _is_zero(value: Any) -> bool:
    if isinstance(value, Tensor) or hasattr(value, "_as_graph_element") or np.ndim(value):
        return False
    return bool(value == np.zeros_like(value))


@export("tile", "manip.tile")
def tile(input: Any, multiples: Any, name: str | None = None) -> Tensor:
    """`input` repeated `multiples[d]` times along each dimension d."""
    result: Tensor = create_op("Tile", [input, multiples], name=name)
    return result
