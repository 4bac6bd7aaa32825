"""Lists of tensors and optional values in variant tensors, as TensorFlow 2's loops make them.

Graphs of TensorFlow 2 hold them where it built loops, branches and their gradients of functions;
no public name makes one but `tf.raw_ops`.
"""

from __future__ import annotations

from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.graph.constant_value import constant_shape
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, scalar, with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor

_ELEMENT = "element_dtype: type"
_SHAPE = "shape_type: {int32, int64}"

# Of the operations that make lists: the input that tells the shape of elements.
_SHAPE_INPUTS = {
    "EmptyTensorList": 0,
    "TensorListReserve": 0,
    "TensorListFromTensor": 1,
    "TensorListScatterV2": 2,
}
_KEEPS_SHAPE = {
    *("Identity", "TensorListPushBack", "TensorListPopBack", "TensorListSetItem"),
    "TensorListResize",
}


def _element_shape(op: Operation, index: int) -> Shape:
    """The shape that an input asks of elements; a scalar asks nothing."""
    given = op.inputs[index]
    return merge(constant_shape(given) if given._shape else None, list_shape(op.inputs[0]))


def list_shape(handle: Tensor) -> Shape:
    """What the operations that made a list tell of the shape of its elements."""
    while handle.op.type in _KEEPS_SHAPE:
        handle = handle.op.inputs[0]
    if handle.op.type not in _SHAPE_INPUTS:
        return None
    given = handle.op.inputs[_SHAPE_INPUTS[handle.op.type]]
    return constant_shape(given) if given._shape else None


def _stack_shape(op: Operation) -> list[Shape]:
    shape, count = _element_shape(op, 1), op.attrs["num_elements"]
    return [None if shape is None else (None if count < 0 else count, *shape)]


def _gather_shape(op: Operation) -> list[Shape]:
    shape, indices = _element_shape(op, 2), with_rank(op.inputs[1]._shape, 1)
    assert indices is not None
    return [None if shape is None else (indices[0], *shape)]


def _scatter_shape(op: Operation) -> list[Shape]:
    tensor, indices = with_rank_at_least(op.inputs[0]._shape, 1), with_rank(op.inputs[1]._shape, 1)
    if tensor is not None and indices is not None:
        merge_dims(tensor[0], indices[0])
    return [()]


def _concat_shape(op: Operation) -> list[Shape]:
    shape = _element_shape(op, 1)
    return [None if shape is None else (None, *shape[1:]), (None,)]


define_op(
    "EmptyTensorList",
    inputs=["element_shape: shape_type", "max_num_elements: int32"],
    outputs=["handle: variant"],
    attrs=[_ELEMENT, _SHAPE],
    shape=scalar,
)
define_op(
    "TensorListReserve",
    inputs=["element_shape: shape_type", "num_elements: int32"],
    outputs=["handle: variant"],
    attrs=[_ELEMENT, _SHAPE],
    shape=scalar,
)
define_op(
    "TensorListPushBack",
    inputs=["input_handle: variant", "tensor: element_dtype"],
    outputs=["output_handle: variant"],
    attrs=[_ELEMENT],
    shape=scalar,
)
define_op(
    "TensorListPopBack",
    inputs=["input_handle: variant", "element_shape: int32"],
    outputs=["output_handle: variant", "tensor: element_dtype"],
    attrs=[_ELEMENT],
    shape=lambda op: [(), _element_shape(op, 1)],
)
define_op(
    "TensorListGetItem",
    inputs=["input_handle: variant", "index: int32", "element_shape: Tshape"],
    outputs=["item: element_dtype"],
    attrs=[_ELEMENT, "Tshape: {int32, int64} = DT_INT32"],
    shape=lambda op: [_element_shape(op, 2)],
)
define_op(
    "TensorListSetItem",
    inputs=["input_handle: variant", "index: int32", "item: element_dtype"],
    outputs=["output_handle: variant"],
    attrs=[_ELEMENT, "resize_if_index_out_of_bounds: bool = false"],
    shape=scalar,
)
define_op(
    "TensorListLength",
    inputs=["input_handle: variant"],
    outputs=["length: int32"],
    shape=scalar,
)
define_op(
    "TensorListElementShape",
    inputs=["input_handle: variant"],
    outputs=["element_shape: shape_type"],
    attrs=[_SHAPE],
    shape=lambda op: [None if (known := list_shape(op.inputs[0])) is None else (len(known),)],
)
define_op(
    "TensorListResize",
    inputs=["input_handle: variant", "size: int32"],
    outputs=["output_handle: variant"],
    shape=scalar,
)
define_op(
    "TensorListStack",
    inputs=["input_handle: variant", "element_shape: int32"],
    outputs=["tensor: element_dtype"],
    attrs=[_ELEMENT, "num_elements: int = -1"],
    shape=_stack_shape,
)
define_op(
    "TensorListGather",
    inputs=["input_handle: variant", "indices: int32", "element_shape: int32"],
    outputs=["values: element_dtype"],
    attrs=[_ELEMENT],
    shape=_gather_shape,
)
define_op(
    "TensorListFromTensor",
    inputs=["tensor: element_dtype", "element_shape: shape_type"],
    outputs=["output_handle: variant"],
    attrs=[_ELEMENT, _SHAPE],
    shape=scalar,
)
define_op(
    "TensorListScatterV2",
    inputs=[
        *("tensor: element_dtype", "indices: int32"),
        *("element_shape: shape_type", "num_elements: int32"),
    ],
    outputs=["output_handle: variant"],
    attrs=[_ELEMENT, _SHAPE],
    shape=_scatter_shape,
)
define_op(
    "TensorListConcatV2",
    inputs=["input_handle: variant", "element_shape: shape_type", "leading_dims: int64"],
    outputs=["tensor: element_dtype", "lengths: int64"],
    attrs=[_ELEMENT, _SHAPE],
    shape=_concat_shape,
)
define_op(
    "TensorListSplit",
    inputs=["tensor: element_dtype", "element_shape: shape_type", "lengths: int64"],
    outputs=["output_handle: variant"],
    attrs=[_ELEMENT, _SHAPE],
    shape=scalar,
)
define_op(
    "TensorListConcatLists",
    inputs=["input_a: variant", "input_b: variant"],
    outputs=["output: variant"],
    attrs=[_ELEMENT],
    shape=scalar,
)
define_op("OptionalNone", outputs=["optional: variant"], shape=scalar)
define_op(
    "OptionalFromValue",
    inputs=["components: Toutput_types"],
    outputs=["optional: variant"],
    attrs=["Toutput_types: list(type) >= 1"],
    shape=scalar,
)
define_op(
    "OptionalHasValue",
    inputs=["optional: variant"],
    outputs=["has_value: bool"],
    shape=scalar,
)
define_op(
    "OptionalGetValue",
    inputs=["optional: variant"],
    outputs=["components: output_types"],
    attrs=["output_types: list(type) >= 1", "output_shapes: list(shape) >= 1"],
    shape=lambda op: list(op.attrs["output_shapes"]),
)
define_op(
    "FakeParam",
    outputs=["output: dtype"],
    attrs=["dtype: type", "shape: shape"],
    shape=lambda op: [op.attrs["shape"]],
)
