"""Training steps as fused operations: gradient descent, momentum, Adam."""

from __future__ import annotations

from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.graph.operation import Operation
from tfsession.ops.state import handle_shape

_LOCKING = "use_locking: bool = false"
_NESTEROV = "use_nesterov: bool = false"
_INDICES = "Tindices: {int32, int64}"


def _variables(op: Operation) -> tuple[Shape, list[Shape]]:
    """The merged shape of the variables, and the shapes of the other inputs."""
    shape: Shape = None
    others: list[Shape] = []
    for arg, tensor in zip(op.op_def.inputs, op.inputs, strict=True):
        if arg.is_ref:
            shape = merge(shape, tensor._shape)
        elif arg.type is not None and arg.type.name == "resource":
            shape = merge(shape, handle_shape(tensor))
        else:
            others.append(tensor._shape)
    return shape, others


def _apply_shape(op: Operation) -> list[Shape]:
    shape, _ = _variables(op)
    for arg, tensor in zip(op.op_def.inputs, op.inputs, strict=True):
        if arg.name in ("grad", "delta"):
            shape = merge(shape, tensor._shape)
        elif not arg.is_ref and arg.type is None and tensor._shape not in (None, ()):
            raise ValueError(f"Shape must be rank 0 but is rank {len(tensor._shape)}")
    return [shape] * len(op.outputs)


def _sparse_apply_shape(op: Operation) -> list[Shape]:
    shape, _ = _variables(op)
    inputs = dict(zip((arg.name for arg in op.op_def.inputs), op.inputs, strict=True))
    grad, indices = inputs["grad"]._shape, inputs["indices"]._shape
    if shape is not None and grad is not None:
        rows = None if indices is None else indices[0]
        merge(grad, (rows, *shape[1:]))
    return [shape] * len(op.outputs)


def _define(name: str, variables: list[str], others: list[str], attrs: list[str]) -> None:
    """Define both forms of a training op: on references, and on resources."""
    sparse = any(text.startswith("indices") for text in others)
    shape = _sparse_apply_shape if sparse else _apply_shape
    define_op(
        name,
        inputs=[f"{v}: Ref(T)" for v in variables] + others,
        outputs=["out: Ref(T)"],
        attrs=attrs,
        shape=shape,
    )
    define_op(
        f"Resource{name}",
        inputs=[f"{v}: resource" for v in variables] + others,
        attrs=attrs,
        stateful=True,
        shape=shape,
    )


_define("ApplyGradientDescent", ["var"], ["alpha: T", "delta: T"], ["T: numbertype", _LOCKING])
_define(
    "ApplyMomentum",
    ["var", "accum"],
    ["lr: T", "grad: T", "momentum: T"],
    ["T: numbertype", _LOCKING, _NESTEROV],
)
_define(
    "SparseApplyMomentum",
    ["var", "accum"],
    ["lr: T", "grad: T", "indices: Tindices", "momentum: T"],
    ["T: numbertype", _INDICES, _LOCKING, _NESTEROV],
)
_define(
    "ApplyAdam",
    ["var", "m", "v"],
    ["beta1_power: T", "beta2_power: T", "lr: T", "beta1: T", "beta2: T", "epsilon: T", "grad: T"],
    ["T: numbertype", _LOCKING, _NESTEROV],
)
