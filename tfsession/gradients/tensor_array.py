"""Gradients of TensorArrays: what was read is written to an array of gradients, and back.

Each call of `tf.gradients` has arrays of its own: they are known by the scope in which it makes its
operations.
"""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import identity
from tfsession.ops.tensor_array import TensorArray

no_gradient("TensorArrayV3", "TensorArrayGradV3", "TensorArraySizeV3", "TensorArrayCloseV3")


def _source(grad: Tensor) -> str:
    """What tells the call of `tf.gradients` that has made a gradient: a part of its name."""
    parts = grad.name.split("/")
    places = [place for place, part in enumerate(parts) if part.startswith("gradients")]
    if not places:
        raise ValueError(
            f"Expected op/tensor name to start with gradients (excluding scope), got: {grad.name}. "
            "This means that a tf.gradients op with this op in its dependency path has a custom "
            "name that does not start with 'gradients'. Please make sure all calls to tf.gradients "
            "that have non-empty `name` arguments use names that start with 'gradients'."
        )
    return "/".join(parts[: places[-1] + 1])


def _gradients(op: Operation, dtype: str, flow: Tensor, source: str) -> TensorArray:
    """The array of gradients of the one that an operation works on, after `flow`."""
    array = TensorArray(
        op.attrs[dtype], handle=op.inputs[0], flow=flow, colocate_with_first_write_call=False
    )
    return array.grad(source, flow)


def _of_reading(op: Operation, grad: Any) -> TensorArray:
    return _gradients(op, "dtype", op.inputs[-1], _source(grad))


def _of_writing(op: Operation, flow: Tensor) -> tuple[TensorArray, Tensor]:
    """What is read once all that comes later was written; and the flow behind that."""
    source = _source(flow)
    written = identity(op.outputs[0], "flow_out")
    with op.graph.control_dependencies([written]):
        flow = identity(flow, "write_barrier")
    return _gradients(op, "T", flow, source), flow


@gradient("TensorArrayReadV3")
def _read(op: Operation, grad: Any) -> list[Tensor | None]:
    return [None, None, _of_reading(op, grad).write(op.inputs[1], grad).flow]


@gradient("TensorArrayWriteV3")
def _write(op: Operation, flow: Any) -> list[Tensor | None]:
    array, flow = _of_writing(op, flow)
    return [None, None, array.read(op.inputs[1]), flow]


@gradient("TensorArrayGatherV3")
def _gather(op: Operation, grad: Any) -> list[Tensor | None]:
    return [None, None, _of_reading(op, grad).scatter(op.inputs[1], grad).flow]


@gradient("TensorArrayScatterV3")
def _scatter(op: Operation, flow: Any) -> list[Tensor | None]:
    array, flow = _of_writing(op, flow)
    return [None, None, array.gather(op.inputs[1]), flow]


@gradient("TensorArrayConcatV3")
def _concat(op: Operation, grad: Any, _: Any) -> list[Tensor | None]:
    return [None, _of_reading(op, grad).split(grad, op.outputs[1]).flow]


@gradient("TensorArraySplitV3")
def _split(op: Operation, flow: Any) -> list[Tensor | None]:
    array, flow = _of_writing(op, flow)
    return [None, array.concat(), None, flow]
