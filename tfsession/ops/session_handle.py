"""Session handles: tensors that stay in the session, where they were computed, between steps."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import as_dtype, string
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import no_outputs, scalar, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.graph.tensor_handle import device_of


def _tensor_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 0)
    return [None]


def _deletion_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 0)
    return no_outputs(op)


for _name, _type in (("GetSessionHandle", "string"), ("GetSessionHandleV2", "resource")):
    define_op(_name, ["value: T"], [f"handle: {_type}"], ["T: type"], scalar, stateful=True)
define_op(
    "GetSessionTensor",
    ["handle: string"],
    ["value: dtype"],
    ["dtype: type"],
    _tensor_shape,
    stateful=True,
)
define_op("DeleteSessionTensor", ["handle: string"], shape=_deletion_shape, stateful=True)


@export("get_session_handle")
def get_session_handle(data: Any, name: str | None = None) -> Tensor:
    """Keep the value of `data` in the session, where it is computed, for later steps.

    Running the result gives a TensorHandle: feed it for any placeholder of the dtype, or feed its
    text to `get_session_tensor`'s. As an input of other operations it is the text, a string scalar.

        handle = session.run(tf.get_session_handle(features))
        session.run(loss, {placeholder: handle})

    Raises:
        TypeError: `data` is no Tensor.
    """
    if not isinstance(data, Tensor):
        raise TypeError("`data` must be of type Tensor.")
    with get_default_graph().colocate_with(data.op):
        handle: Tensor = create_op("GetSessionHandle", [data], name=name)
    return handle


@export("get_session_tensor")
def get_session_tensor(handle: Any, dtype: Any, name: str | None = None) -> tuple[Tensor, Tensor]:
    """A placeholder for the text of a handle, and the tensor of `dtype` that it stands for.

    Both are placed where the tensor of `handle` lies; the text of any other handle of the session
    may be fed, too.

    Raises:
        ValueError: `handle` is not the text of a handle.
    """
    with get_default_graph().device(device_of(handle)):
        holder = create_op("Placeholder", attrs={"dtype": string})
        tensor = create_op("GetSessionTensor", [holder], {"dtype": as_dtype(dtype)}, name)
    return holder, tensor


@export("delete_session_tensor")
def delete_session_tensor(handle: Any, name: str | None = None) -> tuple[Tensor, Operation]:
    """A placeholder for the text of a handle, and the operation that deletes its tensor.

    Raises:
        ValueError: `handle` is not the text of a handle.
    """
    with get_default_graph().device(device_of(handle)):
        holder = create_op("Placeholder", attrs={"dtype": string})
        deleter = create_op("DeleteSessionTensor", [holder], name=name)
    return holder, deleter
