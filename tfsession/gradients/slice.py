"""Gradients of slices: zeros around the gradient of the part."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.slice import masks_of


def _shape_of(value: Any, dtype: Any) -> Any:
    return create_op("Shape", [value], {"out_type": dtype})


@gradient("Slice")
def _slice(op: Operation, grad: Any) -> Any:
    value, begin = op.inputs[0], op.inputs[1]
    dtype = begin.dtype.base_dtype
    rest = create_op("Sub", [_shape_of(value, dtype), _shape_of(op.outputs[0], dtype)])
    after = create_op("Sub", [rest, begin])
    paddings = create_op("Pack", [[begin, after]], {"axis": 1})
    return create_op("Pad", [grad, paddings]), None, None


def _mask_attrs(op: Operation) -> dict[str, int]:
    return {f"{name}_mask": bits for name, bits in masks_of(op)._asdict().items()}


@gradient("StridedSlice")
def _strided_slice(op: Operation, grad: Any) -> Any:
    value, *vectors = op.inputs
    sizes = _shape_of(value, vectors[0].dtype.base_dtype)
    whole = create_op("StridedSliceGrad", [sizes, *vectors, grad], _mask_attrs(op))
    return whole, None, None, None


@gradient("StridedSliceGrad")
def _strided_slice_grad(op: Operation, grad: Any) -> Any:
    part = create_op("StridedSlice", [grad, *op.inputs[1:4]], _mask_attrs(op))
    return None, None, None, None, part
