"""Variables as operations: reference (VariableV2) and resource (VarHandleOp) ones, their updates.

The Python classes that programs use stand in `variables.py`.
"""

from __future__ import annotations

from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_op, create_operation
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import no_outputs, same_as, scalar, with_rank_at_least
from tfsession.graph.tensor import Tensor

_SHARING = ["container: string = ''", "shared_name: string = ''"]
_INDICES = "Tindices: {int32, int64}"
_SCATTERS = ("Add", "Sub", "Mul", "Div", "Min", "Max")
# Operations through which a handle comes into branches and loops.
_HANDED_ON = frozenset({"Enter", "Switch", "Identity"})


def _attr_shape(op: Operation) -> list[Shape]:
    return [op.attrs["shape"]]


def _assign_shape(op: Operation) -> list[Shape]:
    if op.attrs["validate_shape"]:
        return [shape_lib.merge(op.inputs[0]._shape, op.inputs[1]._shape)]
    return [op.inputs[1]._shape]


def _update_shape(op: Operation) -> list[Shape]:
    return [shape_lib.merge(op.inputs[0]._shape, op.inputs[1]._shape)]


def variable_behind(handle: Tensor) -> Operation | None:
    """The operation that makes a resource handle, as far as branches and loops let one see it."""
    op: Operation = handle.op
    while op.type in _HANDED_ON:
        op = op.inputs[0].op
    return op if op.type == "VarHandleOp" else None


def handle_shape(handle: Tensor) -> Shape:
    """The static shape of the variable behind a resource handle, as far as it is known."""
    variable = variable_behind(handle)
    shape: Shape = None if variable is None else variable.attrs["shape"]
    return shape


def _read_shape(op: Operation) -> list[Shape]:
    variable = variable_behind(op.inputs[0])
    if variable is not None and variable.attrs["dtype"] is not op.attrs["dtype"]:
        there, asked = variable.attrs["dtype"].op_def_name, op.attrs["dtype"].op_def_name
        raise ValueError(f"Trying to read variable with wrong dtype. Expected {there} got {asked}")
    return [handle_shape(op.inputs[0])]


def _resource_update_shape(op: Operation) -> list[Shape]:
    shape_lib.merge(handle_shape(op.inputs[0]), op.inputs[1]._shape)
    return []


def _check_scatter(variable: Shape, indices: Shape, updates: Shape) -> None:
    """Updates have the indices' shape and then the variable's beyond its first dimension."""
    with_rank_at_least(variable, 1)
    if updates == () or indices is None or variable is None or updates is None:
        return
    shape_lib.merge(updates, indices + variable[1:])


def _scatter_shape(op: Operation) -> list[Shape]:
    _check_scatter(*(tensor._shape for tensor in op.inputs))
    return [op.inputs[0]._shape]


def _resource_scatter_shape(op: Operation) -> list[Shape]:
    _check_scatter(handle_shape(op.inputs[0]), op.inputs[1]._shape, op.inputs[2]._shape)
    return []


def check_scatter_nd(variable: Shape, indices: Shape, updates: Shape) -> None:
    """Updates have the outer dimensions of the indices, then what those do not index."""
    if variable is None or indices is None or updates is None or indices[-1] is None:
        return
    with_rank_at_least(indices, 1)
    depth = indices[-1]
    if depth > len(variable):
        raise ValueError(
            f"The inner dimension of indices must be at most the rank {len(variable)} of the "
            f"variable, but is {depth}"
        )
    shape_lib.merge(updates, indices[:-1] + variable[depth:])


def _scatter_nd_shape(op: Operation) -> list[Shape]:
    check_scatter_nd(*(tensor._shape for tensor in op.inputs))
    return [op.inputs[0]._shape]


def _resource_scatter_nd_shape(op: Operation) -> list[Shape]:
    check_scatter_nd(handle_shape(op.inputs[0]), op.inputs[1]._shape, op.inputs[2]._shape)
    return []


def _resource_gather_shape(op: Operation) -> list[Shape]:
    variable, indices = handle_shape(op.inputs[0]), op.inputs[1]._shape
    with_rank_at_least(variable, 1)
    if variable is None or indices is None:
        return [None]
    batch = op.attrs["batch_dims"]
    return [(*variable[:batch], *indices[batch:], *variable[batch + 1 :])]


def _resource_gather_nd_shape(op: Operation) -> list[Shape]:
    variable, indices = handle_shape(op.inputs[0]), op.inputs[1]._shape
    if variable is None or indices is None or indices[-1] is None:
        return [None]
    return [indices[:-1] + variable[indices[-1] :]]


def _shape_of_handle(op: Operation) -> list[Shape]:
    shape = handle_shape(op.inputs[0])
    return [(None,) if shape is None else (len(shape),)]


for _name in ("VariableV2", "Variable"):
    define_op(
        _name,
        outputs=["ref: Ref(dtype)"],
        attrs=["shape: shape", "dtype: type", *_SHARING],
        stateful=True,
        shape=_attr_shape,
    )
define_op(
    "TemporaryVariable",
    outputs=["ref: Ref(dtype)"],
    attrs=["shape: shape", "dtype: type", "var_name: string = ''"],
    stateful=True,
    shape=_attr_shape,
)
define_op(
    "DestroyTemporaryVariable",
    inputs=["ref: Ref(T)"],
    outputs=["value: T"],
    attrs=["T: type", "var_name: string"],
    shape=same_as(0),
)
define_op(
    "IsVariableInitialized",
    inputs=["ref: Ref(dtype)"],
    outputs=["is_initialized: bool"],
    attrs=["dtype: type"],
    allows_uninitialized_input=True,
    shape=scalar,
)
define_op(
    "Assign",
    inputs=["ref: Ref(T)", "value: T"],
    outputs=["output_ref: Ref(T)"],
    attrs=["T: type", "validate_shape: bool = true", "use_locking: bool = true"],
    allows_uninitialized_input=True,
    shape=_assign_shape,
)
for _name in ("AssignAdd", "AssignSub"):
    define_op(
        _name,
        inputs=["ref: Ref(T)", "value: T"],
        outputs=["output_ref: Ref(T)"],
        attrs=["T: numbertype", "use_locking: bool = false"],
        shape=_update_shape,
    )
define_op(
    "CountUpTo",
    inputs=["ref: Ref(T)"],
    outputs=["output: T"],
    attrs=["limit: int", "T: {int32, int64}"],
    shape=same_as(0),
)
define_op(
    "ScatterUpdate",
    inputs=["ref: Ref(T)", "indices: Tindices", "updates: T"],
    outputs=["output_ref: Ref(T)"],
    attrs=["T: type", _INDICES, "use_locking: bool = true"],
    shape=_scatter_shape,
)
define_op(
    "ResourceScatterUpdate",
    inputs=["resource: resource", "indices: Tindices", "updates: dtype"],
    attrs=["dtype: type", _INDICES],
    stateful=True,
    shape=_resource_scatter_shape,
)
for _name in _SCATTERS:
    _ordered = "{half, bfloat16, float, double, int32, int64}" if _name in ("Min", "Max") else None
    define_op(
        f"Scatter{_name}",
        inputs=["ref: Ref(T)", "indices: Tindices", "updates: T"],
        outputs=["output_ref: Ref(T)"],
        attrs=[f"T: {_ordered or 'numbertype'}", _INDICES, "use_locking: bool = false"],
        shape=_scatter_shape,
    )
    define_op(
        f"ResourceScatter{_name}",
        inputs=["resource: resource", "indices: Tindices", "updates: dtype"],
        attrs=["dtype: numbertype", _INDICES],
        stateful=True,
        shape=_resource_scatter_shape,
    )
for _name in ("Update", "Add", "Sub", "Min", "Max"):
    _types = "type" if _name == "Update" else "numbertype"
    _locking = "true" if _name == "Update" else "false"
    _policy = "bad_indices_policy: string = ''"
    define_op(
        f"ScatterNd{_name}",
        inputs=["ref: Ref(T)", "indices: Tindices", "updates: T"],
        outputs=["output_ref: Ref(T)"],
        attrs=[f"T: {_types}", _INDICES, f"use_locking: bool = {_locking}", _policy],
        shape=_scatter_nd_shape,
    )
    define_op(
        f"ResourceScatterNd{_name}",
        inputs=["ref: resource", "indices: Tindices", "updates: T"],
        attrs=["T: type", _INDICES, "use_locking: bool = true", _policy],
        stateful=True,
        shape=_resource_scatter_nd_shape,
    )
define_op(
    "VarHandleOp",
    outputs=["resource: resource"],
    attrs=[
        *_SHARING,
        "debug_name: string = ''",
        "dtype: type",
        "shape: shape",
        "allowed_devices: list(string) = []",
    ],
    stateful=True,
    shape=scalar,
)
define_op(
    "ReadVariableOp",
    inputs=["resource: resource"],
    outputs=["value: dtype"],
    attrs=["dtype: type"],
    stateful=True,
    shape=_read_shape,
)
define_op(
    "AssignVariableOp",
    inputs=["resource: resource", "value: dtype"],
    attrs=["dtype: type", "validate_shape: bool = false"],
    stateful=True,
    shape=_resource_update_shape,
)
for _name in ("AssignAddVariableOp", "AssignSubVariableOp"):
    define_op(
        _name,
        inputs=["resource: resource", "value: dtype"],
        attrs=["dtype: type"],
        stateful=True,
        shape=_resource_update_shape,
    )
define_op(
    "VarIsInitializedOp",
    inputs=["resource: resource"],
    outputs=["is_initialized: bool"],
    stateful=True,
    shape=scalar,
)
define_op(
    "DestroyResourceOp",
    inputs=["resource: resource"],
    attrs=["ignore_lookup_error: bool = true"],
    stateful=True,
    shape=no_outputs,
)
define_op("DisableCopyOnRead", inputs=["resource: resource"], stateful=True, shape=no_outputs)
define_op(
    "VariableShape",
    inputs=["input: resource"],
    outputs=["output: out_type"],
    attrs=["out_type: {int32, int64} = DT_INT32"],
    stateful=True,
    shape=_shape_of_handle,
)
define_op(
    "ResourceGather",
    inputs=["resource: resource", "indices: Tindices"],
    outputs=["output: dtype"],
    attrs=["batch_dims: int = 0", "validate_indices: bool = true", "dtype: type", _INDICES],
    stateful=True,
    shape=_resource_gather_shape,
)
define_op(
    "ResourceGatherNd",
    inputs=["resource: resource", "indices: Tindices"],
    outputs=["output: dtype"],
    attrs=["dtype: type", _INDICES],
    stateful=True,
    shape=_resource_gather_nd_shape,
)


def _is_reference(ref: Any) -> bool:
    return ref.dtype.is_ref


@export("assign")
def assign(
    ref: Any, value: Any, validate_shape: bool | None = None, use_locking: bool | None = None,
    name: str | None = None,
) -> Any:  # fmt: skip
    """Set a variable to `value`; gives the variable's new value (a reference for a reference).

    Raises:
        ValueError: the static shapes differ and `validate_shape` is not False.
    """
    if _is_reference(ref):
        attrs = {"validate_shape": validate_shape, "use_locking": use_locking}
        return create_op("Assign", [ref, value], attrs, name)
    return ref.assign(value, name=name)


@export("assign_add")
def assign_add(
    ref: Any, value: Any, use_locking: bool | None = None, name: str | None = None
) -> Any:
    """Add `value` to a variable in place; gives the variable's new value."""
    if _is_reference(ref):
        return create_op("AssignAdd", [ref, value], {"use_locking": use_locking}, name)
    return ref.assign_add(value)


@export("assign_sub")
def assign_sub(
    ref: Any, value: Any, use_locking: bool | None = None, name: str | None = None
) -> Any:
    """Subtract `value` from a variable in place; gives the variable's new value."""
    if _is_reference(ref):
        return create_op("AssignSub", [ref, value], {"use_locking": use_locking}, name)
    return ref.assign_sub(value)


@export("count_up_to")
def count_up_to(ref: Any, limit: int, name: str | None = None) -> Tensor:
    """Add one to a variable and give its value before; OutOfRangeError at `limit`."""
    return create_op("CountUpTo", [ref], {"limit": limit}, name)


@export("is_variable_initialized")
def is_variable_initialized(variable: Any, name: str | None = None) -> Tensor:
    """Whether a variable has a value: a bool scalar."""
    if _is_reference(variable):
        return create_op("IsVariableInitialized", [variable], name=name)
    return variable.is_initialized(name=name)


def _scatter(
    kind: str, ref: Any, indices: Any, updates: Any, use_locking: bool | None, name: str | None
) -> Any:
    if _is_reference(ref):
        attrs = {"use_locking": use_locking}
        return create_op(f"Scatter{kind}", [ref, indices, updates], attrs, name)
    inputs = [ref.handle, indices, convert_to_tensor(updates, ref.dtype)]
    return ref._lazy_read(create_operation(f"ResourceScatter{kind}", inputs, name=name))


def _scatter_nd(
    kind: str, ref: Any, indices: Any, updates: Any, use_locking: bool | None, name: str | None
) -> Any:
    attrs = {"use_locking": use_locking}
    if _is_reference(ref):
        return create_op(f"ScatterNd{kind}", [ref, indices, updates], attrs, name)
    inputs = [ref.handle, indices, convert_to_tensor(updates, ref.dtype)]
    return ref._lazy_read(create_operation(f"ResourceScatterNd{kind}", inputs, attrs, name))


@export("scatter_update")
def scatter_update(
    ref: Any, indices: Any, updates: Any, use_locking: bool = True, name: str | None = None
) -> Any:
    """Set slices of a variable to `updates`, at `indices` of the first dimension.

    Gives the variable's new value.
    """
    return _scatter("Update", ref, indices, updates, use_locking, name)


@export("scatter_add")
def scatter_add(
    ref: Any, indices: Any, updates: Any, use_locking: bool = False, name: str | None = None
) -> Any:
    """Add to slices of a variable `updates`, at `indices` of the first dimension.

    Gives the variable's new value.
    """
    return _scatter("Add", ref, indices, updates, use_locking, name)


@export("scatter_sub")
def scatter_sub(
    ref: Any, indices: Any, updates: Any, use_locking: bool = False, name: str | None = None
) -> Any:
    """Subtract from slices of a variable `updates`, at `indices` of the first dimension.

    Gives the variable's new value.
    """
    return _scatter("Sub", ref, indices, updates, use_locking, name)


@export("scatter_mul")
def scatter_mul(
    ref: Any, indices: Any, updates: Any, use_locking: bool = False, name: str | None = None
) -> Any:
    """Multiply slices of a variable by `updates`, at `indices` of the first dimension.

    Gives the variable's new value.
    """
    return _scatter("Mul", ref, indices, updates, use_locking, name)


@export("scatter_div")
def scatter_div(
    ref: Any, indices: Any, updates: Any, use_locking: bool = False, name: str | None = None
) -> Any:
    """Divide slices of a variable by `updates`, at `indices` of the first dimension.

    Gives the variable's new value.
    """
    return _scatter("Div", ref, indices, updates, use_locking, name)


@export("scatter_min")
def scatter_min(
    ref: Any, indices: Any, updates: Any, use_locking: bool = False, name: str | None = None
) -> Any:
    """Take the least of slices of a variable and `updates`, at `indices` of the first dimension.

    Gives the variable's new value.
    """
    return _scatter("Min", ref, indices, updates, use_locking, name)


@export("scatter_max")
def scatter_max(
    ref: Any, indices: Any, updates: Any, use_locking: bool = False, name: str | None = None
) -> Any:
    """Take the greatest of slices of a variable and `updates`, at `indices` of the first dimension.

    Gives the variable's new value.
    """
    return _scatter("Max", ref, indices, updates, use_locking, name)


@export("scatter_nd_update")
def scatter_nd_update(
    ref: Any, indices: Any, updates: Any, use_locking: bool = True, name: str | None = None
) -> Any:
    """Set elements or slices of a variable to `updates`, at the index vectors in `indices`.

    Gives the variable's new value.
    """
    return _scatter_nd("Update", ref, indices, updates, use_locking, name)


@export("scatter_nd_add")
def scatter_nd_add(
    ref: Any, indices: Any, updates: Any, use_locking: bool = False, name: str | None = None
) -> Any:
    """Add to elements or slices of a variable `updates`, at the index vectors in `indices`.

    Gives the variable's new value.
    """
    return _scatter_nd("Add", ref, indices, updates, use_locking, name)


@export("scatter_nd_sub")
def scatter_nd_sub(
    ref: Any, indices: Any, updates: Any, use_locking: bool = False, name: str | None = None
) -> Any:
    """Subtract from elements or slices of a variable `updates`, at the index vectors in `indices`.

    Gives the variable's new value.
    """
    return _scatter_nd("Sub", ref, indices, updates, use_locking, name)
