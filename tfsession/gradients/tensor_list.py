"""Gradients of lists of tensors and optional values: lists and values of gradients."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.constant import zeros_like
from tfsession.ops.shape import shape

no_gradient("EmptyTensorList", "TensorListReserve", "TensorListLength", "TensorListElementShape")
no_gradient("OptionalNone", "OptionalHasValue", "FakeParam")
no_gradient("TensorListConcatLists")


def _typed(tensor: Any) -> dict[str, Any]:
    return {"element_dtype": tensor.dtype.base_dtype}


def _length(handle: Any) -> Any:
    return create_op("TensorListLength", [handle])


@gradient("TensorListPushBack")
def _push_back(op: Operation, grad: Any) -> Any:
    element = op.inputs[1]
    return list(create_op("TensorListPopBack", [grad, shape(element)], _typed(element)))


@gradient("TensorListPopBack")
def _pop_back(op: Operation, handle: Any, element: Any) -> Any:
    if element is None:
        element = zeros_like(op.outputs[1])
    if handle is None:
        handle = create_op("EmptyTensorList", [-1, -1], _typed(element))
    return create_op("TensorListPushBack", [handle, element]), None


@gradient("TensorListGetItem")
def _get_item(op: Operation, grad: Any) -> Any:
    sizes = [shape(grad), _length(op.inputs[0])]
    empty = create_op("TensorListReserve", sizes, _typed(grad))
    return create_op("TensorListSetItem", [empty, op.inputs[1], grad]), None, None


@gradient("TensorListSetItem")
def _set_item(op: Operation, grad: Any) -> Any:
    _, index, item = op.inputs
    rest = create_op("TensorListSetItem", [grad, index, zeros_like(item)])
    # A list that grew has a gradient that does not.
    rest = create_op("TensorListResize", [rest, _length(op.inputs[0])])
    return rest, None, create_op("TensorListGetItem", [grad, index, shape(item)], _typed(item))


@gradient("TensorListResize")
def _resize(op: Operation, grad: Any) -> Any:
    return create_op("TensorListResize", [grad, _length(op.inputs[0])]), None


@gradient("TensorListStack")
def _stack(op: Operation, grad: Any) -> Any:
    return create_op("TensorListFromTensor", [grad, shape(grad)[1:]]), None


@gradient("TensorListFromTensor")
def _from_tensor(op: Operation, grad: Any) -> Any:
    tensor = op.inputs[0]
    return create_op("TensorListStack", [grad, shape(tensor)[1:]], _typed(tensor)), None


@gradient("TensorListGather")
def _gather(op: Operation, grad: Any) -> Any:
    handle, indices, _ = op.inputs
    # An index may stand there twice: what is scattered would count once.
    rows = create_op("UnsortedSegmentSum", [grad, indices, _length(handle)])
    return create_op("TensorListFromTensor", [rows, shape(grad)[1:]]), None, None


@gradient("TensorListScatterV2")
def _scatter(op: Operation, grad: Any) -> Any:
    tensor, indices, _, _ = op.inputs
    found = create_op("TensorListGather", [grad, indices, shape(tensor)[1:]], _typed(tensor))
    return found, None, None, None


@gradient("TensorListConcatV2")
def _concat(op: Operation, grad: Any, _: Any) -> Any:
    parts = create_op("TensorListSplit", [grad, op.inputs[1], op.outputs[1]])
    return parts, None, None


@gradient("TensorListSplit")
def _split(op: Operation, grad: Any) -> Any:
    tensor, element_shape, lengths = op.inputs
    inputs = [grad, element_shape, lengths]
    return create_op("TensorListConcatV2", inputs, _typed(tensor))[0], None, None


@gradient("OptionalFromValue")
def _from_value(op: Operation, grad: Any) -> Any:
    types = [tensor.dtype.base_dtype for tensor in op.inputs]
    shapes = [tensor._shape for tensor in op.inputs]
    attrs = {"output_types": types, "output_shapes": shapes}
    return list(create_op("OptionalGetValue", [grad], attrs))


@gradient("OptionalGetValue")
def _get_value(op: Operation, *grads: Any) -> Any:
    whole = [
        zeros_like(tensor) if grad is None else grad
        for tensor, grad in zip(op.outputs, grads, strict=True)
    ]
    return create_op("OptionalFromValue", [whole])
