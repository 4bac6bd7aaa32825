"""Kernels of variables. The value of a reference or a handle is the variable's storage itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.errors import (
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
)
from tfsession.core.rules import kernel
from tfsession.core.shape import Shape, debug_string
from tfsession.devices.memory import charged
from tfsession.devices.threads import write_blocks
from tfsession.kernels.cuda.scatter import scattered
from tfsession.kernels.gather import (
    check_indices,
    flat_places,
    gather_rows,
    take,
    take_or_zeros,
)
from tfsession.kernels.segment_sums import (
    add_rows,
    combine_rows,
    distinct_of,
    put_rows,
    rounds_of,
    without_strays,
)
from tfsession.resources.store import DEFAULT_CONTAINER
from tfsession.resources.variable import (
    ReferenceVariable,
    ResourceVariable,
    Variable,
    wrong_dtype,
)


@kernel("VariableV2", "Variable", stateful=True, constant=True)
def variable(
    ctx: Any, *, dtype: DType, shape: Shape, container: bytes, shared_name: bytes
) -> ReferenceVariable:
    """The storage of the node, or of its shared name, made when first met."""
    where, name = container.decode() or DEFAULT_CONTAINER, shared_name.decode() or ctx.name
    found: ReferenceVariable = ctx.resources.get_or_create(
        where,
        name,
        ReferenceVariable,
        lambda: ReferenceVariable(ctx.name, dtype, where, shape, ctx.update_lock),
    )
    if found.dtype is not dtype:
        raise InternalError(
            None,
            None,
            f"Output 0 of type {found.dtype.op_def_name}_ref does not match declared output type "
            f"{dtype.op_def_name}_ref for node {{{{node {ctx.name}}}}}",
        )
    return found


@kernel("TemporaryVariable", stateful=True)
def temporary_variable(ctx: Any, *, dtype: DType, shape: Shape, var_name: bytes) -> Any:
    """A new variable with undefined content, alive until it is destroyed."""
    made = ReferenceVariable(var_name.decode() or ctx.name, dtype, DEFAULT_CONTAINER, shape)
    made.place(charged(ctx.xp.zeros(shape or (), dtype.numpy)))
    return made


@kernel("DestroyTemporaryVariable")
def destroy_temporary_variable(xp: Any, ref: Variable) -> Any:
    """The final value."""
    return ref.read()


@kernel("VarHandleOp", stateful=True, constant=True)
def var_handle(
    ctx: Any, *, dtype: DType, shape: Shape, container: bytes, shared_name: bytes
) -> ResourceVariable:
    """The storage of the shared name, or of the node, made when first met."""
    where, name = container.decode() or DEFAULT_CONTAINER, shared_name.decode() or ctx.name
    found: ResourceVariable = ctx.resources.get_or_create(
        where,
        name,
        ResourceVariable,
        lambda: ResourceVariable(
            name, dtype, where, shape, ctx.resources.containers, ctx.update_lock
        ),
        exists=False,
    )
    return found


@kernel("IsVariableInitialized", host_outputs=["is_initialized"])
def is_variable_initialized(xp: Any, ref: Variable) -> Any:
    """Whether a value was assigned."""
    return np.bool_(ref.is_initialized)


@kernel("VarIsInitializedOp", host_outputs=["is_initialized"])
def var_is_initialized(xp: Any, resource: Variable) -> Any:
    """Whether a value was assigned."""
    return np.bool_(resource.is_initialized)


@kernel("DestroyResourceOp")
def destroy_resource(xp: Any, resource: ResourceVariable, *, ignore_lookup_error: bool) -> None:
    """Make the variable uninitialized."""
    if not resource.is_initialized and not ignore_lookup_error:
        where = resource.container
        what = f"Resource {where}/{resource.name}/<unknown>"
        if where not in resource.containers:
            what = f"Container {where}"
        raise NotFoundError(None, None, f"{what} does not exist.")
    resource.release()


@kernel("DisableCopyOnRead")
def disable_copy_on_read(xp: Any, resource: ResourceVariable) -> None:
    """Nothing: what is read is never written over here."""


@kernel("ReadVariableOp", aliases=True)
def read_variable(xp: Any, resource: Variable, *, dtype: DType) -> Any:
    """The value, which stays as it is when the variable changes."""
    array = resource.read()
    if resource.dtype is not dtype:
        raise wrong_dtype(dtype, resource.dtype)
    return array


@kernel("VariableShape", host_outputs=["output"])
def variable_shape(xp: Any, resource: ResourceVariable, *, out_type: DType) -> Any:
    """The shape of the value."""
    return np.array(resource.existing(resource.dtype).shape, out_type.numpy)


@kernel("Assign")
def assign(
    xp: Any, ref: Variable, value: Any, owned: bool = False, *, validate_shape: bool
) -> Variable:
    """Copy the value into the variable, which keeps it itself when it is `owned`."""
    if validate_shape:
        shape = ref.array.shape if ref.array is not None else ref.shape
        if shape is not None and None not in shape and shape != value.shape:
            raise InvalidArgumentError(
                None,
                None,
                "Assign requires shapes of both tensors to match. lhs shape= "
                f"{debug_string(shape)} rhs shape= {debug_string(value.shape)}",
            )
    ref.assign(value, owned)
    return ref


@kernel("AssignVariableOp")
def assign_variable(
    xp: Any, resource: ResourceVariable, value: Any, owned: bool = False, *, dtype: DType,
    validate_shape: bool,
) -> None:  # fmt: skip
    """Copy the value into the variable, which keeps it itself when it is `owned`."""
    with resource.lock:
        if resource.array is None:
            resource.dtype = dtype  # handles of several dtypes may share the name
        elif resource.dtype is not dtype:
            raise InvalidArgumentError(
                None,
                None,
                "Trying to assign variable with wrong dtype. Expected "
                f"{resource.dtype.op_def_name} got {dtype.op_def_name}",
            )
        elif validate_shape and resource.array.shape != value.shape:
            raise InvalidArgumentError(
                None,
                None,
                "Trying to assign to variable with tensor with wrong shape. Expected "
                f"{debug_string(resource.array.shape)} got {debug_string(value.shape)}",
            )
        resource.assign(value, owned)


def _update(ufunc: str) -> Any:
    def update(xp: Any, variable: Variable, value: Any) -> Variable:
        function = getattr(xp, ufunc)
        with variable.lock:
            array = variable.writable()
            if array.shape != value.shape or array.dtype != value.dtype:
                raise InvalidArgumentError(None, None, _mismatch(variable, array, value))
            write_blocks(lambda there, by: function(there, by, out=there), array, value)
        return variable

    return update


def _mismatch(variable: Variable, array: Any, value: Any) -> str:
    if variable.is_reference:
        return "Parameters and update must be the same size"
    if array.dtype != value.dtype:
        return "DType of variable handle and value does not match."
    return (
        f"Cannot update variable with shape {debug_string(array.shape)} using a Tensor with shape "
        f"{debug_string(value.shape)}, shapes must be equal."
    )


for _name, _ufunc in (("Add", "add"), ("Sub", "subtract")):
    kernel(f"Assign{_name}")(_update(_ufunc))
    kernel(f"Assign{_name}VariableOp")(_update(_ufunc))


@kernel("CountUpTo")
def count_up_to(xp: Any, ref: Variable, *, limit: int) -> Any:
    """The value before it is counted up by one."""
    with ref.lock:
        array = ref.writable()
        before = array.copy()
        if before >= limit:
            raise OutOfRangeError(None, None, f"Reached limit of {limit}")
        array += 1
    return before


def _in_rounds(xp: Any, ufunc: str, array: Any, indices: Any, rows: Any) -> None:
    """Update rows so that an index that stands there twice counts twice: once in each round."""
    function = getattr(xp, ufunc)
    for chosen in rounds_of(xp, indices, len(array)):
        where = indices[chosen]
        array[where] = function(array[where], rows[chosen])


def _check_dtype(array: Any, updates: Any) -> None:
    """Handles of several dtypes may share a variable: refuse those that are not its own."""
    if array.dtype != updates.dtype:
        raise wrong_dtype(as_dtype(updates.dtype), as_dtype(array.dtype))


def _add(xp: Any, ufunc: str, array: Any, indices: Any, rows: Any) -> None:
    add_rows(xp, array, indices, rows, ufunc)


def _rows_of(xp: Any, array: Any, indices: Any, updates: Any) -> tuple[Any, Any]:
    """Indices as a vector, and the update of each."""
    places = indices.reshape(-1)
    shape = (places.size, *array.shape[1:])
    return places, updates.reshape(shape) if updates.ndim else xp.broadcast_to(updates, shape)


def _update_rows(
    xp: Any, ufunc: str | None, combine: Any, array: Any, indices: Any, updates: Any
) -> None:
    """Update rows of an array; `combine` where several updates may be for one row."""
    places, rows = _rows_of(xp, array, indices, updates)
    if ufunc is None:
        put_rows(xp, array, places, rows)
    elif combine is _add or distinct_of(xp, places, len(array))[1] is not None:
        combine(xp, ufunc, array, places, rows)
    else:
        put_rows(xp, array, places, getattr(xp, ufunc)(xp.take(array, places, 0), rows))


def _update_unseen(xp: Any, ufunc: str | None, array: Any, indices: Any, updates: Any) -> None:
    """Update rows of an array without a look at the indices; those out of range do nothing."""
    places, rows = _rows_of(xp, array, indices, updates)
    places, rows = without_strays(xp, ufunc, array, places, rows)
    if ufunc is None:
        put_rows(xp, array, places, rows)
    else:
        combine_rows(xp, ufunc, array, places, rows)


def _scatter(ufunc: str | None, combine: Any) -> Any:
    def scatter(xp: Any, variable: Variable, indices: Any, updates: Any) -> Variable:
        with variable.lock:
            array = variable.writable()
            _check_dtype(array, updates)
            check_indices(xp, indices, array.shape[0])
            _update_rows(xp, ufunc, combine, array, indices, updates)
        return variable

    return scatter


def _scatter_by_kernel(ufunc: str) -> Any:
    """By a kernel of its own, since CuPy's ufuncs of these names have no `at`; or in rounds."""

    def scatter(xp: Any, variable: Variable, indices: Any, updates: Any) -> Variable:
        with variable.lock:
            array = variable.writable()
            _check_dtype(array, updates)
            if not scattered(xp, ufunc, array, *_rows_of(xp, array, indices, updates)):
                check_indices(xp, indices, array.shape[0])
                _update_rows(xp, ufunc, _in_rounds, array, indices, updates)
        return variable

    return scatter


def _scatter_nd(ufunc: str | None, combine: Any) -> Any:
    def scatter(xp: Any, variable: Variable, indices: Any, updates: Any) -> Variable:
        with variable.lock:
            array = variable.writable()
            _check_dtype(array, updates)
            index_tuple(indices, array.shape)
            depth = indices.shape[-1]
            flat = array.reshape(math.prod(array.shape[:depth]), *array.shape[depth:])
            places = flat_places(xp, array.shape, indices)[0]
            _update_rows(xp, ufunc, combine, flat, places, updates)
        return variable

    return scatter


def _scatter_unseen(ufunc: str | None) -> Any:
    def scatter(xp: Any, variable: Variable, indices: Any, updates: Any) -> Variable:
        with variable.lock:
            array = variable.writable()
            _check_dtype(array, updates)
            _update_unseen(xp, ufunc, array, indices, updates)
        return variable

    return scatter


def _scatter_nd_unseen(ufunc: str | None) -> Any:
    def scatter(xp: Any, variable: Variable, indices: Any, updates: Any) -> Variable:
        with variable.lock:
            array = variable.writable()
            _check_dtype(array, updates)
            depth = indices.shape[-1]
            flat = array.reshape(math.prod(array.shape[:depth]), *array.shape[depth:])
            places, bad = flat_places(xp, array.shape, indices)
            _update_unseen(xp, ufunc, flat, xp.where(bad, -1, places), updates)
        return variable

    return scatter


def index_tuple(indices: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The last dimension of `indices` as a tuple of index arrays, each within its bounds."""
    depth = indices.shape[-1]
    columns = tuple(indices[..., axis] for axis in range(depth))
    for axis, column in enumerate(columns):
        if column.size and (int(column.min()) < 0 or int(column.max()) >= shape[axis]):
            bad = (column < 0) | (column >= shape[axis])
            row = tuple(int(i) for i in np.argwhere(np.asarray(bad.tolist()))[0])
            where = ",".join(map(str, row))
            raise InvalidArgumentError(
                None,
                None,
                f"indices[{where}] = {indices[row].tolist()} does not index into shape "
                f"{debug_string(shape)}",
            )
    return columns


_UPDATES = {
    "Update": (None, None),
    "Add": ("add", _add),
    "Sub": ("subtract", _add),
    "Min": ("minimum", combine_rows),
    "Max": ("maximum", combine_rows),
}
for _name, _how in _UPDATES.items():
    _both = f"Scatter{_name}", f"ResourceScatter{_name}"
    kernel(*_both, device="CPU")(_scatter(*_how))
    kernel(*_both)(_scatter_unseen(_how[0]))
    _both = f"ScatterNd{_name}", f"ResourceScatterNd{_name}"
    kernel(*_both, device="CPU")(_scatter_nd(*_how))
    kernel(*_both)(_scatter_nd_unseen(_how[0]))
for _name, _ufunc in (("Mul", "multiply"), ("Div", "true_divide")):
    _both = f"Scatter{_name}", f"ResourceScatter{_name}"
    kernel(*_both, device="CPU")(_scatter(_ufunc, combine_rows))
    kernel(*_both)(_scatter_by_kernel(_ufunc))


@kernel("ResourceGather")
def resource_gather(
    xp: Any, resource: ResourceVariable, indices: Any, *, dtype: DType, batch_dims: int
) -> Any:
    """Slices of the value's dimension `batch_dims`; zeros for an index out of range."""
    return take_or_zeros(xp, resource.existing(dtype), indices, batch_dims, batch_dims)


@kernel("ResourceGather", device="CPU")
def resource_gather_checked(
    xp: Any, resource: ResourceVariable, indices: Any, *, dtype: DType, batch_dims: int
) -> Any:
    """Slices of the value's dimension `batch_dims`; an index out of range is an error."""
    array = resource.existing(dtype)
    check_indices(xp, indices, array.shape[batch_dims])
    return take(xp, array, indices, batch_dims, batch_dims)


@kernel("ResourceGatherNd")
def resource_gather_nd(xp: Any, resource: ResourceVariable, indices: Any, *, dtype: DType) -> Any:
    """Elements or slices of the value at index vectors; zeros for those out of range."""
    return gather_rows(xp, resource.existing(dtype), indices, check=False)


@kernel("ResourceGatherNd", device="CPU")
def resource_gather_nd_checked(
    xp: Any, resource: ResourceVariable, indices: Any, *, dtype: DType
) -> Any:
    """Elements or slices of the value at index vectors; one out of range is an error."""
    array = resource.existing(dtype)
    return array[index_tuple(indices, array.shape)].copy()
