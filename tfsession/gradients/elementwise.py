"""Gradients of element-wise operations on two tensors.

Where an input was broadcast its gradient is summed: along axes known from the static shapes if they
tell enough, else along axes that the step finds out.
"""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import float32, int32
from tfsession.core.rules import gradient, no_gradient
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import conj
from tfsession.ops.compare import where_v2
from tfsession.ops.elementwise import xdivy, xlog1py, xlogy
from tfsession.ops.unary import log

# Dtypes of which products of equal shapes have their gradients' factors in another order.
_REAL = (float32, int32)

no_gradient("BitwiseAnd", "BitwiseOr", "BitwiseXor", "LeftShift", "RightShift")


# --- undoing broadcasts ---------------------------------------------------------------------------


def reduce_to(tensor: Tensor, other: Tensor, grad: Any) -> Any:
    """`grad`, of the shape to which `tensor` and `other` broadcast, summed to `tensor`'s shape."""
    own, opposite = tensor._shape, other._shape
    if tensor is other or (own is not None and own == opposite and None not in own):
        return grad
    axes = _reduced_axes(own, opposite)
    if axes is None:
        shape = create_op("Shape", (tensor,))
        found, _ = create_op("BroadcastGradientArgs", (shape, create_op("Shape", (other,))))
        return create_op("Reshape", (create_op("Sum", (grad, found)), shape))
    if not axes:
        return grad
    assert own is not None and opposite is not None
    missing = max(len(opposite) - len(own), 0)
    keeps = len(axes) > missing
    total = create_op("Sum", (grad, axes), {"keep_dims": keeps} if keeps else None)
    if not (missing and keeps):
        return total
    return create_op("Reshape", (total, create_op("Shape", (tensor,)) if None in own else own))


def _reduced_axes(own: Shape, other: Shape) -> list[int] | None:
    """The axes along which a tensor of shape `own` repeats beside `other`; None if unknown."""
    if own is None or other is None:
        return None
    rank = max(len(own), len(other))
    axes = list(range(rank - len(own)))
    for axis in range(len(axes), rank):
        mine = own[axis - rank + len(own)]
        theirs = other[axis - rank + len(other)] if axis >= rank - len(other) else 1
        if mine is None and theirs != 1:
            return None
        if mine == 1 and theirs != 1:
            axes.append(axis)
    return axes


def _both(op: Operation, x_grad: Any, y_grad: Any) -> tuple[Any, Any]:
    x, y = op.inputs
    if x is y or _reduced_axes(x._shape, y._shape) is not None:
        return reduce_to(x, y, x_grad), reduce_to(y, x, y_grad)
    shapes = create_op("Shape", (x,)), create_op("Shape", (y,))
    axes = create_op("BroadcastGradientArgs", shapes)
    x_grad, y_grad = (
        create_op("Reshape", (create_op("Sum", (grad, along)), shape))
        for grad, along, shape in zip((x_grad, y_grad), axes, shapes, strict=True)
    )
    return x_grad, y_grad


# --- sums, differences, products ------------------------------------------------------------------


@gradient("Add", "AddV2")
def _add(op: Operation, grad: Any) -> Any:
    return _both(op, grad, grad)


@gradient("Sub")
def _sub(op: Operation, grad: Any) -> Any:
    return _both(op, grad, -grad)


@gradient("Mul")
def _mul(op: Operation, grad: Any) -> Any:
    x, y = op.inputs
    if x.dtype in _REAL and x._shape is not None and None not in x._shape and x._shape == y._shape:
        return create_op("Mul", (grad, y)), create_op("Mul", (grad, x))
    return _both(op, create_op("Mul", (grad, conj(y))), create_op("Mul", (conj(x), grad)))


@gradient("MulNoNan")
def _mul_no_nan(op: Operation, grad: Any) -> Any:
    x, y = op.inputs
    return _both(op, create_op("MulNoNan", (grad, conj(y))), create_op("MulNoNan", (conj(x), grad)))


@gradient("SquaredDifference")
def _squared_difference(op: Operation, grad: Any) -> Any:
    x, y = op.inputs
    x_grad = (2.0 * grad if x.dtype.is_floating else 2 * grad) * (x - y)
    return _both(op, x_grad, -x_grad)


@gradient("AddN", "AccumulateNV2")
def _add_n(op: Operation, grad: Any) -> Any:
    return [grad] * len(op.inputs)


# --- quotients and remainders ---------------------------------------------------------------------


@gradient("Div", "RealDiv")
def _div(op: Operation, grad: Any) -> Any:
    x, y = conj(op.inputs[0]), conj(op.inputs[1])
    return _both(op, grad / y, grad * ((-x / y) / y))


@gradient("DivNoNan")
def _div_no_nan(op: Operation, grad: Any) -> Any:
    x, y = conj(op.inputs[0]), conj(op.inputs[1])
    once = create_op("DivNoNan", (-x, y))
    return _both(op, create_op("DivNoNan", (grad, y)), grad * create_op("DivNoNan", (once, y)))


@gradient("FloorDiv", "TruncateDiv")
def _whole_quotient(op: Operation, grad: Any) -> Any:
    return None, None


@gradient("FloorMod")
def _floor_mod(op: Operation, grad: Any) -> Any:
    x, y = op.inputs
    return _both(op, grad, grad * -(x // y))


@gradient("Mod", "TruncateMod")
def _truncate_mod(op: Operation, grad: Any) -> Any:
    return _both(op, grad, grad * -create_op("TruncateDiv", op.inputs))


# --- powers, logarithms, angles, neighbours -------------------------------------------------------


@gradient("Pow")
def _pow(op: Operation, grad: Any) -> Any:
    x, y = conj(op.inputs[0]), conj(op.inputs[1])
    z = conj(op.outputs[0])
    # The logarithm counts where it is defined only.
    defined = create_op("NotEqual", (x, 0)) if x.dtype.is_complex else x > 0
    zero = create_op("ZerosLike", (x,))
    logarithm = where_v2(defined, log(where_v2(defined, x, create_op("OnesLike", (x,)))), zero)
    return _both(op, grad * y * x ** (y - 1), grad * z * logarithm)


def _not_zero(x: Tensor) -> Tensor:
    nonzero: Tensor = create_op("NotEqual", (x, 0))
    return create_op("Cast", (nonzero,), {"DstT": x.dtype.base_dtype})  # type: ignore[no-any-return]


@gradient("Xlogy")
def _xlogy(op: Operation, grad: Any) -> Any:
    x, y = op.inputs
    return _both(op, xlogy(_not_zero(x), y) * grad, xdivy(x, y) * grad)


@gradient("Xlog1py")
def _xlog1py(op: Operation, grad: Any) -> Any:
    x, y = op.inputs
    return _both(op, xlog1py(_not_zero(x), y) * grad, xdivy(x, y + 1) * grad)


@gradient("Xdivy")
def _xdivy(op: Operation, grad: Any) -> Any:
    x, y = op.inputs
    return _both(op, xdivy(_not_zero(x), y) * grad, xdivy(-x, y * y) * grad)


@gradient("Atan2")
def _atan2(op: Operation, grad: Any) -> Any:
    y, x = op.inputs
    scaled = grad / (x * x + y * y)
    return _both(op, x * scaled, -y * scaled)


@gradient("NextAfter")
def _next_after(op: Operation, grad: Any) -> Any:
    return _both(op, grad, create_op("ZerosLike", (grad,)))


# --- bounds ---------------------------------------------------------------------------------------


def _chosen(op: Operation, grad: Any, chosen: Tensor) -> Any:
    zeros = create_op("ZerosLike", (grad,))
    return _both(op, where_v2(chosen, grad, zeros), where_v2(chosen, zeros, grad))


@gradient("Maximum")
def _maximum(op: Operation, grad: Any) -> Any:
    return _chosen(op, grad, op.inputs[0] >= op.inputs[1])


@gradient("Minimum")
def _minimum(op: Operation, grad: Any) -> Any:
    return _chosen(op, grad, op.inputs[0] <= op.inputs[1])


@gradient("ClipByValue")
def _clip_by_value(op: Operation, grad: Any) -> Any:
    x, low, high = op.inputs
    zeros = create_op("ZerosLike", (grad,))
    below, above = x < low, x > high
    return (
        where_v2(below | above, zeros, grad),
        reduce_to(low, x, where_v2(below, grad, zeros)),
        reduce_to(high, x, where_v2(above, grad, zeros)),
    )
