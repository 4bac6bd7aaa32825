"""How many floating point operations an operation takes, from the static shapes of its tensors.

A multiplication and an addition count as two; operations without an entry count as none. The counts
are those of TensorFlow's profiler.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from tfsession.graph.shape_fns import product

_Count = Callable[[Any], int | None]


def _elements(tensor: Any) -> int | None:
    return None if tensor._shape is None else product(tensor._shape)


def _times(count: int | None, factor: int) -> int | None:
    return None if count is None else count * factor


def _each(flops: int) -> _Count:
    """So many for each element of the output."""
    return lambda op: _times(_elements(op.outputs[0]), flops)


def _reduction(each: int, last: int) -> _Count:
    """So many for each element of the input, and for each of the output."""

    def count(op: Any) -> int | None:
        given, left = _elements(op.inputs[0]), _elements(op.outputs[0])
        return None if given is None or left is None else given * each + left * (last - each)

    return count


def _matmul(op: Any) -> int | None:
    shape = op.inputs[0]._shape
    depth = None if shape is None else shape[-2 if op.attrs.get("transpose_a") else -1]
    return None if depth is None else _times(_elements(op.outputs[0]), 2 * depth)


def _convolution(output: Any, kernel: Any, skipped: int) -> int | None:
    """Each element of the output reads the kernel, all but its last sizes."""
    if kernel._shape is None:
        return None
    area = product(kernel._shape[:-skipped])
    return None if area is None else _times(_elements(output), 2 * area)


def _conv(op: Any) -> int | None:
    return _convolution(op.outputs[0], op.inputs[1], 1)


def _depthwise(op: Any) -> int | None:
    return _convolution(op.outputs[0], op.inputs[1], 2)


def _conv_to_input(op: Any) -> int | None:
    return _convolution(op.inputs[2], op.inputs[1], 1)


def _conv_to_filter(op: Any) -> int | None:
    return _convolution(op.inputs[2], op.outputs[0], 1)


def _pool(op: Any) -> int | None:
    return _times(_elements(op.outputs[0]), math.prod(op.attrs["ksize"]))


def _max_pool_gradient(op: Any) -> int | None:
    """To find where each came from, and to add it there."""
    return _times(_elements(op.inputs[2]), math.prod(op.attrs["ksize"]) + 1)


def _avg_pool_gradient(op: Any) -> int | None:
    """To share out each, and to add the shares."""
    return _times(_elements(op.inputs[1]), 2 * math.prod(op.attrs["ksize"]))


def _add_n(op: Any) -> int | None:
    return _times(_elements(op.outputs[0]), len(op.inputs) - 1)


_COUNTS: Final[dict[str, _Count]] = {
    **dict.fromkeys(
        (
            *("Reciprocal", "Square", "Log", "Neg", "AssignSub", "AssignAdd", "BiasAdd"),
            *("Add", "AddV2", "Sub", "Mul", "RealDiv", "Maximum", "Minimum", "Pow"),
            *("GreaterEqual", "Greater", "LessEqual", "Less", "Equal", "NotEqual"),
        ),
        _each(1),
    ),
    **dict.fromkeys(("Rsqrt", "SquaredDifference"), _each(2)),
    "RsqrtGrad": _each(4),
    "Softmax": _each(5),
    **dict.fromkeys(("Sum", "ArgMax", "ArgMin", "BiasAddGrad"), _reduction(1, 0)),
    "Mean": _reduction(1, 1),
    "MatMul": _matmul,
    "Conv2D": _conv,
    "Conv2DBackpropInput": _conv_to_input,
    "Conv2DBackpropFilter": _conv_to_filter,
    "DepthwiseConv2dNative": _depthwise,
    "AvgPool": _pool,
    "MaxPool": _pool,
    "AvgPoolGrad": _avg_pool_gradient,
    "MaxPoolGrad": _max_pool_gradient,
    "AddN": _add_n,
}


def float_ops(op: Any) -> int:
    """The floating point operations of a graph's operation; 0 where a shape is not known."""
    count = _COUNTS.get(op.type)
    return 0 if count is None else max(0, count(op) or 0)
