"""Training steps as fused operations, on references and on resources, dense and sparse."""

from __future__ import annotations

from tfsession.core.op_def import ArgDef, define_op
from tfsession.core.shape import Shape, merge
from tfsession.graph.operation import Operation
from tfsession.ops.state import handle_shape

_LOCKING = "use_locking: bool = false"
_NESTEROV = "use_nesterov: bool = false"
_INDICES = "Tindices: {int32, int64}"


def _is_state(arg: ArgDef) -> bool:
    return arg.is_ref or (arg.type is not None and arg.type.name == "resource")


def _state_shape(op: Operation) -> Shape:
    """The merged shape of the variables."""
    shape: Shape = None
    for arg, tensor in zip(op.op_def.inputs, op.inputs, strict=True):
        if _is_state(arg):
            shape = merge(shape, tensor._shape if arg.is_ref else handle_shape(tensor))
    return shape


def _apply_shape(op: Operation) -> list[Shape]:
    shape = _state_shape(op)
    for arg, tensor in zip(op.op_def.inputs, op.inputs, strict=True):
        if arg.name in ("grad", "delta"):
            shape = merge(shape, tensor._shape)
        elif not _is_state(arg) and tensor._shape not in (None, ()):
            raise ValueError(f"Shape must be rank 0 but is rank {len(tensor._shape)}")
    return [shape] * len(op.outputs)


def _sparse_apply_shape(op: Operation) -> list[Shape]:
    shape = _state_shape(op)
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


_SLOTS = "update_slots: bool = true"
_LINEAR = "multiply_linear_by_lr: bool = false"
_RATE = "lr rho momentum epsilon grad"
_FTRL = "lr l1 l2 lr_power"


def _training(
    name: str, variables: str, dense: str, sparse: str | None = None, attr: str | None = None
) -> None:
    """The dense form of an op, and the sparse one where it has one."""
    for kind, inputs in (("", dense), ("Sparse", sparse)):
        if inputs is None:
            continue
        types = {"indices": "Tindices", "global_step": "int64"}
        others = [f"{i}: {types.get(i, 'T')}" for i in inputs.split()]
        attrs = ["T: numbertype", *([_INDICES] if kind else []), _LOCKING]
        _define(f"{kind}Apply{name}", variables.split(), others, attrs + ([attr] if attr else []))


_training("GradientDescent", "var", "alpha delta")
_training("Momentum", "var accum", "lr grad momentum", "lr grad indices momentum", attr=_NESTEROV)
_training("Adam", "var m v", "beta1_power beta2_power lr beta1 beta2 epsilon grad", attr=_NESTEROV)
_training("RMSProp", "var ms mom", _RATE, f"{_RATE} indices")
_training("CenteredRMSProp", "var mg ms mom", _RATE, f"{_RATE} indices")
_training("Adagrad", "var accum", "lr grad", "lr grad indices", attr=_SLOTS)
_training("AdagradV2", "var accum", "lr epsilon grad", "lr epsilon grad indices", attr=_SLOTS)
_training(
    "AdagradDA",
    "var gradient_accumulator gradient_squared_accumulator",
    "grad lr l1 l2 global_step",
    "grad indices lr l1 l2 global_step",
)
_training(
    "Adadelta", "var accum accum_update", "lr rho epsilon grad", "lr rho epsilon grad indices"
)
_training("Ftrl", "var accum linear", f"grad {_FTRL}", f"grad indices {_FTRL}", attr=_LINEAR)
_training(
    "FtrlV2",
    "var accum linear",
    "grad lr l1 l2 l2_shrinkage lr_power",
    "grad indices lr l1 l2 l2_shrinkage lr_power",
    attr=_LINEAR,
)
_training("ProximalGradientDescent", "var", "alpha l1 l2 delta", "alpha l1 l2 grad indices")
_training("ProximalAdagrad", "var accum", "lr l1 l2 grad", "lr l1 l2 grad indices")
